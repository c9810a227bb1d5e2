//! Task management, resets, RESERVE and RELEASE.

use std::sync::Arc;

use super::harness::*;
use crate::scsi::{DataOut, ManagementOutcome, TaskAttribute, TaskManagement, Work};

const RESERVE: [u8; 6] = [0x16, 0, 0, 0, 0, 0];
const RELEASE: [u8; 6] = [0x17, 0, 0, 0, 0, 0];

#[tokio::test]
async fn a_reset_is_told_to_everyone_and_lets_the_unit_go() {
    let bench = bench();
    good(&bench.a, &RESERVE, &[]).await;
    let done = bench.b.manage(TaskManagement::LunReset, 0).await;
    assert_eq!(done, ManagementOutcome::Complete);
    for nexus in [&bench.a, &bench.b] {
        assert_eq!(refused(nexus, &READY, &[]).await, (6, 0x29, 3));
    }
    good(&bench.b, &RESERVE, &[]).await;
    let missing = bench.b.manage(TaskManagement::LunReset, 7 << 48).await;
    assert_eq!(missing, ManagementOutcome::NoSuchLun);
    let unknown = bench.b.manage(TaskManagement::ClearAca, 0).await;
    assert_eq!(unknown, ManagementOutcome::Unsupported);
}

#[tokio::test]
async fn commands_that_were_aborted_end_without_a_response() {
    let bench = bench();
    let read = begin(&bench.a, &cdb10(0x28, 0, 0, 1)).unwrap();
    let other = begin(&bench.b, &cdb10(0x28, 0, 0, 1)).unwrap();
    let handle = read.abort_handle();
    bench.a.manage(TaskManagement::AbortTaskSet, 0).await;
    assert!(handle.is_aborted());
    assert!(finish(read.start(DataOut::default(), &mut Fresh)).await.is_aborted);
    assert!(!finish(other.start(DataOut::default(), &mut Fresh)).await.is_aborted);
    let one = begin(&bench.a, &cdb10(0x28, 0, 0, 1)).unwrap();
    one.abort_handle().abort();
    assert!(finish(one.start(DataOut::default(), &mut Fresh)).await.is_aborted);
    good(&bench.a, &READY, &[]).await;
}

#[tokio::test]
async fn clearing_the_task_set_waits_for_what_runs_and_tells_those_it_hit() {
    let bench = bench();
    let read = begin(&bench.b, &cdb10(0x28, 0, 0, 1)).unwrap();
    let Work::Disk { finish, .. } = read.start(DataOut::default(), &mut Fresh) else { panic!() };
    let nexus = Arc::clone(&bench.a);
    let clearing = tokio::spawn(async move { nexus.manage(TaskManagement::ClearTaskSet, 0).await });
    while !finish.is_aborted() {
        tokio::task::yield_now().await;
    }
    assert!(!clearing.is_finished());
    assert!(finish.response(Err(disk::DiskError::Closed)).is_aborted);
    assert_eq!(clearing.await.unwrap(), ManagementOutcome::Complete);
    good(&bench.a, &READY, &[]).await;
    assert_eq!(refused(&bench.b, &READY, &[]).await, (6, 0x2f, 0));
}

#[tokio::test]
async fn resetting_the_target_reaches_all_units_that_are_seen() {
    let bench = bench();
    bench.target.map(1, mapping(&bench.unit));
    for function in [TaskManagement::TargetWarmReset, TaskManagement::TargetColdReset] {
        assert_eq!(bench.a.manage(function, 0).await, ManagementOutcome::Complete);
    }
    let told = refused(&bench.b, &READY, &[]).await;
    assert!(told == (6, 0x3f, 0x0e) || told == (6, 0x29, 3));
}

#[tokio::test]
async fn ordered_commands_wait_and_simple_ones_do_not() {
    let bench = bench();
    let of = |attribute| match bench.a.begin(0, &READY, attribute) {
        crate::scsi::Begun::Ready(command) => command.must_wait_for_older(),
        crate::scsi::Begun::Ended(response) => panic!("{response:?}"),
    };
    assert!(of(TaskAttribute::Ordered));
    assert!(!of(TaskAttribute::Simple) && !of(TaskAttribute::HeadOfQueue));
    let refused = bench.a.begin(0, &READY, TaskAttribute::Aca);
    assert!(matches!(refused, crate::scsi::Begun::Ended(_)));
}

#[tokio::test]
async fn who_has_reserved_keeps_the_others_out() {
    let bench = bench();
    good(&bench.a, &RESERVE, &[]).await;
    good(&bench.a, &RESERVE, &[]).await;
    for cdb in [
        RESERVE.to_vec(),
        READY.to_vec(),
        cdb10(0x28, 0, 0, 1),
        cdb10(0x2a, 0, 0, 1),
        vec![0x1a, 0, 0x3f, 0, 255, 0],
        vec![0x5e, 0, 0, 0, 0, 0, 0, 0, 8, 0],
    ] {
        assert!(conflicts(&bench.b, &cdb, &[]).await, "{cdb:02x?}");
    }
    for cdb in [
        RELEASE.to_vec(),
        vec![0x12, 0, 0, 0, 96, 0],
        vec![0x03, 0, 0, 0, 18, 0],
        vec![0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        vec![0x1e, 0, 0, 0, 0, 0],
    ] {
        good(&bench.b, &cdb, &[]).await;
    }
    assert!(conflicts(&bench.b, &READY, &[]).await, "released only by its holder");
    assert_eq!(
        bench.unit.reservations().reserved_by.unwrap(),
        "iqn.2026-11.test:a,i,0x090909090909"
    );
    good(&bench.a, &cdb10(0x28, 0, 0, 1), &[]).await;
    good(&bench.a, &RELEASE, &[]).await;
    good(&bench.b, &[0x56, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[]).await;
    good(&bench.b, &[0x57, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[]).await;
    good(&bench.a, &READY, &[]).await;
}

#[tokio::test]
async fn the_end_of_a_nexus_releases_what_it_had_reserved() {
    let bench = bench();
    good(&bench.a, &RESERVE, &[]).await;
    let Bench { a, b, .. } = bench;
    drop(a);
    good(&b, &RESERVE, &[]).await;
}
