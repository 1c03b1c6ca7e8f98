use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn runs_are_copied_and_nothing_else(
        (count, length) in (0..5_usize, prop_oneof![0..70_usize, LONG - 2..LONG + 70]),
        (from_gap, to_gap) in (0..40_usize, 0..40_usize),
    ) {
        let (from_stride, to_stride) = (length + from_gap, length + to_gap);
        let from: Vec<u8> = (0..count * from_stride).map(|index| (index % 251) as u8).collect();
        let mut got = vec![255; count * to_stride];
        let mut expected = got.clone();
        for run in 0..count {
            for at in 0..length {
                expected[run * to_stride + at] = from[run * from_stride + at];
            }
        }
        copy(count, length, (&from, from_stride), (&mut got, to_stride));
        prop_assert_eq!(got, expected);
    }
}

#[test]
#[should_panic(expected = "runs of")]
fn more_than_there_is_is_not_read() {
    copy(2, 10, (&[0; 19], 10), (&mut [0; 20], 10));
}
