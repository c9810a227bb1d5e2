//! What is in flight on one connection: tasks, and the data that the target asks for. No socket here.

use std::time::Duration;

use super::login::Terms;
use super::outbox::{Body, Outbox};
use super::pdu::{self, Answer, Command, NO_TASK, Numbers, Part, Sending, answer};
use crate::Outcome;
use crate::plan::{Kind, Request, Requests};
use crate::tally::Tally;

/// Where the tasks go, and by which terms.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// The logical unit.
    pub lun: u8,
    /// Bytes of its logical block.
    pub block_len: u32,
    /// What was agreed on.
    pub terms: Terms,
}

#[derive(Clone, Copy, Debug)]
struct Task {
    request: Request,
    start: Duration,
    /// Where the data to be written lie in the store.
    body_at: usize,
    /// Bytes of data that came.
    come: usize,
}

/// What is in flight.
pub struct Flight<'a> {
    /// What was answered.
    pub tally: Tally,
    slots: Vec<Option<Task>>,
    free: Vec<usize>,
    line: Line,
    numbers: &'a mut Numbers,
    outbox: &'a mut Outbox,
}

impl<'a> Flight<'a> {
    /// Nothing yet, and at most `depth` tasks.
    pub fn new(depth: usize, line: Line, numbers: &'a mut Numbers, outbox: &'a mut Outbox) -> Self {
        let (slots, free) = (vec![None; depth], (0..depth).rev().collect());
        Self { tally: Tally::default(), slots, free, line, numbers, outbox }
    }

    /// Whether every task was answered.
    pub fn is_over(&self) -> bool {
        self.free.len() == self.slots.len()
    }

    /// What waits to be sent.
    pub fn outbox(&mut self) -> &mut Outbox {
        self.outbox
    }

    /// Puts the next request on its way; not if too many are, or the target's window is closed.
    ///
    /// # Errors
    /// Where there are more slots than tags.
    pub fn issue(&mut self, plan: &mut impl Requests, now: Duration) -> Outcome<bool> {
        if !self.numbers.is_open() {
            return Ok(false);
        }
        let Some(slot) = self.free.pop() else { return Ok(false) };
        let request = plan.next();
        let is_write = request.kind == Kind::Write;
        let body_at = if is_write { self.outbox.payload.place(request.len as usize) } else { 0 };
        self.slots[slot] = Some(Task { request, start: now, body_at, come: 0 });
        self.tally.issued += u64::from(request.kind != Kind::Flush);
        let out_len = if is_write { request.len } else { 0 };
        let (immediate_len, unsolicited_len) = self.line.terms.unasked(out_len);
        let task = u32::try_from(slot)?;
        let sending = Sending { task, lun: self.line.lun, immediate_len, unsolicited_len };
        let command = Command::of(&request, self.line.block_len);
        let head = pdu::command(&command, &sending, self.numbers);
        self.numbers.command = self.numbers.command.wrapping_add(1);
        self.outbox.push(&head, Body { at: body_at, len: immediate_len as usize });
        self.send_data(task, NO_TASK, body_at, immediate_len..unsolicited_len);
        Ok(true)
    }

    /// Sends a stretch of a task's data, in as many PDUs as the target wants.
    fn send_data(&mut self, task: u32, transfer: u32, body_at: usize, data: std::ops::Range<u32>) {
        let (lun, part_len_max) = (self.line.lun, self.line.terms.part_len_max);
        let (mut offset, mut number) = (data.start, 0);
        while offset < data.end {
            let len = part_len_max.min(data.end - offset);
            let is_last = offset + len == data.end;
            let part = Part { task, lun, transfer, number, offset, len, is_last };
            let body = Body { at: body_at + offset as usize, len: len as usize };
            self.outbox.push(&pdu::data_out(&part, self.numbers), body);
            (offset, number) = (offset + len, number + 1);
        }
    }

    /// Books what the target sent.
    ///
    /// # Errors
    /// Where that is nonsense, or a command failed.
    pub fn heed(&mut self, answer: &Answer, data: &[u8], now: Duration) -> Outcome<()> {
        self.numbers.heed(answer);
        match answer.operation {
            answer::NOP_IN if answer.transfer != NO_TASK => {
                self.outbox.push(&pdu::nop_out(answer, self.numbers), Body::default());
                Ok(())
            }
            answer::NOP_IN => Ok(()),
            answer::DATA_IN => {
                let task = self.task(answer)?;
                if answer.offset as usize != task.come {
                    return Err(format!("data out of order: {answer:?}").into());
                }
                task.come += answer.data_len;
                if answer.is_last_data() { self.ended(answer, data, now) } else { Ok(()) }
            }
            answer::RESPONSE => self.ended(answer, data, now),
            answer::READY => {
                let (offset, wanted) = (answer.offset, answer.wanted);
                let task = *self.task(answer)?;
                let end = offset.checked_add(wanted).filter(|end| *end <= task.request.len);
                let end = end.filter(|_| task.request.kind == Kind::Write && wanted > 0);
                let end = end.ok_or_else(|| format!("wants what there is not: {answer:?}"))?;
                self.send_data(answer.task, answer.transfer, task.body_at, offset..end);
                Ok(())
            }
            _ => Err(format!("the target sends what nobody asked for: {answer:?}").into()),
        }
    }

    fn task(&mut self, answer: &Answer) -> Outcome<&mut Task> {
        let slot = self.slots.get_mut(answer.task as usize).and_then(Option::as_mut);
        Ok(slot.ok_or_else(|| format!("an answer to no task: {answer:?}"))?)
    }

    fn ended(&mut self, answer: &Answer, data: &[u8], now: Duration) -> Outcome<()> {
        let task = *self.task(answer)?;
        let request = task.request;
        if answer.response != 0 || answer.status != 0 {
            let status = answer.status;
            return Err(format!("{request:?}: status {status:#04x}, sense {data:02x?}").into());
        }
        let wanted = if request.kind == Kind::Read { request.len as usize } else { 0 };
        if task.come != wanted {
            let come = task.come;
            return Err(format!("{request:?}: {come} bytes of data").into());
        }
        self.tally.count(&request, now, now.saturating_sub(task.start));
        self.slots[answer.task as usize] = None;
        self.free.push(answer.task as usize);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::login::Digests;
    use super::*;
    use crate::cell;
    use crate::payload::{Content, Payload};
    use crate::plan::Plan;

    struct Ends {
        numbers: Numbers,
        outbox: Outbox,
    }

    impl Ends {
        fn new(command_max: u32) -> Self {
            let numbers = Numbers { command_max, ..Numbers::first() };
            Self { numbers, outbox: Outbox::new(Payload::of(Content::Random), Digests::None) }
        }

        fn flight(&mut self, name: &str) -> (Flight<'_>, Plan) {
            let line = Line { lun: 1, block_len: 512, terms: Terms::initial() };
            let cell = *cell::named(name).unwrap();
            let flight = Flight::new(cell.depth, line, &mut self.numbers, &mut self.outbox);
            (flight, Plan::new(cell, 64 << 20, 1))
        }
    }

    fn response() -> Answer {
        Answer { operation: answer::RESPONSE, command_max: 99, ..Answer::default() }
    }

    #[test]
    fn no_more_is_issued_than_the_window_lets_in() {
        let mut ends = Ends::new(3);
        let (mut flight, mut plan) = ends.flight("write");
        let issued = (0..9).filter(|_| flight.issue(&mut plan, Duration::ZERO).unwrap()).count();
        assert_eq!(issued, 3);
        flight.heed(&response(), &[], Duration::ZERO).unwrap();
        assert!(flight.issue(&mut plan, Duration::ZERO).unwrap());
        assert_eq!(flight.tally.requests, 1);
    }

    #[test]
    fn data_are_sent_as_they_are_asked_for_and_no_others() {
        let mut ends = Ends::new(3);
        let (mut flight, mut plan) = ends.flight("mail");
        while flight.tally.bytes_written == 0 {
            flight.issue(&mut plan, Duration::ZERO).unwrap();
            let slots = flight.slots.iter().flatten();
            if slots.filter(|task| task.request.kind == Kind::Write).count() == 1 {
                break;
            }
            let (task, operation) = (0, answer::DATA_IN);
            let read = Answer { task, operation, flags: 0x81, data_len: 65536, ..response() };
            flight.heed(&read, &[], Duration::ZERO).unwrap();
        }
        let ready = Answer { operation: answer::READY, offset: 8192, wanted: 57344, ..response() };
        flight.heed(&ready, &[], Duration::ZERO).unwrap();
        let too_far = Answer { wanted: 57345, ..ready };
        assert!(flight.heed(&too_far, &[], Duration::ZERO).is_err());
        flight.heed(&response(), &[], Duration::ZERO).unwrap();
        assert!(flight.is_over());
        assert_eq!(flight.tally.bytes_written, 65536);
    }

    #[test]
    fn each_byte_of_a_write_is_sent_once_from_where_it_lies() {
        for waits_for_ready in [true, false] {
            let mut ends = Ends::new(9);
            let (mut flight, mut plan) = ends.flight("swrite");
            flight.line.terms.waits_for_ready = waits_for_ready;
            flight.issue(&mut plan, Duration::ZERO).unwrap();
            let unasked = if waits_for_ready { 8192 } else { 65536 };
            let (wanted, operation) = (1_048_576 - unasked, answer::READY);
            let ready = Answer { offset: unasked, wanted, transfer: 7, operation, ..response() };
            flight.heed(&ready, &[], Duration::ZERO).unwrap();
            let sent = flight.outbox.waiting();
            let (command, first) = sent[0];
            assert_eq!(command[1] & 0x80 != 0, waits_for_ready);
            let mut next = 0;
            for (index, (head, body)) in sent.iter().enumerate() {
                let field = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().unwrap());
                if index > 0 {
                    let is_unasked = next < unasked;
                    assert_eq!(field(20), if is_unasked { NO_TASK } else { 7 });
                    assert_eq!((field(40), body.at), (next, first.at + next as usize));
                }
                assert_eq!(field(4) as usize, body.len);
                next += field(4);
                let ends = [unasked, 1 << 20].contains(&next);
                assert_eq!(head[1] & 0x80 != 0, ends, "the last of a sequence says so: {next}");
            }
            assert_eq!(next, 1 << 20);
        }
    }

    #[test]
    fn a_failure_and_missing_data_end_the_load() {
        let mut ends = Ends::new(3);
        let (mut flight, mut plan) = ends.flight("read");
        flight.issue(&mut plan, Duration::ZERO).unwrap();
        let failed = Answer { status: 2, ..response() };
        let said = flight.heed(&failed, &[0x70, 0, 3], Duration::ZERO).unwrap_err();
        assert!(said.to_string().contains("status 0x02, sense [70, 00, 03]"), "{said}");
        assert!(flight.heed(&response(), &[], Duration::ZERO).is_err(), "no data came");
        let stranger = Answer { task: 1, ..response() };
        assert!(flight.heed(&stranger, &[], Duration::ZERO).is_err());
    }
}
