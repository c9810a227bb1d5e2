//! Persistent reservations over a restart.

use std::sync::Arc;

use super::harness::*;
use super::reservations::{done, r#in, out};
use crate::scsi::kept::{decode, encode};
use crate::scsi::{Keeper, Status};

#[tokio::test]
async fn what_is_to_be_kept_is_there_after_a_restart() {
    let keeper = Arc::new(Memory::default());
    let bench = bench_of(settings(512), Arc::clone(&keeper) as Arc<dyn Keeper>);
    assert!(out(&bench.a, 6, 0, (0, 7), 1).await.sense.is_empty());
    done(&bench.a, 1, 6, (7, 0)).await;
    let before = bench.unit.reservations();
    drop(bench);
    let bench = bench_of(settings(512), Arc::clone(&keeper) as Arc<dyn Keeper>);
    assert_eq!(bench.unit.reservations(), before);
    assert!(conflicts(&bench.b, &cdb10(0x28, 0, 0, 1), &[]).await);
    good(&bench.a, &cdb10(0x28, 0, 0, 1), &[]).await;
    assert_eq!(r#in(&bench.a, 2).await[3], 0x81);
    done(&bench.a, 3, 0, (7, 0)).await;
    assert_eq!(keeper.kept(), None);
}

#[tokio::test]
async fn what_is_not_to_be_kept_is_not() {
    let keeper = Arc::new(Memory::default());
    let bench = bench_of(settings(512), Arc::clone(&keeper) as Arc<dyn Keeper>);
    done(&bench.a, 6, 0, (0, 7)).await;
    assert_eq!(keeper.kept(), None);
    assert!(out(&bench.a, 6, 0, (0, 8), 1).await.sense.is_empty());
    assert!(keeper.kept().is_some());
    done(&bench.a, 6, 0, (0, 9)).await;
    assert_eq!(keeper.kept(), None);
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_done() {
    let keeper = Arc::new(Memory::default());
    let bench = bench_of(settings(512), Arc::clone(&keeper) as Arc<dyn Keeper>);
    assert!(out(&bench.a, 6, 0, (0, 7), 1).await.sense.is_empty());
    *keeper.fails.lock().unwrap() = true;
    let response = out(&bench.a, 1, 3, (7, 0), 0).await;
    assert_eq!((response.status, response.sense[2]), (Status::CheckCondition, 4));
    assert_eq!(bench.unit.reservations().kind, None);
}

#[tokio::test]
async fn damage_to_what_was_kept_is_survived() {
    let keeper = Arc::new(Memory::default());
    let bench = bench_of(settings(512), Arc::clone(&keeper) as Arc<dyn Keeper>);
    assert!(out(&bench.a, 6, 0, (0, 7), 1).await.sense.is_empty());
    done(&bench.a, 1, 3, (7, 0)).await;
    let whole = keeper.kept().unwrap();
    assert_eq!(encode(&decode(&whole).unwrap()), whole);
    for cut in 0..whole.len() {
        assert!(decode(&whole[..cut]).is_err(), "{cut}");
    }
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        let _ = decode(&damaged);
    }
    *keeper.kept.lock().unwrap() = Some(whole[1..].to_vec());
    let bench = bench_of(settings(512), Arc::clone(&keeper) as Arc<dyn Keeper>);
    assert!(bench.unit.reservations().registrations.is_empty());
}
