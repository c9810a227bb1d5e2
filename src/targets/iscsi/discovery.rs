//! Texts behind the login: which targets there are, and what is asked besides.
//!
//! A text with a key that nobody knows, or that asks for targets which cannot be, is rejected as a whole:
//! initiators look at the kind of the answer, and not into it. Keys of vendors are answered.
//!
//! Source: RFC 7143 Appendix C, 11.10, 11.11.

use std::sync::Arc;

use super::keys::Kind;
use super::limits::{TEXT_ANSWER_LEN_MAX, TEXT_LEN_MAX};
use super::pdu::wire::NO_TAG;
use super::targets::Targets;
use super::text::{self, Pair};

/// What a session may tell about targets.
#[derive(Clone)]
pub struct Directory {
    /// All targets.
    pub targets: Arc<dyn Targets>,
    /// Who asks.
    pub initiator: String,
    /// The CHAP user that was proved.
    pub user: Option<String>,
    /// The target that it uses, empty in a discovery.
    pub target: String,
    /// The portals to tell: their addresses and groups.
    pub portals: Vec<(String, u16)>,
}

impl Directory {
    /// The kind of the session.
    pub const fn kind(&self) -> Kind {
        if self.target.is_empty() { Kind::Discovery } else { Kind::Normal }
    }

    /// Appends the answer to `SendTargets`.
    ///
    /// # Errors
    /// `Senseless` where it asks for what cannot be a target.
    fn send_targets(&self, which: &str, out: &mut Vec<u8>) -> Result<(), Senseless> {
        let is_name = ["iqn.", "eui.", "naa."].iter().any(|kind| which.starts_with(kind));
        let names: Vec<String> = match self.kind() {
            Kind::Normal if which.is_empty() || which == "All" || which == self.target => {
                vec![self.target.clone()]
            }
            Kind::Discovery if which == "All" || is_name => {
                let all = self.targets.list(&self.initiator, self.user.as_deref());
                all.into_iter()
                    .map(|one| one.name)
                    .filter(|n| which == "All" || n == which)
                    .collect()
            }
            Kind::Normal | Kind::Discovery => return Err(Senseless),
        };
        for name in names {
            let before = out.len();
            text::push(out, "TargetName", &name);
            for (address, group) in &self.portals {
                text::push(out, "TargetAddress", &format!("{address},{group}"));
            }
            if out.len() > TEXT_ANSWER_LEN_MAX {
                out.truncate(before);
                break;
            }
        }
        Ok(())
    }

    fn answer(&self, pairs: &[Pair], declared: &mut Option<u32>) -> Result<Vec<u8>, Senseless> {
        let mut out = Vec::new();
        for Pair { key, value } in pairs {
            match (key.as_str(), value.as_str()) {
                (_, "NotUnderstood" | "Irrelevant" | "Reject") => {}
                ("SendTargets", which) => self.send_targets(which, &mut out)?,
                ("MaxRecvDataSegmentLength", len) => {
                    match text::number(len).and_then(|len| u32::try_from(len).ok()) {
                        Some(len @ 512..=0xff_ffff) => *declared = Some(len),
                        _ => text::push(&mut out, key, "Reject"),
                    }
                }
                (known, _) if LOGIN_ONLY.contains(&known) => text::push(&mut out, key, "Reject"),
                (vendors, _) if vendors.starts_with("X-") => {
                    text::push(&mut out, key, "NotUnderstood");
                }
                _ => return Err(Senseless),
            }
        }
        Ok(out)
    }
}

/// A text that makes no sense.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Senseless;

/// Keys that have their place in a login only.
const LOGIN_ONLY: &[&str] = &[
    "AuthMethod",
    "HeaderDigest",
    "DataDigest",
    "MaxConnections",
    "TargetName",
    "InitiatorName",
    "InitiatorAlias",
    "TargetAlias",
    "TargetAddress",
    "TargetPortalGroupTag",
    "InitialR2T",
    "ImmediateData",
    "MaxBurstLength",
    "FirstBurstLength",
    "DefaultTime2Wait",
    "DefaultTime2Retain",
    "MaxOutstandingR2T",
    "DataPDUInOrder",
    "DataSequenceInOrder",
    "ErrorRecoveryLevel",
    "SessionType",
    "TaskReporting",
    "iSCSIProtocolLevel",
];

/// A request of a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TextRequest {
    /// The tag that it continues under, or none.
    pub ttt: u32,
    /// Whether nothing more is asked.
    pub is_final: bool,
    /// Whether the text goes on in the next PDU.
    pub is_continued: bool,
}

/// What a request of a text leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TextStep {
    /// The rest of the request is asked for, under this tag.
    More(u32),
    /// A part of the answer; more of it under that tag.
    Part(Vec<u8>, u32),
    /// The answer; more may be asked under that tag.
    Open(Vec<u8>, u32),
    /// The answer, or the rest of it.
    Whole(Vec<u8>),
    /// It makes no sense.
    Invalid,
}

/// The text that is spoken of.
#[derive(Debug, Default)]
pub struct Conversation {
    asked: Vec<u8>,
    answer: Vec<u8>,
    tag: Option<u32>,
    next_tag: u32,
    /// Bytes of data of one PDU that the initiator has declared anew.
    pub declared: Option<u32>,
}

impl Conversation {
    /// Takes a request; an answer has at most `len_max` bytes.
    pub fn take(
        &mut self,
        directory: &Directory,
        request: TextRequest,
        data: &[u8],
        len_max: usize,
    ) -> TextStep {
        if request.ttt == NO_TAG {
            self.asked.clear();
            self.answer.clear();
            self.tag = None;
        } else if self.tag != Some(request.ttt) {
            return TextStep::Invalid;
        }
        if self.asked.len() + data.len() > TEXT_LEN_MAX
            || (request.is_final && request.is_continued)
        {
            self.tag = None;
            return TextStep::Invalid;
        }
        if !self.answer.is_empty() {
            return self.part(len_max, request.is_final);
        }
        self.asked.extend_from_slice(data);
        if request.is_continued {
            return TextStep::More(self.new_tag());
        }
        let pairs = text::parse(&std::mem::take(&mut self.asked)).map_err(|_| Senseless);
        match pairs.and_then(|pairs| directory.answer(&pairs, &mut self.declared)) {
            Ok(answer) => {
                self.answer = answer;
                self.part(len_max, request.is_final)
            }
            Err(Senseless) => {
                self.tag = None;
                TextStep::Invalid
            }
        }
    }

    fn part(&mut self, len_max: usize, is_final: bool) -> TextStep {
        if self.answer.len() > len_max {
            let rest = self.answer.split_off(len_max);
            let part = std::mem::replace(&mut self.answer, rest);
            return TextStep::Part(part, self.new_tag());
        }
        let whole = std::mem::take(&mut self.answer);
        if is_final {
            self.tag = None;
            TextStep::Whole(whole)
        } else {
            TextStep::Open(whole, self.new_tag())
        }
    }

    fn new_tag(&mut self) -> u32 {
        self.next_tag = self.next_tag.wrapping_add(1) % NO_TAG;
        self.tag = Some(self.next_tag);
        self.next_tag
    }
}

#[cfg(test)]
#[path = "discovery_tests.rs"]
mod tests;
