//! What an initiator asks in full-feature phase: a header becomes a typed value.
//!
//! Source: RFC 7143 11.3, 11.5, 11.7, 11.10, 11.14, 11.18.

use super::head::Head;
use super::wire::{NO_TAG, at, flag, request};
use crate::scsi::TaskAttribute;

/// A SCSI command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Command {
    /// The logical unit.
    pub lun: u64,
    /// Its tag.
    pub itt: u32,
    /// Whether data goes to the initiator.
    pub reads: bool,
    /// Whether data comes from the initiator.
    pub writes: bool,
    /// Whether no unsolicited data follows.
    pub is_final: bool,
    /// Bytes that the initiator expects to be transferred; of a bidirectional command, written.
    pub expected_len: u32,
    /// Bytes that the initiator expects to read of a bidirectional command.
    pub expected_read_len: u32,
    /// How it is ordered among others.
    pub attribute: Attribute,
    /// The first 16 bytes of what is to be done.
    pub cdb: [u8; 16],
}

/// How a task is ordered among others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attribute {
    /// Not at all.
    Untagged,
    /// Simple.
    Simple,
    /// Ordered.
    Ordered,
    /// Head of queue.
    HeadOfQueue,
    /// ACA.
    Aca,
}

impl From<Attribute> for TaskAttribute {
    fn from(attribute: Attribute) -> Self {
        match attribute {
            Attribute::Untagged => Self::Untagged,
            Attribute::Simple => Self::Simple,
            Attribute::Ordered => Self::Ordered,
            Attribute::HeadOfQueue => Self::HeadOfQueue,
            Attribute::Aca => Self::Aca,
        }
    }
}

/// A piece of written data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DataOut {
    /// The tag of its command.
    pub itt: u32,
    /// The tag of what asked for it.
    pub ttt: u32,
    /// The logical unit.
    pub lun: u64,
    /// Which one of its sequence.
    pub data_sn: u32,
    /// Where its data belongs.
    pub offset: u32,
    /// Bytes of data.
    pub len: usize,
    /// Whether it ends its sequence.
    pub is_final: bool,
}

/// A task management function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Management {
    /// Which one.
    pub function: u8,
    /// The logical unit.
    pub lun: u64,
    /// Its tag.
    pub itt: u32,
    /// The tag of the task that it is about.
    pub referenced: u32,
    /// CmdSN of the task that it is about.
    pub ref_cmd_sn: u32,
}

/// What an initiator asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// A ping, or the answer to one.
    NopOut {
        /// Its tag, which means none where it is an answer.
        itt: u32,
        /// The tag of the ping that it answers.
        ttt: u32,
        /// The logical unit that the ping named.
        lun: u64,
    },
    /// A SCSI command.
    Command(Command),
    /// Task management.
    Management(Management),
    /// A text.
    Text {
        /// Its tag.
        itt: u32,
        /// The tag of the answer that it continues.
        ttt: u32,
        /// Whether nothing more is asked.
        is_final: bool,
        /// Whether the text goes on in the next PDU.
        is_continued: bool,
    },
    /// Written data.
    DataOut(DataOut),
    /// A farewell.
    Logout {
        /// Its tag.
        itt: u32,
        /// What is closed.
        reason: u8,
        /// The connection.
        cid: u16,
    },
    /// A request to send again.
    Snack,
    /// A login where there is none.
    Login,
    /// Something else.
    Unknown,
}

impl Asked {
    /// What `head` asks; `ahs` are its additional header segments.
    pub fn decode(head: &Head, ahs: &[u8]) -> Self {
        let itt = head.itt();
        match head.opcode() {
            request::NOP_OUT => Self::NopOut { itt, ttt: head.ttt(), lun: head.lun() },
            request::COMMAND => Self::Command(command(head, ahs)),
            request::TASK_MANAGEMENT => Self::Management(Management {
                function: head.flags() & 0x7f,
                lun: head.lun(),
                itt,
                referenced: head.ttt(),
                ref_cmd_sn: head.word(at::CDB),
            }),
            request::TEXT => Self::Text {
                itt,
                ttt: head.ttt(),
                is_final: head.is_final(),
                is_continued: head.flags() & flag::CONTINUE != 0,
            },
            request::DATA_OUT => Self::DataOut(data_out(head)),
            request::LOGOUT => {
                Self::Logout { itt, reason: head.flags() & 0x7f, cid: head.half(at::TTT) }
            }
            request::SNACK => Self::Snack,
            request::LOGIN => Self::Login,
            _ => Self::Unknown,
        }
    }

    /// Whether it has a place in the order of commands.
    pub const fn is_numbered(&self) -> bool {
        !matches!(self, Self::DataOut(_) | Self::Snack)
    }
}

/// A piece of written data, by its header.
pub fn data_out(head: &Head) -> DataOut {
    DataOut {
        itt: head.itt(),
        ttt: head.ttt(),
        lun: head.lun(),
        data_sn: head.word(at::DATA_SN),
        offset: head.word(at::OFFSET),
        len: head.data_len(),
        is_final: head.is_final(),
    }
}

impl DataOut {
    /// Whether nothing asked for it.
    pub const fn is_unsolicited(&self) -> bool {
        self.ttt == NO_TAG
    }
}

fn command(head: &Head, ahs: &[u8]) -> Command {
    let flags = head.flags();
    Command {
        lun: head.lun(),
        itt: head.itt(),
        reads: flags & flag::READ != 0,
        writes: flags & flag::WRITE != 0,
        is_final: head.is_final(),
        expected_len: head.word(at::TTT),
        expected_read_len: expected_read_len(ahs),
        attribute: match flags & 7 {
            1 => Attribute::Simple,
            2 => Attribute::Ordered,
            3 => Attribute::HeadOfQueue,
            4 => Attribute::Aca,
            _ => Attribute::Untagged,
        },
        cdb: head.bytes(at::CDB),
    }
}

/// The kind of an additional header segment that says how much a bidirectional command reads.
const AHS_READ_LEN: u8 = 2;

/// What the additional header segments say about reading, 0 where they say nothing.
///
/// Source: RFC 7143 11.2.2.
fn expected_read_len(mut ahs: &[u8]) -> u32 {
    while let [high, low, kind, _, rest @ ..] = ahs {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        if *kind == AHS_READ_LEN
            && let Some(bytes) = rest.first_chunk()
        {
            return u32::from_be_bytes(*bytes);
        }
        // The length counts from the byte behind the kind, and the segment fills whole words.
        let Some(next) = ahs.get((3 + len).next_multiple_of(4)..) else { break };
        ahs = next;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bidirectional_command_says_how_much_it_reads() {
        let extended_cdb = [0, 5, 1, 0, 9, 9, 9, 9];
        let read_len = [0, 5, 2, 0, 0, 0, 0x12, 0x34];
        let both = [extended_cdb, read_len].concat();
        assert_eq!(expected_read_len(&both), 0x1234);
        assert_eq!(expected_read_len(&extended_cdb), 0);
        assert_eq!(expected_read_len(&read_len[..4]), 0);
        assert_eq!(expected_read_len(&[0xff; 64]), 0);
    }

    #[test]
    fn a_command_is_read_as_it_lies_on_the_wire() {
        let head = Head::new(request::COMMAND, flag::FINAL | flag::WRITE | 2)
            .with_lun(1 << 48)
            .with_itt(5)
            .with_ttt(8192)
            .with_byte(at::CDB, 0x2a);
        let Asked::Command(command) = Asked::decode(&head, &[]) else { panic!("no command") };
        assert!(command.writes && !command.reads && command.is_final);
        assert_eq!((command.lun, command.itt, command.expected_len), (1 << 48, 5, 8192));
        assert_eq!((command.attribute, command.cdb[0]), (Attribute::Ordered, 0x2a));
    }
}
