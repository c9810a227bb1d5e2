//! The login: requests in, answers and a decision out.
//!
//! Pure: chance comes in when it is made, and whoever calls decides about the time that answers take and
//! about the session at the end. Before its end a login holds one text of a bounded length.
//!
//! Source: RFC 7143 6.3, 7, 11.12, 11.13.

use std::sync::Arc;

use super::agreement::{Agreement, Destination};
use super::chap::{Challenge, ChapBook, Reply, Verdict, hex};
use super::keys::{Keys, Kind};
use super::limits::{
    CHALLENGE_LEN, LOGIN_REQUESTS_MAX, LOGIN_SEGMENT_LEN_MAX, NAME_LEN_MAX, RECV_SEGMENT_LEN_MAX,
    TEXT_LEN_MAX,
};
use super::pdu::wire::{VERSION, at, flag, request, response, status};
use super::pdu::{Head, padding};
use super::targets::{Authentication, TargetRefusal, Targets};
use super::text::{self, Pair};

/// The stages of a login, as they are numbered.
mod stage {
    pub const SECURITY: u8 = 0;
    pub const OPERATIONAL: u8 = 1;
    pub const FULL: u8 = 3;
}

/// The flag of a request that wants to go on to the next stage.
const TRANSIT: u8 = flag::FINAL;

/// Whose login it is, and where.
#[derive(Clone)]
pub struct Premises {
    /// The targets there are.
    pub targets: Arc<dyn Targets>,
    /// The portal group that was reached.
    pub portal_group: u16,
    /// Chance, for a challenge that was never sent before.
    pub challenge: [u8; CHALLENGE_LEN],
    /// Chance, for its number.
    pub challenge_id: u8,
}

/// A CHAP answer that was judged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proof {
    /// The user.
    pub user: String,
    /// Whether the answer was right.
    pub is_right: bool,
}

/// What a request leads to.
#[derive(Debug)]
pub enum Step {
    /// This answer, and the next request.
    Answer(Vec<u8>),
    /// This answer, and the end of the connection.
    Refuse(Vec<u8>),
    /// A session, if there is room for it: see [`Login::accept`] and [`Login::refuse`].
    Agreed(Box<Agreement>),
}

/// The answer to a login, or why there is none.
type Outcome<T> = Result<T, u16>;

/// Where the proof of an initiator stands.
enum Security {
    /// It was not spoken of.
    Open,
    /// CHAP was chosen.
    Chosen(Arc<dyn ChapBook>),
    /// A challenge was sent.
    Asked(Arc<dyn ChapBook>, Challenge),
    /// Nothing is left to prove.
    Done,
}

/// A login under way.
pub struct Login {
    premises: Premises,
    /// The last request's header, which answers refer to.
    last: Head,
    first: Option<Head>,
    requests: u32,
    stage: u8,
    text: Vec<u8>,
    keys: Keys,
    kind: Kind,
    initiator: String,
    alias: String,
    target: String,
    security: Security,
    user: Option<String>,
    has_method: bool,
    has_declared: bool,
    stat_sn: u32,
    final_text: Vec<u8>,
    /// The judgement that the last request brought about.
    proof: Option<Proof>,
}

impl Login {
    /// A login that has not begun.
    pub fn new(premises: Premises) -> Self {
        Self {
            premises,
            last: Head::new(request::LOGIN, 0),
            first: None,
            requests: 0,
            stage: stage::SECURITY,
            text: Vec::new(),
            keys: Keys::default(),
            kind: Kind::Normal,
            initiator: String::new(),
            alias: String::new(),
            target: String::new(),
            security: Security::Open,
            user: None,
            has_method: false,
            has_declared: false,
            stat_sn: 0,
            final_text: Vec::new(),
            proof: None,
        }
    }

    /// The judgement that the last request brought about: its answer may have to wait.
    pub const fn take_proof(&mut self) -> Option<Proof> {
        self.proof.take()
    }

    /// Takes a request: its header and its data.
    pub fn advance(&mut self, head: Head, data: &[u8]) -> Step {
        match self.step(head, data) {
            Ok(step) => step,
            Err(status) => Step::Refuse(self.refuse(status)),
        }
    }

    /// The last answer, for a session with this handle.
    pub fn accept(&mut self, tsih: u16) -> Vec<u8> {
        let text = std::mem::take(&mut self.final_text);
        let mut head = self.head(status::SUCCESS);
        let stages = self.stage << 2 | stage::FULL;
        head = head.with_byte(at::FLAGS, TRANSIT | stages).with_half(at::TSIH, tsih);
        bytes_of(head, &text)
    }

    /// The last answer, where there is no session.
    pub fn refuse(&mut self, status: u16) -> Vec<u8> {
        bytes_of(self.head(status), &[])
    }

    fn step(&mut self, head: Head, data: &[u8]) -> Outcome<Step> {
        self.last = head;
        self.requests += 1;
        self.check(&head, data)?;
        if self.text.len() + data.len() > TEXT_LEN_MAX {
            return Err(status::INITIATOR_ERROR);
        }
        self.text.extend_from_slice(data);
        if head.flags() & flag::CONTINUE != 0 {
            return Ok(Step::Answer(self.answer(self.stage << 2, &[])));
        }
        let text = std::mem::take(&mut self.text);
        let pairs = text::parse(&text).map_err(|_| status::INITIATOR_ERROR)?;
        let is_leading = self.initiator.is_empty();
        let mut out = Vec::new();
        if is_leading {
            self.introduce(&pairs, &mut out)?;
        }
        self.choose_method(&pairs, &mut out)?;
        self.secure(&pairs, &mut out)?;
        self.negotiate(&pairs, &mut out)?;
        self.transit(&head, out)
    }

    /// Whether a request has a place here.
    fn check(&mut self, head: &Head, data: &[u8]) -> Outcome<()> {
        if head.opcode() != request::LOGIN {
            return Err(status::INVALID);
        }
        if head.0[at::STATUS] > VERSION {
            return Err(status::VERSION);
        }
        let current = head.flags() >> 2 & 3;
        let next = head.flags() & 3;
        let is_first = self.first.is_none();
        if is_first {
            self.stage = current;
            // What the first answer is numbered by; the initiator takes any number.
            self.stat_sn = head.exp_stat_sn();
        }
        let first = self.first.get_or_insert(*head);
        let same = |from: usize, len: usize| first.0[from..from + len] == head.0[from..from + len];
        let is_same = same(at::LUN, 8) && same(at::ITT, 4) && same(at::TTT, 2);
        let wants_transit = head.flags() & TRANSIT != 0;
        let is_sound = is_same
            && self.requests <= LOGIN_REQUESTS_MAX
            && head.ahs_len() == 0
            && data.len() <= LOGIN_SEGMENT_LEN_MAX
            && current == self.stage
            && current <= stage::OPERATIONAL
            && !(wants_transit && (next <= current || next == 2))
            && !(wants_transit && head.flags() & flag::CONTINUE != 0);
        if is_sound { Ok(()) } else { Err(status::INITIATOR_ERROR) }
    }

    /// Who comes, and where to.
    fn introduce(&mut self, pairs: &[Pair], out: &mut Vec<u8>) -> Outcome<()> {
        let value = |key: &str| pairs.iter().find(|pair| pair.key == key).map(|pair| &pair.value);
        let name = |key: &str| -> Outcome<String> {
            let name = value(key).filter(|name| !name.is_empty()).ok_or(status::MISSING)?;
            if name.len() > NAME_LEN_MAX {
                Err(status::INITIATOR_ERROR)
            } else {
                Ok(name.to_lowercase())
            }
        };
        self.initiator = name("InitiatorName")?;
        self.alias = value("InitiatorAlias").cloned().unwrap_or_default();
        self.kind = match value("SessionType").map_or("Normal", String::as_str) {
            "Normal" => Kind::Normal,
            "Discovery" => Kind::Discovery,
            _ => return Err(status::SESSION_TYPE),
        };
        let authentication = match self.kind {
            Kind::Discovery => self.premises.targets.discovery(),
            Kind::Normal => {
                self.target = name("TargetName")?;
                let group = self.premises.portal_group.to_string();
                text::push(out, "TargetPortalGroupTag", &group);
                let asked = self.premises.targets.authentication(&self.target, &self.initiator);
                asked.map_err(status_of)?
            }
        };
        self.security = match authentication {
            Authentication::None => Security::Done,
            Authentication::Chap(_) if self.stage != stage::SECURITY => {
                return Err(status::AUTHENTICATION);
            }
            Authentication::Chap(book) => Security::Chosen(book),
        };
        Ok(())
    }

    /// How the proof is made.
    fn choose_method(&mut self, pairs: &[Pair], out: &mut Vec<u8>) -> Outcome<()> {
        let offered = pairs.iter().find(|pair| pair.key == "AuthMethod");
        let Some(Pair { value: offered, .. }) = offered else { return Ok(()) };
        if self.stage != stage::SECURITY {
            return Ok(());
        }
        if std::mem::replace(&mut self.has_method, true) {
            return Err(status::INITIATOR_ERROR);
        }
        let wanted = match self.security {
            Security::Done => "None",
            _ => "CHAP",
        };
        if !offered.split(',').any(|method| method == wanted) {
            return Err(status::AUTHENTICATION);
        }
        text::push(out, "AuthMethod", wanted);
        Ok(())
    }

    /// The proof of who comes.
    fn secure(&mut self, pairs: &[Pair], out: &mut Vec<u8>) -> Outcome<()> {
        let value =
            |key: &str| pairs.iter().find(|pair| pair.key == key).map(|pair| pair.value.as_str());
        match std::mem::replace(&mut self.security, Security::Open) {
            Security::Chosen(book) => {
                let Some(offered) = value("CHAP_A").filter(|_| self.has_method) else {
                    self.security = Security::Chosen(book);
                    return Ok(());
                };
                let challenge = self.challenge(book.as_ref(), offered)?;
                text::push(out, "CHAP_A", challenge.digest.number());
                text::push(out, "CHAP_I", &challenge.id.to_string());
                text::push(out, "CHAP_C", &hex(&challenge.bytes));
                self.security = Security::Asked(book, challenge);
                Ok(())
            }
            Security::Asked(book, challenge) => {
                let (Some(user), Some(answer)) = (value("CHAP_N"), value("CHAP_R")) else {
                    return Err(status::AUTHENTICATION);
                };
                let asks = match (value("CHAP_I"), value("CHAP_C")) {
                    (Some(id), Some(challenge)) => Some((id, challenge)),
                    (None, None) => None,
                    _ => return Err(status::AUTHENTICATION),
                };
                let verdict = challenge.judge(book.as_ref(), &Reply { user, answer, asks });
                let is_right = matches!(verdict, Verdict::Right(_));
                self.proof = Some(Proof { user: user.to_owned(), is_right });
                let Verdict::Right(own) = verdict else { return Err(status::AUTHENTICATION) };
                if let Some((name, answer)) = own {
                    text::push(out, "CHAP_N", &name);
                    text::push(out, "CHAP_R", &answer);
                }
                self.user = Some(user.to_owned());
                self.security = Security::Done;
                Ok(())
            }
            other => {
                self.security = other;
                Ok(())
            }
        }
    }

    fn challenge(&self, book: &dyn ChapBook, offered: &str) -> Outcome<Challenge> {
        let allowed = book.digests();
        // Whoever offers a list has put what it likes best first.
        let mut offered = offered.split(',');
        let digest = offered.find_map(|one| allowed.iter().find(|digest| digest.number() == one));
        let digest = *digest.ok_or(status::AUTHENTICATION)?;
        let Premises { challenge, challenge_id, .. } = &self.premises;
        Ok(Challenge { digest, id: *challenge_id, bytes: *challenge })
    }

    /// Operational keys.
    fn negotiate(&mut self, pairs: &[Pair], out: &mut Vec<u8>) -> Outcome<()> {
        let is_security = |key: &str| key == "AuthMethod" || key.starts_with("CHAP_");
        for pair in pairs {
            if self.stage == stage::SECURITY && is_security(&pair.key) {
                continue;
            }
            self.keys.take(self.kind, pair, out).map_err(|_| status::INITIATOR_ERROR)?;
        }
        if self.stage == stage::OPERATIONAL && !self.has_declared {
            self.has_declared = true;
            text::push(out, "MaxRecvDataSegmentLength", &RECV_SEGMENT_LEN_MAX.to_string());
        }
        Ok(())
    }

    /// Goes on to the next stage, where that is wanted and possible.
    fn transit(&mut self, head: &Head, out: Vec<u8>) -> Outcome<Step> {
        let is_proved = matches!(self.security, Security::Done);
        if head.flags() & TRANSIT == 0 {
            return Ok(Step::Answer(self.answer(self.stage << 2, &out)));
        }
        if !is_proved {
            // A request that offers CHAP may be in a hurry; one that offers nothing will not prove itself.
            let is_under_way = !out.is_empty() && matches!(self.security, Security::Asked(..))
                || text_has(&out, b"AuthMethod=CHAP");
            if !is_under_way {
                return Err(status::AUTHENTICATION);
            }
            return Ok(Step::Answer(self.answer(self.stage << 2, &out)));
        }
        let next = head.flags() & 3;
        if next == stage::FULL {
            let agreement = self.agree(head, &out)?;
            return Ok(Step::Agreed(Box::new(agreement)));
        }
        let answer = self.answer(TRANSIT | self.stage << 2 | next, &out);
        self.stage = next;
        Ok(Step::Answer(answer))
    }

    fn agree(&mut self, head: &Head, out: &[u8]) -> Outcome<Agreement> {
        out.clone_into(&mut self.final_text);
        let destination = match self.kind {
            Kind::Discovery => Destination::Discovery,
            Kind::Normal => {
                let user = self.user.as_deref();
                let opened = self.premises.targets.open(&self.target, &self.initiator, user);
                let open = opened.map_err(status_of)?;
                if !open.alias.is_empty() {
                    text::push(&mut self.final_text, "TargetAlias", &open.alias);
                }
                Destination::Target(open)
            }
        };
        Ok(Agreement {
            destination,
            target: self.target.clone(),
            initiator: self.initiator.clone(),
            alias: self.alias.clone(),
            user: self.user.clone(),
            isid: head.bytes(at::LUN),
            tsih: head.half(at::TSIH),
            cid: head.half(at::TTT),
            portal_group: self.premises.portal_group,
            parameters: self.keys.parameters,
            cmd_sn: head.cmd_sn(),
            stat_sn: self.stat_sn.wrapping_add(1),
        })
    }

    /// An answer within the login, with these flags and this text.
    fn answer(&mut self, flags: u8, text: &[u8]) -> Vec<u8> {
        let head = self.head(status::SUCCESS).with_byte(at::FLAGS, flags);
        bytes_of(head, text)
    }

    fn head(&mut self, status: u16) -> Head {
        let stat_sn = self.stat_sn;
        self.stat_sn = self.stat_sn.wrapping_add(1);
        let mut head = Head::new(response::LOGIN, 0)
            .with_lun(self.last.lun())
            .with_itt(self.last.itt())
            .with_word(at::CMD_SN, stat_sn)
            .with_word(at::EXP_STAT_SN, self.last.cmd_sn())
            .with_word(at::CDB, self.last.cmd_sn().wrapping_add(super::limits::COMMANDS_MAX - 1))
            .with_half(at::DATA_SN, status);
        if status == status::VERSION {
            head = head.with_byte(at::RESPONSE, VERSION);
        }
        head
    }
}

fn text_has(text: &[u8], pair: &[u8]) -> bool {
    text.split(|byte| *byte == 0).any(|one| one == pair)
}

const fn status_of(refusal: TargetRefusal) -> u16 {
    match refusal {
        TargetRefusal::NotFound => status::NOT_FOUND,
        TargetRefusal::Forbidden => status::AUTHORIZATION,
        TargetRefusal::Unavailable => status::UNAVAILABLE,
    }
}

/// A whole PDU without digests, which there are none of during a login.
fn bytes_of(head: Head, text: &[u8]) -> Vec<u8> {
    let mut bytes = head.with_data_len(text.len()).0.to_vec();
    bytes.extend_from_slice(text);
    bytes.resize(bytes.len() + padding(text.len()), 0);
    bytes
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;
