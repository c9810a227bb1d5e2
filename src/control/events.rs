//! What has just changed, told to whoever listens: what it is and what it is called, never its contents.
//!
//! Who is told asks for the thing again. Nothing is kept: who was not there, or is too slow, looks at everything
//! once. What changes without being asked to (sessions, progress, troubles) is looked at only while somebody
//! listens, once a second.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use base::clock::Clock;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::appliance::Appliance;
use crate::error::ControlError;

/// Events that one listener may be behind before it is told to look again.
const BEHIND_MAX: usize = 256;
/// Listeners at once: browser tabs and programs. Each costs a connection and a task.
pub const LISTENERS_MAX: usize = 64;
/// How soon what changes by itself is told.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// What changed.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A volume was made, changed or removed.
    Volume,
    /// A mark of the volume that is named.
    Mark,
    /// A view.
    View,
    /// A group.
    Group,
    /// A target, or what it has: LUNs, initiators, accounts; or the state of a port group.
    Target,
    /// Something was attached to the host, or taken away.
    Attachment,
    /// A job began, went on or ended.
    Job,
    /// A client came or went.
    Session,
    /// What a person should look at has changed.
    Status,
    /// An alert fired, changed or resolved.
    Alert,
    /// Events were missed: everything may have changed.
    Again,
}

impl EventKind {
    /// As it is written.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Volume => "volume",
            Self::Mark => "mark",
            Self::View => "view",
            Self::Group => "group",
            Self::Target => "target",
            Self::Attachment => "attachment",
            Self::Job => "job",
            Self::Session => "session",
            Self::Status => "status",
            Self::Alert => "alert",
            Self::Again => "again",
        }
    }
}

/// An event.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// What changed.
    pub kind: EventKind,
    /// What it is called; none where all of that kind may have changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
}

/// Where events are told. A copy tells the same listeners.
#[derive(Clone)]
pub struct Events {
    clock: Arc<dyn Clock>,
    /// None once it is closed.
    sender: Arc<Mutex<Option<broadcast::Sender<Event>>>>,
}

/// Somebody who listens.
pub struct Listener {
    clock: Arc<dyn Clock>,
    receiver: broadcast::Receiver<Event>,
}

impl Events {
    /// Nobody listens yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let (sender, _) = broadcast::channel(BEHIND_MAX);
        Self { clock, sender: Arc::new(Mutex::new(Some(sender))) }
    }

    /// Tells that this has changed.
    pub fn tell(&self, kind: EventKind, name: impl fmt::Display) {
        self.send(kind, Some(name.to_string()));
    }

    /// Tells that something of this kind has changed.
    pub fn tell_all(&self, kind: EventKind) {
        self.send(kind, None);
    }

    /// Listens from now on.
    ///
    /// # Errors
    /// `Conflict` where as many listen as may, or the daemon stops.
    pub fn listen(&self) -> Result<Listener, ControlError> {
        let sender = self.sender();
        let Some(sender) = sender.as_ref() else {
            return Err(ControlError::Conflict {
                why: "the daemon stops".into(),
                way_out: "listen again when it is back".into(),
            });
        };
        if sender.receiver_count() >= LISTENERS_MAX {
            return Err(ControlError::Conflict {
                why: format!("{LISTENERS_MAX} listen to events, which is the most"),
                way_out: "end one of them, such as a page of the console that is open".into(),
            });
        }
        Ok(Listener { clock: Arc::clone(&self.clock), receiver: sender.subscribe() })
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.sender().as_ref().map_or(0, broadcast::Sender::receiver_count)
    }

    /// Ends all listening: what was told before is still heard.
    pub fn close(&self) {
        self.sender().take();
    }

    fn send(&self, kind: EventKind, name: Option<String>) {
        if let Some(sender) = self.sender().as_ref() {
            // Nobody listens: then nobody misses it.
            let _ = sender.send(Event { kind, name, at_ms: self.clock.wall_ms() });
        }
    }

    fn sender(&self) -> MutexGuard<'_, Option<broadcast::Sender<Event>>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// The next event, [`EventKind::Again`] after some were missed, or none where there will be no more.
    pub async fn next(&mut self) -> Option<Event> {
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(_)) => {
                Some(Event { kind: EventKind::Again, name: None, at_ms: self.clock.wall_ms() })
            }
            Err(RecvError::Closed) => None,
        }
    }
}

/// What is looked at while somebody listens.
#[derive(Default, PartialEq, Eq)]
struct Seen {
    sessions: Vec<u64>,
    marks: BTreeMap<String, usize>,
    troubles: Vec<String>,
}

impl Seen {
    fn of(appliance: &Appliance) -> Self {
        let status = appliance.status();
        let marks = status.volumes.iter().map(|one| (one.name.to_string(), one.marks));
        let troubles = status.troubles.iter().map(|one| format!("{}: {}", one.of, one.what));
        Self {
            sessions: appliance.sessions().iter().map(|session| session.id).collect(),
            marks: marks.collect(),
            troubles: troubles.collect(),
        }
    }

    /// What is told of the difference to what was seen before.
    fn changes(&self, before: &Self) -> Vec<(EventKind, Option<String>)> {
        let mut all = Vec::new();
        if self.sessions != before.sessions {
            all.push((EventKind::Session, None));
        }
        // Marks that the pool itself dropped. A volume that is new or gone was told of as a volume.
        for (name, marks) in &self.marks {
            if before.marks.get(name).is_some_and(|there| there != marks) {
                all.push((EventKind::Mark, Some(name.clone())));
            }
        }
        if self.troubles != before.troubles {
            all.push((EventKind::Status, None));
        }
        all
    }
}

/// Tells of what changes by itself, for as long as the appliance is there.
pub(crate) async fn watch(appliance: Weak<Appliance>) {
    let mut before: Option<Seen> = None;
    loop {
        tokio::time::sleep(WATCH_INTERVAL).await;
        let Some(appliance) = appliance.upgrade() else { return };
        let events = appliance.events();
        if events.listeners() == 0 {
            before = None;
            continue;
        }
        let now = Seen::of(&appliance);
        for (kind, name) in before.as_ref().map(|before| now.changes(before)).unwrap_or_default() {
            events.send(kind, name);
        }
        before = Some(now);
        if appliance.jobs().running() > 0 {
            events.tell_all(EventKind::Job);
        }
    }
}

#[cfg(test)]
mod tests {
    use base::clock::ManualClock;

    use super::*;

    fn events() -> Events {
        Events::new(Arc::new(ManualClock::default()))
    }

    #[tokio::test]
    async fn who_listens_is_told_what_changed_and_who_came_later_is_not() {
        let events = events();
        let mut early = events.listen().unwrap();
        events.tell(EventKind::Volume, "mail");
        let mut late = events.listen().unwrap();
        events.tell_all(EventKind::Session);
        let heard = early.next().await.unwrap();
        assert_eq!((heard.kind, heard.name.as_deref()), (EventKind::Volume, Some("mail")));
        for listener in [&mut early, &mut late] {
            assert_eq!(listener.next().await.unwrap().kind, EventKind::Session);
        }
    }

    #[tokio::test]
    async fn who_is_too_slow_is_told_to_look_again_and_then_hears_on() {
        let events = events();
        let mut slow = events.listen().unwrap();
        for number in 0..BEHIND_MAX + 3 {
            events.tell(EventKind::Volume, number);
        }
        assert_eq!(slow.next().await.unwrap().kind, EventKind::Again);
        assert_eq!(slow.next().await.unwrap().name.as_deref(), Some("3"));
    }

    #[tokio::test]
    async fn only_so_many_may_listen_and_who_leaves_makes_room() {
        let events = events();
        let mut all: Vec<_> = (0..LISTENERS_MAX).map(|_| events.listen().unwrap()).collect();
        assert!(events.listen().is_err_and(|error| error.to_string().contains("64")));
        all.pop();
        assert!(events.listen().is_ok());
    }

    #[tokio::test]
    async fn when_it_is_closed_listening_ends_and_nobody_comes_in() {
        let events = events();
        let mut listener = events.listen().unwrap();
        events.tell_all(EventKind::Status);
        events.clone().close();
        events.tell_all(EventKind::Status);
        assert!(listener.next().await.is_some());
        assert!(listener.next().await.is_none() && events.listen().is_err());
    }

    #[test]
    fn what_changed_by_itself_is_told_once() {
        let seen = |sessions: &[u64], marks: usize| Seen {
            sessions: sessions.to_vec(),
            marks: BTreeMap::from([("mail".to_owned(), marks)]),
            troubles: Vec::new(),
        };
        assert!(seen(&[1], 2).changes(&seen(&[1], 2)).is_empty());
        assert_eq!(seen(&[], 2).changes(&seen(&[1], 2)), [(EventKind::Session, None)]);
        let expected = [(EventKind::Mark, Some("mail".to_owned()))];
        assert_eq!(seen(&[1], 1).changes(&seen(&[1], 2)), expected);
        assert!(seen(&[], 2).changes(&Seen::default()).is_empty(), "a new volume is no mark");
    }

    #[test]
    fn a_kind_is_written_as_programs_read_it() {
        let event = Event { kind: EventKind::Again, name: None, at_ms: 1 };
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(text, r#"{"kind":"again","at_ms":1}"#);
        assert!(text.contains(EventKind::Again.word()));
    }
}
