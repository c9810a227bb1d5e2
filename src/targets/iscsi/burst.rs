//! The written data of one command: what has come, what may come unasked, what was asked for.
//!
//! Pure. Data comes in order, as was agreed on.
//!
//! Source: RFC 7143 4.2.5, 11.7, 11.8.

use std::collections::VecDeque;

use super::pdu::condition::Condition;
use super::pdu::request::DataOut;

/// A stretch that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Solicited {
    ttt: u32,
    end: u32,
}

/// A stretch to ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Which one of the command.
    pub r2t_sn: u32,
    /// Where it begins.
    pub offset: u32,
    /// How many bytes.
    pub len: u32,
}

/// The written data of one command.
#[derive(Debug)]
pub struct Burst {
    lun: u64,
    /// Bytes that the command takes; what comes beyond them is not kept.
    wanted: u32,
    /// Where the next byte belongs.
    next: u32,
    /// Where data ends that may come unasked; 0 where no more may come.
    unasked_end: u32,
    data_sn: u32,
    /// Up to where data came unasked or was asked for.
    asked: u32,
    r2t_sn: u32,
    outstanding: VecDeque<Solicited>,
}

/// What a command brought and may bring unasked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Beginning {
    /// The logical unit.
    pub lun: u64,
    /// Bytes that the command takes.
    pub wanted: u32,
    /// Bytes that the initiator will send.
    pub expected: u32,
    /// Bytes that came with the command.
    pub immediate: u32,
    /// Bytes that may come unasked in all; `None` where nothing follows before it is asked for.
    pub unasked: Option<u32>,
}

impl Burst {
    /// That of a command.
    pub fn new(beginning: &Beginning) -> Self {
        let Beginning { lun, wanted, expected, immediate, unasked } = *beginning;
        Self {
            lun,
            wanted: wanted.min(expected),
            next: immediate,
            unasked_end: unasked.map_or(0, |len| len.min(expected)),
            data_sn: 0,
            asked: immediate,
            r2t_sn: 0,
            outstanding: VecDeque::new(),
        }
    }

    /// Whether all has come that the command takes, and nothing more is on its way.
    pub fn is_complete(&self) -> bool {
        self.unasked_end == 0 && self.outstanding.is_empty() && self.next >= self.wanted
    }

    /// R2T PDUs that were sent.
    pub const fn r2t_count(&self) -> u32 {
        self.r2t_sn
    }

    /// Bytes of a piece that the command takes, before the piece is taken.
    pub fn kept(&self, data: &DataOut) -> usize {
        let room = self.wanted.saturating_sub(self.next);
        usize::try_from(room).map_or(data.len, |room| room.min(data.len))
    }

    /// Takes a piece.
    ///
    /// # Errors
    /// A condition where it is not the piece that comes next: the command is given up then.
    pub fn take(&mut self, data: &DataOut) -> Result<(), Condition> {
        let end = u32::try_from(data.len).ok().and_then(|len| self.next.checked_add(len));
        let end = end.ok_or(Condition::WrongAmount)?;
        let limit = match self.outstanding.front() {
            None if self.unasked_end > 0 && data.is_unsolicited() => self.unasked_end,
            Some(front) if front.ttt == data.ttt && self.unasked_end == 0 => front.end,
            _ => return Err(Condition::UnexpectedData),
        };
        if data.lun != self.lun && !data.is_unsolicited() {
            return Err(Condition::UnexpectedData);
        }
        if data.data_sn != self.data_sn {
            return Err(Condition::Sequence);
        }
        if data.offset != self.next {
            return Err(Condition::Sequence);
        }
        if end > limit {
            return Err(Condition::WrongAmount);
        }
        if data.is_final && end < limit && !data.is_unsolicited() {
            return Err(Condition::WrongAmount);
        }
        self.next = end;
        self.data_sn += 1;
        if data.is_final || end == limit {
            self.data_sn = 0;
            self.unasked_end = 0;
            self.asked = self.asked.max(end);
            self.outstanding.pop_front();
        }
        Ok(())
    }

    /// Passes over a piece of a command that was given up; says whether it was the last that comes.
    pub fn pass_over(&mut self, data: &DataOut) -> bool {
        if data.is_final {
            self.unasked_end = 0;
            self.outstanding.pop_front();
        }
        self.unasked_end == 0 && self.outstanding.is_empty()
    }

    /// The next stretch to ask for under the tag `ttt`, of at most `len_max` bytes, where fewer than
    /// `count_max` are outstanding.
    pub fn solicit(&mut self, ttt: u32, len_max: u32, count_max: u32) -> Option<Wanted> {
        let is_full = self.outstanding.len() as u64 >= u64::from(count_max);
        if self.unasked_end > 0 || is_full || self.asked >= self.wanted {
            return None;
        }
        let (offset, len) = (self.asked, (self.wanted - self.asked).min(len_max));
        let wanted = Wanted { r2t_sn: self.r2t_sn, offset, len };
        self.r2t_sn += 1;
        self.asked += len;
        self.outstanding.push_back(Solicited { ttt, end: self.asked });
        Some(wanted)
    }
}

#[cfg(test)]
#[path = "burst_tests.rs"]
mod tests;
