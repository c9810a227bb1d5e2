//! The negotiation of operational keys: an offer, by the rule of its key, becomes an answer and a result.
//!
//! Source: RFC 7143 6.2, 13.

use std::collections::BTreeSet;

use super::limits::{
    BURST_LEN_MAX, FIRST_BURST_LEN_MAX, OUTSTANDING_R2T_MAX, TIME_TO_RETAIN, TIME_TO_WAIT,
};
use super::parameters::Parameters;
use super::text::{self, Pair};

/// The kind of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It asks which targets there are.
    Discovery,
    /// It uses one.
    Normal,
}

/// A key that was offered twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a key was offered twice")]
pub struct Twice;

/// What an initiator says of itself and of what it wants.
const NAMES: [&str; 4] = ["InitiatorName", "InitiatorAlias", "TargetName", "SessionType"];
/// Bounds of lengths of segments and bursts.
const LENGTHS: std::ops::RangeInclusive<u64> = 512..=0xff_ffff;

/// A negotiation of operational keys.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// The result so far.
    pub parameters: Parameters,
    seen: BTreeSet<String>,
}

impl Keys {
    /// Takes an offer; appends the answer to `out`, where the key wants one.
    ///
    /// # Errors
    /// `Twice` where the key was offered before, unless it is a name: some initiators say who they are in
    /// each stage. What counts is what they said first.
    pub fn take(&mut self, kind: Kind, offer: &Pair, out: &mut Vec<u8>) -> Result<(), Twice> {
        let Pair { key, value } = offer;
        if !self.seen.insert(key.clone()) && !NAMES.contains(&key.as_str()) {
            return Err(Twice);
        }
        if matches!(value.as_str(), "NotUnderstood" | "Irrelevant" | "Reject") {
            return Ok(());
        }
        match self.answer(kind, key, value) {
            Answer::Silence => {}
            Answer::Say(answer) => text::push(out, key, &answer),
        }
        Ok(())
    }

    fn answer(&mut self, kind: Kind, key: &str, value: &str) -> Answer {
        let all = &mut self.parameters;
        match key {
            "HeaderDigest" => digest(value, &mut all.has_header_digest),
            "DataDigest" => digest(value, &mut all.has_data_digest),
            "MaxRecvDataSegmentLength" => match number_in(value, LENGTHS) {
                Some(len) => {
                    all.send_len_max = len;
                    Answer::Silence
                }
                None => Answer::reject(),
            },
            "DefaultTime2Wait" => largest(value, TIME_TO_WAIT),
            "DefaultTime2Retain" => smallest(value, TIME_TO_RETAIN, 0..=3600, &mut 0),
            "ErrorRecoveryLevel" => smallest(value, 0, 0..=2, &mut 0),
            "iSCSIProtocolLevel" => smallest(value, 1, 0..=31, &mut 0),
            "TaskReporting" => chosen(value, "RFC3720"),
            // Obsolete ones, refused as each was meant to be.
            "IFMarker" | "OFMarker" => Answer::say("No"),
            "IFMarkInt" | "OFMarkInt" => Answer::reject(),
            // Declarations.
            "InitiatorName"
            | "InitiatorAlias"
            | "TargetName"
            | "SessionType"
            | "TargetAlias"
            | "TargetAddress"
            | "TargetPortalGroupTag" => Answer::Silence,
            // Its stage is over.
            "AuthMethod" => Answer::reject(),
            _ => self.about_commands(kind, key, value),
        }
    }

    /// Keys that mean nothing in a session without commands.
    fn about_commands(&mut self, kind: Kind, key: &str, value: &str) -> Answer {
        let all = &mut self.parameters;
        let answer = match key {
            "MaxConnections" => smallest(value, 1, 1..=65535, &mut 1),
            "InitialR2T" => either(value, No, &mut all.is_initial_r2t),
            "ImmediateData" => both(value, &mut all.has_immediate_data),
            "MaxBurstLength" => smallest(value, BURST_LEN_MAX, LENGTHS, &mut all.burst_len_max),
            "FirstBurstLength" => {
                smallest(value, FIRST_BURST_LEN_MAX, LENGTHS, &mut all.first_burst_len_max)
            }
            "MaxOutstandingR2T" => {
                smallest(value, OUTSTANDING_R2T_MAX, 1..=65535, &mut all.outstanding_r2t_max)
            }
            "DataPDUInOrder" | "DataSequenceInOrder" => either(value, Yes, &mut true),
            _ => return Answer::say("NotUnderstood"),
        };
        match kind {
            Kind::Discovery => Answer::say("Irrelevant"),
            Kind::Normal => answer,
        }
    }
}

enum Answer {
    Silence,
    Say(String),
}

impl Answer {
    fn say(text: &str) -> Self {
        Self::Say(text.to_owned())
    }

    fn reject() -> Self {
        Self::say("Reject")
    }

    const fn of(is_yes: bool) -> &'static str {
        if is_yes { "Yes" } else { "No" }
    }
}

/// What this side wants of a key that is yes or no.
#[derive(Clone, Copy)]
enum Wish {
    Yes,
    No,
}
use Wish::{No, Yes};

fn number_in(value: &str, bounds: std::ops::RangeInclusive<u64>) -> Option<u32> {
    let number = text::number(value).filter(|number| bounds.contains(number))?;
    u32::try_from(number).ok()
}

/// The smaller number is the result.
fn smallest(
    value: &str,
    ours: u32,
    bounds: std::ops::RangeInclusive<u64>,
    result: &mut u32,
) -> Answer {
    let Some(theirs) = number_in(value, bounds) else { return Answer::reject() };
    *result = theirs.min(ours);
    Answer::Say(result.to_string())
}

/// The larger number of seconds is the result.
fn largest(value: &str, ours: u32) -> Answer {
    number_in(value, 0..=3600)
        .map_or_else(Answer::reject, |theirs| Answer::Say(theirs.max(ours).to_string()))
}

fn is_yes(value: &str) -> Option<bool> {
    match value {
        "Yes" => Some(true),
        "No" => Some(false),
        _ => None,
    }
}

/// It is so if one side wants it.
fn either(value: &str, ours: Wish, result: &mut bool) -> Answer {
    let Some(theirs) = is_yes(value) else { return Answer::reject() };
    *result = theirs || matches!(ours, Yes);
    Answer::say(Answer::of(*result))
}

/// It is so if both sides want it, as this one does.
fn both(value: &str, result: &mut bool) -> Answer {
    let Some(theirs) = is_yes(value) else { return Answer::reject() };
    *result = theirs;
    Answer::say(Answer::of(theirs))
}

/// The one that is known, where the list has it.
fn chosen(list: &str, known: &str) -> Answer {
    match list.split(',').find(|one| *one == known) {
        Some(known) => Answer::say(known),
        None => Answer::reject(),
    }
}

/// The first of the list that is spoken here.
fn digest(list: &str, result: &mut bool) -> Answer {
    match list.split(',').find(|one| matches!(*one, "CRC32C" | "None")) {
        Some(one) => {
            *result = one == "CRC32C";
            Answer::say(one)
        }
        None => Answer::reject(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(keys: &mut Keys, kind: Kind, key: &str, value: &str) -> String {
        let mut out = Vec::new();
        let pair = Pair { key: key.to_owned(), value: value.to_owned() };
        keys.take(kind, &pair, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        text.strip_prefix(&format!("{key}=")).unwrap_or(&text).trim_end_matches('\0').to_owned()
    }

    #[test]
    fn each_key_has_its_own_rule() {
        for (key, offer, expected) in [
            ("HeaderDigest", "CRC32C,None", "CRC32C"),
            ("HeaderDigest", "None,CRC32C", "None"),
            ("DataDigest", "SHA9,CRC32C", "CRC32C"),
            ("DataDigest", "SHA9", "Reject"),
            ("MaxConnections", "8", "1"),
            ("MaxConnections", "0", "Reject"),
            ("InitialR2T", "Yes", "Yes"),
            ("InitialR2T", "No", "No"),
            ("InitialR2T", "yes", "Reject"),
            ("ImmediateData", "Yes", "Yes"),
            ("ImmediateData", "No", "No"),
            ("MaxRecvDataSegmentLength", "65536", ""),
            ("MaxRecvDataSegmentLength", "511", "Reject"),
            ("MaxBurstLength", "16776192", "1048576"),
            ("MaxBurstLength", "262144", "262144"),
            ("MaxBurstLength", "16777216", "Reject"),
            ("FirstBurstLength", "0x4000", "16384"),
            ("DefaultTime2Wait", "0", "2"),
            ("DefaultTime2Wait", "20", "20"),
            ("DefaultTime2Retain", "20", "0"),
            ("MaxOutstandingR2T", "1", "1"),
            ("MaxOutstandingR2T", "65535", "8"),
            ("DataPDUInOrder", "No", "Yes"),
            ("DataSequenceInOrder", "No", "Yes"),
            ("ErrorRecoveryLevel", "2", "0"),
            ("ErrorRecoveryLevel", "3", "Reject"),
            ("IFMarker", "Yes", "No"),
            ("OFMarker", "No", "No"),
            ("OFMarkInt", "2048~65535", "Reject"),
            ("TaskReporting", "FastAbort,RFC3720", "RFC3720"),
            ("TaskReporting", "FastAbort", "Reject"),
            ("iSCSIProtocolLevel", "2", "1"),
            ("AuthMethod", "None", "Reject"),
            ("InitiatorAlias", "a host", ""),
            ("X-com.example.key", "1", "NotUnderstood"),
            ("RDMAExtensions", "Yes", "NotUnderstood"),
            ("MaxBurstLength", "Reject", ""),
        ] {
            let mut keys = Keys::default();
            assert_eq!(answer(&mut keys, Kind::Normal, key, offer), expected, "{key}={offer}");
        }
    }

    #[test]
    fn a_key_is_offered_once_and_a_name_may_be_said_again() {
        let mut keys = Keys::default();
        let mut take = |key: &str, value: &str| {
            let pair = Pair { key: key.to_owned(), value: value.to_owned() };
            keys.take(Kind::Normal, &pair, &mut Vec::new())
        };
        for _ in 0..2 {
            assert_eq!(take("InitiatorName", "iqn.2026-11.dev.tidemark:a"), Ok(()));
            assert_eq!(take("SessionType", "Normal"), Ok(()));
        }
        assert_eq!(take("MaxBurstLength", "4096"), Ok(()));
        assert_eq!(take("MaxBurstLength", "4096"), Err(Twice));
    }

    #[test]
    fn results_are_what_both_sides_can_do() {
        let mut keys = Keys::default();
        for (key, value) in [
            ("HeaderDigest", "CRC32C"),
            ("InitialR2T", "No"),
            ("ImmediateData", "No"),
            ("MaxBurstLength", "16776192"),
            ("FirstBurstLength", "4096"),
            ("MaxRecvDataSegmentLength", "1048576"),
        ] {
            answer(&mut keys, Kind::Normal, key, value);
        }
        let expected = Parameters {
            has_header_digest: true,
            is_initial_r2t: false,
            has_immediate_data: false,
            burst_len_max: BURST_LEN_MAX,
            first_burst_len_max: 4096,
            send_len_max: 1 << 20,
            ..Parameters::default()
        };
        assert_eq!(keys.parameters, expected);
    }

    #[test]
    fn what_is_about_commands_means_nothing_to_a_discovery() {
        let mut keys = Keys::default();
        assert_eq!(answer(&mut keys, Kind::Discovery, "InitialR2T", "No"), "Irrelevant");
        assert_eq!(answer(&mut keys, Kind::Discovery, "X-y", "No"), "NotUnderstood");
        assert_eq!(answer(&mut keys, Kind::Discovery, "HeaderDigest", "None"), "None");
    }

    #[test]
    fn a_key_is_offered_once() {
        let mut keys = Keys::default();
        answer(&mut keys, Kind::Normal, "InitialR2T", "No");
        let again = Pair { key: "InitialR2T".into(), value: "Yes".into() };
        assert_eq!(keys.take(Kind::Normal, &again, &mut Vec::new()), Err(Twice));
    }
}
