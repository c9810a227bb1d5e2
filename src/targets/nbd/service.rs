//! Carries the requests of one session out: what goes down to the disk, and what comes back as replies.
//!
//! Knows neither the socket nor how requests arrive. Requests that start and end with sectors go straight
//! to the disk, in batches; the others, and questions about extents, are small tasks of their own.

use std::sync::Arc;

use disk::{Answers, Buffer, Done, Durability, Op, Reply, Request};

use super::agreement::Agreement;
use super::intake::{Asked, Body, Incoming, bytes_held};
use super::limits::{REQUEST_BYTES_MAX, REQUESTS_MAX};
use super::outcome::Outcome;
use super::pending::{Expected, InFlight, Pending};
use super::reply::{Failure, Read, ReplyForm};
use super::request::{ByteExtent, Command, Header, Refusal, StatusPayload, Terms};
use super::status::{self, Selected};
use super::unaligned::{EdgeLock, Edged};
use super::wire::Errno;
use crate::door::completions::{Completion, Completions};
use crate::door::outbox::Outbox;
use crate::door::rhythm::Rhythm;
use crate::door::tally::Tally;
use crate::export::Export;

/// The ticket of a flush that nobody has asked for yet; no request has it.
const UNASKED: u64 = u64::MAX;

/// What a session shares with those who watch it.
#[derive(Debug, Default)]
pub struct Shared {
    /// Where its answers arrive, and orders to it.
    pub completions: Arc<Completions<Outcome>>,
    /// What it has done.
    pub tally: Tally,
}

/// The requests of one session, and their replies.
pub struct Service {
    /// Replies that wait to be sent.
    pub outbox: Outbox,
    /// Whether requests are refused because the server ends.
    pub is_closing: bool,
    shared: Arc<Shared>,
    answers: Arc<dyn Answers>,
    export: Export,
    edged: Edged,
    contexts: Vec<Selected>,
    form: ReplyForm,
    terms: Terms,
    pending: Pending,
    rhythm: Rhythm,
    batch: Vec<Request>,
}

impl Service {
    /// The service of what was agreed on. Sessions of one export share `edges`.
    pub fn new(agreement: Agreement, edges: Arc<EdgeLock>, shared: Arc<Shared>) -> Self {
        let Agreement { export, contexts, framing, form, payload_len_max } = agreement;
        let terms = Terms {
            framing,
            has_chunks: form != ReplyForm::Simple,
            has_contexts: !contexts.is_empty(),
            is_read_only: export.is_read_only(),
            len: export.len_bytes(),
            payload_len_max,
        };
        let answers: Arc<dyn Answers> = Arc::clone(&shared.completions) as Arc<dyn Answers>;
        Self {
            outbox: Outbox::new(),
            is_closing: false,
            shared,
            answers,
            edged: Edged { disk: Arc::clone(&export.disk), lock: edges },
            export,
            contexts,
            form,
            terms,
            pending: Pending::default(),
            rhythm: Rhythm::default(),
            batch: Vec::new(),
        }
    }

    /// What requests are judged by; the export may have grown since the last time.
    pub fn terms(&mut self) -> Terms {
        self.terms.len = self.export.len_bytes();
        self.terms
    }

    /// The name of the export.
    pub fn name(&self) -> &str {
        &self.export.name
    }

    /// Whether nothing is under way that a reply will follow.
    pub const fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// Bytes of payload that the next request may carry or ask for. Whoever has nothing in flight may
    /// always have one request.
    pub fn room(&self) -> u64 {
        match self.pending.bytes() + self.outbox.unsent() as u64 {
            _ if self.pending.len() >= REQUESTS_MAX => 0,
            0 => u64::MAX,
            held => REQUEST_BYTES_MAX.saturating_sub(held),
        }
    }

    /// Begins the flush that the client is about to ask for, where it waits for nothing and its rhythm says
    /// so. Says whether it did.
    pub fn begin_flush(&mut self) -> bool {
        let is_due = self.is_idle() && self.outbox.is_empty() && self.rhythm.begins_flush();
        if is_due {
            self.add_to_batch(UNASKED, Op::Flush);
            self.hand_down();
        }
        is_due
    }

    /// Hands all that was started and not yet handed down to the disk.
    pub fn hand_down(&mut self) {
        if !self.batch.is_empty() {
            self.export.disk.submit(std::mem::take(&mut self.batch));
        }
    }

    /// Carries a request out, or answers it at once. What goes to the disk waits for `hand_down`.
    pub fn start(&mut self, incoming: Incoming) {
        let Incoming { header, asked } = incoming;
        self.shared.tally.count_request();
        match asked {
            _ if self.is_closing => {
                let why = "the server is ending";
                self.refuse(&header, Refusal { errno: Errno::Shutdown, why });
            }
            Asked::Refuse(refusal) => self.refuse(&header, refusal),
            Asked::Perform(command, body) => self.perform(header, command, body),
        }
    }

    fn refuse(&mut self, header: &Header, refusal: Refusal) {
        self.shared.tally.count_failure();
        self.form.failed(&mut self.outbox, header, &refusal.into());
    }

    fn perform(&mut self, header: Header, command: Command, body: Body) {
        let held = bytes_held(&command);
        self.note_rhythm(&command);
        match (command, body) {
            (Command::Read { bytes, is_unfragmented }, _) => {
                self.read(header, Read { bytes, is_unfragmented });
            }
            (Command::Write { bytes, durability }, Body::Data(pieces)) if bytes.len > 0 => {
                let ticket =
                    self.pending.add(InFlight { header, expected: Expected::Write(bytes), held });
                if !bytes.is_whole_sectors() {
                    let edged = self.edged.clone();
                    let change = async move { edged.write(bytes, pieces, durability).await };
                    return self.spawn(ticket, async { Outcome::Disk(change.await) });
                }
                let data = pieces.into_iter().map(Buffer::freeze).collect();
                self.add_to_batch(
                    ticket,
                    Op::Write { start: bytes.cover().start, data, durability },
                );
            }
            (Command::Flush, _) => {
                let ticket =
                    self.pending.add(InFlight { header, expected: Expected::Nothing, held });
                self.add_to_batch(ticket, Op::Flush);
            }
            (Command::Trim { bytes, durability }, _) if !bytes.inner().is_empty() => {
                let expected = Expected::Trim(bytes);
                let ticket = self.pending.add(InFlight { header, expected, held });
                self.add_to_batch(ticket, Op::Discard { extent: bytes.inner(), durability });
            }
            (Command::Zero { bytes, keep, durability }, _) if bytes.len > 0 => {
                let ticket =
                    self.pending.add(InFlight { header, expected: Expected::Write(bytes), held });
                if bytes.is_whole_sectors() {
                    let op = Op::WriteZeroes { extent: bytes.cover(), keep, durability };
                    return self.add_to_batch(ticket, op);
                }
                let edged = self.edged.clone();
                let change = async move { edged.zero(bytes, keep, durability).await };
                self.spawn(ticket, async { Outcome::Disk(change.await) });
            }
            (Command::Status { bytes, is_one }, _) => {
                let contexts = self.contexts.clone();
                self.status(header, contexts, bytes, is_one);
            }
            (Command::StatusOf { offset, is_one }, Body::Status(payload)) => {
                self.status_of(header, offset, payload, is_one);
            }
            // Nothing to do: no bytes, no whole sectors to forget, or a hint that is not used because
            // nothing here would remember what was read ahead.
            _ => self.form.done(&mut self.outbox, &header, false),
        }
    }

    fn note_rhythm(&mut self, command: &Command) {
        match command {
            Command::Write { durability: Durability::Volatile, .. }
            | Command::Trim { durability: Durability::Volatile, .. }
            | Command::Zero { durability: Durability::Volatile, .. } => self.rhythm.wrote(),
            Command::Flush => self.rhythm.flushed(),
            _ => {}
        }
    }

    fn read(&mut self, header: Header, read: Read) {
        if read.bytes.len == 0 {
            return self.form.done(&mut self.outbox, &header, true);
        }
        let cover = read.bytes.cover();
        match self.outbox.buffer(cover.sectors) {
            Ok(buffer) => {
                let held = read.bytes.len;
                let ticket =
                    self.pending.add(InFlight { header, expected: Expected::Read(read), held });
                self.add_to_batch(ticket, Op::Read { start: cover.start, buffer });
            }
            Err(error) => {
                let failure = Failure::of_disk(&error, None, Errno::Invalid);
                self.form.failed(&mut self.outbox, &header, &failure);
            }
        }
    }

    fn status_of(&mut self, header: Header, offset: u64, payload: StatusPayload, is_one: bool) {
        let bytes = ByteExtent { offset, len: payload.len };
        let is_within = offset.checked_add(payload.len).is_some_and(|end| end <= self.terms.len);
        let find = |id: &u32| self.contexts.iter().find(|context| context.id == *id).cloned();
        match payload.ids.iter().map(find).collect::<Option<Vec<_>>>() {
            Some(contexts) if is_within => self.status(header, contexts, bytes, is_one),
            Some(_) => {
                let why = "past the end of the export";
                self.refuse(&header, Refusal { errno: Errno::Invalid, why });
            }
            None => {
                let why = "a context that was not selected";
                self.refuse(&header, Refusal { errno: Errno::Invalid, why });
            }
        }
    }

    fn status(&mut self, header: Header, contexts: Vec<Selected>, bytes: ByteExtent, is_one: bool) {
        if bytes.len == 0 {
            let why = "a status request needs a length";
            return self.refuse(&header, Refusal { errno: Errno::Invalid, why });
        }
        let held = bytes_held(&Command::Status { bytes, is_one });
        let ticket = self.pending.add(InFlight { header, expected: Expected::Status(bytes), held });
        self.spawn(
            ticket,
            async move { Outcome::Status(status::query(contexts, bytes, is_one).await) },
        );
    }

    fn add_to_batch(&mut self, ticket: u64, op: Op) {
        let reply = Reply::new(Arc::clone(&self.answers), ticket);
        self.batch.push(Request { op, reply });
    }

    fn spawn(&self, ticket: u64, work: impl Future<Output = Outcome> + Send + 'static) {
        let completions = Arc::clone(&self.shared.completions);
        tokio::spawn(async move {
            let outcome = work.await;
            completions.end(ticket, outcome);
        });
    }

    /// Turns what has ended into replies.
    pub fn settle(&mut self, ended: &mut Vec<Completion<Outcome>>) {
        for Completion { ticket, outcome } in ended.drain(..) {
            if let Some(in_flight) = self.pending.remove(ticket) {
                self.reply(&in_flight, outcome);
            }
        }
        self.shared.tally.set_in_flight(self.pending.len());
    }

    fn reply(&mut self, in_flight: &InFlight, outcome: Outcome) {
        let InFlight { header, expected, .. } = in_flight;
        let (form, out, tally) = (self.form, &mut self.outbox, &self.shared.tally);
        let error = match (expected, outcome) {
            (Expected::Read(read), Outcome::Disk(Ok(Done::Read(buffer)))) => {
                tally.count_read(read.bytes.len);
                return form.data(out, header, buffer, *read);
            }
            (Expected::Status(_), Outcome::Status(Ok(contexts))) => {
                return form.status(out, header, &contexts);
            }
            (_, Outcome::Disk(Ok(done))) => {
                if let (Expected::Write(bytes), Done::Written) = (expected, done) {
                    tally.count_written(bytes.len);
                }
                return form.done(out, header, false);
            }
            (_, Outcome::Status(Ok(_))) => return form.done(out, header, true),
            (_, Outcome::Disk(Err(error)) | Outcome::Status(Err(error))) => error,
        };
        tally.count_failure();
        tracing::debug!(export = self.export.name, %error, "carry out a request");
        form.failed(out, header, &Failure::of_disk(&error, expected.bytes(), expected.past_end()));
    }
}
