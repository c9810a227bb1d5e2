//! What keeps marks: holds, with an end or without, and locks; and the time by which they end.
//!
//! That time is the pool's own: how long it has been open, all its lives together. It is counted by the monotonic
//! clock and never by the one on the wall, so that no moved clock lets a mark go early. It stands still while the
//! pool is closed. It is noted in the journal once a minute while something waits for it, and in every checkpoint;
//! a process that is killed loses what was not noted yet, so that a hold or lock lasts a minute longer then.
//!
//! A hold is a wish, which whoever asked for it may take back. A lock is a promise: it can be made longer, and
//! nothing here makes it shorter or lets its mark go.

use std::sync::MutexGuard;
use std::time::Duration;

use base::codec::{CodecError, Reader, Writer};
use base::limits::KEPT_DAYS_MAX;
use base::name::{MarkRef, Name};
use base::span::Span;

use crate::error::StoreError;
use crate::event::Event;
use crate::pool::{Core, Pool};
use crate::registry::{Registry, VolumeEntry};
use crate::status::MarkStatus;

/// How often the pool's time is noted: what a lock may last longer after a kill, and one small frame's cost.
const NOTE_INTERVAL_MS: u64 = 60_000;

/// What a lock may last longer for want of a note when it is made: a policy that locks many marks at once costs no
/// note for each.
const JUST_NOW_MS: u64 = 1000;

const HELD: u8 = 1;
const HOLD_ENDS: u8 = 2;
const LOCKED: u8 = 4;

/// What keeps one mark. Ends are moments of the pool's own time, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Kept {
    /// Whether it is held.
    pub is_held: bool,
    /// When the hold ends, where it does by itself.
    pub held_until: Option<u64>,
    /// When the lock ends, where there is one.
    pub locked_until: Option<u64>,
}

impl Kept {
    /// Nothing but a lock until then.
    pub fn locked(until: Option<u64>) -> Self {
        Self { locked_until: until, ..Self::default() }
    }

    /// Whether a hold keeps it at this moment.
    pub fn is_held_at(&self, lived_ms: u64) -> bool {
        self.is_held && self.held_until.is_none_or(|end| lived_ms < end)
    }

    /// Milliseconds of the lock that are left at this moment; `None` where no lock keeps it.
    pub fn lock_left_at(&self, lived_ms: u64) -> Option<u64> {
        self.locked_until?.checked_sub(lived_ms).filter(|left| *left > 0)
    }

    /// Whether a hold or a lock ends after this moment.
    pub fn is_to_end_after(&self, lived_ms: u64) -> bool {
        self.held_until.max(self.locked_until).is_some_and(|end| lived_ms < end)
    }

    /// The byte that says which of it there is; 0 and 1 are those of marks that know no ends.
    pub(crate) fn flags(&self) -> u8 {
        let ends = self.held_until.map_or(0, |_| HOLD_ENDS);
        let locked = self.locked_until.map_or(0, |_| LOCKED);
        if self.is_held { HELD | ends | locked } else { locked }
    }

    /// Appends the ends that the flags tell of.
    pub(crate) fn encode_ends(&self, w: &mut Writer) {
        for end in self.held_until.filter(|_| self.is_held).into_iter().chain(self.locked_until) {
            w.u64(end);
        }
    }

    /// Takes the ends that these flags tell of.
    ///
    /// # Errors
    /// `Short` where the bytes end, `Invalid` where there are no such flags.
    pub(crate) fn decode(flags: u8, r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let is_held = flags & HELD != 0;
        if flags > HELD | HOLD_ENDS | LOCKED || (flags & HOLD_ENDS != 0 && !is_held) {
            return Err(CodecError::Invalid { field: "hold", value: flags.into() });
        }
        let mut end = |flag| if flags & flag == 0 { Ok(None) } else { r.counter().map(Some) };
        Ok(Self { is_held, held_until: end(HOLD_ENDS)?, locked_until: end(LOCKED)? })
    }
}

/// Where the pool's own time stood when it was opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lived {
    /// Milliseconds of all its lives before this one.
    pub before_ms: u64,
    /// What the monotonic clock said then.
    pub opened: Duration,
}

impl Pool {
    /// How long the pool has been open, all its lives together, in milliseconds.
    pub fn lived_ms(&self) -> u64 {
        let open = self.world.clock.monotonic().saturating_sub(self.lived.opened);
        self.lived.before_ms.saturating_add(u64::try_from(open.as_millis()).unwrap_or(u64::MAX))
    }

    /// The state, with the pool's own time in the registry: for whoever asks what keeps a mark.
    pub(crate) fn lock_now(&self) -> MutexGuard<'_, Core> {
        let lived_ms = self.lived_ms();
        let mut core = self.lock();
        core.registry.note_lived(lived_ms);
        core
    }

    /// Notes the pool's own time in the journal, where something waits for it and it was not noted of late.
    pub(crate) async fn note_lived(&self) {
        let is_due = {
            let core = self.lock_now();
            let since = core.registry.lived_ms().saturating_sub(core.lived_noted_ms);
            since >= NOTE_INTERVAL_MS
                && core.refusal().is_none()
                && core.registry.is_waiting_for_an_end()
        };
        if is_due && let Err(error) = self.commit_lived().await {
            tracing::debug!(%error, "note how long the pool has lived; a later look tries again");
        }
    }

    /// Notes it where it was not noted just now: what is to end is counted from here, and must not be from an older
    /// note.
    pub(crate) async fn commit_lived(&self) -> Result<(), StoreError> {
        let ms = self.lived_ms();
        if ms < self.lock().lived_noted_ms.saturating_add(JUST_NOW_MS) {
            return Ok(());
        }
        self.commit(Event::Lived { ms }, |core| core.lived_noted_ms = ms).await
    }

    /// When something of this length ends that begins now, by the pool's own time.
    ///
    /// # Errors
    /// `Limit` where it is longer than can be asked for.
    pub(crate) fn end_of(&self, span: Span) -> Result<u64, StoreError> {
        if span > Span::days(KEPT_DAYS_MAX) {
            return Err(StoreError::Limit(format!(
                "{span} is longer than {KEPT_DAYS_MAX} days; say a shorter time and make it longer when it is nearly over"
            )));
        }
        Ok(self.lived_ms().saturating_add(span.ms()))
    }

    /// Keeps a mark from being thinned or removed, for so long or until it is released. A hold that is there
    /// is replaced.
    ///
    /// # Errors
    /// `UnknownVolume`, `UnknownMark`, `Limit`.
    pub async fn hold_mark(
        &self,
        mark: &MarkRef,
        span: Option<Span>,
    ) -> Result<MarkStatus, StoreError> {
        let end = || span.map(|span| self.end_of(span)).transpose();
        if end()?.is_some() {
            self.commit_lived().await?;
        }
        self.change_mark(mark, |_, changed| {
            let held_until = end()?;
            changed.kept = Kept { is_held: true, held_until, ..changed.kept };
            Ok(())
        })
        .await?;
        self.mark(mark)
    }

    /// Lets a held mark go again. A lock stays.
    ///
    /// # Errors
    /// `UnknownVolume`, `UnknownMark`.
    pub async fn release_mark(&self, mark: &MarkRef) -> Result<MarkStatus, StoreError> {
        self.change_mark(mark, |_, changed| {
            changed.kept = Kept::locked(changed.kept.locked_until);
            Ok(())
        })
        .await?;
        self.mark(mark)
    }

    /// Locks a mark for so long from now: until then nothing removes it, and nobody can take the lock back.
    ///
    /// # Errors
    /// `UnknownVolume`, `UnknownMark`, `Limit`; `LockedLonger` where it is locked for longer already.
    pub async fn lock_mark(&self, mark: &MarkRef, span: Span) -> Result<MarkStatus, StoreError> {
        self.end_of(span)?;
        self.commit_lived().await?;
        self.change_mark(mark, |_, changed| {
            let end = self.end_of(span)?;
            let now = changed.kept.locked_until.unwrap_or(0);
            if now > end {
                let left = Span::left(now.saturating_sub(self.lived_ms()));
                return Err(StoreError::LockedLonger { mark: mark.clone(), left });
            }
            changed.kept.locked_until = Some(end);
            Ok(())
        })
        .await?;
        self.mark(mark)
    }

    /// Whether this mark may be removed.
    ///
    /// # Errors
    /// `UnknownVolume`, `UnknownMark`; `MarkInUse`, with what keeps it.
    pub fn check_mark_may_go(&self, mark: &MarkRef) -> Result<(), StoreError> {
        let core = self.lock_now();
        let (entry, sequence) = core.registry.mark(mark)?;
        match crate::marks::obstacle(&core.registry, entry, sequence) {
            Some(by) => Err(StoreError::MarkInUse { mark: mark.clone(), by }),
            None => Ok(()),
        }
    }

    /// Whether this volume or view may go with all its marks.
    ///
    /// # Errors
    /// `UnknownVolume`; `Busy` where a view shows one of its marks or one is locked.
    pub fn check_may_go(&self, name: &Name) -> Result<(), StoreError> {
        let core = self.lock_now();
        check_may_leave(&core.registry, core.registry.named(name)?)
    }
}

/// Whether a volume or view may go with all its marks.
///
/// # Errors
/// `Busy` where a view still shows one of its marks, or one is locked.
pub(crate) fn check_may_leave(registry: &Registry, entry: &VolumeEntry) -> Result<(), StoreError> {
    if let Some((_, view)) = registry.views_below(entry.number).next() {
        let why =
            format!("the view {} shows one of its marks; remove or promote it first", view.name);
        return Err(StoreError::Busy { what: entry.name.to_string(), why });
    }
    let Some((mark, left)) = last_lock(registry, entry) else { return Ok(()) };
    let why = format!(
        "its mark {mark} is locked for another {}; it can go after that, and nobody can unlock it before",
        Span::left(left)
    );
    Err(StoreError::Busy { what: entry.name.to_string(), why })
}

/// The lock of a volume that ends last: its mark, and what is left of it in milliseconds.
fn last_lock<'a>(registry: &Registry, entry: &'a VolumeEntry) -> Option<(&'a Name, u64)> {
    locks(registry, entry).max_by_key(|(_, left)| *left)
}

fn locks<'a>(
    registry: &Registry,
    entry: &'a VolumeEntry,
) -> impl Iterator<Item = (&'a Name, u64)> + use<'a> {
    let lived_ms = registry.lived_ms();
    entry
        .marks
        .values()
        .filter_map(move |mark| Some((&mark.name, mark.kept.lock_left_at(lived_ms)?)))
}

/// What keeps the marks of a volume of which none may go, in words to follow "no mark may go".
pub(crate) fn what_keeps_all(registry: &Registry, entry: &VolumeEntry) -> String {
    let count = locks(registry, entry).count();
    let first = locks(registry, entry).map(|(_, left)| left).min();
    first.map_or_else(String::new, |left| {
        format!(" ({count} of them locked, the first for another {})", Span::left(left))
    })
}

#[cfg(test)]
#[path = "kept_tests.rs"]
mod tests;
