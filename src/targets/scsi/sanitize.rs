//! SANITIZE: overwrite, block erase, crypto erase, exit failure mode.
//!
//! A sanitize belongs to the unit: it goes on whatever becomes of the nexus, the session or the command that
//! started it. While it runs, only what tells about the unit is let through. Nothing is encrypted here, so
//! that a crypto erase does what a change of the key would bring about: all content is given up.
//!
//! Source: SBC-4 4.11, 5.24.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};

use base::units::{Extent, SECTOR_LEN};
use disk::{AnyDisk, DiskError, Durability, Keep};
use tokio::sync::Notify;

use super::command::{Plan, Run};
use super::command_table::Entry;
use super::failure;
use super::judge::Asked;
use super::limits::{
    PATTERN_LEN_MAX, SANITIZE_POLL_TIME_MAX, SANITIZE_POLLS_MAX, SANITIZE_TIME_MIN, STEP_LEN,
};
use super::path::Path;
use super::sense::{Key, Sense};
use super::unit::LogicalUnit;
use super::write_same::repeated;

const OVERWRITE: u8 = 0x01;
const BLOCK_ERASE: u8 = 0x02;
const CRYPTO_ERASE: u8 = 0x03;
const IMMEDIATE: u8 = 0x80;
/// Erasing goes in steps of this many sectors, so that there is progress: 1 GiB.
const ERASE_STEP: u64 = 1 << 21;

/// What a sanitize of a unit is doing.
#[derive(Debug, Default)]
pub(super) struct Sanitizing {
    is_running: AtomicBool,
    has_failed: AtomicBool,
    progress: AtomicU16,
    /// The number of the one that ran last.
    round: AtomicU32,
    ended: Notify,
}

impl Sanitizing {
    /// What it keeps the unit from, if anything.
    pub fn sense(&self) -> Option<Sense> {
        if self.is_running.load(Ordering::Acquire) {
            // LOGICAL UNIT NOT READY, SANITIZE IN PROGRESS
            return Some(
                Sense::not_ready(0x1b).with_progress(self.progress.load(Ordering::Relaxed)),
            );
        }
        // SANITIZE COMMAND FAILED
        let failed = || Sense::new(Key::MediumError, 0x31, 0x03);
        self.has_failed.load(Ordering::Acquire).then(failed)
    }

    /// Whether it lets a command through.
    ///
    /// # Errors
    /// That a sanitize is running, or has failed.
    pub fn admit(&self, entry: &Entry, path: &Path) -> Result<(), Sense> {
        match self.sense() {
            Some(_) if entry.code == 0x00 && self.is_polled(path) => Ok(()),
            Some(sense) if !entry.is_allowed_in_sanitize() => {
                let is_sanitize = entry.code == 0x48;
                if is_sanitize && sense.key == Key::MediumError { Ok(()) } else { Err(sense) }
            }
            _ => Ok(()),
        }
    }

    /// Whether a nexus asks for the end again and again: then its question waits.
    fn is_polled(&self, path: &Path) -> bool {
        self.is_running.load(Ordering::Acquire)
            && path.count_poll(self.round.load(Ordering::Relaxed)) > SANITIZE_POLLS_MAX
    }

    fn begin(&self) -> bool {
        self.progress.store(0, Ordering::Relaxed);
        self.round.fetch_add(1, Ordering::Relaxed);
        !self.is_running.swap(true, Ordering::AcqRel)
    }

    /// Whether there is an end to wait for.
    pub fn is_running(&self) -> bool {
        self.is_running.load(Ordering::Acquire)
    }

    /// Waits for the end, for a while.
    ///
    /// # Errors
    /// That it is still running, or has failed.
    pub async fn end_of_poll(&self) -> Result<(), Sense> {
        let _ = tokio::time::timeout(SANITIZE_POLL_TIME_MAX, self.wait()).await;
        self.sense().map_or(Ok(()), Err)
    }

    fn end(&self, has_failed: bool) {
        self.has_failed.store(has_failed, Ordering::Release);
        self.is_running.store(false, Ordering::Release);
        self.ended.notify_waiters();
    }

    fn see_progress(&self, done: u64, of: u64) {
        let progress = u128::from(done) * 0xffff / u128::from(of.max(1));
        self.progress.store(u16::try_from(progress).unwrap_or(u16::MAX), Ordering::Relaxed);
    }

    async fn wait(&self) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if !self.is_running.load(Ordering::Acquire) {
                return;
            }
            ended.await;
        }
    }
}

/// What is to be done to all sectors.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Method {
    /// Written so many times with a pattern, inverted every other time if that is wanted.
    Overwrite { pattern: Vec<u8>, count: u8, is_inverted: bool },
    /// Given up.
    Erase,
}

/// SANITIZE.
///
/// # Errors
/// INVALID FIELD IN CDB for a parameter list of a length that cannot be.
pub(super) fn begin(asked: &Asked) -> Result<Plan, Sense> {
    let medium = asked.medium()?;
    let (action, len) = (asked.cdb.byte(1) & 0x1f, asked.cdb.u16(7));
    let (disk, block_len) = (medium.disk.clone(), medium.block_len());
    let sectors = medium.geometry.sectors;
    let is_immediate = asked.cdb.has(1, IMMEDIATE);
    let list_max = block_len + 4;
    let is_wrong =
        if action == OVERWRITE { len < 5 || u64::from(len) > list_max } else { len != 0 };
    if is_wrong {
        return Err(Sense::cdb_byte(7));
    }
    Ok(Plan::detached(u64::from(len), move |run: Run| async move {
        let unit = &run.path.unit;
        let method = match action {
            OVERWRITE => decode(&run.list(u64::from(len))?, block_len)?,
            BLOCK_ERASE | CRYPTO_ERASE => Method::Erase,
            _ => {
                unit.sanitizing.has_failed.store(false, Ordering::Release);
                return Ok(());
            }
        };
        if !unit.sanitizing.begin() {
            return Err(Sense::not_ready(0x1b));
        }
        // A task of its own: it ends when it is done, not when somebody stops waiting for it.
        let running = tokio::spawn(run_all(Arc::clone(unit), disk, sectors, method));
        if is_immediate {
            return Ok(());
        }
        tokio::select! {
            done = running => match done {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(failure::sense(&error, unit)),
                Err(_) => Err(Sense::failure()),
            },
            () = run.abort.aborted() => Ok(()),
        }
    }))
}

/// What a parameter list of OVERWRITE asks for.
///
/// # Errors
/// INVALID FIELD IN PARAMETER LIST for no pass, no pattern, or one that is longer than a block or than the
/// list.
pub(super) fn decode(list: &[u8], block_len: u64) -> Result<Method, Sense> {
    let [flags, _, high, low, pattern @ ..] = list else { return Err(Sense::list_len()) };
    let (count, len) = (flags & 0x1f, usize::from(u16::from_be_bytes([*high, *low])));
    if count == 0 {
        return Err(Sense::list_byte(0));
    }
    let len_max = usize::try_from(block_len).unwrap_or(PATTERN_LEN_MAX).min(PATTERN_LEN_MAX);
    if len == 0 || len > len_max || len != pattern.len() {
        return Err(Sense::list_byte(2));
    }
    Ok(Method::Overwrite { pattern: pattern.to_vec(), count, is_inverted: flags & 0x80 != 0 })
}

async fn run_all(
    unit: Arc<LogicalUnit>,
    disk: AnyDisk,
    sectors: u64,
    method: Method,
) -> Result<(), DiskError> {
    let least = async {
        if matches!(method, Method::Overwrite { .. }) {
            tokio::time::sleep(SANITIZE_TIME_MIN).await;
        }
    };
    // What was let in before has ended when the first sector is touched.
    drop(unit.ranges.alone(Extent::new(0, sectors)).await);
    let (done, ()) = tokio::join!(whole(&unit, &disk, sectors, &method), least);
    if let Err(error) = &done {
        tracing::error!(unit = %unit.settings().identity.id, %error, "sanitize");
    }
    unit.sanitizing.end(done.is_err());
    done
}

async fn whole(
    unit: &LogicalUnit,
    disk: &AnyDisk,
    sectors: u64,
    method: &Method,
) -> Result<(), DiskError> {
    match method {
        Method::Erase => {
            let mut at = 0;
            while at < sectors {
                let extent = Extent::new(at, ERASE_STEP.min(sectors - at));
                disk.write_zeroes(extent, Keep::Nothing).await?;
                at += extent.sectors;
                unit.sanitizing.see_progress(at, sectors);
            }
        }
        Method::Overwrite { pattern, count, is_inverted } => {
            for pass in 0..*count {
                let is_odd = pass % 2 == 1;
                let pattern: Vec<u8> = pattern
                    .iter()
                    .map(|byte| if *is_inverted && is_odd { !byte } else { *byte })
                    .collect();
                let step = STEP_LEN / SECTOR_LEN as u64;
                let block_len = usize::try_from(unit.settings().logical_block_len).unwrap_or(512);
                let block: Vec<u8> = pattern.iter().copied().cycle().take(block_len).collect();
                let payload = repeated(&block, step)?.freeze();
                let mut at = 0;
                while at < sectors {
                    let part = step.min(sectors - at);
                    disk.write(at, vec![payload.slice(0, part)], Durability::Volatile).await?;
                    at += part;
                    let done = u64::from(pass) * sectors + at;
                    unit.sanitizing.see_progress(done, sectors * u64::from(*count));
                }
            }
        }
    }
    disk.flush().await
}
