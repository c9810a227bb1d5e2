//! Serves the requests of one client that has agreed on an export.
//!
//! One task and one loop: what was answered is sent, what was received is understood, and all of it is
//! handed to the disk at once. One receive brings many requests, one `submit` hands them down, one
//! vectored send carries the replies; answers that come from within `submit` go out without a wake-up.
//! Receiving and sending never wait for each other, and what one client holds is bounded.

use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use disk::{Answers, Buffer, Done, Op, Reply, Request};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::completions::{Completion, Completions, Order, Outcome};
use super::intake::{Asked, Body, Incoming, Intake, Next, bytes_held};
use super::limits::{DOUBT_TIME_MAX, FAREWELL_TIME_MAX, REQUEST_BYTES_MAX, REQUESTS_MAX};
use super::negotiation::Agreement;
use super::outbox::{Outbox, SLICES_MAX};
use super::pending::{Expected, InFlight, Pending};
use super::reply::{Failure, Read, ReplyForm};
use super::request::{ByteExtent, Command, Framing, Header, Refusal, StatusPayload, Terms};
use super::status::{self, Selected};
use super::tally::Tally;
use super::unaligned::{EdgeLock, Edged};
use super::wire::Errno;
use crate::export::Export;

/// What a session shares with those who watch it.
#[derive(Debug, Default)]
pub struct Shared {
    /// Where its answers arrive, and orders to it.
    pub completions: Arc<Completions>,
    /// What it has done.
    pub tally: Tally,
}

/// One client's session.
pub struct Session<S> {
    stream: S,
    shared: Arc<Shared>,
    answers: Arc<dyn Answers>,
    export: Export,
    edged: Edged,
    contexts: Vec<Selected>,
    form: ReplyForm,
    terms: Terms,
    intake: Intake,
    outbox: Outbox,
    pending: Pending,
    batch: Vec<Request>,
    ended: Vec<Completion>,
    doubt: Option<Pin<Box<Sleep>>>,
    phase: Phase,
}

/// Why no further request was taken from what was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Halt {
    /// More has to be received.
    Hungry,
    /// More may be received, for some time.
    Doubtful,
    /// There is no room, or the session ends.
    Full,
}

/// What still goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Phase {
    is_receiving: bool,
    is_sending: bool,
    is_closing: bool,
    is_flushed: bool,
}

impl<S> Session<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// A session over `stream`. `received` came behind the negotiation.
    pub fn new(
        stream: S,
        agreement: Agreement,
        received: &[u8],
        edges: Arc<EdgeLock>,
        shared: Arc<Shared>,
    ) -> Self {
        let Agreement { export, contexts, framing, form, payload_len_max } = agreement;
        let terms = Terms {
            framing,
            has_chunks: form != ReplyForm::Simple,
            has_contexts: !contexts.is_empty(),
            is_read_only: export.is_read_only(),
            len: export.len_bytes(),
            payload_len_max,
        };
        let edged = Edged { disk: Arc::clone(&export.disk), lock: edges };
        let answers: Arc<dyn Answers> = Arc::clone(&shared.completions) as Arc<dyn Answers>;
        Self {
            stream,
            shared,
            answers,
            export,
            edged,
            contexts,
            form,
            terms,
            intake: Intake::holding(received),
            outbox: Outbox::new(),
            pending: Pending::default(),
            batch: Vec::new(),
            ended: Vec::new(),
            doubt: None,
            phase: Phase {
                is_receiving: true,
                is_sending: true,
                is_closing: false,
                is_flushed: true,
            },
        }
    }

    /// Serves until the client leaves, the connection breaks, or an order ends it; and until the last
    /// request that was taken is answered.
    pub async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
        if self.phase.is_sending {
            // A client that does not take a farewell does not get one.
            let _ = tokio::time::timeout(FAREWELL_TIME_MAX, self.stream.shutdown()).await;
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let order = self.shared.completions.take(&mut self.ended);
            self.obey(order);
            self.settle();
            if self.poll_send(cx).is_ready() && self.is_finished() {
                return Poll::Ready(());
            }
            let has_moved = self.poll_intake(cx);
            if !has_moved && !self.is_finished() && self.shared.completions.arm(order, cx.waker()) {
                return Poll::Pending;
            }
        }
    }

    fn is_finished(&self) -> bool {
        let is_out = (self.outbox.is_empty() && self.phase.is_flushed) || !self.phase.is_sending;
        !self.phase.is_receiving && self.pending.is_empty() && is_out
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Serve => {}
            Order::Close => self.phase.is_closing = true,
            Order::Kill => self.break_off(),
        }
    }

    /// Neither receives nor sends any more; what was handed down is still waited for.
    fn break_off(&mut self) {
        self.phase.is_receiving = false;
        self.phase.is_sending = false;
    }

    /// Sends what waits. Ready when nothing does, or nothing can be sent any more.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.phase.is_sending && !self.outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = self.outbox.slices(&mut slices);
            let stream = Pin::new(&mut self.stream);
            match ready!(stream.poll_write_vectored(cx, &slices[..count])) {
                Ok(len) if len > 0 => self.outbox.sent(len),
                _ => self.break_off(),
            }
            self.phase.is_flushed = false;
        }
        if self.phase.is_sending && !self.phase.is_flushed {
            if ready!(Pin::new(&mut self.stream).poll_flush(cx)).is_err() {
                self.break_off();
            }
            self.phase.is_flushed = true;
        }
        Poll::Ready(())
    }

    /// Hands down what has been received, or receives and hands down that. Says whether it did anything.
    fn poll_intake(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.phase.is_receiving {
            return false;
        }
        self.terms.len = self.export.len_bytes();
        let (has_taken, halt) = self.take_requests();
        if has_taken || halt == Halt::Full {
            return has_taken;
        }
        match self.poll_receive(cx) {
            Poll::Ready(true) => {
                self.take_requests();
                true
            }
            Poll::Ready(false) => {
                self.phase.is_receiving = false;
                true
            }
            Poll::Pending => {
                // What comes while the last requests are carried out is refused. Then this is the end.
                let is_end = self.phase.is_closing && self.pending.is_empty();
                self.phase.is_receiving = !is_end;
                is_end || (halt == Halt::Doubtful && self.poll_doubt(cx).is_ready())
            }
        }
    }

    /// Waits until a doubt has lasted long enough, and decides it.
    fn poll_doubt(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let doubt = self.doubt.get_or_insert_with(|| Box::pin(sleep(DOUBT_TIME_MAX)));
        ready!(doubt.as_mut().poll(cx));
        self.doubt = None;
        self.intake.settle_doubt();
        Poll::Ready(())
    }

    /// Receives once. False at the end of the stream.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let Ok(space) = self.intake.space() else {
            self.break_off();
            return Poll::Ready(false);
        };
        let mut buf = ReadBuf::new(space);
        let outcome = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf));
        let len = buf.filled().len();
        if outcome.is_err() {
            self.break_off();
            return Poll::Ready(false);
        }
        self.intake.received(len);
        Poll::Ready(len > 0)
    }

    /// Takes requests from what was received, as many as there are and as there is room for, and hands
    /// them down. Says whether there were any, and why there are no more.
    fn take_requests(&mut self) -> (bool, Halt) {
        let mut has_taken = false;
        let halt = loop {
            let held = self.pending.bytes() + self.outbox.unsent() as u64;
            let room = if held == 0 { u64::MAX } else { REQUEST_BYTES_MAX.saturating_sub(held) };
            if self.pending.len() >= REQUESTS_MAX || room == 0 {
                break Halt::Full;
            }
            match self.intake.next(&self.terms, room) {
                Next::Request(incoming) => {
                    has_taken = true;
                    self.start(incoming);
                }
                Next::Hungry => break Halt::Hungry,
                Next::Doubtful => break Halt::Doubtful,
                Next::Crowded => break Halt::Full,
                Next::Disconnect => {
                    self.phase.is_receiving = false;
                    has_taken = true;
                    break Halt::Full;
                }
                Next::Drop(why) => {
                    tracing::debug!(export = self.export.name, why, "end session");
                    self.phase.is_receiving = false;
                    has_taken = true;
                    break Halt::Full;
                }
            }
        };
        if !self.batch.is_empty() {
            self.export.disk.submit(std::mem::take(&mut self.batch));
        }
        (has_taken, halt)
    }

    fn start(&mut self, incoming: Incoming) {
        let Incoming { header, asked } = incoming;
        self.shared.tally.count_request();
        match asked {
            _ if self.phase.is_closing => {
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
                self.hand_down(ticket, Op::Write { start: bytes.cover().start, data, durability });
            }
            (Command::Flush, _) => {
                let ticket =
                    self.pending.add(InFlight { header, expected: Expected::Nothing, held });
                self.hand_down(ticket, Op::Flush);
            }
            (Command::Trim { bytes, durability }, _) if !bytes.inner().is_empty() => {
                let expected = Expected::Trim(bytes);
                let ticket = self.pending.add(InFlight { header, expected, held });
                self.hand_down(ticket, Op::Discard { extent: bytes.inner(), durability });
            }
            (Command::Zero { bytes, keep, durability }, _) if bytes.len > 0 => {
                let ticket =
                    self.pending.add(InFlight { header, expected: Expected::Write(bytes), held });
                if bytes.is_whole_sectors() {
                    let op = Op::WriteZeroes { extent: bytes.cover(), keep, durability };
                    return self.hand_down(ticket, op);
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
                self.hand_down(ticket, Op::Read { start: cover.start, buffer });
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

    fn hand_down(&mut self, ticket: u64, op: Op) {
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
    fn settle(&mut self) {
        let mut ended = std::mem::take(&mut self.ended);
        for Completion { ticket, outcome } in ended.drain(..) {
            if let Some(in_flight) = self.pending.remove(ticket) {
                self.reply(&in_flight, outcome);
            }
        }
        self.ended = ended;
        self.shared.tally.set_in_flight(self.pending.len());
        if !self.phase.is_sending {
            self.outbox = Outbox::new();
        }
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

    /// The form of requests that was agreed on.
    pub const fn framing(&self) -> Framing {
        self.terms.framing
    }
}
