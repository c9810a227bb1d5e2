//! What a target says: headers made of values. Their sequence numbers are stamped by whoever sends them.
//!
//! Source: RFC 7143 11.4, 11.6, 11.7, 11.8, 11.9, 11.11, 11.15, 11.17, 11.19.

use super::head::Head;
use super::wire::{EVENT_LOGOUT, NO_TAG, at, flag, response};

/// How much more or less there was to transfer than was expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Residual {
    /// Neither.
    #[default]
    None,
    /// More by so many bytes.
    Over(u32),
    /// Less by so many bytes.
    Under(u32),
}

impl Residual {
    /// Of `len` bytes where `expected` ones were expected.
    pub fn of(expected: u64, len: u64) -> Self {
        let count = u32::try_from(expected.abs_diff(len)).unwrap_or(u32::MAX);
        match expected.cmp(&len) {
            std::cmp::Ordering::Equal => Self::None,
            std::cmp::Ordering::Less => Self::Over(count),
            std::cmp::Ordering::Greater => Self::Under(count),
        }
    }

    const fn flags(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Over(_) => flag::OVERFLOW,
            Self::Under(_) => flag::UNDERFLOW,
        }
    }

    const fn read_flags(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Over(_) => flag::READ_OVERFLOW,
            Self::Under(_) => flag::READ_UNDERFLOW,
        }
    }

    const fn count(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Over(count) | Self::Under(count) => count,
        }
    }
}

/// The end of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommandEnd {
    /// The tag of the command.
    pub itt: u32,
    /// The SCSI status.
    pub status: u8,
    /// Of what was written, or of what was read where the command is not bidirectional.
    pub residual: Residual,
    /// Of what a bidirectional command read.
    pub read_residual: Residual,
    /// Data-In and R2T PDUs that were sent for it.
    pub exp_data_sn: u32,
}

impl CommandEnd {
    /// A SCSI Response.
    pub fn head(&self) -> Head {
        let flags = flag::FINAL | self.residual.flags() | self.read_residual.read_flags();
        Head::new(response::COMMAND, flags)
            .with_byte(at::STATUS, self.status)
            .with_itt(self.itt)
            .with_word(at::DATA_SN, self.exp_data_sn)
            .with_word(at::OFFSET, self.read_residual.count())
            .with_word(at::RESIDUAL, self.residual.count())
    }
}

/// A piece of read data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DataIn {
    /// The tag of its command.
    pub itt: u32,
    /// Which one of its command.
    pub data_sn: u32,
    /// Where its data belongs.
    pub offset: u32,
    /// Bytes of data.
    pub len: usize,
    /// Whether it ends a sequence.
    pub is_final: bool,
    /// The end of the command, where it brings that: the status is GOOD.
    pub end: Option<Residual>,
}

impl DataIn {
    /// A SCSI Data-In.
    pub fn head(&self) -> Head {
        let end = self.end.map_or(0, |residual| flag::STATUS | residual.flags());
        let last = if self.is_final { flag::FINAL } else { 0 };
        Head::new(response::DATA_IN, end | last)
            .with_data_len(self.len)
            .with_itt(self.itt)
            .without_ttt()
            .with_word(at::DATA_SN, self.data_sn)
            .with_word(at::OFFSET, self.offset)
            .with_word(at::RESIDUAL, self.end.map_or(0, Residual::count))
    }
}

/// A request for written data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadyToTransfer {
    /// The logical unit.
    pub lun: u64,
    /// The tag of the command.
    pub itt: u32,
    /// Its own tag.
    pub ttt: u32,
    /// Which one of the command.
    pub r2t_sn: u32,
    /// Where the data belongs.
    pub offset: u32,
    /// How many bytes.
    pub len: u32,
}

impl ReadyToTransfer {
    /// A Ready To Transfer.
    pub fn head(&self) -> Head {
        Head::new(response::R2T, flag::FINAL)
            .with_lun(self.lun)
            .with_itt(self.itt)
            .with_ttt(self.ttt)
            .with_word(at::DATA_SN, self.r2t_sn)
            .with_word(at::OFFSET, self.offset)
            .with_word(at::RESIDUAL, self.len)
    }
}

/// The answer to a task management function.
pub fn managed(itt: u32, answer: u8) -> Head {
    Head::new(response::TASK_MANAGEMENT, flag::FINAL).with_byte(at::RESPONSE, answer).with_itt(itt)
}

/// The answer to a ping.
pub fn pong(itt: u32, lun: u64) -> Head {
    Head::new(response::NOP_IN, flag::FINAL).with_lun(lun).with_itt(itt).without_ttt()
}

/// A ping under this tag.
pub fn ping(ttt: u32) -> Head {
    Head::new(response::NOP_IN, flag::FINAL).with_itt(NO_TAG).with_ttt(ttt)
}

/// An answer to a text: whole.
pub fn text(itt: u32) -> Head {
    Head::new(response::TEXT, flag::FINAL).with_itt(itt).without_ttt()
}

/// A part of an answer to a text, that goes on under this tag.
pub fn text_part(itt: u32, ttt: u32) -> Head {
    Head::new(response::TEXT, flag::CONTINUE).with_itt(itt).with_ttt(ttt)
}

/// An answer to a text, or to a part of one, under whose tag more may be asked.
pub fn text_so_far(itt: u32, ttt: u32) -> Head {
    Head::new(response::TEXT, 0).with_itt(itt).with_ttt(ttt)
}

/// The answer to a farewell.
pub fn left(itt: u32, answer: u8) -> Head {
    Head::new(response::LOGOUT, flag::FINAL).with_byte(at::RESPONSE, answer).with_itt(itt)
}

/// Rejects a PDU, whose header follows as data.
pub fn reject(reason: u8) -> Head {
    Head::new(response::REJECT, flag::FINAL).with_byte(at::RESPONSE, reason).with_itt(NO_TAG)
}

/// Asks for a logout within so many seconds.
pub fn please_leave(seconds: u16) -> Head {
    Head::new(response::ASYNC, flag::FINAL)
        .with_itt(NO_TAG)
        .with_byte(at::DATA_SN, EVENT_LOGOUT)
        .with_half(at::OFFSET + 2, seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn residuals_say_which_way_and_how_much() {
        assert_eq!(Residual::of(512, 512), Residual::None);
        assert_eq!(Residual::of(512, 1024), Residual::Over(512));
        assert_eq!(Residual::of(1024, 0), Residual::Under(1024));
        let end = CommandEnd {
            itt: 1,
            status: 2,
            residual: Residual::Under(7),
            read_residual: Residual::Over(9),
            exp_data_sn: 3,
        };
        let head = end.head();
        assert_eq!(head.flags(), 0x80 | 0x10 | 0x02);
        assert_eq!((head.word(40), head.word(44), head.word(36), head.0[3]), (9, 7, 3, 2));
    }

    #[test]
    fn only_the_last_data_brings_a_status() {
        let data = DataIn { itt: 1, data_sn: 0, offset: 0, len: 512, is_final: false, end: None };
        assert_eq!(data.head().flags(), 0);
        let last = DataIn { is_final: true, end: Some(Residual::Over(512)), ..data };
        assert_eq!(last.head().flags(), 0x80 | 0x04 | 0x01);
    }

    #[test]
    fn a_logout_is_asked_for_with_a_time() {
        let head = please_leave(10);
        assert_eq!((head.0[36], head.half(42)), (1, 10));
    }
}
