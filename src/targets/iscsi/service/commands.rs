//! Commands: judged by the nexus, their data gathered, started in turn, answered.

use std::borrow::Cow;
use std::sync::Arc;

use disk::{AnyDisk, Buffer, DiskError, Op, Reply, Request};

use super::super::burst::{Beginning, Burst};
use super::super::gathered::Gathered;
use super::super::intake::Sink;
use super::super::limits::REQUEST_BYTES_MAX;
use super::super::order::{Place, Turn, may_start};
use super::super::outcome::Outcome;
use super::super::pdu::Head;
use super::super::pdu::condition::Condition;
use super::super::pdu::request::{self, Attribute, DataOut};
use super::super::pdu::response::{CommandEnd, ReadyToTransfer, Residual};
use super::super::pdu::wire::reject;
use super::super::sender::Read;
use super::super::tasks::{Expected, Stage, Task};
use super::super::window::Numbering;
use super::{Data, Fate, Service};
use crate::door::outbox::Outbox;
use crate::scsi::{self, Begun, Buffers, DataIn, Response, Status, TaskAttribute, Work};

impl Buffers for Outbox {
    fn buffer(&mut self, sectors: u64) -> Result<Buffer, DiskError> {
        Outbox::buffer(self, sectors)
    }
}

impl Service {
    /// Takes a command and what came with it.
    pub(super) fn command(
        &mut self,
        head: &Head,
        command: &request::Command,
        data: Data<'_>,
    ) -> Fate {
        let itt = command.itt;
        if let Some(slot) = self.tasks.find(itt) {
            let is_aborted = self.tasks.get(slot).is_some_and(|task| task.abort.is_aborted());
            if !is_aborted {
                self.reject(reject::IN_PROGRESS, head);
                return Fate::Goes;
            }
            self.let_go(slot);
        }
        if let Err(why) = self.check_unsolicited(command, head.data_len()) {
            return self.break_rule(head, why);
        }
        self.shared.tally.count_request();
        let attribute = TaskAttribute::from(command.attribute);
        let Some(nexus) = &self.premises.nexus else { return Fate::Goes };
        let expected = expected(command);
        match nexus.begin(command.lun, &command.cdb, attribute) {
            Begun::Ended(response) => {
                self.answer(itt, &Answered { expected, wanted: 0, r2t_count: 0 }, response);
                Fate::Goes
            }
            Begun::Ready(begun) => self.add(head, command, begun, data),
        }
    }

    /// Whether what comes unasked was agreed on.
    fn check_unsolicited(
        &self,
        command: &request::Command,
        len: usize,
    ) -> Result<(), &'static str> {
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        let agreed = &self.parameters;
        if len > 0 && !(agreed.has_immediate_data && command.writes) {
            return Err("data with a command was not agreed on");
        }
        if len > u64::from(command.expected_len.min(agreed.unsolicited_len_max())) {
            return Err("more data with a command than was agreed on");
        }
        if !command.is_final && (agreed.is_initial_r2t || !command.writes) {
            return Err("data behind a command was not agreed on");
        }
        Ok(())
    }

    fn add(
        &mut self,
        head: &Head,
        command: &request::Command,
        begun: scsi::Command,
        data: Data<'_>,
    ) -> Fate {
        self.ages += 1;
        let turn = match command.attribute {
            Attribute::HeadOfQueue => Turn::Head,
            _ if begun.must_wait_for_older() => Turn::AfterOlder,
            _ => Turn::Any,
        };
        let expected = expected(command);
        let wanted = begun.data_out_len();
        let taken = wanted.min(expected.written);
        let need = taken.max(begun.data_in_len());
        let abort = begun.abort_handle();
        let stage = match collect(&self.parameters, command, begun, data) {
            Ok(stage) => stage,
            Err(_) => return self.break_rule(head, "there is no memory for the data"),
        };
        self.ordering += usize::from(turn == Turn::AfterOlder);
        let slot = self.tasks.add(Task {
            itt: command.itt,
            cmd_sn: head.cmd_sn(),
            is_immediate: head.is_immediate(),
            place: Place { lun: command.lun, age: self.ages, turn },
            expected,
            wanted,
            need,
            is_admitted: false,
            r2t_count: 0,
            abort,
            stage,
        });
        self.admit(slot);
        Fate::Goes
    }

    /// Lets a command in, or lets it wait for room.
    fn admit(&mut self, slot: usize) {
        let Some(task) = self.tasks.get(slot) else { return };
        let need = task.need;
        let has_room = need == 0 || (self.waiting.is_empty() && self.has_room_for(need));
        if has_room {
            self.let_in(slot);
        } else {
            self.waiting.push_back(slot);
        }
    }

    /// Whoever has nothing in flight may always have one request.
    fn has_room_for(&self, need: u64) -> bool {
        let held = self.held + self.outbox.unsent() as u64;
        self.held == 0 || held + need <= REQUEST_BYTES_MAX
    }

    fn let_in(&mut self, slot: usize) {
        let Some(task) = self.tasks.get(slot) else { return };
        task.is_admitted = true;
        self.held += task.need;
        self.advance(slot);
    }

    /// Asks for data, or starts a command that has all of it.
    fn advance(&mut self, slot: usize) {
        let Some(task) = self.tasks.get(slot) else { return };
        if !task.is_admitted {
            return;
        }
        match &task.stage {
            Stage::Collecting { fault: Some(_), .. } => {}
            Stage::Collecting { burst, gathered: Some(_), .. } if burst.is_complete() => {
                self.make_ready(slot);
                self.start(slot);
            }
            Stage::Collecting { .. } => self.solicit(slot),
            Stage::Ready { .. } => self.start(slot),
            Stage::Running(_) => {}
        }
    }

    fn make_ready(&mut self, slot: usize) {
        let Some(task) = self.tasks.get(slot) else { return };
        task.stage = match std::mem::replace(&mut task.stage, Stage::Running(None)) {
            Stage::Collecting { command, burst, gathered, .. } => {
                task.r2t_count = burst.r2t_count();
                Stage::Ready { command, data: gathered.unwrap_or_default() }
            }
            other => other,
        };
    }

    fn solicit(&mut self, slot: usize) {
        let (len_max, count_max) =
            (self.parameters.burst_len_max, self.parameters.outstanding_r2t_max);
        loop {
            let ttt = self.new_ttt();
            let Some(task) = self.tasks.get(slot) else { return };
            let Stage::Collecting { burst, .. } = &mut task.stage else { return };
            let Some(wanted) = burst.solicit(ttt, len_max, count_max) else { return };
            let r2t = ReadyToTransfer {
                lun: task.place.lun,
                itt: task.itt,
                ttt,
                r2t_sn: wanted.r2t_sn,
                offset: wanted.offset,
                len: wanted.len,
            };
            self.say(r2t.head(), Numbering::Telling, &[]);
        }
    }

    /// Starts a command that is ready, unless it is not its turn.
    fn start(&mut self, slot: usize) {
        if self.ordering > 0 {
            let Some(place) = self.tasks.get(slot).map(|task| task.place) else { return };
            let others = self.tasks.iter().map(|(_, task)| task.place);
            if !may_start(&place, others) {
                return;
            }
        }
        let Some(task) = self.tasks.get(slot) else { return };
        let stage = std::mem::replace(&mut task.stage, Stage::Running(None));
        let Stage::Ready { command, data } = stage else {
            task.stage = stage;
            return;
        };
        let mut data = data.into_data(task.wanted);
        data.offered = task.expected.written;
        self.shared.tally.count_written(data.len);
        match command.start(data, &mut self.outbox) {
            Work::Ended(response) => self.finish(slot, response),
            Work::Disk { disk, op, finish } => {
                if let Some(task) = self.tasks.get(slot) {
                    task.stage = Stage::Running(Some(finish));
                }
                self.flushing.note(&disk, &op);
                self.add_to_batch(slot as u64, disk, op);
            }
            Work::Task(work) => {
                let completions = Arc::clone(&self.shared.completions);
                tokio::spawn(async move {
                    let response = work.await;
                    completions.end(slot as u64, Outcome::Command(response));
                });
            }
        }
    }

    pub(super) fn add_to_batch(&mut self, ticket: u64, disk: AnyDisk, op: Op) {
        let request = Request { op, reply: Reply::new(Arc::clone(&self.answers), ticket) };
        let is_same = |one: &AnyDisk| Arc::as_ptr(one).addr() == Arc::as_ptr(&disk).addr();
        match self.batches.iter_mut().find(|(one, _)| is_same(one)) {
            Some((_, batch)) => batch.push(request),
            None => self.batches.push((disk, vec![request])),
        }
    }

    /// Takes written data.
    pub(super) fn data_out(&mut self, head: &Head, data_out: &DataOut, data: Data<'_>) -> Fate {
        // Data of a command that has ended or was aborted is on its way for some time.
        let is_long = matches!(data, Data::Long(_));
        let Some(slot) = self.tasks.find(data_out.itt) else { return Fate::Goes };
        let Some(task) = self.tasks.get(slot) else { return Fate::Goes };
        if task.abort.is_aborted() && !task.is_running() {
            self.let_go(slot);
            return Fate::Goes;
        }
        let Stage::Collecting { burst, gathered, fault, .. } = &mut task.stage else {
            return self.break_rule(head, "data that nobody asked for");
        };
        let kept = burst.kept(data_out);
        let bytes = match data {
            // It was judged when its header came.
            Data::Long(long) => {
                *gathered = Some(long);
                Cow::Borrowed(&[][..])
            }
            Data::Seen(bytes) => Cow::Borrowed(bytes),
            Data::Kept(bytes) => Cow::Owned(bytes),
        };
        if fault.is_none() && !is_long {
            *fault = burst.take(data_out).err();
        }
        if let Some(condition) = *fault {
            if burst.pass_over(data_out) {
                self.give_up(slot, condition);
            }
            return Fate::Goes;
        }
        let kept = kept.min(bytes.len());
        if gathered.get_or_insert_default().append(&bytes[..kept]).is_err() {
            return self.break_rule(head, "there is no memory for the data");
        }
        self.advance(slot);
        Fate::Goes
    }

    /// Ends a command whose data broke a rule.
    fn give_up(&mut self, slot: usize, condition: Condition) {
        let sense = condition.sense().to_vec();
        let status = Status::CheckCondition;
        self.finish(slot, Response { status, sense, data: DataIn::None, is_aborted: false });
    }

    /// Where the data of a long Data-Out goes; it is judged here.
    pub(super) fn lend_to(&mut self, head: &Head) -> Result<Sink, &'static str> {
        let data = request::data_out(head);
        let unwanted = Sink { gathered: Gathered::default(), kept: 0 };
        let Some(task) = self.tasks.find(data.itt).and_then(|slot| self.tasks.get(slot)) else {
            return Ok(unwanted);
        };
        if task.abort.is_aborted() {
            return Ok(unwanted);
        }
        let Stage::Collecting { burst, gathered, fault, .. } = &mut task.stage else {
            return Err("data that nobody asked for");
        };
        let kept = burst.kept(&data);
        if fault.is_none() {
            *fault = burst.take(&data).err();
        }
        if fault.is_some() {
            return Ok(unwanted);
        }
        Ok(Sink { gathered: gathered.take().unwrap_or_default(), kept })
    }

    /// What has ended under a ticket.
    pub(super) fn end(&mut self, ticket: u64, outcome: Outcome) {
        let Ok(slot) = usize::try_from(ticket) else { return };
        let response = match outcome {
            Outcome::Managed(outcome) => return self.end_managing(ticket, outcome),
            Outcome::Command(response) => response,
            Outcome::Disk(answer) => {
                let Some(task) = self.tasks.get(slot) else { return };
                let stage = std::mem::replace(&mut task.stage, Stage::Running(None));
                let Stage::Running(Some(finish)) = stage else { return };
                finish.response(answer)
            }
        };
        self.finish(slot, response);
    }

    fn finish(&mut self, slot: usize, response: Response) {
        let Some(task) = self.remove(slot) else { return };
        if response.is_aborted || task.abort.is_aborted() {
            return;
        }
        let Task { itt, expected, wanted, r2t_count, .. } = task;
        self.answer(itt, &Answered { expected, wanted, r2t_count }, response);
    }

    /// Removes a command, and what it accounts for.
    fn remove(&mut self, slot: usize) -> Option<Task> {
        let task = self.tasks.remove(slot)?;
        if task.is_admitted {
            self.held -= task.need;
        } else {
            self.waiting.retain(|one| *one != slot);
        }
        self.ordering -= usize::from(task.place.turn == Turn::AfterOlder);
        self.drained(task.place.age);
        Some(task)
    }

    /// Forgets a command that was aborted: at once, or its tag only where it is carried out.
    pub(super) fn let_go(&mut self, slot: usize) {
        let Some(task) = self.tasks.get(slot) else { return };
        task.abort.abort();
        let (itt, is_running) = (task.itt, task.is_running());
        if is_running {
            self.tasks.forget_tag(slot, itt);
        } else {
            self.remove(slot);
        }
    }

    /// Starts what has waited for room or for its turn.
    pub(super) fn go_on(&mut self) {
        while let Some(slot) = self.waiting.front().copied() {
            let need = self.tasks.get(slot).map_or(0, |task| task.need);
            if !self.has_room_for(need) {
                break;
            }
            self.waiting.pop_front();
            self.let_in(slot);
        }
        if self.tasks.iter().any(|(_, task)| matches!(task.stage, Stage::Ready { .. })) {
            let is_ready =
                |task: &Task| task.is_admitted && matches!(task.stage, Stage::Ready { .. });
            let ready = self.tasks.iter().filter(|(_, task)| is_ready(task));
            let mut ready: Vec<(u64, usize)> =
                ready.map(|(slot, task)| (task.place.age, slot)).collect();
            ready.sort_unstable();
            ready.into_iter().for_each(|(_, slot)| self.start(slot));
        }
    }

    /// Answers a command.
    fn answer(&mut self, itt: u32, answered: &Answered, response: Response) {
        let Response { status, sense, data, .. } = response;
        let is_good = status == Status::Good;
        if !is_good {
            self.shared.tally.count_failure();
        }
        let expected = &answered.expected;
        let available = data.len() as u64;
        let len = available.min(expected.read);
        self.shared.tally.count_read(len);
        let read_residual = Residual::of(expected.read, available);
        let written_residual = Residual::of(expected.written, answered.wanted);
        let (residual, read_residual) = match expected {
            Expected { is_bidirectional: true, .. } => (written_residual, read_residual),
            // What a command without a direction would have moved is told as well.
            Expected { read, written, .. } if *read > 0 || (available > 0 && *written == 0) => {
                (read_residual, Residual::None)
            }
            _ => (written_residual, Residual::None),
        };
        self.open_window();
        let len = usize::try_from(len).unwrap_or(0);
        let may_end = is_good && len > 0 && !expected.is_bidirectional;
        let read = Read { itt, len, end: may_end.then_some(residual) };
        let data_count = match data {
            DataIn::None => 0,
            data => self.sender.read(&mut self.outbox, &read, data),
        };
        if may_end {
            return;
        }
        let exp_data_sn = data_count + answered.r2t_count;
        let end = CommandEnd { itt, status: status as u8, residual, read_residual, exp_data_sn };
        if sense.is_empty() {
            return self.say(end.head(), Numbering::Counted, &[]);
        }
        let len = u16::try_from(sense.len()).unwrap_or(0);
        let segment = [&len.to_be_bytes(), sense.as_slice()].concat();
        self.say(end.head(), Numbering::Counted, &segment);
    }
}

/// What an answer to a command is made of, beside its response.
struct Answered {
    expected: Expected,
    wanted: u64,
    r2t_count: u32,
}

fn expected(command: &request::Command) -> Expected {
    let len = u64::from(command.expected_len);
    let read = match (command.reads, command.writes) {
        (true, true) => u64::from(command.expected_read_len),
        (true, false) => len,
        (false, _) => 0,
    };
    Expected {
        written: if command.writes { len } else { 0 },
        read,
        is_bidirectional: command.reads && command.writes,
    }
}

/// What a command has of its data when it came.
fn collect(
    agreed: &super::super::parameters::Parameters,
    command: &request::Command,
    begun: scsi::Command,
    data: Data<'_>,
) -> Result<Stage, DiskError> {
    let expected = if command.writes { command.expected_len } else { 0 };
    let wanted = u32::try_from(begun.data_out_len()).unwrap_or(u32::MAX).min(expected);
    let immediate = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut gathered = Gathered::new(u64::from(wanted));
    match data {
        Data::Seen(bytes) => gathered.append(bytes)?,
        Data::Kept(bytes) => gathered.append(&bytes)?,
        Data::Long(long) => gathered = long,
    }
    let unasked = (!command.is_final).then(|| agreed.unsolicited_len_max());
    let beginning = Beginning { lun: command.lun, wanted, expected, immediate, unasked };
    let burst = Burst::new(&beginning);
    if burst.is_complete() {
        return Ok(Stage::Ready { command: begun, data: gathered });
    }
    Ok(Stage::Collecting { command: begun, burst, gathered: Some(gathered), fault: None })
}
