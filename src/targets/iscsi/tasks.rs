//! The commands of one session that are under way, by the ticket that answers carry and by their tags.

use std::collections::HashMap;

use super::burst::Burst;
use super::gathered::Gathered;
use super::order::Place;
use super::pdu::condition::Condition;
use crate::scsi::{self, Abort, Finish};

/// What the initiator expects to be transferred.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Expected {
    /// Bytes that it writes.
    pub written: u64,
    /// Bytes that it reads.
    pub read: u64,
    /// Whether it does both.
    pub is_bidirectional: bool,
}

/// A command under way.
pub struct Task {
    /// Its tag.
    pub itt: u32,
    /// Its number.
    pub cmd_sn: u32,
    /// Whether it took no place among the numbered ones.
    pub is_immediate: bool,
    /// Where it stands among others.
    pub place: Place,
    /// What the initiator expects.
    pub expected: Expected,
    /// Bytes of data that the command wants to be written.
    pub wanted: u64,
    /// Bytes of memory that it accounts for once it was admitted.
    pub need: u64,
    /// Whether it was.
    pub is_admitted: bool,
    /// R2T PDUs that were sent for it.
    pub r2t_count: u32,
    /// What aborts it.
    pub abort: Abort,
    /// How far it is.
    pub stage: Stage,
}

/// How far a command is.
pub enum Stage {
    /// Its data comes.
    Collecting {
        /// The command.
        command: scsi::Command,
        /// What has come, and what may come.
        burst: Burst,
        /// The data, unless a long segment is on its way into it.
        gathered: Option<Gathered>,
        /// Why it was given up; what is on its way for it is passed over.
        fault: Option<Condition>,
    },
    /// It may start when it is its turn.
    Ready {
        /// The command.
        command: scsi::Command,
        /// Its data.
        data: Gathered,
    },
    /// It is carried out, by a disk where there is something that makes a response of the answer.
    Running(Option<Finish>),
}

impl Task {
    /// Whether it is carried out.
    pub const fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Running(_))
    }
}

/// The commands under way.
#[derive(Default)]
pub struct Tasks {
    slots: Vec<Option<Task>>,
    free: Vec<usize>,
    by_itt: HashMap<u32, usize>,
    immediate: usize,
}

impl Tasks {
    /// Adds one; gives its slot.
    pub fn add(&mut self, task: Task) -> usize {
        self.immediate += usize::from(task.is_immediate);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.by_itt.insert(task.itt, slot);
        self.slots[slot] = Some(task);
        slot
    }

    /// The one in a slot.
    pub fn get(&mut self, slot: usize) -> Option<&mut Task> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// The slot of the one with this tag.
    pub fn find(&self, itt: u32) -> Option<usize> {
        self.by_itt.get(&itt).copied()
    }

    /// Removes the one in a slot.
    pub fn remove(&mut self, slot: usize) -> Option<Task> {
        let task = self.slots.get_mut(slot)?.take()?;
        self.forget_tag(slot, task.itt);
        self.immediate -= usize::from(task.is_immediate);
        self.free.push(slot);
        Some(task)
    }

    /// Its tag may be used again.
    pub fn forget_tag(&mut self, slot: usize, itt: u32) {
        if self.by_itt.get(&itt) == Some(&slot) {
            self.by_itt.remove(&itt);
        }
    }

    /// All of them, with their slots.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Task)> {
        self.slots.iter().enumerate().filter_map(|(slot, task)| Some((slot, task.as_ref()?)))
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many took no place among the numbered ones.
    pub const fn immediate(&self) -> usize {
        self.immediate
    }

    /// How many took one.
    pub const fn numbered(&self) -> usize {
        self.len() - self.immediate
    }
}
