//! Stands for the iscsi door of `targets` until that is there: the same signatures, and nobody is served.
#![expect(dead_code, reason = "goes when the door is there")]

use std::any::Any;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::clock::Clock;
use base::rng::Rng;
use targets::door::listener::{self, Address, Bound};
use targets::door::tally::Counts;
use targets::scsi;

#[derive(Clone, Debug)]
pub struct Portal {
    pub address: Address,
    pub group: u16,
}

pub trait Targets: Send + Sync + 'static {
    fn list(&self, initiator: &str, chap_user: Option<&str>) -> Vec<TargetSummary>;
    fn discovery(&self) -> Authentication;
    fn authentication(
        &self,
        target: &str,
        initiator: &str,
    ) -> Result<Authentication, TargetRefusal>;
    fn open(
        &self,
        target: &str,
        initiator: &str,
        chap_user: Option<&str>,
    ) -> Result<OpenTarget, TargetRefusal>;
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetSummary {
    pub name: String,
    pub alias: String,
}

pub struct OpenTarget {
    pub target: Arc<scsi::Target>,
    pub alias: String,
    pub guard: Option<Box<dyn Any + Send + Sync>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TargetRefusal {
    NotFound,
    Forbidden,
    Unavailable,
}

#[derive(Clone)]
pub enum Authentication {
    None,
    Chap(Arc<dyn ChapBook>),
}

pub trait ChapBook: Send + Sync {
    fn secret(&self, user: &str) -> Option<Secret>;
    fn own(&self) -> Option<(String, Secret)>;
    fn digests(&self) -> Vec<ChapDigest>;
}

pub struct Secret(Vec<u8>);

impl Secret {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChapDigest {
    Md5,
    Sha1,
    Sha256,
    Sha3_256,
}

#[derive(Clone, Default)]
pub struct SessionNumbers(Arc<AtomicU64>);

impl SessionNumbers {
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

#[derive(Clone, Debug)]
pub struct SessionStatus {
    pub id: u64,
    pub peer: String,
    pub initiator: String,
    pub target: Option<String>,
    pub portal_group: u16,
    pub isid: String,
    pub tsih: u16,
    pub chap_user: Option<String>,
    pub has_header_digest: bool,
    pub has_data_digest: bool,
    pub luns: Vec<u16>,
    pub since_wall_ms: u64,
    pub counts: Counts,
}

#[derive(Clone)]
pub struct Server {
    listeners: Arc<Mutex<Vec<(Bound, u16)>>>,
}

impl Server {
    pub fn new(
        _targets: Arc<dyn Targets>,
        _clock: Arc<dyn Clock>,
        _rng: Arc<dyn Rng>,
        _numbers: SessionNumbers,
    ) -> Self {
        Self { listeners: Arc::default() }
    }

    pub async fn listen(&self, address: &Address, portal_group: u16) -> io::Result<Address> {
        let bound = listener::bind(address, |_, _, _| {}).await?;
        let address = bound.address().clone();
        let mut all = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((bound, portal_group));
        Ok(address)
    }

    pub fn unlisten(&self, address: &Address) -> bool {
        let mut all = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.len();
        all.retain(|(bound, _)| bound.address() != address);
        all.len() < before
    }

    pub fn announce(&self, _portals: Vec<(String, u16)>) {}

    pub fn sessions(&self) -> Vec<SessionStatus> {
        Vec::new()
    }

    pub fn kill(&self, _id: u64) -> bool {
        false
    }

    pub fn end_where(&self, _which: &dyn Fn(&SessionStatus) -> bool) {}

    pub async fn shutdown(&self, _grace: Duration) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
