//! The door as an initiator sees it: a small one of its own, over socket pairs.

mod crowd;
mod ending;
mod entering;
mod initiator;
mod managing;
mod numbers;
mod transfers;

use std::sync::Arc;
use std::time::Duration;

use base::clock::ManualClock;
use base::id::Id;
use base::rng::SeededRng;
use disk::{AnyDisk, MemDisk};
use tokio::net::UnixStream;

use self::initiator::Initiator;
use super::Server;
use super::doubles::{Catalogue, OPEN};
use crate::door::SessionNumbers;
use crate::scsi::{Audience, Identity, LogicalUnit, Mapping, NoKeeper, UnitSettings};

/// Sectors of the disks that trials use.
const SECTORS: u64 = 16 << 11;

/// A server whose targets all have this disk as LUN 0.
fn serve(disk: &AnyDisk) -> Server {
    let catalogue = Catalogue::default();
    for (number, target) in catalogue.0.values().enumerate() {
        let identity = Identity { id: Id(number as u128 + 1), product: "TRIAL".to_owned() };
        let settings = UnitSettings { identity, logical_block_len: 512, is_removable: false };
        let unit = LogicalUnit::new(settings, Some(Arc::clone(disk)), Arc::new(NoKeeper));
        target.map(0, Mapping { unit, is_read_only: false, audience: Audience::All });
    }
    let (clock, rng) = (Arc::new(ManualClock::default()), Arc::new(SeededRng::new(7)));
    Server::new(Arc::new(catalogue), clock, rng, SessionNumbers::default())
}

fn memory() -> AnyDisk {
    Arc::new(MemDisk::new(SECTORS))
}

/// An initiator that is connected.
fn connect(server: &Server) -> Initiator {
    let (ours, theirs) = UnixStream::pair().unwrap();
    server.serve_connected(theirs, "a trial".to_owned(), 1);
    Initiator::over(ours)
}

/// Offers that make data come unasked.
const EAGER: &[(&str, &str)] =
    &[("InitialR2T", "No"), ("ImmediateData", "Yes"), ("FirstBurstLength", "262144")];

/// An initiator that has logged in with these offers and taken its unit attentions.
async fn enter(server: &Server, offers: &[(&str, &str)]) -> Initiator {
    let mut initiator = connect(server);
    let answer = initiator.log_in(OPEN, offers).await;
    assert_eq!(answer.head.half(36), 0);
    initiator.settle().await;
    initiator
}

/// What `work` gives, which does not take long.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work).await.expect("it did not happen")
}

/// Waits until `is_so`, letting others work meanwhile.
async fn until(is_so: impl Fn() -> bool) {
    soon(async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Bytes that differ from place to place.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| u8::try_from(n % 251).unwrap()).collect()
}
