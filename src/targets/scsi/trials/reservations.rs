//! Persistent reservations.

use std::sync::Arc;

use super::harness::*;
use crate::scsi::{InitiatorPort, Nexus, NoKeeper};

/// Sends PERSISTENT RESERVE OUT.
pub async fn out(
    nexus: &Nexus,
    action: u8,
    kind: u8,
    (key, service_key): (u64, u64),
    flags: u8,
) -> crate::scsi::Response {
    let mut list = [key.to_be_bytes(), service_key.to_be_bytes(), [0; 8]].concat();
    list[20] = flags;
    send(nexus, &[0x5f, action, kind, 0, 0, 0, 0, 0, 24, 0], &list).await
}

pub async fn done(nexus: &Nexus, action: u8, kind: u8, keys: (u64, u64)) {
    let response = out(nexus, action, kind, keys, 0).await;
    assert_eq!(response.status, crate::scsi::Status::Good, "{action} {response:?}");
}

pub async fn is_conflict(nexus: &Nexus, action: u8, kind: u8, keys: (u64, u64)) -> bool {
    out(nexus, action, kind, keys, 0).await.status == crate::scsi::Status::ReservationConflict
}

pub async fn r#in(nexus: &Nexus, action: u8) -> Vec<u8> {
    good(nexus, &[0x5e, action, 0, 0, 0, 0, 0, 16, 0, 0], &[]).await
}

async fn keys(nexus: &Nexus) -> (u32, Vec<u64>) {
    let told = r#in(nexus, 0).await;
    let keys = told[8..].chunks(8).map(|key| u64::from_be_bytes(key.try_into().unwrap()));
    (u32::from_be_bytes(told[..4].try_into().unwrap()), keys.collect())
}

async fn held(nexus: &Nexus) -> Option<(u64, u8)> {
    let told = r#in(nexus, 1).await;
    let key = |told: &[u8]| u64::from_be_bytes(told[8..16].try_into().unwrap());
    (told.len() > 8).then(|| (key(&told), told[21]))
}

const REGISTER: u8 = 0;
const RESERVE: u8 = 1;
const RELEASE: u8 = 2;
const CLEAR: u8 = 3;
const PREEMPT: u8 = 4;
const PREEMPT_AND_ABORT: u8 = 5;
const IGNORE: u8 = 6;

const WRITE: u8 = 1;
const ACCESS: u8 = 3;
const KINDS: [u8; 6] = [1, 3, 5, 6, 7, 8];

#[tokio::test]
async fn keys_are_registered_changed_and_taken_back() {
    let bench = bench();
    assert!(is_conflict(&bench.a, REGISTER, 0, (5, 7)).await);
    done(&bench.a, REGISTER, 0, (0, 7)).await;
    assert_eq!(keys(&bench.b).await, (1, vec![7]));
    assert!(is_conflict(&bench.a, REGISTER, 0, (0, 8)).await);
    done(&bench.a, REGISTER, 0, (7, 8)).await;
    done(&bench.b, IGNORE, 0, (99, 9)).await;
    assert_eq!(keys(&bench.b).await, (3, vec![8, 9]));
    done(&bench.a, REGISTER, 0, (8, 0)).await;
    assert_eq!(keys(&bench.a).await, (4, vec![9]));
    done(&bench.a, REGISTER, 0, (0, 0)).await;
    assert_eq!(keys(&bench.a).await, (4, vec![9]));
}

#[tokio::test]
async fn each_kind_is_reserved_told_and_released() {
    let bench = bench();
    done(&bench.a, IGNORE, 0, (0, 7)).await;
    for kind in KINDS {
        assert!(is_conflict(&bench.b, RESERVE, kind, (0, 0)).await);
        assert!(is_conflict(&bench.a, RESERVE, kind, (8, 0)).await);
        done(&bench.a, RESERVE, kind, (7, 0)).await;
        done(&bench.a, RESERVE, kind, (7, 0)).await;
        let key = if kind >= 7 { 0 } else { 7 };
        assert_eq!(held(&bench.b).await, Some((key, kind)));
        let other = if kind == 1 { 3 } else { 1 };
        assert!(is_conflict(&bench.a, RESERVE, other, (7, 0)).await);
        assert_eq!(told_by(&out(&bench.a, RELEASE, other, (7, 0), 0).await), (5, 0x26, 4));
        done(&bench.a, RELEASE, kind, (7, 0)).await;
        assert_eq!(held(&bench.b).await, None);
    }
    assert_eq!(told_by(&out(&bench.a, RESERVE, 2, (7, 0), 0).await), (5, 0x24, 0));
    assert_eq!(told_by(&out(&bench.a, RESERVE, 0x11, (7, 0), 0).await), (5, 0x24, 0));
}

/// For each command: what it is, and whether it is let through where only reading is, and where nothing is.
const ROWS: &[(&str, &[u8], bool, bool)] = &[
    ("TEST UNIT READY", &[0; 6], true, true),
    ("REQUEST SENSE", &[0x03, 0, 0, 0, 18, 0], true, true),
    ("INQUIRY", &[0x12, 0, 0, 0, 96, 0], true, true),
    ("READ(6)", &[0x08, 0, 0, 0, 1, 0], true, false),
    ("WRITE(6)", &[0x0a, 0, 0, 0, 1, 0], false, false),
    ("MODE SELECT(6)", &[0x15, 0x10, 0, 0, 0, 0], false, false),
    ("MODE SENSE(6)", &[0x1a, 0, 0x3f, 0, 255, 0], true, false),
    ("START", &[0x1b, 0, 0, 0, 1, 0], true, true),
    ("STOP", &[0x1b, 0, 0, 0, 0, 0], false, false),
    ("SEND DIAGNOSTIC", &[0x1d, 4, 0, 0, 0, 0], false, false),
    ("PREVENT", &[0x1e, 0, 0, 0, 1, 0], false, false),
    ("ALLOW", &[0x1e, 0, 0, 0, 0, 0], true, true),
    ("READ CAPACITY(10)", &[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], true, true),
    ("READ(10)", &[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], true, false),
    ("WRITE(10)", &[0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0], false, false),
    ("WRITE AND VERIFY(10)", &[0x2e, 0, 0, 0, 0, 0, 0, 0, 1, 0], false, false),
    ("VERIFY(10)", &[0x2f, 0, 0, 0, 0, 0, 0, 0, 1, 0], true, false),
    ("PRE-FETCH(10)", &[0x34, 0, 0, 0, 0, 0, 0, 0, 1, 0], true, false),
    ("SYNCHRONIZE CACHE(10)", &[0x35, 0, 0, 0, 0, 0, 0, 0, 1, 0], false, false),
    ("READ DEFECT DATA(10)", &[0x37, 0, 0, 0, 0, 0, 0, 0, 8, 0], true, false),
    ("WRITE SAME(10)", &[0x41, 0, 0, 0, 0, 0, 0, 0, 1, 0], false, false),
    ("UNMAP", &[0x42, 0, 0, 0, 0, 0, 0, 0, 8, 0], false, false),
    ("SANITIZE", &[0x48, 2, 0, 0, 0, 0, 0, 0, 0, 0], false, false),
    ("LOG SENSE", &[0x4d, 0, 0x40, 0, 0, 0, 0, 0, 8, 0], true, true),
    ("MODE SELECT(10)", &[0x55, 0x10, 0, 0, 0, 0, 0, 0, 0, 0], false, false),
    ("MODE SENSE(10)", &[0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 8, 0], true, false),
    ("PERSISTENT RESERVE IN", &[0x5e, 0, 0, 0, 0, 0, 0, 0, 8, 0], true, true),
    ("EXTENDED COPY", &[0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], false, false),
    ("RECEIVE COPY RESULTS", &[0x84, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0], true, false),
    ("READ(16)", &[0x88, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0], true, false),
    ("COMPARE AND WRITE", &[0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0], false, false),
    ("WRITE(16)", &[0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0], false, false),
    ("ORWRITE(16)", &[0x8b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0], false, false),
    ("WRITE SAME(16)", &[0x93, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0], false, false),
    ("WRITE ATOMIC(16)", &[0x9c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0], false, false),
    ("READ CAPACITY(16)", &[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0], true, true),
    ("GET LBA STATUS", &[0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 24, 0, 0], true, false),
    ("REPORT LUNS", &[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0], true, true),
    ("REPORT TARGET PORT GROUPS", &[0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0], true, true),
    ("REPORT OPERATION CODES", &[0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0], true, false),
    ("REPORT FUNCTIONS", &[0xa3, 0x0d, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0], true, false),
    ("READ(12)", &[0xa8, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0], true, false),
    ("WRITE(12)", &[0xaa, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0], false, false),
    ("VERIFY(12)", &[0xaf, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0], true, false),
];

/// Whether a command is let in, without being carried out.
fn is_let_in(nexus: &Nexus, cdb: &[u8]) -> bool {
    match begin(nexus, cdb) {
        Ok(_) => true,
        Err(response) => response.status != crate::scsi::Status::ReservationConflict,
    }
}

#[tokio::test]
async fn every_command_conflicts_as_the_table_says() {
    let bench = bench();
    let stranger = join(&bench.target, "c", 1);
    assert_eq!(refused(&stranger, &READY, &[]).await.0, 6);
    done(&bench.a, IGNORE, 0, (0, 7)).await;
    done(&bench.b, IGNORE, 0, (0, 9)).await;
    for kind in KINDS {
        done(&bench.a, RESERVE, kind, (7, 0)).await;
        let shuts_readers_out = matches!(kind, 3 | 6 | 8);
        let is_for_registrants = kind >= 5;
        for (name, cdb, if_reading, if_nothing) in ROWS {
            let may = if shuts_readers_out { *if_nothing } else { *if_reading };
            assert!(is_let_in(&bench.a, cdb), "{name} of the holder of {kind}");
            assert_eq!(is_let_in(&stranger, cdb), may, "{name} of a stranger to {kind}");
            let of_registrant = may || is_for_registrants;
            assert_eq!(is_let_in(&bench.b, cdb), of_registrant, "{name} of a registrant, {kind}");
        }
        done(&bench.a, RELEASE, kind, (7, 0)).await;
        let _ = send(&bench.b, &READY, &[]).await;
    }
}

#[tokio::test]
async fn releasing_is_told_to_registrants_where_it_matters() {
    let bench = bench();
    done(&bench.a, IGNORE, 0, (0, 7)).await;
    done(&bench.b, IGNORE, 0, (0, 9)).await;
    for kind in KINDS {
        done(&bench.a, RESERVE, kind, (7, 0)).await;
        done(&bench.a, RELEASE, kind, (7, 0)).await;
        let told = send(&bench.b, &READY, &[]).await;
        assert_eq!(told.sense.is_empty(), kind < 5);
        if kind >= 5 {
            assert_eq!(told_by(&told), (6, 0x2a, 4));
        }
        good(&bench.a, &READY, &[]).await;
    }
}

#[tokio::test]
async fn who_holds_and_unregisters_lets_go_unless_all_hold() {
    let bench = bench();
    for kind in KINDS {
        done(&bench.a, IGNORE, 0, (0, 7)).await;
        done(&bench.b, IGNORE, 0, (0, 9)).await;
        done(&bench.a, RESERVE, kind, (7, 0)).await;
        done(&bench.a, REGISTER, 0, (7, 0)).await;
        assert_eq!(held(&bench.a).await.is_some(), kind >= 7);
        let told = send(&bench.b, &READY, &[]).await;
        assert_eq!(!told.sense.is_empty(), matches!(kind, 5 | 6));
        done(&bench.b, REGISTER, 0, (9, 0)).await;
        assert_eq!(held(&bench.a).await, None);
    }
}

#[tokio::test]
async fn clearing_removes_everything_and_is_told() {
    let bench = bench();
    done(&bench.a, IGNORE, 0, (0, 7)).await;
    done(&bench.b, IGNORE, 0, (0, 9)).await;
    done(&bench.a, RESERVE, ACCESS, (7, 0)).await;
    assert!(is_conflict(&bench.b, CLEAR, 0, (7, 0)).await);
    done(&bench.b, CLEAR, 0, (9, 0)).await;
    assert_eq!(refused(&bench.a, &READY, &[]).await, (6, 0x2a, 3));
    assert_eq!((keys(&bench.a).await, held(&bench.a).await), ((3, vec![]), None));
}

#[tokio::test]
async fn preempting_takes_over_what_is_held() {
    let bench = bench();
    done(&bench.a, IGNORE, 0, (0, 7)).await;
    done(&bench.b, IGNORE, 0, (0, 9)).await;
    done(&bench.a, RESERVE, WRITE, (7, 0)).await;
    assert!(is_conflict(&bench.b, PREEMPT, ACCESS, (9, 55)).await);
    assert_eq!(told_by(&out(&bench.b, PREEMPT, ACCESS, (9, 0), 0).await), (5, 0x26, 0));
    done(&bench.b, PREEMPT, ACCESS, (9, 7)).await;
    assert_eq!(refused(&bench.a, &READY, &[]).await, (6, 0x2a, 5));
    assert_eq!((keys(&bench.a).await, held(&bench.a).await), ((3, vec![9]), Some((9, ACCESS))));
    assert!(conflicts(&bench.a, &cdb10(0x28, 0, 0, 1), &[]).await);
}

#[tokio::test]
async fn preempting_one_who_does_not_hold_removes_its_registration() {
    let bench = bench();
    done(&bench.a, IGNORE, 0, (0, 7)).await;
    done(&bench.b, IGNORE, 0, (0, 9)).await;
    done(&bench.a, RESERVE, 5, (7, 0)).await;
    done(&bench.a, PREEMPT, 5, (7, 9)).await;
    assert_eq!((keys(&bench.a).await.1, held(&bench.a).await), (vec![7], Some((7, 5))));
    assert!(conflicts(&bench.b, &cdb10(0x2a, 0, 0, 1), &[0; 512]).await);
    assert_eq!(refused(&bench.b, &READY, &[]).await, (6, 0x2a, 5));
}

#[tokio::test]
async fn preempting_all_of_what_all_hold() {
    let bench = bench();
    done(&bench.a, IGNORE, 0, (0, 7)).await;
    done(&bench.b, IGNORE, 0, (0, 9)).await;
    done(&bench.a, RESERVE, 8, (7, 0)).await;
    done(&bench.b, PREEMPT, 8, (9, 0)).await;
    assert_eq!((keys(&bench.b).await.1, held(&bench.b).await), (vec![9], Some((0, 8))));
}

#[tokio::test]
async fn preempting_and_aborting_aborts_and_allows_removal() {
    let bench = bench();
    done(&bench.a, IGNORE, 0, (0, 7)).await;
    done(&bench.b, IGNORE, 0, (0, 9)).await;
    done(&bench.a, RESERVE, 5, (7, 0)).await;
    let write = begin(&bench.a, &cdb10(0x2a, 0, 0, 1)).unwrap();
    done(&bench.b, PREEMPT_AND_ABORT, 5, (9, 7)).await;
    let response = finish(write.start(data_out(&[1; 512], 512), &mut Fresh)).await;
    assert!(response.is_aborted);
    assert_eq!(good(&bench.b, &cdb10(0x28, 0, 0, 1), &[]).await, [0; 512]);
}

#[tokio::test]
async fn a_registration_outlives_its_session_and_belongs_to_its_port() {
    let bench = bench();
    done(&bench.a, IGNORE, 0, (0, 7)).await;
    done(&bench.a, RESERVE, ACCESS, (7, 0)).await;
    let Bench { a, b, target, .. } = bench;
    drop(a);
    assert_eq!(keys(&b).await.1, [7]);
    let again = join(&target, "a", 1);
    assert_eq!(refused(&again, &READY, &[]).await, (6, 0x29, 0));
    good(&again, &cdb10(0x28, 0, 0, 1), &[]).await;
    let elsewhere = join(&target, "a", 2);
    assert!(conflicts(&elsewhere, &cdb10(0x28, 0, 0, 1), &[]).await);
}

#[tokio::test]
async fn all_ports_and_other_initiators_are_registered_at_once() {
    let bench = bench();
    let response = out(&bench.a, IGNORE, 0, (0, 7), 0x04).await;
    assert!(response.sense.is_empty());
    assert_eq!(keys(&bench.a).await, (1, vec![7, 7]));
    let other = InitiatorPort { name: "iqn.2026-11.test:z".to_owned(), isid: [1; 6] };
    let ids = other.transport_id();
    let len = u8::try_from(ids.len()).unwrap();
    let mut list = [[0; 8], 3u64.to_be_bytes(), [0, 0, 0, 0, 8, 0, 0, 0]].concat();
    list.extend_from_slice(&[0, 0, 0, len]);
    list.extend_from_slice(&ids);
    let cdb = [0x5f, 0, 0, 0, 0, 0, 0, 0, 28 + len, 0];
    good(&bench.b, &cdb, &list).await;
    assert_eq!(keys(&bench.b).await.1, [7, 7, 3, 3]);
    let full = r#in(&bench.a, 3).await;
    assert!(full.windows(18).any(|part| part == b"iqn.2026-11.test:z"));
    list[27] += 4;
    assert_eq!(refused(&bench.b, &cdb, &list).await, (5, 0x1a, 0));
}

#[tokio::test]
async fn a_reservation_is_moved_to_another_port() {
    let bench = bench();
    done(&bench.a, IGNORE, 0, (0, 7)).await;
    done(&bench.a, RESERVE, ACCESS, (7, 0)).await;
    let to = InitiatorPort { name: "iqn.2026-11.test:b".to_owned(), isid: [9; 6] }.transport_id();
    let len = u8::try_from(to.len()).unwrap();
    let mut list = [7u64.to_be_bytes(), 9u64.to_be_bytes()].concat();
    list.extend_from_slice(&[0, 0x02, 0, 2, 0, 0, 0, len]);
    list.extend_from_slice(&to);
    let cdb = [0x5f, 7, 0, 0, 0, 0, 0, 0, 24 + len, 0];
    good(&bench.a, &cdb, &list).await;
    assert_eq!((keys(&bench.b).await.1, held(&bench.b).await), (vec![9], Some((9, ACCESS))));
    good(&bench.b, &cdb10(0x2a, 0, 0, 1), &[1; 512]).await;
    assert!(conflicts(&bench.a, &cdb10(0x2a, 0, 0, 1), &[1; 512]).await);
    assert!(conflicts(&bench.a, &cdb, &list).await);
}

#[tokio::test]
async fn the_two_kinds_of_reservation_do_not_mix() {
    let bench = bench();
    done(&bench.a, IGNORE, 0, (0, 7)).await;
    assert!(conflicts(&bench.a, &[0x16, 0, 0, 0, 0, 0], &[]).await);
    done(&bench.a, REGISTER, 0, (7, 0)).await;
    good(&bench.a, &[0x16, 0, 0, 0, 0, 0], &[]).await;
    assert!(is_conflict(&bench.a, IGNORE, 0, (0, 7)).await);
    assert!(is_conflict(&bench.b, IGNORE, 0, (0, 7)).await);
}

#[tokio::test]
async fn what_is_supported_is_told() {
    let bench = bench_of(settings(512), Arc::new(NoKeeper));
    assert_eq!(r#in(&bench.a, 2).await, [0, 8, 0x0c, 0x80, 0xea, 1, 0, 0]);
    let response = out(&bench.a, IGNORE, 0, (0, 7), 1).await;
    assert_eq!(told_by(&response), (5, 0x26, 0));
    for len in [0, 23, 25] {
        let cdb = [0x5f, 0, 0, 0, 0, 0, 0, 0, len, 0];
        assert_eq!(refused(&bench.a, &cdb, &[0; 25]).await, (5, 0x1a, 0));
    }
    assert_eq!(
        refused(&bench.a, &[0x5f, 8, 0, 0, 0, 0, 0, 0, 24, 0], &[0; 24]).await,
        (5, 0x24, 0)
    );
}
