//! An NBD client that keeps many requests in flight from one thread, and discards what it reads.
//!
//! It costs little, so that the server is what is measured: many requests leave with one call, and many
//! replies come with one. Simple replies only. Anything that is not a good answer ends the measurement.

use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;

use crate::Outcome;
use crate::house::now;
use crate::payload::{Content, Payload};
use crate::plan::{Kind, Request, Requests};
use crate::tally::Tally;

const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
const REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
const OPTION_GO: u32 = 7;
const REPLY_ACK: u32 = 1;
const REPLY_INFO: u32 = 3;
const FIXED_NO_ZEROES: u32 = 3;
const HEADER_LEN: usize = 28;
const ANSWER_LEN: usize = 16;
/// Replies that come with one call.
const RECEIVE_LEN: usize = 1 << 20;
/// Pieces that leave with one call: what Linux takes at most is 1024.
const PIECES_MAX: usize = 128;

/// When a load ends, and how fast it may go.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// It ends after this time.
    pub time: Duration,
    /// And not after more requests than this.
    pub requests: u64,
    /// Requests a second at most.
    pub rate: f64,
}

impl Limit {
    /// After this time, at full speed.
    pub fn time(time: Duration) -> Self {
        Self { time, requests: u64::MAX, rate: f64::INFINITY }
    }

    /// The same, and not after more requests than this.
    pub fn requests(self, requests: u64) -> Self {
        Self { requests, ..self }
    }

    /// The same with so many requests a second at most.
    pub fn rate(self, rate: f64) -> Self {
        Self { rate, ..self }
    }

    /// Whether one more request may be sent after `elapsed`, when so many were.
    pub fn allows(&self, issued: u64, elapsed: Duration) -> bool {
        let is_in_pace =
            self.rate.is_infinite() || issued as f64 <= elapsed.as_secs_f64() * self.rate;
        issued < self.requests && is_in_pace
    }

    /// How long to wait for answers before looking again whether more may be sent.
    pub fn pause(&self) -> Duration {
        if self.rate.is_finite() { PACE } else { SILENCE_MAX }
    }
}

/// A connection to one export.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    /// Bytes of the export.
    pub size: u64,
    payload: Payload,
}

impl Client {
    /// Connects and agrees on the export.
    ///
    /// # Errors
    /// Where nobody listens, or the other side does not speak the protocol or has no such export.
    pub async fn connect(socket: &Path, export: &str) -> Outcome<Self> {
        let mut stream = UnixStream::connect(socket).await?;
        let mut greeting = [0; 18];
        stream.read_exact(&mut greeting).await?;
        if &greeting[..8] != b"NBDMAGIC" || greeting[8..16] != OPTION_MAGIC.to_be_bytes() {
            return Err("the server does not greet as NBD does".into());
        }
        let name_len = u32::try_from(export.len())?;
        let mut hello = FIXED_NO_ZEROES.to_be_bytes().to_vec();
        hello.extend(OPTION_MAGIC.to_be_bytes());
        hello.extend(OPTION_GO.to_be_bytes());
        hello.extend((name_len + 6).to_be_bytes());
        hello.extend(name_len.to_be_bytes());
        hello.extend(export.as_bytes());
        hello.extend([0, 0]);
        stream.write_all(&hello).await?;
        let mut size = 0;
        loop {
            if stream.read_u64().await? != REPLY_MAGIC {
                return Err("the server answers an option in no way that NBD knows".into());
            }
            let (_, kind, len) =
                (stream.read_u32().await?, stream.read_u32().await?, stream.read_u32().await?);
            let mut body = vec![0; usize::try_from(len.min(4096))?];
            stream.read_exact(&mut body).await?;
            match kind {
                REPLY_ACK => break,
                REPLY_INFO if body.len() == 12 && body[..2] == [0, 0] => {
                    size = u64::from_be_bytes(body[2..10].try_into()?);
                }
                REPLY_INFO => {}
                kind => return Err(format!("the server refuses {export:?}: {kind:#x}").into()),
            }
        }
        Ok(Self { stream, size, payload: Payload::of(Content::Random) })
    }

    /// Writes this from now on, instead of random bytes.
    pub fn write(&mut self, content: Content) {
        self.payload = Payload::of(content);
    }

    /// Runs a load and tells how it went. Returns when every request was answered.
    ///
    /// # Errors
    /// Where the server answers with an error, with nonsense, or not at all.
    pub async fn run(
        &mut self,
        plan: &mut impl Requests,
        depth: usize,
        limit: Limit,
    ) -> Outcome<Tally> {
        let mut flight = Flight::new(depth);
        let start = now();
        flight.tally.started = start;
        let mut received = Received::default();
        let mut heard = start;
        loop {
            let elapsed = now() - start;
            let is_open = elapsed < limit.time && flight.tally.issued < limit.requests;
            while is_open && limit.allows(flight.tally.issued, elapsed) {
                if !flight.issue(plan, elapsed) {
                    break;
                }
            }
            if flight.is_over() && !is_open {
                break;
            }
            send(&self.stream, &mut flight.outgoing, &mut self.payload)?;
            let interest = if flight.outgoing.is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            let ready = tokio::time::timeout(limit.pause(), self.stream.ready(interest)).await;
            match ready {
                Ok(ready) => {
                    if ready?.is_readable() {
                        received.take(&self.stream, &mut flight, start)?;
                        heard = now();
                    }
                }
                Err(_) if !flight.is_over() && now() - heard >= SILENCE_MAX => {
                    return Err("the server has not answered for a minute".into());
                }
                Err(_) => {}
            }
        }
        flight.tally.elapsed = now() - start;
        Ok(flight.tally)
    }

    /// Ends the connection in good order.
    ///
    /// # Errors
    /// Where it is broken already.
    pub async fn disconnect(mut self) -> Outcome<()> {
        let bye = Request { kind: Kind::Flush, offset: 0, len: 0 };
        let mut header = header(&bye, 0);
        header[7] = 2;
        self.stream.write_all(&header).await?;
        Ok(())
    }
}

/// How often a load that is held back looks whether it may go on.
const PACE: Duration = Duration::from_millis(1);
/// A server that is silent for so long is broken.
pub const SILENCE_MAX: Duration = Duration::from_secs(60);

struct Outgoing {
    header: [u8; HEADER_LEN],
    payload_len: usize,
    payload_at: usize,
    sent: usize,
}

/// What is in flight.
struct Flight {
    slots: Vec<Option<(Request, Duration)>>,
    free: Vec<usize>,
    outgoing: VecDeque<Outgoing>,
    tally: Tally,
}

impl Flight {
    fn new(depth: usize) -> Self {
        Self {
            slots: vec![None; depth],
            free: (0..depth).rev().collect(),
            outgoing: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    fn issue(&mut self, plan: &mut impl Requests, now: Duration) -> bool {
        let Some(slot) = self.free.pop() else { return false };
        let request = plan.next();
        self.slots[slot] = Some((request, now));
        self.tally.issued += u64::from(request.kind != Kind::Flush);
        let payload_len = if request.kind == Kind::Write { request.len as usize } else { 0 };
        let payload_at = usize::MAX;
        let header = header(&request, slot);
        self.outgoing.push_back(Outgoing { header, payload_len, payload_at, sent: 0 });
        true
    }

    fn is_over(&self) -> bool {
        self.free.len() == self.slots.len()
    }

    fn answered(&mut self, slot: usize, now: Duration) {
        if let Some((request, start)) = self.slots[slot].take() {
            self.tally.count(&request, now, now.saturating_sub(start));
            self.free.push(slot);
        }
    }
}

fn header(request: &Request, slot: usize) -> [u8; HEADER_LEN] {
    let command: u16 = match request.kind {
        Kind::Read => 0,
        Kind::Write => 1,
        Kind::Flush => 3,
    };
    let mut header = [0; HEADER_LEN];
    header[..4].copy_from_slice(&0x2560_9513_u32.to_be_bytes());
    header[6..8].copy_from_slice(&command.to_be_bytes());
    header[8..16].copy_from_slice(&(slot as u64).to_be_bytes());
    header[16..24].copy_from_slice(&request.offset.to_be_bytes());
    header[24..].copy_from_slice(&request.len.to_be_bytes());
    header
}

/// Sends what the socket takes.
fn send(
    stream: &UnixStream,
    outgoing: &mut VecDeque<Outgoing>,
    payload: &mut Payload,
) -> Outcome<()> {
    while !outgoing.is_empty() {
        for one in outgoing.iter_mut().take(PIECES_MAX / 2) {
            if one.payload_at == usize::MAX {
                one.payload_at = payload.place(one.payload_len);
            }
        }
        let mut pieces = Vec::with_capacity(PIECES_MAX);
        for one in outgoing.iter().take(PIECES_MAX / 2) {
            pieces.push(IoSlice::new(&one.header[one.sent.min(HEADER_LEN)..]));
            let body = payload.bytes(one.payload_at, one.payload_len);
            pieces.push(IoSlice::new(&body[one.sent.saturating_sub(HEADER_LEN)..]));
        }
        let mut sent = match stream.try_write_vectored(&pieces) {
            Ok(sent) => sent,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        while let Some(first) = outgoing.front_mut() {
            let left = HEADER_LEN + first.payload_len - first.sent;
            if sent < left {
                first.sent += sent;
                break;
            }
            sent -= left;
            outgoing.pop_front();
        }
    }
    Ok(())
}

/// What came and was not looked at yet.
struct Received {
    buffer: Vec<u8>,
    filled: usize,
    skip: usize,
    slot: usize,
}

impl Default for Received {
    fn default() -> Self {
        Self { buffer: vec![0; RECEIVE_LEN], filled: 0, skip: 0, slot: 0 }
    }
}

impl Received {
    /// Receives once and books the answers that are complete.
    fn take(&mut self, stream: &UnixStream, flight: &mut Flight, start: Duration) -> Outcome<()> {
        let count = match stream.try_read(&mut self.buffer[self.filled..]) {
            Ok(0) => return Err("the server closed the connection".into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        self.filled += count;
        let now = now() - start;
        let mut at = 0;
        loop {
            if self.skip > 0 {
                let skipped = self.skip.min(self.filled - at);
                (self.skip, at) = (self.skip - skipped, at + skipped);
                if self.skip > 0 {
                    break;
                }
                flight.answered(self.slot, now);
            }
            let Some(answer) = self.buffer[at..self.filled].first_chunk::<ANSWER_LEN>() else {
                break;
            };
            (self.slot, self.skip) = understood(answer, flight)?;
            at += ANSWER_LEN;
            if self.skip == 0 {
                flight.answered(self.slot, now);
            }
        }
        self.buffer.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(())
    }
}

/// Which slot is answered, and how many bytes follow.
fn understood(answer: &[u8; ANSWER_LEN], flight: &Flight) -> Outcome<(usize, usize)> {
    if answer[..4] != 0x6744_6698_u32.to_be_bytes() {
        return Err("the server's reply is not a simple reply".into());
    }
    let error = u32::from_be_bytes(answer[4..8].try_into()?);
    let slot = usize::try_from(u64::from_be_bytes(answer[8..].try_into()?))?;
    let Some(Some((request, _))) = flight.slots.get(slot) else {
        return Err("the server answers what nobody asked".into());
    };
    if error != 0 {
        return Err(format!("the server answers {request:?} with error {error}").into());
    }
    Ok((slot, if request.kind == Kind::Read { request.len as usize } else { 0 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_kept_and_no_pace_is_none() {
        let second = Duration::from_secs(1);
        let free = Limit::time(second);
        assert!(free.allows(0, Duration::ZERO) && free.allows(1_000_000, Duration::ZERO));
        let paced = Limit::time(second).rate(100.0);
        assert!(paced.allows(0, Duration::ZERO));
        assert!(!paced.allows(1, Duration::ZERO));
        assert!(paced.allows(50, second / 2) && !paced.allows(51, second / 2));
        assert!(!paced.requests(10).allows(10, second));
    }
}
