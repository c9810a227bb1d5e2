//! Media that come and go, disks that are not there, protection, capacity.

use std::sync::Arc;

use disk::{AnyDisk, MemDisk};

use super::harness::*;
use crate::scsi::{Mapping, NoKeeper, UnitSettings};

const EJECT: [u8; 6] = [0x1b, 0, 0, 0, 2, 0];
const LOAD: [u8; 6] = [0x1b, 0, 0, 0, 3, 0];
const PREVENT: [u8; 6] = [0x1e, 0, 0, 0, 1, 0];
const ALLOW: [u8; 6] = [0x1e, 0, 0, 0, 0, 0];

fn removable() -> Bench {
    bench_of(UnitSettings { is_removable: true, ..settings(512) }, Arc::new(NoKeeper))
}

#[tokio::test]
async fn an_ejected_medium_is_not_there_until_it_is_loaded() {
    let bench = removable();
    good(&bench.a, &EJECT, &[]).await;
    for cdb in
        [READY.to_vec(), cdb10(0x28, 0, 0, 1), cdb10(0x2a, 0, 0, 1), cdb16(0x9e, 0x12, 0, 24)]
    {
        assert_eq!(refused(&bench.a, &cdb, &[]).await, (2, 0x3a, 0), "{cdb:02x?}");
    }
    good(&bench.a, &[0x12, 0, 0, 0, 96, 0], &[]).await;
    good(&bench.a, &LOAD, &[]).await;
    good(&bench.a, &READY, &[]).await;
    assert_eq!(refused(&bench.b, &READY, &[]).await, (6, 0x28, 0));
}

#[tokio::test]
async fn who_prevents_removal_prevents_it_for_all_until_it_ends() {
    let bench = removable();
    good(&bench.a, &PREVENT, &[]).await;
    assert_eq!(refused(&bench.a, &EJECT, &[]).await, (5, 0x53, 2));
    assert_eq!(refused(&bench.b, &EJECT, &[]).await, (5, 0x53, 2));
    good(&bench.b, &ALLOW, &[]).await;
    assert_eq!(refused(&bench.b, &EJECT, &[]).await, (5, 0x53, 2));
    drop(bench.a);
    good(&bench.b, &EJECT, &[]).await;
    assert_eq!(refused(&bench.b, &[0x1e, 0, 0, 0, 2, 0], &[]).await, (5, 0x24, 0));
}

#[tokio::test]
async fn what_cannot_be_taken_out_stays() {
    let bench = bench();
    assert_eq!(refused(&bench.a, &EJECT, &[]).await, (5, 0x24, 0));
    for how in [0x00, 0x01, 0x10, 0x30, 0xf0] {
        good(&bench.a, &[0x1b, 0, 0, 0, how, 0], &[]).await;
        good(&bench.a, &READY, &[]).await;
    }
}

#[tokio::test]
async fn a_unit_without_a_disk_is_not_ready_and_says_who_it_is() {
    let bench = bench();
    bench.unit.set_disk(None);
    assert_eq!(refused(&bench.a, &READY, &[]).await, (2, 4, 3));
    assert_eq!(refused(&bench.a, &cdb10(0x28, 0, 0, 1), &[]).await, (2, 4, 3));
    good(&bench.a, &[0x12, 0, 0, 0, 96, 0], &[]).await;
    good(&bench.a, &[0x12, 1, 0xb0, 0, 96, 0], &[]).await;
    bench.unit.set_disk(Some(Arc::new(MemDisk::new(SECTORS)) as AnyDisk));
    good(&bench.a, &READY, &[]).await;
}

#[tokio::test]
async fn nothing_is_changed_through_a_read_only_number() {
    let bench = bench();
    let mapping = Mapping { is_read_only: true, ..mapping(&bench.unit) };
    bench.target.map(1, mapping);
    assert_eq!(told_by(&begin_at(&bench.a, 1, &READY).unwrap_err()), (6, 0x29, 0));
    assert_eq!(told_by(&begin_at(&bench.a, 1, &READY).unwrap_err()), (6, 0x3f, 0x0e));
    let mut caw = cdb16(0x89, 0, 0, 0);
    caw[13] = 1;
    for cdb in [
        vec![0x0a, 0, 0, 0, 1, 0],
        cdb10(0x2a, 0, 0, 1),
        cdb10(0x2e, 0, 0, 1),
        cdb10(0x41, 8, 0, 1),
        cdb16(0x8b, 0, 0, 1),
        caw,
        vec![0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0],
        vec![0x48, 2, 0, 0, 0, 0, 0, 0, 0, 0],
    ] {
        let refused = begin_at(&bench.a, 1, &cdb).unwrap_err();
        assert_eq!(told_by(&refused), (7, 0x27, 0), "{cdb:02x?}");
    }
    let sensed = bytes(send_at(&bench.a, 1, &[0x1a, 0, 0x3f, 0, 255, 0], &[]).await);
    assert_eq!(sensed[2] & 0x80, 0x80);
    let response = send_at(&bench.a, 1, &cdb10(0x28, 0, 0, 1), &[]).await;
    assert_eq!(bytes(response).len(), 512);
}

#[tokio::test]
async fn growth_is_told_once_to_each_nexus() {
    let bench = bench();
    bench.disk.grow(SECTORS * 2);
    for nexus in [&bench.a, &bench.b] {
        assert_eq!(refused(nexus, &READY, &[]).await, (6, 0x2a, 9));
        let told = good(nexus, &cdb16(0x9e, 0x10, 0, 32), &[]).await;
        assert_eq!(told[..8], (SECTORS * 2 - 1).to_be_bytes());
        assert_eq!((told[11], told[10], told[13], told[14]), (0, 2, 3, 0xc0));
    }
    assert_eq!(bench.unit.capacity(), SECTORS * 2);
}
