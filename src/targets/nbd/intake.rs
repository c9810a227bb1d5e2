//! From received bytes to requests: what was received and not yet understood, and the payload that is
//! being gathered.
//!
//! Pure: it owns memory and no socket. Memory is taken as payload arrives, never because a length was
//! announced. Small payloads pass through the one receive buffer, so that one receive brings many
//! requests; large ones are received straight into the buffers that the disk gets.

use disk::{Buffer, DiskError};

use super::limits::{PAYLOAD_PIECE_LEN, RECEIVE_LEN, SMALL_PAYLOAD_LEN_MAX, STATUS_BYTES_HELD};
use super::request::{
    ByteExtent, Command, Framing, Header, Judgement, Refusal, StatusPayload, Terms, Verdict, WRITE,
    judge,
};
use super::wire::{EXTENDED_REQUEST_LEN, EXTENDED_REQUEST_MAGIC, Errno, command_flag};

/// A request that has arrived with all of its payload.
#[derive(Debug)]
pub struct Incoming {
    /// Its header.
    pub header: Header,
    /// What to do.
    pub asked: Asked,
}

/// What to do about a request.
#[derive(Debug)]
pub enum Asked {
    /// Carry it out.
    Perform(Command, Body),
    /// Answer with an error.
    Refuse(Refusal),
}

/// What came with a request.
#[derive(Debug)]
pub enum Body {
    /// Nothing.
    None,
    /// The bytes of a write, laid out over the sectors that hold them: what precedes them in the first
    /// sector and follows them in the last one is zero.
    Data(Vec<Buffer>),
    /// The contexts of a status request.
    Status(StatusPayload),
}

/// What the bytes received so far amount to.
#[derive(Debug)]
pub enum Next {
    /// A request. There may be more.
    Request(Incoming),
    /// Nothing whole: more has to be received.
    Hungry,
    /// A write whose payload was not announced, and nothing behind it yet that tells whether there is
    /// one. More may be received; where nothing comes for a while, `settle_doubt` decides.
    Doubtful,
    /// A request that is too large for the room there is now.
    Crowded,
    /// The client said that it leaves.
    Disconnect,
    /// The session cannot go on.
    Drop(&'static str),
}

#[derive(Debug)]
enum State {
    Idle,
    Gathering { header: Header, command: Command, payload: Gathered },
    Skipping { header: Header, refusal: Refusal, left: u64 },
    Ended(&'static str),
}

/// What is known of a client's habit with the flag that announces the payload of an extended write.
///
/// The protocol demands the flag, and without it there is no payload. QEMU's client leaves it out and
/// sends the payload all the same. The first write of a session shows which kind of client this is: what
/// follows it is the next request, or nothing, or it is payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Habit {
    Unknown,
    Announces,
    LeavesOut,
}

/// Received bytes on their way to requests.
#[derive(Debug)]
pub struct Intake {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    state: State,
    habit: Habit,
    is_bulk: bool,
}

/// Bytes received at a time while large payloads come, so that little of them has to be copied.
const BULK_RECEIVE_LEN: usize = 8 << 10;

impl Default for Intake {
    fn default() -> Self {
        Self::new()
    }
}

impl Intake {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            bytes: vec![0; RECEIVE_LEN],
            start: 0,
            end: 0,
            state: State::Idle,
            habit: Habit::Unknown,
            is_bulk: false,
        }
    }

    /// One that holds what was received already, of which a full buffer is kept at most.
    pub fn holding(received: &[u8]) -> Self {
        let mut intake = Self::new();
        let len = received.len().min(intake.bytes.len());
        intake.bytes[..len].copy_from_slice(&received[..len]);
        intake.end = len;
        intake
    }

    /// Where to receive to: never empty after `next` was `Hungry`.
    ///
    /// # Errors
    /// What allocating gives.
    pub fn space(&mut self) -> Result<&mut [u8], DiskError> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if let State::Gathering { payload, .. } = &mut self.state {
                return payload.space();
            }
        } else if self.bytes.len() - self.end < SMALL_PAYLOAD_LEN_MAX {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let space = &mut self.bytes[self.end..];
        let len = if self.is_bulk { space.len().min(BULK_RECEIVE_LEN) } else { space.len() };
        Ok(&mut space[..len])
    }

    /// Notes that `len` bytes were received into the space.
    ///
    /// # Panics
    /// Where they are more than the space.
    pub fn received(&mut self, len: usize) {
        match &mut self.state {
            State::Gathering { payload, .. } if self.start == self.end => payload.advance(len),
            _ => {
                self.end += len;
                assert!(self.end <= self.bytes.len(), "received past the end of the space");
            }
        }
    }

    /// The next request, where one has arrived and what it carries or asks for fits in `room` bytes.
    pub fn next(&mut self, terms: &Terms, room: u64) -> Next {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => self.begin(terms, room),
            State::Gathering { header, command, payload } => self.gather(header, command, payload),
            State::Skipping { header, refusal, left } => self.skip(header, refusal, left),
            State::Ended(why) => Next::Drop(why),
        }
    }

    /// Decides a doubt, because nothing has come behind the write: it has no payload.
    pub const fn settle_doubt(&mut self) {
        self.habit = Habit::Announces;
    }

    fn waiting(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    fn begin(&mut self, terms: &Terms, room: u64) -> Next {
        let mut header = match Header::decode(terms.framing, self.waiting()) {
            Ok(Some(header)) => header,
            Ok(None) => return Next::Hungry,
            Err(_) => return Next::Drop("bytes that are no request"),
        };
        if terms.framing == Framing::Extended && header.command == WRITE && header.len > 0 {
            match self.announced(&header) {
                Announced::Yes => header.flags |= command_flag::PAYLOAD_LEN,
                Announced::No => {}
                Announced::Unclear => return Next::Doubtful,
                Announced::Ambiguous => {
                    let why = "a write without its payload flag, and no telling what follows";
                    self.state = State::Ended(why);
                    let refusal = Refusal { errno: Errno::Invalid, why };
                    return Next::Request(Incoming { header, asked: Asked::Refuse(refusal) });
                }
            }
        }
        let Judgement { verdict, payload_len } = judge(&header, terms);
        let payload_len = usize::try_from(payload_len).unwrap_or(usize::MAX);
        let header_len = terms.framing.header_len();
        match verdict {
            Verdict::Disconnect => Next::Disconnect,
            Verdict::Drop(why) => Next::Drop(why),
            Verdict::Refuse(refusal) => {
                self.start += header_len;
                self.skip(header, refusal, payload_len as u64)
            }
            Verdict::Perform(command) if bytes_held(&command) > room => Next::Crowded,
            Verdict::Perform(command @ Command::Write { bytes, .. })
                if payload_len > SMALL_PAYLOAD_LEN_MAX =>
            {
                self.is_bulk = true;
                self.start += header_len;
                self.gather(header, command, Gathered::new(bytes))
            }
            Verdict::Perform(_) if self.waiting().len() < header_len + payload_len => Next::Hungry,
            Verdict::Perform(command) => {
                self.is_bulk = false;
                let payload = self.start + header_len..self.start + header_len + payload_len;
                let asked = with_small_payload(command, &self.bytes[payload.clone()]);
                self.start = payload.end;
                Next::Request(Incoming { header, asked })
            }
        }
    }

    /// Whether the payload of a write follows it, by its flag or by the client's habit.
    fn announced(&mut self, header: &Header) -> Announced {
        if header.flags & command_flag::PAYLOAD_LEN != 0 {
            if self.habit == Habit::Unknown {
                self.habit = Habit::Announces;
            }
            return Announced::Yes;
        }
        match self.habit {
            Habit::Announces => Announced::No,
            Habit::LeavesOut => Announced::Yes,
            Habit::Unknown => {
                let behind = &self.waiting()[EXTENDED_REQUEST_LEN..];
                let magic = EXTENDED_REQUEST_MAGIC.to_be_bytes();
                if behind.starts_with(&magic) {
                    // Taking the next request for payload would write it to the disk; taking payload for
                    // requests would let whoever chose the payload make requests.
                    Announced::Ambiguous
                } else if magic.starts_with(behind) {
                    Announced::Unclear
                } else {
                    self.habit = Habit::LeavesOut;
                    Announced::Yes
                }
            }
        }
    }

    fn gather(&mut self, header: Header, command: Command, mut payload: Gathered) -> Next {
        let taken = match payload.take_from(&self.bytes[self.start..self.end]) {
            Ok(taken) => taken,
            Err(_) => return Next::Drop("there is no memory for the payload"),
        };
        self.start += taken;
        if payload.left > 0 {
            self.state = State::Gathering { header, command, payload };
            return Next::Hungry;
        }
        let asked = Asked::Perform(command, Body::Data(payload.pieces));
        Next::Request(Incoming { header, asked })
    }

    fn skip(&mut self, header: Header, refusal: Refusal, left: u64) -> Next {
        let waiting = self.waiting().len();
        let skipped = usize::try_from(left).map_or(waiting, |left| left.min(waiting));
        self.start += skipped;
        let left = left - skipped as u64;
        if left > 0 {
            self.state = State::Skipping { header, refusal, left };
            return Next::Hungry;
        }
        Next::Request(Incoming { header, asked: Asked::Refuse(refusal) })
    }
}

enum Announced {
    Yes,
    No,
    Unclear,
    Ambiguous,
}

/// Bytes that a command holds in memory until it is answered.
pub const fn bytes_held(command: &Command) -> u64 {
    match command {
        Command::Read { bytes, .. } | Command::Write { bytes, .. } => bytes.len,
        Command::Status { .. } | Command::StatusOf { .. } => STATUS_BYTES_HELD,
        Command::Flush | Command::Trim { .. } | Command::Zero { .. } | Command::Cache => 0,
    }
}

fn with_small_payload(command: Command, payload: &[u8]) -> Asked {
    let refuse = |why| Asked::Refuse(Refusal { errno: Errno::Invalid, why });
    match command {
        Command::Write { bytes, .. } => match small_data(bytes, payload) {
            Ok(pieces) => Asked::Perform(command, Body::Data(pieces)),
            Err(_) => refuse("the payload cannot be taken"),
        },
        Command::StatusOf { .. } => match StatusPayload::decode(payload) {
            Some(status) => Asked::Perform(command, Body::Status(status)),
            None => refuse("a length and the numbers of contexts, each once, are expected"),
        },
        _ => Asked::Perform(command, Body::None),
    }
}

fn small_data(bytes: ByteExtent, payload: &[u8]) -> Result<Vec<Buffer>, DiskError> {
    if bytes.is_whole_sectors() {
        return Ok(vec![Buffer::copy_of(payload)?]);
    }
    let mut gathered = Gathered::new(bytes);
    gathered.take_from(payload)?;
    Ok(gathered.pieces)
}

/// Payload that is being laid out over the sectors of its extent.
#[derive(Debug)]
struct Gathered {
    pieces: Vec<Buffer>,
    /// Where in the last piece the next byte goes.
    at: usize,
    /// Bytes of the sectors that no piece was made for yet.
    unmade: usize,
    /// Bytes still to come.
    left: usize,
    /// Whether they fill their sectors.
    fills: bool,
}

impl Gathered {
    fn new(bytes: ByteExtent) -> Self {
        let in_memory = |len: u64| usize::try_from(len).unwrap_or(usize::MAX);
        let cover_len = if bytes.len == 0 { 0 } else { bytes.cover().bytes() };
        Self {
            pieces: Vec::new(),
            at: bytes.head(),
            unmade: in_memory(cover_len),
            left: in_memory(bytes.len),
            fills: bytes.is_whole_sectors(),
        }
    }

    fn space(&mut self) -> Result<&mut [u8], DiskError> {
        let is_full = self.pieces.last().is_none_or(|piece| piece.len() == self.at);
        if is_full && self.left > 0 {
            self.at = if self.pieces.is_empty() { self.at } else { 0 };
            let len = self.unmade.min(PAYLOAD_PIECE_LEN);
            let piece = if self.fills { Buffer::to_fill(len) } else { Buffer::zeroed(len) };
            self.pieces.push(piece?);
            self.unmade -= len;
        }
        let (at, left) = (self.at, self.left);
        Ok(self.pieces.last_mut().map_or(&mut [], |piece| {
            let end = piece.len().min(at + left);
            &mut piece[at..end]
        }))
    }

    fn advance(&mut self, len: usize) {
        self.at += len;
        self.left -= len;
    }

    fn take_from(&mut self, mut bytes: &[u8]) -> Result<usize, DiskError> {
        let mut taken = 0;
        while self.left > 0 && !bytes.is_empty() {
            let space = self.space()?;
            let len = space.len().min(bytes.len());
            space[..len].copy_from_slice(&bytes[..len]);
            bytes = &bytes[len..];
            taken += len;
            self.advance(len);
        }
        Ok(taken)
    }
}

#[cfg(test)]
#[path = "intake_tests.rs"]
mod tests;
