//! Claims about written data.

use proptest::prelude::*;

use super::super::pdu::wire::NO_TAG;
use super::*;

const LUN: u64 = 5;

fn burst(wanted: u32, immediate: u32, unasked: Option<u32>) -> Burst {
    Burst::new(&Beginning { lun: LUN, wanted, expected: wanted, immediate, unasked })
}

fn data(ttt: u32, data_sn: u32, offset: u32, len: usize) -> DataOut {
    DataOut { itt: 1, ttt, lun: LUN, data_sn, offset, len, is_final: false }
}

fn last(data: DataOut) -> DataOut {
    DataOut { is_final: true, ..data }
}

#[test]
fn what_comes_with_the_command_may_be_all() {
    let mut burst = burst(4096, 4096, None);
    assert!(burst.is_complete());
    assert_eq!(burst.solicit(1, 65536, 8), None);
}

#[test]
fn the_rest_is_asked_for_in_sequences() {
    let mut burst = burst(10_000, 1000, None);
    let wanted = |r2t_sn, offset, len| Some(Wanted { r2t_sn, offset, len });
    assert_eq!(burst.solicit(1, 4000, 2), wanted(0, 1000, 4000));
    assert_eq!(burst.solicit(2, 4000, 2), wanted(1, 5000, 4000));
    assert_eq!(burst.solicit(3, 4000, 2), None, "two are outstanding");
    burst.take(&data(1, 0, 1000, 3000)).unwrap();
    burst.take(&last(data(1, 1, 4000, 1000))).unwrap();
    assert_eq!(burst.solicit(3, 4000, 2), wanted(2, 9000, 1000));
    burst.take(&last(data(2, 0, 5000, 4000))).unwrap();
    assert!(!burst.is_complete());
    burst.take(&last(data(3, 0, 9000, 1000))).unwrap();
    assert!(burst.is_complete());
}

#[test]
fn nothing_is_asked_for_before_what_comes_unasked_has_come() {
    let mut burst = burst(10_000, 1000, Some(4000));
    assert_eq!(burst.solicit(1, 4000, 2), None);
    burst.take(&data(NO_TAG, 0, 1000, 1000)).unwrap();
    assert_eq!(burst.solicit(1, 4000, 2), None);
    burst.take(&last(data(NO_TAG, 1, 2000, 500))).unwrap();
    assert_eq!(burst.solicit(1, 9000, 2), Some(Wanted { r2t_sn: 0, offset: 2500, len: 7500 }));
}

#[test]
fn pieces_that_break_a_rule_are_refused() {
    let solicited = || {
        let mut burst = burst(8192, 0, None);
        burst.solicit(7, 4096, 1).unwrap();
        burst
    };
    for (bad, why) in [
        (data(7, 1, 0, 512), "its number is too high"),
        (data(7, u32::MAX, 0, 512), "its number is too low"),
        (data(7, 0, 512, 512), "its place"),
        (data(8, 0, 0, 512), "its tag"),
        (data(NO_TAG, 0, 0, 512), "it was not asked for"),
        (data(7, 0, 0, 4097), "it is too long"),
        (last(data(7, 0, 0, 512)), "it ends too early"),
        (DataOut { lun: 6, ..data(7, 0, 0, 512) }, "another unit"),
    ] {
        assert!(solicited().take(&bad).is_err(), "{why}");
    }
    let mut unasked = burst(8192, 0, Some(4096));
    assert!(unasked.take(&data(NO_TAG, 0, 0, 4097)).is_err());
    assert!(unasked.take(&data(7, 0, 0, 512)).is_err());
    let mut complete = burst(512, 512, None);
    assert!(complete.take(&data(NO_TAG, 0, 512, 512)).is_err());
}

#[test]
fn what_the_command_does_not_take_may_come_and_is_not_kept() {
    let beginning =
        Beginning { lun: LUN, wanted: 512, expected: 2048, immediate: 0, unasked: Some(2048) };
    let mut burst = Burst::new(&beginning);
    let piece = last(data(NO_TAG, 0, 0, 2048));
    assert_eq!(burst.kept(&piece), 512);
    burst.take(&piece).unwrap();
    assert!(burst.is_complete());
}

proptest! {
    #[test]
    fn a_client_that_sends_what_is_asked_sends_everything_once(
        wanted in 1u32..100_000, immediate in 0u32..5000, unasked in proptest::option::of(0u32..9000),
        len_max in 512u32..20_000, count_max in 1u32..4, piece in 1usize..9000,
    ) {
        let immediate = immediate.min(wanted);
        let unasked = unasked.map(|len| len.max(immediate + 1)).filter(|len| *len <= wanted);
        let mut burst = burst(wanted, immediate, unasked);
        let (mut at, mut ttt) = (immediate, 0);
        let mut asked = VecDeque::new();
        let mut sequence = unasked.map(|end| (NO_TAG, end));
        let mut data_sn = 0;
        while !burst.is_complete() {
            while let Some(stretch) = burst.solicit(ttt, len_max, count_max) {
                asked.push_back((ttt, stretch.offset + stretch.len));
                ttt += 1;
            }
            let (tag, end) = sequence.or_else(|| asked.pop_front()).expect("somebody asks");
            let len = piece.min(usize::try_from(end - at).unwrap());
            let one = DataOut { is_final: len == usize::try_from(end - at).unwrap(), ..data(tag, data_sn, at, len) };
            prop_assert_eq!(burst.kept(&one), len);
            burst.take(&one).unwrap();
            at += u32::try_from(len).unwrap();
            data_sn = if one.is_final { 0 } else { data_sn + 1 };
            sequence = if one.is_final { None } else { Some((tag, end)) };
        }
        prop_assert_eq!(at, wanted);
    }
}
