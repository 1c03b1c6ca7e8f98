//! Which way up a picture is: the tag `Orientation` of EXIF 2.32 (and TIFF 6.0), section 4.6.4.

use exif::{In, Reader, Tag};

use crate::Picture;

/// How a picture has to be turned: the value of the tag, 1 to 8. 1 is the right way up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Orientation(u32);

// === impl Orientation ===

impl Default for Orientation {
    fn default() -> Self {
        Orientation(1)
    }
}

impl Orientation {
    /// What EXIF data says. Data that cannot be read says nothing.
    pub(crate) fn of(exif: &[u8]) -> Orientation {
        let tiff = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
        let Ok(exif) = Reader::new().read_raw(tiff.to_vec()) else { return Orientation::default() };
        let value = exif.get_field(Tag::Orientation, In::PRIMARY).and_then(|field| field.value.get_uint(0));
        value.filter(|value| (1..=8).contains(value)).map_or(Orientation::default(), Orientation)
    }

    /// Turns a picture the right way up.
    pub(crate) fn apply(self, picture: Picture) -> Picture {
        let (right, bottom) = (picture.width.saturating_sub(1) as usize, picture.height.saturating_sub(1) as usize);
        // Where a pixel of the turned picture, at column x and row y, comes from.
        match self.0 {
            2 => rearranged(&picture, false, |x, y| (right.saturating_sub(x), y)),
            3 => rearranged(&picture, false, |x, y| (right.saturating_sub(x), bottom.saturating_sub(y))),
            4 => rearranged(&picture, false, |x, y| (x, bottom.saturating_sub(y))),
            5 => rearranged(&picture, true, |x, y| (y, x)),
            6 => rearranged(&picture, true, |x, y| (y, bottom.saturating_sub(x))),
            7 => rearranged(&picture, true, |x, y| (right.saturating_sub(y), bottom.saturating_sub(x))),
            8 => rearranged(&picture, true, |x, y| (right.saturating_sub(y), x)),
            _ => picture,
        }
    }
}

/// A picture whose pixels come from elsewhere in another, with rows for columns if it is `transposed`.
fn rearranged(picture: &Picture, transposed: bool, source: impl Fn(usize, usize) -> (usize, usize)) -> Picture {
    let (from, _) = picture.pixels.as_chunks::<3>();
    let stride = picture.width as usize;
    let (width, height) = if transposed { (picture.height, picture.width) } else { (picture.width, picture.height) };
    let mut pixels = Vec::with_capacity(picture.pixels.len());
    for y in 0..height as usize {
        for x in 0..width as usize {
            let (column, row) = source(x, y);
            pixels.extend_from_slice(from.get(row * stride + column).unwrap_or(&[0; 3]));
        }
    }
    Picture { width, height, pixels }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The letters of a picture, of whose pixels each has one in all channels.
    fn letters(picture: &Picture) -> Vec<String> {
        let grey: Vec<u8> = picture.pixels.iter().step_by(3).copied().collect();
        grey.chunks(picture.width as usize).map(|row| String::from_utf8_lossy(row).into_owned()).collect()
    }

    #[test]
    fn all_eight_ways() {
        // The first row and the first column of the file are which sides of the turned picture: the table in section 4.6.4.
        let picture = Picture { width: 3, height: 2, pixels: b"abcdef".iter().flat_map(|&b| [b; 3]).collect() };
        for (value, wanted) in [
            (1, &["abc", "def"][..]),
            (2, &["cba", "fed"]),
            (3, &["fed", "cba"]),
            (4, &["def", "abc"]),
            (5, &["ad", "be", "cf"]),
            (6, &["da", "eb", "fc"]),
            (7, &["fc", "eb", "da"]),
            (8, &["cf", "be", "ad"]),
        ] {
            assert_eq!(letters(&Orientation(value).apply(picture.clone())), wanted, "{value}");
        }
    }

    #[test]
    fn what_is_no_exif_says_nothing() {
        for exif in [&b""[..], b"Exif\0\0", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08\xff\xff"] {
            assert_eq!(Orientation::of(exif), Orientation(1), "{exif:?}");
        }
    }

    #[test]
    fn little_and_big_endian_are_read() {
        let little = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let big = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0\0\0\0\0";
        assert_eq!(Orientation::of(little), Orientation(6));
        assert_eq!(Orientation::of(big), Orientation(8));
        let nine = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x09\0\0\0\0\0\0\0";
        assert_eq!(Orientation::of(nine), Orientation(1));
    }
}
