//! The registry: what volumes, marks, views and groups there are. It is what all events so far make,
//! and nothing else; it does no I/O and knows no contents.
//!
//! Invariants: names of volumes and views are unique together; names of marks in their volume; sequences
//! and numbers are never used twice; a mark that a view shows is there as long as the view.

use std::collections::BTreeMap;

use base::id::Id;
use base::name::{MarkRef, Name};

use crate::error::StoreError;
use crate::event::{Event, Kind, MarkEntry, Policies};
use crate::notes::NoteKind;

/// A rollback whose contents are not all copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RollbackEntry {
    /// The sequence of the mark to which.
    pub to: u64,
    /// The sequence of the mark of what was there before.
    pub safety: u64,
    /// Whether copying goes on; once done, the entry only says what `undo` means.
    pub is_copying: bool,
}

/// A volume or view.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VolumeEntry {
    /// Its number in this pool.
    pub number: u32,
    /// Its identity.
    pub id: Id,
    /// Its name.
    pub name: Name,
    /// What its base is.
    pub kind: Kind,
    /// How many sectors it has.
    pub sectors: u64,
    /// When it was made.
    pub created_ms: u64,
    /// Its policies.
    pub policies: Policies,
    /// Its marks by sequence.
    pub marks: BTreeMap<u64, MarkEntry>,
    /// The sequence of its next mark.
    pub next_sequence: u64,
    /// The last rollback.
    pub rollback: Option<RollbackEntry>,
    /// Whether it is a view that is being made independent.
    pub is_promoting: bool,
    /// What doors want remembered of it.
    pub notes: BTreeMap<NoteKind, Vec<u8>>,
}

impl VolumeEntry {
    /// The epoch that is being written: the sequence of the newest mark ever taken, 0 before the first.
    pub fn epoch(&self) -> u64 {
        self.next_sequence - 1
    }

    /// The newest mark with a sequence of at most `epoch`: the one for which a block that is first
    /// overwritten in that epoch must be preserved.
    pub fn newest_mark_at(&self, epoch: u64) -> Option<u64> {
        self.marks.range(..=epoch).next_back().map(|(sequence, _)| *sequence)
    }

    /// The rollback that is still copying.
    pub fn copying_rollback(&self) -> Option<RollbackEntry> {
        self.rollback.filter(|rollback| rollback.is_copying)
    }

    /// The mark of this name.
    pub fn mark_named(&self, name: &Name) -> Option<(u64, &MarkEntry)> {
        self.marks.iter().find(|(_, mark)| mark.name == *name).map(|(s, mark)| (*s, mark))
    }

    /// Whether it is a view.
    pub fn is_view(&self) -> bool {
        matches!(self.kind, Kind::View { .. })
    }
}

/// All of them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Registry {
    volumes: BTreeMap<u32, VolumeEntry>,
    names: BTreeMap<Name, u32>,
    groups: BTreeMap<Name, Vec<u32>>,
    next_number: u32,
    /// How long the pool has lived, in milliseconds.
    lived_ms: u64,
}

impl Registry {
    /// Applies one event. An event about something that is not there changes nothing: replay may meet
    /// events whose subject a later checkpoint already knew as removed.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Created { volume, id, name, kind, sectors, created_ms } => {
                self.next_number = self.next_number.max(volume + 1);
                self.names.insert(name.clone(), *volume);
                let entry = VolumeEntry {
                    number: *volume,
                    id: *id,
                    name: name.clone(),
                    kind: kind.clone(),
                    sectors: *sectors,
                    created_ms: *created_ms,
                    policies: Policies::default(),
                    marks: BTreeMap::new(),
                    next_sequence: 1,
                    rollback: None,
                    is_promoting: false,
                    notes: BTreeMap::new(),
                };
                self.volumes.insert(*volume, entry);
            }
            Event::Removed { volume } => {
                if let Some(entry) = self.volumes.remove(volume) {
                    self.names.remove(&entry.name);
                }
                for members in self.groups.values_mut() {
                    members.retain(|member| member != volume);
                }
                self.groups.retain(|_, members| !members.is_empty());
            }
            Event::Marked { marks } => {
                for (volume, sequence, mark) in marks {
                    if let Some(entry) = self.volumes.get_mut(volume) {
                        entry.next_sequence = entry.next_sequence.max(sequence + 1);
                        entry.marks.insert(*sequence, mark.clone());
                    }
                }
            }
            Event::GroupSet { name, volumes } => {
                self.groups.insert(name.clone(), volumes.clone());
            }
            Event::GroupRemoved { name } => {
                self.groups.remove(name);
            }
            Event::Counters { next_number, next_sequences } => {
                self.next_number = self.next_number.max(*next_number);
                for (volume, sequence) in next_sequences {
                    if let Some(entry) = self.volumes.get_mut(volume) {
                        entry.next_sequence = entry.next_sequence.max(*sequence);
                    }
                }
            }
            Event::Lived { ms } => self.note_lived(*ms),
            Event::Grown { volume, .. }
            | Event::PoliciesSet { volume, .. }
            | Event::MarkRemoved { volume, .. }
            | Event::MarkChanged { volume, .. }
            | Event::RolledBack { volume, .. }
            | Event::RollbackCopied { volume }
            | Event::PromotionStarted { volume }
            | Event::Promoted { volume }
            | Event::NoteKept { volume, .. } => {
                if let Some(entry) = self.volumes.get_mut(volume) {
                    apply_to(entry, event);
                }
            }
        }
    }

    /// The shortest list of events that makes this registry.
    pub fn to_events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for entry in self.volumes.values() {
            let volume = entry.number;
            events.push(Event::Created {
                volume,
                id: entry.id,
                name: entry.name.clone(),
                kind: entry.kind.clone(),
                sectors: entry.sectors,
                created_ms: entry.created_ms,
            });
            events.push(Event::PoliciesSet { volume, policies: entry.policies });
            events.extend(
                entry
                    .marks
                    .iter()
                    .map(|(s, mark)| Event::Marked { marks: vec![(volume, *s, mark.clone())] }),
            );
            if let Some(rollback) = entry.rollback
                && let Some(mark) = entry.marks.get(&rollback.safety)
            {
                let (to, safety, mark) = (rollback.to, rollback.safety, mark.clone());
                events.push(Event::RolledBack { volume, to, safety, mark });
                if !rollback.is_copying {
                    events.push(Event::RollbackCopied { volume });
                }
            }
            if entry.is_promoting {
                events.push(Event::PromotionStarted { volume });
            }
            events.extend(entry.notes.iter().map(|(kind, bytes)| Event::NoteKept {
                volume,
                kind: *kind,
                bytes: Some(bytes.clone()),
            }));
        }
        for (name, volumes) in &self.groups {
            events.push(Event::GroupSet { name: name.clone(), volumes: volumes.clone() });
        }
        // Only where there is something to say: so a pool whose time never passed looks as it always did.
        if self.lived_ms > 0 {
            events.push(Event::Lived { ms: self.lived_ms });
        }
        events.push(Event::Counters {
            next_number: self.next_number,
            next_sequences: self.volumes.values().map(|v| (v.number, v.next_sequence)).collect(),
        });
        events
    }

    /// The volume or view with this identity.
    pub fn of_id(&self, id: Id) -> Option<&VolumeEntry> {
        self.volumes.values().find(|entry| entry.id == id)
    }

    /// How long the pool has lived, in milliseconds, as far as it was noted.
    pub fn lived_ms(&self) -> u64 {
        self.lived_ms
    }

    /// Notes how long the pool has lived. It never goes back.
    pub fn note_lived(&mut self, ms: u64) {
        self.lived_ms = self.lived_ms.max(ms);
    }

    /// Whether there is a hold or a lock that has not ended yet and will.
    pub fn is_waiting_for_an_end(&self) -> bool {
        let mut marks = self.volumes.values().flat_map(|entry| entry.marks.values());
        marks.any(|mark| mark.kept.is_to_end_after(self.lived_ms))
    }

    /// The number of the next volume.
    pub fn next_number(&self) -> u32 {
        self.next_number
    }

    /// All volumes and views in order of number.
    pub fn volumes(&self) -> impl Iterator<Item = &VolumeEntry> {
        self.volumes.values()
    }

    /// How many volumes and views there are.
    pub fn len(&self) -> usize {
        self.volumes.len()
    }

    /// The volume or view with this number.
    pub fn get(&self, number: u32) -> Option<&VolumeEntry> {
        self.volumes.get(&number)
    }

    /// The volume or view of this name.
    ///
    /// # Errors
    /// `UnknownVolume`.
    pub fn named(&self, name: &Name) -> Result<&VolumeEntry, StoreError> {
        self.names
            .get(name)
            .and_then(|number| self.volumes.get(number))
            .ok_or_else(|| StoreError::UnknownVolume(name.clone()))
    }

    /// The volume and the sequence of a mark.
    ///
    /// # Errors
    /// `UnknownVolume`, `UnknownMark`.
    pub fn mark(&self, of: &MarkRef) -> Result<(&VolumeEntry, u64), StoreError> {
        let volume = self.named(&of.volume)?;
        let (sequence, _) =
            volume.mark_named(&of.mark).ok_or_else(|| StoreError::UnknownMark(of.clone()))?;
        Ok((volume, sequence))
    }

    /// The views of one mark.
    pub fn views_of(&self, volume: u32, mark: u64) -> impl Iterator<Item = &VolumeEntry> {
        self.views_below(volume).filter_map(move |(shown, view)| (shown == mark).then_some(view))
    }

    /// The views of the marks of one volume, each with its mark. Looks at every volume of the pool once.
    pub fn views_below(&self, volume: u32) -> impl Iterator<Item = (u64, &VolumeEntry)> {
        self.volumes.values().filter_map(move |entry| match entry.kind {
            Kind::View { parent, mark } if parent == volume => Some((mark, entry)),
            _ => None,
        })
    }

    /// The groups by name.
    pub fn groups(&self) -> impl Iterator<Item = (&Name, &Vec<u32>)> {
        self.groups.iter()
    }

    /// Whether a volume, view or group has this name.
    pub fn is_taken(&self, name: &Name) -> bool {
        self.names.contains_key(name)
    }
}

fn apply_to(entry: &mut VolumeEntry, event: &Event) {
    match event {
        Event::Grown { sectors, .. } => entry.sectors = entry.sectors.max(*sectors),
        Event::PoliciesSet { policies, .. } => entry.policies = *policies,
        Event::MarkRemoved { sequence, .. } => {
            entry.marks.remove(sequence);
            entry.rollback = entry
                .rollback
                .filter(|r| r.safety != *sequence && (r.to != *sequence || !r.is_copying));
        }
        Event::MarkChanged { sequence, mark, .. } => {
            if let Some(old) = entry.marks.get_mut(sequence) {
                *old = mark.clone();
            }
        }
        Event::RolledBack { to, safety, mark, .. } => {
            entry.next_sequence = entry.next_sequence.max(safety + 1);
            entry.marks.insert(*safety, mark.clone());
            entry.rollback = Some(RollbackEntry { to: *to, safety: *safety, is_copying: true });
        }
        Event::RollbackCopied { .. } => {
            if let Some(rollback) = &mut entry.rollback {
                rollback.is_copying = false;
            }
        }
        Event::PromotionStarted { .. } => entry.is_promoting = true,
        Event::Promoted { .. } => {
            entry.is_promoting = false;
            entry.kind = Kind::Thin;
        }
        Event::NoteKept { kind, bytes: Some(bytes), .. } => {
            entry.notes.insert(*kind, bytes.clone());
        }
        Event::NoteKept { kind, bytes: None, .. } => {
            entry.notes.remove(kind);
        }
        Event::Created { .. }
        | Event::Removed { .. }
        | Event::Marked { .. }
        | Event::GroupSet { .. }
        | Event::GroupRemoved { .. }
        | Event::Lived { .. }
        | Event::Counters { .. } => {}
    }
}
