//! The door as a client sees it: a small client of its own, over socket pairs and loopback.

mod calling;
mod client;
pub(crate) mod doubles;
mod ending;
mod entering;
mod secured;
mod status;
mod transmission;

use std::sync::Arc;
use std::time::Duration;

use base::clock::ManualClock;
use disk::{AnyDisk, MemDisk};
use tokio::net::UnixStream;

use self::client::Client;
use self::doubles::Catalogue;
use crate::door::SessionNumbers;
use crate::nbd::Server;

/// Sectors of the disks that trials use unless they bring their own.
const SECTORS: u64 = 16 << 11;

fn memory() -> AnyDisk {
    Arc::new(MemDisk::new(SECTORS))
}

fn server(catalogue: Catalogue) -> Server {
    let numbers = SessionNumbers::default();
    Server::new(Arc::new(catalogue), Arc::new(ManualClock::default()), numbers)
}

/// A server of one export, `mail`.
fn serve(disk: AnyDisk) -> Server {
    server(Catalogue::default().with("mail", disk))
}

/// A client that has been greeted.
async fn connect(server: &Server) -> Client<UnixStream> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    server.serve_connected(theirs, "a trial".to_owned());
    Client::greet(ours, 3).await.unwrap()
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
