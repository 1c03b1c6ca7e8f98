//! Sounds in WAV files.
//!
//! WAVE is a kind of RIFF file: "Multimedia Programming Interface and Data Specifications 1.0" (IBM and Microsoft, 1991),
//! with `WAVE_FORMAT_EXTENSIBLE` and the 64-bit form RF64 (ITU-R BS.2088) on top. Taken are
//!
//! * samples in PCM of 8 (unsigned), 16, 24 or 32 bits, or as 32-bit floats,
//! * 1 to 8 channels, of which the mean is taken,
//! * 8,000 to 192,000 samples a second.
//!
//! A file that was written as a stream says so with a length of 0xffffffff; its sound ends with it.

use std::fmt;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::ops::RangeInclusive;

use audioadapter::Adapter;
use audioadapter_buffers::number_to_float::InterleavedNumbers;
use audioadapter_buffers::sample::{F32_LE, I16_LE, I24_4LJ_LE, I24_LE, I32_LE, U8};
use samara_function::Problem;
use waveadapter::header::read_wav_header;
use waveadapter::{SampleFormat, WavError, WavParams};

/// The sampling rates that are taken, in Hz.
const RATES: RangeInclusive<u32> = 8_000..=192_000;

/// The most channels that are taken.
const MAX_CHANNELS: usize = 8;

/// How many chunks of a file are looked at. Each costs time and memory, and a hostile file could have millions.
const MAX_CHUNKS: usize = 1000;

/// A sound, still in the form that the file has it in.
pub struct Recording<'a> {
    sampling_rate: u32,
    samples: Box<dyn Adapter<f32> + 'a>,
}

/// A file whose chunks are counted: each is sought once.
struct Chunks<'a> {
    file: Cursor<&'a [u8]>,
    left: usize,
}

// === impl Recording ===

impl<'a> Recording<'a> {
    /// Reads a file's header.
    ///
    /// # Errors
    ///
    /// 400 for what is no WAV file or a broken one, 422 for a form of sound that is not taken, 413 for a sound of more
    /// than `max_seconds` seconds.
    pub fn open(file: &'a [u8], max_seconds: usize) -> Result<Recording<'a>, Problem> {
        let params = read_wav_header(Chunks { file: Cursor::new(file), left: MAX_CHUNKS + 3 }).map_err(unreadable)?;
        let format = sample_format(&params)?;
        let channels = params.channels();
        if !(1..=MAX_CHANNELS).contains(&channels) {
            let detail = format!("the sound has {channels} channels, where 1 to {MAX_CHANNELS} are taken");
            return Err(Problem::unprocessable(detail));
        }
        let sampling_rate = params.fmt.sample_rate;
        if !RATES.contains(&sampling_rate) {
            let (least, most) = RATES.into_inner();
            let detail = format!("the sound has {sampling_rate} samples a second, where {least} to {most} are taken");
            return Err(Problem::unprocessable(detail));
        }
        let data = data(file, &params)?;
        let frames = data.len() / params.frame_bytes();
        if frames > max_seconds * sampling_rate as usize {
            let seconds = frames as f64 / f64::from(sampling_rate);
            let detail = format!("the sound lasts {seconds:.1} seconds, where {max_seconds} at most are taken");
            return Err(Problem::too_large(detail));
        }
        let samples = samples(format, data, channels, frames)
            .ok_or_else(|| Problem::internal("the sound's samples are not where they should be"))?;
        Ok(Recording { sampling_rate, samples })
    }

    /// How many samples a second there are, in Hz.
    pub fn sampling_rate(&self) -> u32 {
        self.sampling_rate
    }

    /// How many samples each channel has.
    pub fn len(&self) -> usize {
        self.samples.frames()
    }

    /// Whether there is no sound.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How long it lasts, in seconds.
    pub fn seconds(&self) -> f64 {
        self.len() as f64 / f64::from(self.sampling_rate)
    }

    /// The mean of all channels' sample `index`, where full scale is -1 to 1; silence past the end.
    ///
    /// # Errors
    ///
    /// 422 for a sample that is no finite number.
    pub fn mono(&self, index: usize) -> Result<f32, Problem> {
        let channels = self.samples.channels();
        let sum: f32 = (0..channels).filter_map(|channel| self.samples.read_sample(channel, index)).sum();
        let mean = sum / channels as f32;
        if mean.is_finite() {
            return Ok(mean);
        }
        let at = index as f64 / f64::from(self.sampling_rate);
        Err(Problem::unprocessable(format!("the sample at {at:.3} seconds is {mean}, where -1 to 1 is expected")))
    }
}

impl fmt::Debug for Recording<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording").field("sampling_rate", &self.sampling_rate).field("len", &self.len()).finish()
    }
}

/// The samples' format, if it is one that is taken.
fn sample_format(params: &WavParams) -> Result<SampleFormat, Problem> {
    let found = match params.sample_format() {
        Some(SampleFormat::ALAW) => "A-law".to_owned(),
        Some(SampleFormat::MULAW) => "mu-law".to_owned(),
        Some(SampleFormat::F64) => "64-bit floats".to_owned(),
        Some(format) => return Ok(format),
        None => {
            let fmt = &params.fmt;
            let (code, bits, bytes, channels) = (fmt.format_code, fmt.bits_per_sample, fmt.block_align, fmt.channels);
            format!("of format {code:#06x} with {bits} bits in {bytes} bytes for {channels} channels")
        }
    };
    let taken = "PCM of 8, 16, 24 or 32 bits and 32-bit floats are taken";
    Err(Problem::unprocessable(format!("the sound's samples are {found}, where {taken}")))
}

/// The part of a file that holds its samples.
fn data<'a>(file: &'a [u8], params: &WavParams) -> Result<&'a [u8], Problem> {
    let start = usize::try_from(params.data_offset).unwrap_or(usize::MAX);
    let rest = file.get(start..).unwrap_or_default();
    let whole_frames = |length: usize| length - length % params.frame_bytes();
    if params.length_is_unknown() {
        return Ok(rest.get(..whole_frames(rest.len())).unwrap_or_default());
    }
    let (wanted, found) = (params.data_length, rest.len());
    let data = usize::try_from(wanted).ok().and_then(|wanted| rest.get(..wanted)).ok_or_else(|| {
        Problem::bad_request(format!("the file is cut short: its data chunk has {found} bytes, where it says {wanted}"))
    })?;
    if whole_frames(data.len()) != data.len() {
        let frame = params.frame_bytes();
        let detail = format!("the file's data chunk has {wanted} bytes, where a multiple of {frame} is expected");
        return Err(Problem::bad_request(detail));
    }
    Ok(data)
}

/// The samples as numbers from -1 to 1.
fn samples<'a>(
    format: SampleFormat,
    data: &'a [u8],
    channels: usize,
    frames: usize,
) -> Option<Box<dyn Adapter<f32> + 'a>> {
    macro_rules! of {
        ($sample:ty) => {
            Box::new(InterleavedNumbers::<&[$sample], f32>::new_from_bytes(data, channels, frames).ok()?)
        };
    }
    Some(match format {
        SampleFormat::U8 => of!(U8),
        SampleFormat::I16 => of!(I16_LE),
        SampleFormat::I24_3 => of!(I24_LE),
        SampleFormat::I24_4 => of!(I24_4LJ_LE),
        SampleFormat::I32 => of!(I32_LE),
        SampleFormat::F32 => of!(F32_LE),
        SampleFormat::F64 | SampleFormat::ALAW | SampleFormat::MULAW => return None,
    })
}

/// What is wrong with a file's header.
fn unreadable(error: WavError) -> Problem {
    let what = match error {
        WavError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => "the file ends in its header".to_owned(),
        WavError::Io(error) => error.to_string(),
        WavError::InvalidHeader(what) | WavError::UnsupportedFormat(what) | WavError::InvalidSpec(what) => what,
    };
    Problem::bad_request(format!("the body as a WAV file: {what}"))
}

// === impl Chunks ===

impl Read for Chunks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Seek for Chunks<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| io::Error::other(format!("it has more than {MAX_CHUNKS} chunks")))?;
        self.file.seek(to)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const PCM: u16 = 1;
    const ADPCM: u16 = 2;
    const FLOAT: u16 = 3;
    const A_LAW: u16 = 6;

    /// How a WAV file begins.
    pub const HEADER: &[u8] = b"RIFF\xff\xff\xff\xffWAVE";

    fn chunk(id: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let padding = &[0][..body.len() % 2];
        [id, &(body.len() as u32).to_le_bytes()[..], body, padding].concat()
    }

    fn fmt(format: u16, channels: u16, rate: u32, bits: u16) -> Vec<u8> {
        let frame = channels * bits.div_ceil(8);
        let fields = [
            &format.to_le_bytes()[..],
            &channels.to_le_bytes(),
            &rate.to_le_bytes(),
            &rate.wrapping_mul(u32::from(frame)).to_le_bytes(),
            &frame.to_le_bytes(),
            &bits.to_le_bytes(),
        ];
        chunk(b"fmt ", &fields.concat())
    }

    fn wav(format: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
        [HEADER, &fmt(format, channels, rate, bits), &chunk(b"data", data)].concat()
    }

    /// A WAV file of 16-bit samples, those of all channels in turn.
    pub fn wav16(channels: u16, rate: u32, samples: &[i16]) -> Vec<u8> {
        let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        wav(PCM, channels, rate, 16, &data)
    }

    /// A WAV file of 32-bit floats in one channel.
    pub fn wav_float(rate: u32, samples: impl Iterator<Item = f32>) -> Vec<u8> {
        let data: Vec<u8> = samples.flat_map(f32::to_le_bytes).collect();
        wav(FLOAT, 1, rate, 32, &data)
    }

    fn open(file: &[u8]) -> Result<Recording<'_>, Problem> {
        Recording::open(file, 600)
    }

    fn mono(file: &[u8]) -> Vec<f32> {
        let recording = open(file).unwrap();
        (0..recording.len()).map(|index| recording.mono(index).unwrap()).collect()
    }

    #[test]
    fn every_form_of_sample_is_read() {
        let floats: Vec<u8> = [-1.0_f32, 0.0, 0.5].iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let files = [
            wav(PCM, 1, 8000, 8, &[0, 128, 192]),
            wav(PCM, 1, 8000, 16, &[0, 0x80, 0, 0, 0, 0x40]),
            wav(PCM, 1, 8000, 24, &[0, 0, 0x80, 0, 0, 0, 0, 0, 0x40]),
            wav(PCM, 1, 8000, 32, &[0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x40]),
            wav(FLOAT, 1, 8000, 32, &floats),
        ];
        for file in files {
            assert_eq!(mono(&file), [-1.0, 0.0, 0.5]);
        }
    }

    #[test]
    fn an_extensible_header_is_read() {
        let fmt = fmt(0xfffe, 1, 8000, 16);
        let guid = b"\x01\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71";
        let extension = [&22_u16.to_le_bytes()[..], &16_u16.to_le_bytes(), &4_u32.to_le_bytes(), guid].concat();
        let file = [HEADER, &chunk(b"fmt ", &[&fmt[8..], &extension].concat()), &chunk(b"data", &[0, 0x40])].concat();
        assert_eq!(mono(&file), [0.5]);
    }

    #[test]
    fn other_chunks_are_skipped_with_their_padding() {
        let fmt = fmt(PCM, 1, 8000, 16);
        let file = [HEADER, &chunk(b"LIST", b"odd"), &fmt, &chunk(b"fact", &[1, 0, 0, 0]), &chunk(b"data", &[0, 0x40])];
        assert_eq!(mono(&file.concat()), [0.5]);
    }

    #[test]
    fn channels_are_mixed() {
        assert_eq!(mono(&wav16(2, 8000, &[16384, 0, -16384, 16384])), [0.25, 0.0]);
        assert_eq!(mono(&wav16(8, 8000, &[16384; 8])), [0.5]);
    }

    #[test]
    fn a_stream_ends_with_its_file() {
        let mut file = wav16(2, 8000, &[16384, 16384]);
        let length = file.len() - 8;
        file[length..length + 4].copy_from_slice(&[0xff; 4]);
        file.extend([1, 2, 3]);
        assert_eq!(mono(&file), [0.5], "what is left of a frame is not taken");
    }

    #[test]
    fn forms_that_are_not_taken_are_named() {
        for (file, wanted) in [
            (wav(A_LAW, 1, 8000, 8, &[0; 8]), "the sound's samples are A-law, where PCM of"),
            (wav(FLOAT, 1, 8000, 64, &[0; 8]), "the sound's samples are 64-bit floats, where PCM of"),
            (
                wav(ADPCM, 1, 8000, 4, &[0; 8]),
                "the sound's samples are of format 0x0002 with 4 bits in 1 bytes for 1 channels",
            ),
            (wav(PCM, 1, 8000, 12, &[0; 8]), "the sound's samples are of format 0x0001 with 12 bits in 2 bytes"),
            (wav(PCM, 1, 8000, 0, &[0; 8]), "the sound's samples are of format 0x0001 with 0 bits in 0 bytes"),
            (wav(PCM, 9, 8000, 8, &[0; 9]), "the sound has 9 channels, where 1 to 8 are taken"),
            (wav(PCM, 1, 0, 8, &[0; 8]), "the sound has 0 samples a second, where 8000 to 192000 are taken"),
            (wav(PCM, 1, 4_000_000_000, 8, &[0; 8]), "the sound has 4000000000 samples a second, where 8000 to"),
        ] {
            let problem = open(&file).unwrap_err();
            assert_eq!(problem.status(), 422, "{problem}");
            assert!(problem.detail().starts_with(wanted), "{problem}");
        }
    }

    #[test]
    fn broken_files_are_refused() {
        let good = wav16(2, 8000, &[1, 2, 3, 4]);
        let lying = |at: usize, length: u32| {
            let mut file = good.clone();
            file[at..at + 4].copy_from_slice(&length.to_le_bytes());
            file
        };
        let many = [HEADER, &chunk(b"JUNK", b"").repeat(MAX_CHUNKS + 1), &good[HEADER.len()..]].concat();
        for (file, wanted) in [
            (b"ID3 and then music".to_vec(), "the body as a WAV file: missing RIFF/RF64/BW64 or WAVE marker"),
            (b"RIFF".to_vec(), "the body as a WAV file: the file ends in its header"),
            (HEADER.to_vec(), "the body as a WAV file: could not find both fmt and data chunks"),
            (good[..good.len() - 16].to_vec(), "the body as a WAV file: could not find both fmt and data chunks"),
            (good[..good.len() - 1].to_vec(), "the file is cut short: its data chunk has 7 bytes, where it says 8"),
            (lying(40, 4_000_000_000), "the file is cut short: its data chunk has 8 bytes, where it says 4000000000"),
            (lying(40, 6), "the file's data chunk has 6 bytes, where a multiple of 4 is expected"),
            (lying(16, u32::MAX - 1), "the body as a WAV file: could not find both fmt and data chunks"),
            (lying(16, 3), "the body as a WAV file: could not find both fmt and data chunks"),
            (wav(PCM, 0, 8000, 16, &[0; 8]), "the body as a WAV file: zero channels"),
            (many, "the body as a WAV file: it has more than 1000 chunks"),
        ] {
            let problem = open(&file).unwrap_err();
            assert_eq!((problem.status(), problem.detail()), (400, wanted));
        }
    }

    #[test]
    fn no_beginning_of_a_file_and_no_changed_byte_panics() {
        let good = wav16(2, 8000, &[1, 2, 3, 4]);
        for length in 0..good.len() {
            assert!(open(&good[..length]).is_err(), "{length}");
        }
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut file = good.clone();
                file[at] = value;
                if let Ok(recording) = open(&file) {
                    (0..recording.len()).for_each(|index| assert!(recording.mono(index).is_ok()));
                }
            }
        }
    }

    #[test]
    fn samples_have_to_be_numbers() {
        let problem = open(&wav(FLOAT, 1, 8000, 32, &f32::NAN.to_le_bytes())).unwrap().mono(0).unwrap_err();
        assert_eq!(problem.status(), 422);
        assert_eq!(problem.detail(), "the sample at 0.000 seconds is NaN, where -1 to 1 is expected");
    }

    #[test]
    fn a_sound_has_a_longest_duration() {
        assert_eq!(open(&wav(PCM, 1, 8000, 8, &vec![128; 600 * 8000])).unwrap().seconds(), 600.0);
        assert_eq!(open(&wav(PCM, 1, 8000, 8, &vec![128; 600 * 8000 + 1])).unwrap_err().status(), 413);
    }
}
