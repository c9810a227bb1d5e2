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

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::intake::{Intake, Next};
use super::limits::DOUBT_TIME_MAX;
use super::outcome::Outcome;
use super::service::Service;
use crate::door::completions::{Completion, Completions, Order};
use crate::door::limits::FAREWELL_TIME_MAX;
use crate::door::outbox::{Outbox, SLICES_MAX};

/// One client's session.
pub struct Session<S> {
    stream: S,
    completions: Arc<Completions<Outcome>>,
    service: Service,
    intake: Intake,
    ended: Vec<Completion<Outcome>>,
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
    is_flushed: bool,
}

impl<S> Session<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// A session over `stream`. `received` came behind the negotiation; `completions` is where the
    /// answers to the requests of `service` arrive.
    pub fn new(
        stream: S,
        received: &[u8],
        service: Service,
        completions: Arc<Completions<Outcome>>,
    ) -> Self {
        let phase = Phase { is_receiving: true, is_sending: true, is_flushed: true };
        let intake = Intake::holding(received);
        Self { stream, completions, service, intake, ended: Vec::new(), doubt: None, phase }
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
            let order = self.completions.take(&mut self.ended);
            self.obey(order);
            self.service.settle(&mut self.ended);
            if !self.phase.is_sending {
                self.service.outbox = Outbox::new();
            }
            if self.poll_send(cx).is_ready() && self.is_finished() {
                return Poll::Ready(());
            }
            let has_moved = self.poll_intake(cx);
            if has_moved || self.is_finished() || self.service.begin_flush() {
                continue;
            }
            if self.completions.arm(order, cx.waker()) {
                return Poll::Pending;
            }
        }
    }

    fn is_finished(&self) -> bool {
        let is_out =
            (self.service.outbox.is_empty() && self.phase.is_flushed) || !self.phase.is_sending;
        !self.phase.is_receiving && self.service.is_idle() && is_out
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Serve => {}
            Order::Close => self.service.is_closing = true,
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
        while self.phase.is_sending && !self.service.outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = self.service.outbox.slices(&mut slices);
            let stream = Pin::new(&mut self.stream);
            match ready!(stream.poll_write_vectored(cx, &slices[..count])) {
                Ok(len) if len > 0 => self.service.outbox.sent(len),
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
                let is_end = self.service.is_closing && self.service.is_idle();
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
        let terms = self.service.terms();
        let mut has_taken = false;
        let halt = loop {
            let room = self.service.room();
            if room == 0 {
                break Halt::Full;
            }
            match self.intake.next(&terms, room) {
                Next::Request(incoming) => {
                    has_taken = true;
                    self.service.start(incoming);
                }
                Next::Hungry => break Halt::Hungry,
                Next::Doubtful => break Halt::Doubtful,
                Next::Crowded => break Halt::Full,
                Next::Disconnect => {
                    self.phase.is_receiving = false;
                    break Halt::Full;
                }
                Next::Drop(why) => {
                    tracing::debug!(export = self.service.name(), why, "end session");
                    self.phase.is_receiving = false;
                    break Halt::Full;
                }
            }
        };
        self.service.hand_down();
        (has_taken || !self.phase.is_receiving, halt)
    }
}
