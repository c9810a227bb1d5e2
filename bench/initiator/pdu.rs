//! PDUs of iSCSI as an initiator needs them: heads that it sends, and what it looks at in those that it gets.
//!
//! Pure, and no more than a load asks for: one connection, no additional header segments, no padding, since
//! whatever a load writes is a multiple of four bytes.

use crate::plan::{Kind, Request};

/// Bytes of a basic header segment.
pub const HEAD_LEN: usize = 48;
/// A basic header segment.
pub type Head = [u8; HEAD_LEN];
/// What stands where there is no task.
pub const NO_TASK: u32 = u32::MAX;

/// What a target sends. Source: RFC 7143 11.1.
pub mod answer {
    pub const NOP_IN: u8 = 0x20;
    pub const RESPONSE: u8 = 0x21;
    pub const LOGIN: u8 = 0x23;
    pub const DATA_IN: u8 = 0x25;
    pub const LOGOUT: u8 = 0x26;
    pub const READY: u8 = 0x31;
}

const NOP_OUT: u8 = 0x00;
const COMMAND: u8 = 0x01;
const LOGIN: u8 = 0x03;
const DATA_OUT: u8 = 0x05;
const LOGOUT: u8 = 0x06;
const IMMEDIATE: u8 = 0x40;
const FINAL: u8 = 0x80;
const READS: u8 = 0x40;
const WRITES: u8 = 0x20;
const SIMPLE: u8 = 0x01;
const HAS_STATUS: u8 = 0x01;

/// The numbers that order commands and answers. Source: RFC 7143 4.2.2.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// Of the next command.
    pub command: u32,
    /// Of the next answer with a status.
    pub status: u32,
    /// Of the last command that the target lets in.
    pub command_max: u32,
}

impl Numbers {
    /// Those of a session that begins.
    pub fn first() -> Self {
        Self { command: 1, status: 0, command_max: 1 }
    }

    /// Whether the target lets one more command in.
    pub fn is_open(&self) -> bool {
        !is_after(self.command, self.command_max)
    }

    /// Takes over what an answer tells.
    pub fn heed(&mut self, answer: &Answer) {
        if is_after(answer.command_max, self.command_max) {
            self.command_max = answer.command_max;
        }
        if answer.has_status_number() {
            self.status = answer.status_number.wrapping_add(1);
        }
    }
}

/// Whether one serial number comes after another. Source: RFC 1982.
fn is_after(one: u32, other: u32) -> bool {
    one != other && one.wrapping_sub(other) < 1 << 31
}

/// A SCSI command with how many bytes go which way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Command {
    /// The command descriptor block.
    pub cdb: [u8; 16],
    /// Bytes from the target.
    pub in_len: u32,
    /// Bytes to the target.
    pub out_len: u32,
}

impl Command {
    /// A command without data, but its operation code.
    pub fn plain(operation: u8) -> Self {
        let mut cdb = [0; 16];
        cdb[0] = operation;
        Self { cdb, in_len: 0, out_len: 0 }
    }

    /// READ CAPACITY(16). Source: SBC-4 5.16.
    pub fn capacity() -> Self {
        let mut command = Self { in_len: 32, ..Self::plain(0x9e) };
        command.cdb[1] = 0x10;
        command.cdb[13] = 32;
        command
    }

    /// READ(16), WRITE(16) or SYNCHRONIZE CACHE(16). Source: SBC-4 5.
    pub fn of(request: &Request, block_len: u32) -> Self {
        let (operation, in_len, out_len) = match request.kind {
            Kind::Read => (0x88, request.len, 0),
            Kind::Write => (0x8a, 0, request.len),
            Kind::Flush => (0x91, 0, 0),
        };
        let mut command = Self { in_len, out_len, ..Self::plain(operation) };
        let address = request.offset / u64::from(block_len);
        command.cdb[2..10].copy_from_slice(&address.to_be_bytes());
        command.cdb[10..14].copy_from_slice(&(request.len / block_len).to_be_bytes());
        command
    }
}

/// Where a command goes, and what goes with it.
#[derive(Clone, Copy, Debug)]
pub struct Sending {
    /// The tag of its task.
    pub task: u32,
    /// The logical unit.
    pub lun: u8,
    /// Bytes of data in the same PDU.
    pub immediate_len: u32,
    /// Bytes of data that follow without being asked for, those in the same PDU included.
    pub unsolicited_len: u32,
}

/// A command. Source: RFC 7143 11.3.
pub fn command(command: &Command, sending: &Sending, numbers: &Numbers) -> Head {
    let is_whole = sending.immediate_len == sending.unsolicited_len;
    let mut flags = SIMPLE | if is_whole { FINAL } else { 0 };
    flags |= if command.in_len > 0 { READS } else { 0 };
    flags |= if command.out_len > 0 { WRITES } else { 0 };
    let mut head = head(COMMAND, flags, sending.immediate_len);
    head[9] = sending.lun;
    put(&mut head, 16, sending.task);
    put(&mut head, 20, command.in_len.max(command.out_len));
    put(&mut head, 24, numbers.command);
    put(&mut head, 28, numbers.status);
    head[32..].copy_from_slice(&command.cdb);
    head
}

/// Which part of a task's data a PDU carries.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// The tag of the task.
    pub task: u32,
    /// The logical unit.
    pub lun: u8,
    /// The tag that the target asked with.
    pub transfer: u32,
    /// Its number in the sequence.
    pub number: u32,
    /// Where it begins in the task's data.
    pub offset: u32,
    /// Its bytes.
    pub len: u32,
    /// Whether it is the last of the sequence.
    pub is_last: bool,
}

/// Data to the target. Source: RFC 7143 11.7.
pub fn data_out(part: &Part, numbers: &Numbers) -> Head {
    let mut head = head(DATA_OUT, if part.is_last { FINAL } else { 0 }, part.len);
    head[9] = part.lun;
    put(&mut head, 16, part.task);
    put(&mut head, 20, part.transfer);
    put(&mut head, 28, numbers.status);
    put(&mut head, 36, part.number);
    put(&mut head, 40, part.offset);
    head
}

/// An answer to a NOP-In that wants one. Source: RFC 7143 11.18.
pub fn nop_out(nop_in: &Answer, numbers: &Numbers) -> Head {
    let mut head = head(NOP_OUT | IMMEDIATE, FINAL, 0);
    head[9] = nop_in.lun;
    put(&mut head, 16, NO_TASK);
    put(&mut head, 20, nop_in.transfer);
    put(&mut head, 24, numbers.command);
    put(&mut head, 28, numbers.status);
    head
}

/// The end of a session. Source: RFC 7143 11.14.
pub fn logout(numbers: &Numbers) -> Head {
    let mut head = head(LOGOUT | IMMEDIATE, FINAL, 0);
    put(&mut head, 24, numbers.command);
    put(&mut head, 28, numbers.status);
    head
}

/// A step of the login. `stages` are the current and the next one, as they stand in the PDU.
/// Source: RFC 7143 11.12.
pub fn login(stages: u8, isid: [u8; 6], text_len: u32, numbers: &Numbers) -> Head {
    let mut head = head(LOGIN | IMMEDIATE, stages, text_len);
    head[8..14].copy_from_slice(&isid);
    put(&mut head, 24, numbers.command);
    put(&mut head, 28, numbers.status);
    head
}

fn head(operation: u8, flags: u8, data_len: u32) -> Head {
    let mut head = [0; HEAD_LEN];
    // The length has three bytes; the one above it is that of additional headers, which there are none of.
    put(&mut head, 4, data_len & 0x00ff_ffff);
    head[0] = operation;
    head[1] = flags;
    head
}

fn put(head: &mut Head, at: usize, value: u32) {
    head[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

/// What is looked at in a PDU of the target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Answer {
    /// Its operation code.
    pub operation: u8,
    /// The second byte.
    pub flags: u8,
    /// The third: what became of a command, as iSCSI sees it; 0 is good.
    pub response: u8,
    /// The status of the command.
    pub status: u8,
    /// Bytes of additional headers.
    pub more_len: usize,
    /// Bytes of data, without padding.
    pub data_len: usize,
    /// The logical unit.
    pub lun: u8,
    /// The tag of the task.
    pub task: u32,
    /// The tag that the target asks with.
    pub transfer: u32,
    /// The number of the answer.
    pub status_number: u32,
    /// The last command that is let in.
    pub command_max: u32,
    /// Where data begins, or are wanted from.
    pub offset: u32,
    /// Bytes that are wanted.
    pub wanted: u32,
    /// What a login came to: 0 is good.
    pub login_status: u16,
}

impl Answer {
    /// What a head says.
    pub fn of(head: &Head) -> Self {
        let get = |at: usize| {
            head[at..at + 4].iter().fold(0_u32, |value, byte| value << 8 | u32::from(*byte))
        };
        Self {
            operation: head[0] & 0x3f,
            flags: head[1],
            response: head[2],
            status: head[3],
            more_len: usize::from(head[4]) * 4,
            data_len: (get(4) & 0x00ff_ffff) as usize,
            lun: head[9],
            task: get(16),
            transfer: get(20),
            status_number: get(24),
            command_max: get(32),
            offset: get(40),
            wanted: get(44),
            login_status: u16::from_be_bytes([head[36], head[37]]),
        }
    }

    /// Bytes of data with the padding.
    pub fn padded_len(&self) -> usize {
        self.data_len.next_multiple_of(4)
    }

    /// Whether it is data that brings the command's status along.
    pub fn is_last_data(&self) -> bool {
        self.operation == answer::DATA_IN && self.flags & HAS_STATUS != 0
    }

    fn has_status_number(&self) -> bool {
        let is_unsolicited_nop = self.operation == answer::NOP_IN && self.task == NO_TASK;
        match self.operation {
            answer::DATA_IN => self.is_last_data(),
            answer::READY => false,
            _ => !is_unsolicited_nop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_says_where_and_how_much() {
        let request = Request { kind: Kind::Read, offset: 1 << 33, len: 4096 };
        let read = Command::of(&request, 512);
        assert_eq!(read.cdb[..2], [0x88, 0]);
        assert_eq!(read.cdb[2..10], (1_u64 << 24).to_be_bytes());
        assert_eq!(read.cdb[10..14], [0, 0, 0, 8]);
        let sending = Sending { task: 7, lun: 1, immediate_len: 0, unsolicited_len: 0 };
        let head = command(&read, &sending, &Numbers::first());
        assert_eq!((head[0], head[1], head[9]), (0x01, 0xc1, 1));
        assert_eq!(head[16..28], [0, 0, 0, 7, 0, 0, 16, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn a_write_is_final_only_if_no_data_follow_unasked() {
        let write = Command::of(&Request { kind: Kind::Write, offset: 0, len: 65536 }, 512);
        let sending = Sending { task: 0, lun: 0, immediate_len: 8192, unsolicited_len: 8192 };
        assert_eq!(command(&write, &sending, &Numbers::first())[1], 0xa1);
        let more = Sending { unsolicited_len: 65536, ..sending };
        let head = command(&write, &more, &Numbers::first());
        assert_eq!((head[1], &head[4..8]), (0x21, &[0, 0, 0x20, 0][..]));
    }

    #[test]
    fn the_window_opens_and_never_closes_over_what_was_let_in() {
        let mut numbers = Numbers { command: u32::MAX, status: 0, command_max: u32::MAX };
        assert!(numbers.is_open());
        numbers.command = 0;
        assert!(!numbers.is_open());
        let status = Answer { operation: answer::RESPONSE, ..Answer::default() };
        numbers.heed(&Answer { command_max: 3, status_number: 9, ..status });
        assert!(numbers.is_open());
        numbers.heed(&Answer { command_max: 1, status_number: 10, ..status });
        assert_eq!((numbers.command_max, numbers.status), (3, 11));
    }

    #[test]
    fn only_data_with_a_status_have_a_number() {
        let mut numbers = Numbers::first();
        let data = Answer { operation: answer::DATA_IN, status_number: 8, ..Answer::default() };
        numbers.heed(&data);
        assert_eq!(numbers.status, 0);
        numbers.heed(&Answer { flags: 0x81, ..data });
        assert_eq!(numbers.status, 9);
    }
}
