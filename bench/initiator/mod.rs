//! An iSCSI initiator that keeps many requests in flight from one thread, and discards what it reads.
//!
//! It costs little, so that the target is what is measured: many PDUs leave with one call, and many come
//! with one. One connection to a session, no authentication, error recovery level 0. Anything that is not a
//! good answer ends the measurement.

mod flight;
mod inbox;
mod login;
mod outbox;
mod pdu;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;

use self::flight::{Flight, Line};
use self::inbox::Inbox;
pub use self::login::Digests;
use self::login::{RECEIVE_LEN_MAX, Terms};
use self::outbox::{DIGEST_LEN, Outbox, digest};
use self::pdu::{Answer, Command, HEAD_LEN, Head, Numbers, Sending, answer};
use crate::Outcome;
use crate::client::{Limit, SILENCE_MAX};
use crate::house::now;
use crate::payload::{Content, Payload};
use crate::plan::Requests;
use crate::tally::Tally;

/// From security to operation, and from there to full features: each side is through with its step.
const TO_OPERATION: u8 = 0x81;
const TO_FULL_FEATURES: u8 = 0x87;
/// How often a target may ask for another turn within one step of the login.
const TURNS_MAX: u32 = 8;
/// How many unit attentions a new session may find.
const ATTENTIONS_MAX: u32 = 8;

/// A logical unit, and how to reach it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Portal {
    /// Where the target listens.
    pub address: SocketAddr,
    /// Its name.
    pub target: String,
    /// The number of the unit.
    pub lun: u8,
    /// Whether PDUs carry checksums.
    pub digests: Digests,
}

/// A session with one logical unit.
#[derive(Debug)]
pub struct Session {
    stream: TcpStream,
    line: Line,
    numbers: Numbers,
    /// Bytes of the unit.
    pub size: u64,
}

impl Session {
    /// Logs in, and asks for the size of the unit.
    ///
    /// # Errors
    /// Where nobody listens, or the target refuses, or the unit is not ready.
    pub async fn open(portal: &Portal) -> Outcome<Self> {
        let stream = TcpStream::connect(portal.address).await?;
        stream.set_nodelay(true)?;
        let line = Line { lun: portal.lun, block_len: 512, terms: Terms::initial() };
        let mut session = Self { stream, line, numbers: Numbers::first(), size: 0 };
        session.login(portal).await?;
        let mut attentions = 0;
        loop {
            let (answer, sense) = session.ask(&Command::plain(0)).await?;
            attentions += 1;
            match answer.status {
                0 => break,
                2 if attentions < ATTENTIONS_MAX => {}
                status => {
                    let complaint = format!("not ready: status {status:#04x}, {sense:02x?}");
                    return Err(complaint.into());
                }
            }
        }
        let (_, capacity) = session.ask(&Command::capacity()).await?;
        let [last, rest] = [0, 8].map(|at| capacity.get(at..at + 8).unwrap_or_default());
        let last = u64::from_be_bytes(last.try_into()?);
        session.line.block_len = u32::from_be_bytes(rest[..4].try_into()?);
        session.size = (last + 1) * u64::from(session.line.block_len);
        Ok(session)
    }

    async fn login(&mut self, portal: &Portal) -> Outcome<()> {
        static COUNT: AtomicU16 = AtomicU16::new(0);
        let [high, low] = COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let isid = [0x80, 0, 0, 1, high, low];
        let mut terms = self.line.terms;
        let steps = [
            (TO_OPERATION, Terms::introduction(&portal.target)),
            (TO_FULL_FEATURES, Terms::offer(portal.digests)),
        ];
        for (stages, mut text) in steps {
            let mut turns = 0;
            loop {
                let len = u32::try_from(text.len())?;
                self.send(&pdu::login(stages, isid, len, &self.numbers), &text).await?;
                let (answer, said) = self.receive().await?;
                if answer.operation != answer::LOGIN || answer.login_status != 0 {
                    let (target, status) = (&portal.target, answer.login_status);
                    return Err(format!("{target} refuses the login: {status:#06x}").into());
                }
                terms.heed(&said)?;
                text.clear();
                turns += 1;
                match answer.flags & 0x80 {
                    0 if turns < TURNS_MAX => {}
                    0 => return Err("the login does not come to an end".into()),
                    _ => break,
                }
            }
        }
        if terms.digests != portal.digests {
            return Err(format!("agreed on {terms:?}, wanted {:?}", portal.digests).into());
        }
        // Not before: a login carries no checksums.
        self.line.terms = terms;
        Ok(())
    }

    /// One command on its own, to its end. Gives the last answer, and the data or the sense.
    async fn ask(&mut self, command: &Command) -> Outcome<(Answer, Vec<u8>)> {
        let lun = self.line.lun;
        let sending = Sending { task: 0, lun, immediate_len: 0, unsolicited_len: 0 };
        self.send(&pdu::command(command, &sending, &self.numbers), &[]).await?;
        self.numbers.command = self.numbers.command.wrapping_add(1);
        let mut come = Vec::new();
        loop {
            let (answer, data) = self.receive().await?;
            come.extend(data);
            match answer.operation {
                answer::DATA_IN if !answer.is_last_data() => {}
                answer::DATA_IN | answer::RESPONSE => return Ok((answer, come)),
                answer::NOP_IN => {}
                _ => return Err(format!("the target sends {answer:?}").into()),
            }
        }
    }

    /// Sends one PDU without data, or a login.
    async fn send(&mut self, head: &Head, text: &[u8]) -> Outcome<()> {
        let mut bytes = head.to_vec();
        if self.line.terms.digests == Digests::Crc32c {
            bytes.extend(digest(head));
        }
        bytes.extend(text);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        Ok(self.stream.write_all(&bytes).await?)
    }

    /// Receives one PDU.
    async fn receive(&mut self) -> Outcome<(Answer, Vec<u8>)> {
        let digest_len = match self.line.terms.digests {
            Digests::None => 0,
            Digests::Crc32c => DIGEST_LEN,
        };
        let mut head = [0; HEAD_LEN + DIGEST_LEN];
        self.stream.read_exact(&mut head[..HEAD_LEN + digest_len]).await?;
        let head = head.first_chunk::<HEAD_LEN>().ok_or("a head that is cut off")?;
        let answer = Answer::of(head);
        if answer.data_len > RECEIVE_LEN_MAX || answer.more_len > 0 {
            return Err(format!("a PDU that nobody wants: {answer:?}").into());
        }
        let tail_len = if answer.data_len > 0 { digest_len } else { 0 };
        let mut data = vec![0; answer.padded_len() + tail_len];
        self.stream.read_exact(&mut data).await?;
        data.truncate(answer.data_len);
        self.numbers.heed(&answer);
        Ok((answer, data))
    }

    /// Runs a load and tells how it went. Returns when every request was answered.
    ///
    /// # Errors
    /// Where the target answers with an error, with nonsense, or not at all.
    pub async fn run(
        &mut self,
        plan: &mut impl Requests,
        depth: usize,
        limit: Limit,
    ) -> Outcome<Tally> {
        let digests = self.line.terms.digests;
        let mut outbox = Outbox::new(Payload::of(Content::Random), digests);
        let mut inbox = Inbox::new(digests);
        let mut flight = Flight::new(depth, self.line, &mut self.numbers, &mut outbox);
        let start = now();
        flight.tally.started = start;
        let mut heard = start;
        loop {
            let elapsed = now() - start;
            let is_open = elapsed < limit.time && flight.tally.issued < limit.requests;
            while is_open && limit.allows(flight.tally.issued, elapsed) {
                if !flight.issue(plan, elapsed)? {
                    break;
                }
            }
            if flight.is_over() && !is_open {
                break;
            }
            flight.outbox().send(&self.stream)?;
            let interest = if flight.outbox().is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            match tokio::time::timeout(limit.pause(), self.stream.ready(interest)).await {
                Ok(ready) => {
                    if ready?.is_readable() {
                        heard = now();
                        let at = heard - start;
                        inbox.take(&self.stream, |answer, data| flight.heed(answer, data, at))?;
                    }
                }
                Err(_) if !flight.is_over() && now() - heard >= SILENCE_MAX => {
                    return Err("the target has not answered for a minute".into());
                }
                Err(_) => {}
            }
        }
        let mut tally = flight.tally;
        tally.elapsed = now() - start;
        Ok(tally)
    }

    /// Logs out.
    ///
    /// # Errors
    /// Where the connection is broken already, or the target does not let go.
    pub async fn close(mut self) -> Outcome<()> {
        self.send(&pdu::logout(&self.numbers), &[]).await?;
        loop {
            let (answer, _) = self.receive().await?;
            match answer.operation {
                answer::LOGOUT if answer.response == 0 => return Ok(()),
                answer::NOP_IN => {}
                _ => return Err(format!("the target ends with {answer:?}").into()),
            }
        }
    }
}
