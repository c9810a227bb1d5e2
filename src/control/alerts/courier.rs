//! One channel at work: letters wait in a bounded queue and are tried a bounded number of times, in order, by a task of
//! their own. Whoever hands one in never waits.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::clock::Clock;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::channel::{ChannelStatus, Destination, NewChannel};
use super::mail::{self, Post};
use super::message::Letter;
use super::{syslog, webhook};

/// Letters that wait for a channel. One is written at most every few seconds, and tells all that changed meanwhile.
pub(super) const QUEUE_MAX: usize = 32;
/// Characters of what the other side said that are kept.
const SAID_LEN_MAX: usize = 300;

/// How often and how long a letter is tried.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// How long it is waited after each try in vain but the last.
    pub waits: Vec<Duration>,
    /// How long one try may take.
    pub deadline: Duration,
}

impl Default for Pace {
    /// Six tries over 37 minutes: long enough for a mail server to be started again or to end its greylisting, and
    /// short enough that what is told is still so.
    fn default() -> Self {
        let waits = [2, 10, 60, 300, 1800].map(Duration::from_secs);
        Self { waits: waits.to_vec(), deadline: Duration::from_secs(20) }
    }
}

/// Why a letter was not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Failed {
    /// In words, without secrets.
    pub why: String,
    /// Whether trying again soon is no use.
    pub is_lasting: bool,
}

impl Failed {
    pub(super) fn for_good(why: impl Into<String>) -> Self {
        Self { why: shown(&why.into()), is_lasting: true }
    }

    pub(super) fn for_now(why: impl Into<String>) -> Self {
        Self { why: shown(&why.into()), is_lasting: false }
    }
}

/// What the other side said, as far as it can be shown on one line.
pub(super) fn shown(text: &str) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let clean: String = clean.take(SAID_LEN_MAX).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Tries once to bring a letter to where a channel leads, and gives what the other side said.
pub(super) async fn deliver(
    channel: &NewChannel,
    letter: &Letter,
    now_ms: u64,
    deadline: Duration,
) -> Result<String, Failed> {
    let secret = channel.secret.as_ref();
    let trying = async {
        match &channel.to {
            Destination::Mail { host, port, tls, user, from, to, authority } => {
                let (user, authority) = (user.as_deref(), authority.as_deref());
                let (port, tls) = (*port, *tls);
                mail::send(&Post { host, port, tls, user, secret, from, to, authority }, letter)
                    .await
            }
            Destination::Webhook { url, authority } => match secret {
                Some(secret) => {
                    webhook::send(url, secret, authority.as_deref(), letter, now_ms).await
                }
                None => Err(Failed::for_good("it has no secret to sign with")),
            },
            Destination::Syslog { way, address } => {
                syslog::send(*way, address.as_deref(), letter).await
            }
        }
    };
    tokio::time::timeout(deadline, trying).await.unwrap_or_else(|_| {
        Err(Failed::for_now(format!("it did not answer within {} s", deadline.as_secs())))
    })
}

/// How a channel is.
#[derive(Debug, Default)]
struct Record {
    delivered_ms: Option<u64>,
    /// Why the last try was in vain.
    failure: Option<String>,
    /// Whether a letter was given up since one was last taken.
    has_given_up: bool,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: AtomicUsize,
    lost: AtomicU64,
    record: Mutex<Record>,
}

impl Shared {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn taken(&self, now_ms: u64) {
        *self.record() = Record { delivered_ms: Some(now_ms), ..Record::default() };
    }
}

/// A channel at work.
pub(super) struct Courier {
    channel: NewChannel,
    /// Why it tells nothing, where its secret cannot be opened.
    locked: Option<String>,
    sender: mpsc::Sender<Letter>,
    shared: Arc<Shared>,
    work: JoinHandle<()>,
}

impl Courier {
    /// Begins to work. Must be called within a runtime.
    pub(super) fn begin(channel: NewChannel, clock: Arc<dyn Clock>, pace: Pace) -> Self {
        let (sender, letters) = mpsc::channel(QUEUE_MAX);
        let shared = Arc::new(Shared::default());
        let worker = Worker { channel: channel.clone(), clock, pace, shared: Arc::clone(&shared) };
        Self { channel, locked: None, sender, shared, work: tokio::spawn(worker.work(letters)) }
    }

    /// It, with a secret that cannot be opened: it takes no letters, and what is to be told waits.
    pub(super) fn locked(self, why: String) -> Self {
        Self { locked: Some(why), ..self }
    }

    /// Why its secret cannot be opened.
    pub(super) fn lock(&self) -> Option<&str> {
        self.locked.as_deref()
    }

    /// The channel.
    pub(super) fn channel(&self) -> &NewChannel {
        &self.channel
    }

    /// Hands a letter in; false where the queue is full, and then it is lost, or where its secret cannot be opened.
    pub(super) fn take(&self, letter: Letter) -> bool {
        if self.locked.is_some() {
            return false;
        }
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        let is_taken = self.sender.try_send(letter).is_ok();
        if !is_taken {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            self.shared.record().has_given_up = true;
            tracing::warn!(channel = %self.channel.name, "{QUEUE_MAX} messages wait for this channel: another is lost");
        }
        is_taken
    }

    /// Takes note of a try outside of the queue.
    pub(super) fn tried(&self, outcome: Result<(), String>, now_ms: u64) {
        match outcome {
            Ok(()) => self.shared.taken(now_ms),
            Err(why) => self.shared.record().failure = Some(why),
        }
    }

    /// How it is, without its secret.
    pub(super) fn status(&self) -> ChannelStatus {
        let record = self.shared.record();
        let channel = &self.channel;
        ChannelStatus {
            name: channel.name.clone(),
            to: channel.to.clone(),
            least: channel.least,
            is_paused: channel.is_paused,
            has_secret: channel.secret.is_some() || self.locked.is_some(),
            waiting: self.shared.waiting.load(Ordering::Relaxed),
            lost: self.shared.lost.load(Ordering::Relaxed),
            delivered_ms: record.delivered_ms,
            failure: self.locked.clone().or_else(|| record.failure.clone()),
        }
    }

    /// Why messages were given up, where some were and none was taken since, or none is taken.
    pub(super) fn trouble(&self) -> Option<String> {
        if self.locked.is_some() {
            return self.locked.clone();
        }
        let record = self.shared.record();
        let why = || record.failure.clone().unwrap_or_else(|| "its queue is full".into());
        record.has_given_up.then(why)
    }

    /// Ends it: what waits has until `deadline` to be brought away.
    pub(super) async fn end(self, deadline: Duration) {
        let Self { sender, work, .. } = self;
        drop(sender);
        let abort = work.abort_handle();
        if tokio::time::timeout(deadline, work).await.is_err() {
            abort.abort();
        }
    }
}

struct Worker {
    channel: NewChannel,
    clock: Arc<dyn Clock>,
    pace: Pace,
    shared: Arc<Shared>,
}

impl Worker {
    async fn work(self, mut letters: mpsc::Receiver<Letter>) {
        while let Some(letter) = letters.recv().await {
            self.bring(&letter).await;
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Tries one letter until it is taken, refused for good, or tried often enough.
    async fn bring(&self, letter: &Letter) {
        let name = &self.channel.name;
        let waits = self.pace.waits.iter().copied().map(Some).chain([None]);
        for wait in waits {
            let now_ms = self.clock.wall_ms();
            let failed = match deliver(&self.channel, letter, now_ms, self.pace.deadline).await {
                Ok(_) => {
                    self.shared.taken(self.clock.wall_ms());
                    return;
                }
                Err(failed) => failed,
            };
            tracing::warn!(channel = %name, why = failed.why, "an alert was not delivered");
            let wait = wait.filter(|_| !failed.is_lasting);
            {
                let mut record = self.shared.record();
                record.failure = Some(failed.why);
                record.has_given_up |= wait.is_none();
            }
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => break,
            }
        }
        self.shared.lost.fetch_add(1, Ordering::Relaxed);
        tracing::error!(channel = %name, alerts = letter.notices.len(), "a message of alerts was given up");
    }
}

#[cfg(test)]
#[path = "courier_tests.rs"]
mod tests;
