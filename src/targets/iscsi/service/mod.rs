//! Carries out what one session asks: commands for its nexus, task management, pings, texts, farewells.
//!
//! Knows neither the socket nor how PDUs are received. Commands are taken in the order of their numbers;
//! those that came before their turn are held back, and what is outside the window is passed over.

mod commands;
mod flushing;
mod management;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use disk::{Answers, AnyDisk, Request};

use self::flushing::Flushing;
use self::management::Managing;
use super::discovery::{Conversation, Directory, TextRequest, TextStep};
use super::gathered::Gathered;
use super::intake::{Intake, Pdu, Segment, Sink};
use super::keys::Kind;
use super::limits::{
    COMMANDS_MAX, HELD_BACK_BYTES_MAX, IMMEDIATE_MAX, LEAVE_SECONDS, REQUEST_BYTES_MAX,
    UNSENT_LEN_MAX,
};
use super::outcome::Outcome;
use super::parameters::Parameters;
use super::pdu::request::Asked;
use super::pdu::wire::{NO_TAG, left, reject};
use super::pdu::{Head, response};
use super::sender::Sender;
use super::tasks::Tasks;
use super::window::{Arrival, Numbering, Window};
use crate::door::completions::{Completion, Completions};
use crate::door::outbox::Outbox;
use crate::door::tally::Tally;
use crate::scsi::Nexus;

/// What a session shares with those who watch it.
#[derive(Debug, Default)]
pub struct Shared {
    /// Where its answers arrive, and orders to it.
    pub completions: Arc<Completions<Outcome>>,
    /// What it has done.
    pub tally: Tally,
}

/// What a session leads to.
pub struct Premises {
    /// Its nexus; none in a discovery.
    pub nexus: Option<Arc<Nexus>>,
    /// What it may tell about targets.
    pub directory: Directory,
    /// The connection's number.
    pub cid: u16,
    /// Ends all sessions of the target.
    pub reset: Box<dyn Fn() + Send>,
}

/// Whether a session goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It does.
    Goes,
    /// It ends when what waits was sent, for this reason.
    Ends(&'static str),
}

/// A command that came before its turn.
enum HeldBack {
    /// This one.
    Pdu { head: Head, ahs: Vec<u8>, data: Data<'static> },
    /// It was aborted before it came.
    Aborted,
}

/// The data of a PDU.
enum Data<'a> {
    /// In the receive buffer.
    Seen(&'a [u8]),
    /// A copy of that.
    Kept(Vec<u8>),
    /// What was gathered.
    Long(Gathered),
}

impl Data<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Seen(bytes) => bytes.len(),
            Self::Kept(bytes) => bytes.len(),
            Self::Long(gathered) => usize::try_from(gathered.len()).unwrap_or(usize::MAX),
        }
    }

    /// Its first bytes, at most `max`.
    fn bytes(&self, max: usize) -> Vec<u8> {
        match self {
            Self::Seen(bytes) => bytes[..bytes.len().min(max)].to_vec(),
            Self::Kept(bytes) => bytes[..bytes.len().min(max)].to_vec(),
            Self::Long(gathered) => gathered.bytes(max),
        }
    }

    fn keep(self) -> Data<'static> {
        match self {
            Self::Seen(bytes) => Data::Kept(bytes.to_vec()),
            Self::Kept(bytes) => Data::Kept(bytes),
            Self::Long(gathered) => Data::Long(gathered),
        }
    }
}

/// What one session asks, and its answers.
pub struct Service {
    /// What waits to be sent.
    pub outbox: Outbox,
    sender: Sender,
    parameters: Parameters,
    premises: Premises,
    shared: Arc<Shared>,
    answers: Arc<dyn Answers>,
    tasks: Tasks,
    /// Bytes that admitted commands account for.
    held: u64,
    /// Commands that wait for room, oldest first.
    waiting: VecDeque<usize>,
    /// Commands that were started out of turn wait for older ones; how many order others.
    ordering: usize,
    ages: u64,
    next_ttt: u32,
    batches: Vec<(AnyDisk, Vec<Request>)>,
    flushing: Flushing,
    held_back: HashMap<u32, HeldBack>,
    held_back_bytes: usize,
    managing: Vec<Managing>,
    conversation: Conversation,
    /// The tag of a farewell that waits for running commands.
    farewell: Option<u32>,
    has_asked_to_leave: bool,
    /// Whether the session ends when what waits was sent.
    is_over: bool,
}

impl Service {
    /// The service of a session whose commands and answers are numbered from these on.
    pub fn new(
        premises: Premises,
        parameters: Parameters,
        window: Window,
        shared: Arc<Shared>,
    ) -> Self {
        let answers: Arc<dyn Answers> = Arc::clone(&shared.completions) as Arc<dyn Answers>;
        Self {
            outbox: Outbox::new(),
            sender: Sender::new(window, &parameters),
            parameters,
            premises,
            shared,
            answers,
            tasks: Tasks::default(),
            held: 0,
            waiting: VecDeque::new(),
            ordering: 0,
            ages: 0,
            next_ttt: 0,
            batches: Vec::new(),
            flushing: Flushing::default(),
            held_back: HashMap::new(),
            held_back_bytes: 0,
            managing: Vec::new(),
            conversation: Conversation::default(),
            farewell: None,
            has_asked_to_leave: false,
            is_over: false,
        }
    }

    /// Whether nothing is carried out that memory of this session depends on.
    pub fn is_idle(&self) -> bool {
        self.managing.is_empty() && !self.tasks.iter().any(|(_, task)| task.is_running())
    }

    /// Whether more may be received.
    pub const fn has_room(&self) -> bool {
        self.outbox.unsent() < UNSENT_LEN_MAX
    }

    /// Asks the initiator to leave.
    pub fn ask_to_leave(&mut self) {
        if !std::mem::replace(&mut self.has_asked_to_leave, true) {
            self.say(response::please_leave(LEAVE_SECONDS), Numbering::Counted, &[]);
        }
    }

    /// Asks whether the initiator lives.
    pub fn ping(&mut self) {
        let ttt = self.new_ttt();
        self.say(response::ping(ttt), Numbering::Telling, &[]);
    }

    /// Rejects a PDU whose data is damaged.
    pub fn reject_damaged(&mut self, head: &Head) {
        self.reject(reject::DATA_DIGEST, head);
    }

    /// Where the data of a long Data-Out goes.
    ///
    /// # Errors
    /// Why it ends the session.
    pub fn lend(&mut self, head: &Head) -> Result<Sink, &'static str> {
        self.lend_to(head)
    }

    /// Takes a PDU.
    pub fn take(&mut self, pdu: Pdu, intake: &Intake) -> Fate {
        let Pdu { head, ahs, segment } = pdu;
        let data = match segment {
            Segment::Small(place) => Data::Seen(intake.bytes(&place)),
            Segment::Long(gathered) => Data::Long(gathered),
        };
        let ahs = intake.bytes(&ahs);
        let asked = Asked::decode(&head, ahs);
        if !asked.is_numbered() {
            return self.perform(&head, asked, data);
        }
        if head.is_immediate() {
            if matches!(asked, Asked::Command(_)) && self.tasks.immediate() >= IMMEDIATE_MAX {
                self.reject(reject::IMMEDIATE, &head);
                return Fate::Goes;
            }
            return self.perform(&head, asked, data);
        }
        match self.sender.window.judge(head.cmd_sn()) {
            Arrival::Ignore => Fate::Goes,
            Arrival::Early => self.hold_back(head, ahs.to_vec(), data),
            Arrival::Next => {
                self.sender.window.advance();
                let fate = self.perform(&head, asked, data);
                if self.held_back.is_empty() { fate } else { self.catch_up(fate) }
            }
        }
    }

    fn hold_back(&mut self, head: Head, ahs: Vec<u8>, data: Data<'_>) -> Fate {
        self.held_back_bytes += data.len() + ahs.len();
        if self.held_back_bytes > HELD_BACK_BYTES_MAX {
            return Fate::Ends("too much that came before its turn");
        }
        // One that comes twice is passed over.
        self.held_back.entry(head.cmd_sn()).or_insert_with(|| HeldBack::Pdu {
            head,
            ahs,
            data: data.keep(),
        });
        Fate::Goes
    }

    /// Takes what was held back and is next now.
    fn catch_up(&mut self, mut fate: Fate) -> Fate {
        while fate == Fate::Goes
            && let Some(held) = self.held_back.remove(&self.sender.window.expected())
        {
            self.sender.window.advance();
            if let HeldBack::Pdu { head, ahs, data } = held {
                self.held_back_bytes -= (data.len() + ahs.len()).min(self.held_back_bytes);
                fate = self.perform(&head, Asked::decode(&head, &ahs), data);
            }
        }
        fate
    }

    fn perform(&mut self, head: &Head, asked: Asked, data: Data<'_>) -> Fate {
        match asked {
            Asked::NopOut { itt, lun, .. } => {
                if itt != NO_TAG {
                    let echo = data.bytes(self.sender.segment_len_max);
                    self.say(response::pong(itt, lun), Numbering::Counted, &echo);
                }
                Fate::Goes
            }
            Asked::Text { itt, ttt, is_final, is_continued } => {
                self.text(head, itt, TextRequest { ttt, is_final, is_continued }, &data)
            }
            Asked::Logout { itt, reason, cid } => self.logout(head, (itt, reason, cid)),
            Asked::Command(command) if self.premises.nexus.is_some() => {
                self.command(head, &command, data)
            }
            Asked::DataOut(data_out) if self.premises.nexus.is_some() => {
                self.data_out(head, &data_out, data)
            }
            Asked::Management(management) if self.premises.nexus.is_some() => {
                self.manage(head, &management)
            }
            Asked::Snack => {
                self.reject(reject::SNACK, head);
                Fate::Ends("data is not sent again")
            }
            Asked::Login | Asked::Command(_) | Asked::DataOut(_) | Asked::Management(_) => {
                self.break_rule(head, "a PDU that has no place here")
            }
            Asked::Unknown => {
                self.reject(reject::UNSUPPORTED, head);
                Fate::Ends("an unknown kind of PDU")
            }
        }
    }

    fn break_rule(&mut self, head: &Head, why: &'static str) -> Fate {
        self.reject(reject::PROTOCOL, head);
        Fate::Ends(why)
    }

    fn text(&mut self, head: &Head, itt: u32, request: TextRequest, data: &Data<'_>) -> Fate {
        let len_max = self.sender.segment_len_max;
        let bytes = data.bytes(usize::MAX);
        match self.conversation.take(&self.premises.directory, request, &bytes, len_max) {
            TextStep::More(ttt) => {
                self.say(response::text_so_far(itt, ttt), Numbering::Counted, &[]);
            }
            TextStep::Part(text, ttt) => {
                self.say(response::text_part(itt, ttt), Numbering::Counted, &text);
            }
            TextStep::Open(text, ttt) => {
                self.say(response::text_so_far(itt, ttt), Numbering::Counted, &text);
            }
            TextStep::Whole(text) => self.say(response::text(itt), Numbering::Counted, &text),
            TextStep::Invalid => self.reject(reject::INVALID_FIELD, head),
        }
        if let Some(len) = self.conversation.declared.take() {
            self.sender.segment_len_max = usize::try_from(len).unwrap_or(usize::MAX);
        }
        Fate::Goes
    }

    /// Source: RFC 7143 11.14, 11.15.
    fn logout(&mut self, head: &Head, (itt, reason, cid): (u32, u8, u16)) -> Fate {
        let answer = match reason {
            0 => left::CLOSED,
            1 if cid == self.premises.cid => left::CLOSED,
            1 => left::NO_CONNECTION,
            2 => left::NO_RECOVERY,
            _ => {
                self.reject(reject::INVALID_FIELD, head);
                return Fate::Goes;
            }
        };
        if answer != left::CLOSED {
            self.say(response::left(itt, answer), Numbering::Counted, &[]);
            return Fate::Goes;
        }
        self.farewell = Some(itt);
        self.abort_where(|_| true);
        self.say_farewell();
        Fate::Ends("the initiator has logged out")
    }

    /// Answers a farewell once nothing is carried out any more.
    fn say_farewell(&mut self) {
        if self.tasks.is_empty()
            && let Some(itt) = self.farewell.take()
        {
            self.say(response::left(itt, left::CLOSED), Numbering::Counted, &[]);
        }
    }

    /// Whether everything was said that is to be said before the end.
    pub const fn is_farewell_said(&self) -> bool {
        self.farewell.is_none()
    }

    /// Whether the session ends when what waits was sent.
    pub const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Nothing more will come: what is not carried out yet never will be, and nothing more is answered.
    pub fn abandon(&mut self) {
        if self.farewell.is_none() {
            self.abort_where(|_| true);
        }
    }

    fn say(&mut self, head: Head, numbering: Numbering, data: &[u8]) {
        self.open_window();
        self.sender.say(&mut self.outbox, head, numbering, data);
    }

    /// Promises as many commands as there is room for.
    fn open_window(&mut self) {
        let numbered = u32::try_from(self.tasks.numbered()).unwrap_or(u32::MAX);
        let is_full = self.held >= REQUEST_BYTES_MAX && !self.waiting.is_empty();
        let free = if is_full { 0 } else { COMMANDS_MAX.saturating_sub(numbered) };
        self.sender.window.open(free);
    }

    fn reject(&mut self, reason: u8, head: &Head) {
        self.say(response::reject(reason), Numbering::Counted, &head.0);
    }

    fn new_ttt(&mut self) -> u32 {
        self.next_ttt = self.next_ttt.wrapping_add(1) % NO_TAG;
        self.next_ttt
    }

    /// Hands all that was started and not yet handed down to the disks.
    pub fn hand_down(&mut self) {
        for (disk, batch) in self.batches.drain(..) {
            disk.submit(batch);
        }
    }

    /// Turns what has ended into answers, and starts what has waited for that.
    pub fn settle(&mut self, ended: &mut Vec<Completion<Outcome>>) {
        let has_ended = !ended.is_empty();
        for Completion { ticket, outcome } in ended.drain(..) {
            self.end(ticket, outcome);
        }
        if has_ended {
            self.go_on();
            self.say_farewell();
        }
        self.shared.tally.set_in_flight(self.tasks.len());
    }

    /// The kind of the session.
    pub const fn kind(&self) -> Kind {
        self.premises.directory.kind()
    }
}
