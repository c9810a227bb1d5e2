//! INQUIRY, REPORT LUNS, REQUEST SENSE, the tables: what is told of units, there or not.

use super::harness::*;
use crate::scsi::{AccessState, Audience, Mapping};

fn luns(bytes: &[u8]) -> Vec<u64> {
    bytes[8..].chunks(8).map(|lun| u64::from_be_bytes(lun.try_into().unwrap())).collect()
}

const REPORT_LUNS: [u8; 12] = [0xa0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0];

#[tokio::test]
async fn a_unit_says_what_it_is() {
    let bench = bench();
    let told = good(&bench.a, &[0x12, 0, 0, 0, 255, 0], &[]).await;
    assert_eq!(told.len(), 96);
    assert_eq!((told[0], told[1], told[2], told[4]), (0, 0, 6, 91));
    assert_eq!(told[5] & 0x38, 0x18);
    assert_eq!(&told[8..36], b"TIDEMARKvolume          0001");
    assert_eq!(good(&bench.a, &[0x12, 0, 0, 0, 5, 0], &[]).await.len(), 5);
    assert_eq!(refused(&bench.a, &[0x12, 0, 1, 0, 255, 0], &[]).await, (5, 0x24, 0));
    assert_eq!(refused(&bench.a, &[0x12, 1, 0x42, 0, 255, 0], &[]).await, (5, 0x24, 0));
}

#[tokio::test]
async fn every_page_of_product_data_is_there_and_as_long_as_it_says() {
    let bench = bench();
    let list = good(&bench.a, &[0x12, 1, 0, 0, 255, 0], &[]).await;
    assert!(list[4..].windows(2).all(|pair| pair[0] < pair[1]));
    for page in &list[4..] {
        let told = good(&bench.a, &[0x12, 1, *page, 2, 0, 0], &[]).await;
        assert_eq!(told[1], *page);
        assert_eq!(usize::from(u16::from_be_bytes([told[2], told[3]])) + 4, told.len());
    }
}

#[tokio::test]
async fn two_paths_agree_on_the_name_and_not_on_the_port() {
    let bench = bench();
    let page = |nexus| good(nexus, &[0x12, 1, 0x83, 2, 0, 0], &[]);
    let (a, b) = (page(&bench.a).await, page(&bench.b).await);
    assert_eq!(a[4..24], b[4..24]);
    assert_eq!((a[5], a[7], a[8] >> 4), (3, 16, 6));
    assert_ne!(a, b);
}

#[tokio::test]
async fn limits_are_told_as_they_are_kept() {
    let bench = bench();
    let told = good(&bench.a, &[0x12, 1, 0xb0, 0, 255, 0], &[]).await;
    assert_eq!(told.len(), 64);
    let number = |at: usize| u32::from_be_bytes(told[at..at + 4].try_into().unwrap());
    assert_eq!((told[4] & 1, told[5]), (0, 255));
    assert_eq!((number(8), number(20), number(24)), (16384, 1 << 20, 256));
    assert_eq!((number(28), number(44)), (8, 1));
}

#[tokio::test]
async fn who_may_not_see_a_unit_does_not() {
    let bench = bench();
    let only = Audience::Only(["iqn.2026-11.test:b".to_owned()].into());
    bench.target.map(300, Mapping { audience: only, ..mapping(&bench.unit) });
    assert_eq!(luns(&good(&bench.a, &REPORT_LUNS, &[]).await), [0]);
    assert_eq!(luns(&good(&bench.b, &REPORT_LUNS, &[]).await), [0, 0x412c << 48]);
    assert_eq!((bench.a.luns(), bench.b.luns()), (vec![0], vec![0, 300]));
    let refused = begin_at(&bench.a, 0x412c, &READY).unwrap_err();
    assert_eq!(told_by(&refused), (5, 0x25, 0));
    let told = bytes(send_at(&bench.a, 0x412c, &[0x12, 0, 0, 0, 96, 0], &[]).await);
    assert_eq!(told[0], 0x7f);
}

#[tokio::test]
async fn a_change_of_luns_is_told_to_those_who_see_it() {
    let bench = bench();
    let only = Audience::Only(["iqn.2026-11.test:b".to_owned()].into());
    bench.target.map(1, Mapping { audience: only, ..mapping(&bench.unit) });
    good(&bench.a, &READY, &[]).await;
    assert_eq!(refused(&bench.b, &READY, &[]).await, (6, 0x3f, 0x0e));
    good(&bench.b, &READY, &[]).await;
    assert!(bench.target.unmap(1));
    good(&bench.b, &REPORT_LUNS, &[]).await;
    good(&bench.b, &READY, &[]).await;
    assert!(!bench.target.unmap(1));
}

#[tokio::test]
async fn the_first_number_answers_though_nothing_is_there() {
    let bench = bench();
    bench.target.unmap(0);
    assert_eq!(luns(&good(&bench.a, &REPORT_LUNS, &[]).await), [0u64; 0]);
    assert_eq!(good(&bench.a, &[0x12, 0, 0, 0, 96, 0], &[]).await[0], 0x3f);
    let sensed = good(&bench.a, &[0x03, 0, 0, 0, 18, 0], &[]).await;
    assert_eq!((sensed[2], sensed[12]), (5, 0x25));
    assert_eq!(refused(&bench.a, &cdb10(0x28, 0, 0, 1), &[]).await, (5, 0x25, 0));
}

#[tokio::test]
async fn attentions_wait_for_commands_that_may_be_stopped() {
    let bench = bench();
    bench.disk.grow(SECTORS * 2);
    good(&bench.a, &[0x12, 0, 0, 0, 96, 0], &[]).await;
    good(&bench.a, &REPORT_LUNS, &[]).await;
    let sensed = good(&bench.a, &[0x03, 0, 0, 0, 18, 0], &[]).await;
    assert_eq!((sensed[2], sensed[12], sensed[13]), (6, 0x2a, 9));
    let sensed = good(&bench.a, &[0x03, 1, 0, 0, 255, 0], &[]).await;
    assert_eq!(sensed, [0x72, 0, 0, 0, 0, 0, 0, 0]);
    good(&bench.a, &READY, &[]).await;
}

#[tokio::test]
async fn each_command_in_the_list_is_told_one_by_one() {
    let bench = bench();
    let all = |flags| [0xa3, 0x0c, flags, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    let list = good(&bench.a, &all(0), &[]).await;
    assert_eq!(u32::from_be_bytes(list[..4].try_into().unwrap()) as usize + 4, list.len());
    for row in list[4..].chunks(8) {
        let has_action = row[5] & 1 == 1;
        let one = |how: u8| [0xa3, 0x0c, how, row[0], row[2], row[3], 0, 0, 1, 0, 0, 0];
        let (right, wrong) = if has_action { (2, 1) } else { (1, 2) };
        assert_eq!(refused(&bench.a, &one(wrong), &[]).await, (5, 0x24, 0));
        let told = good(&bench.a, &one(right), &[]).await;
        assert_eq!((told[1], told[4]), (3, row[0]));
        assert_eq!(told.len(), 4 + usize::from(told[3]));
        assert_eq!(good(&bench.a, &one(3), &[]).await, told);
    }
    let list = good(&bench.a, &all(0x80), &[]).await;
    assert!(list[4..].chunks(20).all(|row| row[5] & 2 == 2 && row[9] == 10));
    let none = good(&bench.a, &[0xa3, 0x0c, 1, 0xee, 0, 0, 0, 0, 1, 0, 0, 0], &[]).await;
    assert_eq!(none, [0, 1, 0, 0]);
    let functions = good(&bench.a, &[0xa3, 0x0d, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], &[]).await;
    assert_eq!(functions, [0xda, 0, 0, 0]);
}

#[tokio::test]
async fn an_access_state_lets_through_what_it_should() {
    let bench = bench();
    let rtpg = [0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
    for (state, ascq, senses_modes) in [
        (AccessState::Standby, 0x0b, true),
        (AccessState::Unavailable, 0x0c, false),
        (AccessState::Offline, 0x12, false),
        (AccessState::Transitioning, 0x0a, false),
    ] {
        bench.groups.set(vec![(1, state), (2, AccessState::NonOptimized)]);
        assert_eq!(refused(&bench.a, &READY, &[]).await, (6, 0x2a, 6));
        assert_eq!(refused(&bench.a, &READY, &[]).await, (2, 4, ascq), "{state:?}");
        assert_eq!(refused(&bench.a, &cdb10(0x28, 0, 0, 1), &[]).await, (2, 4, ascq));
        good(&bench.a, &[0x12, 0, 0, 0, 96, 0], &[]).await;
        let told = good(&bench.a, &rtpg, &[]).await;
        assert_eq!((told.len(), told[16]), (28, 1));
        let sensed = send(&bench.a, &[0x1a, 0, 0x3f, 0, 255, 0], &[]).await;
        assert_eq!(sensed.sense.is_empty(), senses_modes, "{state:?}");
        assert_eq!(refused(&bench.b, &READY, &[]).await, (6, 0x2a, 6));
        good(&bench.b, &cdb10(0x28, 0, 0, 1), &[]).await;
    }
}

#[tokio::test]
async fn logs_and_defects_are_few() {
    let bench = bench();
    let log = |page| [0x4d, 0, page, 0, 0, 0, 0, 1, 0, 0];
    assert_eq!(good(&bench.a, &log(0x40), &[]).await, [0, 0, 0, 2, 0, 0x2f]);
    assert_eq!(good(&bench.a, &log(0x6f), &[]).await.len(), 12);
    assert_eq!(refused(&bench.a, &log(0x4d), &[]).await, (5, 0x24, 0));
    assert_eq!(good(&bench.a, &[0x37, 0, 8, 0, 0, 0, 0, 0, 32, 0], &[]).await, [0, 8, 0, 0]);
    good(&bench.a, &[0xb7, 8, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0], &[]).await;
    good(&bench.a, &[0x1d, 4, 0, 0, 0, 0], &[]).await;
}
