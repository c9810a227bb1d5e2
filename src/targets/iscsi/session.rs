//! Serves one initiator that has logged in.
//!
//! One task and one loop: what was answered is sent, what was received is understood, and all of it is
//! handed to the disks at once. One receive brings many PDUs, one vectored send carries the answers.
//! Receiving and sending never wait for each other, and what one initiator holds is bounded.

use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::intake::{Intake, Next};
use super::limits::SILENCE_MAX;
use super::outcome::Outcome;
use super::service::{Fate, Service};
use crate::door::completions::{Completion, Completions, Order};
use crate::door::limits::FAREWELL_TIME_MAX;
use crate::door::outbox::{Outbox, SLICES_MAX};

/// One initiator's session.
pub struct Session<S> {
    stream: S,
    completions: Arc<Completions<Outcome>>,
    service: Service,
    intake: Intake,
    ended: Vec<Completion<Outcome>>,
    silence: Pin<Box<Sleep>>,
    life: Life,
    phase: Phase,
}

/// What is known of the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Life {
    /// Something came since it was last looked at.
    Heard,
    /// Nothing did.
    Silent,
    /// Nothing did, and it was asked.
    Asked,
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
    /// A session over `stream`. `completions` is where the answers to what `service` asks arrive.
    pub fn new(
        stream: S,
        intake: Intake,
        service: Service,
        completions: Arc<Completions<Outcome>>,
    ) -> Self {
        let phase = Phase { is_receiving: true, is_sending: true, is_flushed: true };
        let silence = Box::pin(sleep(SILENCE_MAX));
        let (ended, life) = (Vec::new(), Life::Heard);
        Self { stream, completions, service, intake, ended, silence, life, phase }
    }

    /// Serves until the initiator leaves, the connection breaks, or an order ends it; and until the last
    /// command that is carried out has ended.
    pub async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
        if self.phase.is_sending {
            // Whoever does not take a farewell does not get one.
            let _ = tokio::time::timeout(FAREWELL_TIME_MAX, self.stream.shutdown()).await;
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let order = self.completions.take(&mut self.ended);
            match order {
                Order::Serve => {}
                Order::Close => self.service.ask_to_leave(),
                Order::Kill => self.break_off(),
            }
            self.service.settle(&mut self.ended);
            self.service.hand_down();
            if self.service.is_over() {
                self.stop_receiving();
            }
            if !self.phase.is_sending {
                self.service.outbox = Outbox::new();
            }
            let is_sent = self.poll_send(cx).is_ready();
            if is_sent && self.is_finished() {
                return Poll::Ready(());
            }
            let has_moved = self.poll_intake(cx) || self.poll_silence(cx);
            if has_moved || self.is_finished() || self.service.begin_flush() {
                continue;
            }
            if self.completions.arm(order, cx.waker()) {
                return Poll::Pending;
            }
        }
    }

    fn is_finished(&self) -> bool {
        let is_said = self.service.outbox.is_empty()
            && self.phase.is_flushed
            && self.service.is_farewell_said();
        let is_out = is_said || !self.phase.is_sending;
        !self.phase.is_receiving && self.service.is_idle() && is_out
    }

    /// Neither receives nor sends any more; what is carried out is still waited for.
    fn break_off(&mut self) {
        self.phase.is_sending = false;
        self.stop_receiving();
    }

    fn stop_receiving(&mut self) {
        if std::mem::replace(&mut self.phase.is_receiving, false) {
            self.service.abandon();
        }
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

    /// Receives, and hands down what that brought. Says whether it did anything.
    fn poll_intake(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.phase.is_receiving || !self.service.has_room() {
            return false;
        }
        match self.poll_receive(cx) {
            Poll::Ready(true) => {
                self.life = Life::Heard;
                self.take_pdus();
                true
            }
            Poll::Ready(false) => {
                self.stop_receiving();
                true
            }
            Poll::Pending => false,
        }
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

    /// Takes all PDUs that have come, and hands down what they ask.
    fn take_pdus(&mut self) {
        let why = loop {
            let service = &mut self.service;
            match self.intake.next(&mut |head| service.lend(head)) {
                Next::Pdu(pdu) => match self.service.take(pdu, &self.intake) {
                    Fate::Goes => {}
                    Fate::Ends(why) => break Some(why),
                },
                Next::Hungry => break None,
                Next::Damaged(head) => {
                    self.service.reject_damaged(&head);
                    break Some("data that is damaged");
                }
                Next::Drop(why) => break Some(why),
            }
        };
        if let Some(why) = why {
            tracing::debug!(why, "end session");
            self.stop_receiving();
        }
        self.service.hand_down();
    }

    /// Asks an initiator that has been silent whether it lives, and gives one up that does not answer.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.phase.is_receiving || self.silence.as_mut().poll(cx).is_pending() {
            return false;
        }
        let at = Instant::now() + SILENCE_MAX;
        self.silence.as_mut().reset(at);
        self.life = match self.life {
            Life::Heard => Life::Silent,
            Life::Silent => {
                self.service.ping();
                Life::Asked
            }
            Life::Asked => {
                tracing::debug!("the initiator does not answer");
                self.break_off();
                Life::Asked
            }
        };
        true
    }
}
