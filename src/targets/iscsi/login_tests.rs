//! Claims about logins.

use std::fmt::Write;

use md5::Digest as _;
use proptest::prelude::*;

use super::super::doubles::{CLOSED, Catalogue, FORBIDDEN, OPEN, OWN_SECRET, SECRET, USER};
use super::*;

const INITIATOR: &str = "iqn.2026-11.org.example:host";

/// Flags of a request that goes from one stage to another.
const fn transit(from: u8, to: u8) -> u8 {
    0x80 | from << 2 | to
}

fn head(flags: u8) -> Head {
    Head::new(0x43, flags).with_lun(0x8000_1234_5678_0000).with_itt(7).with_word(at::CMD_SN, 100)
}

fn texts(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    pairs.iter().for_each(|(key, value)| text::push(&mut bytes, key, value));
    bytes
}

fn login() -> Login {
    Login::new(Premises {
        targets: Arc::new(Catalogue::default()),
        portal_group: 3,
        challenge: [5; CHALLENGE_LEN],
        challenge_id: 9,
    })
}

fn introduction<'a>(target: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut pairs = vec![("InitiatorName", INITIATOR), ("SessionType", "Normal")];
    pairs.push(("TargetName", target));
    pairs.extend(more);
    pairs
}

/// The status and text of an answer.
fn read(bytes: &[u8]) -> (u16, u8, String) {
    let head = Head::first_of(bytes).unwrap();
    assert_eq!((head.opcode(), bytes.len() % 4), (0x23, 0));
    assert_eq!(bytes.len(), 48 + head.data_len().next_multiple_of(4));
    let text = String::from_utf8(bytes[48..48 + head.data_len()].to_vec()).unwrap();
    (head.half(at::DATA_SN), head.flags(), text.replace('\0', " "))
}

fn answer(step: Step) -> (u8, String) {
    let Step::Answer(bytes) = step else { panic!("no answer: {step:?}") };
    let (status, flags, text) = read(&bytes);
    assert_eq!(status, status::SUCCESS);
    (flags, text)
}

fn refusal(step: Step) -> u16 {
    let Step::Refuse(bytes) = step else { panic!("no refusal: {step:?}") };
    read(&bytes).0
}

fn agreement(step: Step) -> Box<Agreement> {
    let Step::Agreed(agreement) = step else { panic!("no agreement: {step:?}") };
    agreement
}

#[test]
fn a_login_in_one_request_agrees_on_what_was_offered() {
    let mut login = login();
    let offers = [("HeaderDigest", "CRC32C,None"), ("ImmediateData", "No"), ("X-a.b", "1")];
    let step = login.advance(head(transit(1, 3)), &texts(&introduction(OPEN, &offers)));
    let agreement = agreement(step);
    assert_eq!((agreement.initiator.as_str(), agreement.target.as_str()), (INITIATOR, OPEN));
    assert!(agreement.parameters.has_header_digest && !agreement.parameters.has_immediate_data);
    assert_eq!((agreement.cmd_sn, agreement.isid), (100, [0x80, 0, 0x12, 0x34, 0x56, 0x78]));
    let (status, flags, text) = read(&login.accept(0x1234));
    assert_eq!((status, flags), (0, 0x87));
    let expected = "TargetPortalGroupTag=3 HeaderDigest=CRC32C ImmediateData=No X-a.b=NotUnderstood \
        MaxRecvDataSegmentLength=262144 TargetAlias=a line ";
    assert_eq!(text, expected);
}

#[test]
fn stages_follow_each_other_and_texts_may_come_in_parts() {
    let mut login = login();
    let pairs = texts(&introduction(OPEN, &[("AuthMethod", "CHAP,None")]));
    let (first, second) = pairs.split_at(40);
    assert_eq!(answer(login.advance(head(0x40), first)), (0, String::new()));
    let (flags, text) = answer(login.advance(head(transit(0, 1)), second));
    assert_eq!((flags, text.as_str()), (0x81, "TargetPortalGroupTag=3 AuthMethod=None "));
    let (flags, text) = answer(login.advance(head(1 << 2), &texts(&[("InitialR2T", "No")])));
    assert_eq!((flags, text.as_str()), (4, "InitialR2T=No MaxRecvDataSegmentLength=262144 "));
    let agreement = agreement(login.advance(head(transit(1, 3)), &[]));
    assert!(!agreement.parameters.is_initial_r2t);
    let last = login.accept(1);
    let stat_sn = Head::first_of(&last).unwrap().cmd_sn();
    assert_eq!(agreement.stat_sn, stat_sn.wrapping_add(1));
    assert_eq!(read(&last).2, "TargetAlias=a line ");
}

#[test]
fn what_is_wrong_is_refused_with_its_own_status() {
    let normal = texts(&introduction(OPEN, &[]));
    let of = |pairs: &[(&str, &str)]| texts(pairs);
    let name = ("InitiatorName", INITIATOR);
    for (head, data, expected) in [
        (head(transit(1, 3)), of(&[("TargetName", OPEN)]), status::MISSING),
        (head(transit(1, 3)), of(&[name]), status::MISSING),
        (head(transit(1, 3)), of(&[name, ("SessionType", "Odd")]), status::SESSION_TYPE),
        (head(transit(1, 3)), texts(&introduction("iqn.x", &[])), status::NOT_FOUND),
        (head(transit(1, 3)), texts(&introduction(FORBIDDEN, &[])), status::AUTHORIZATION),
        (head(transit(1, 3)), texts(&introduction(CLOSED, &[])), status::AUTHENTICATION),
        (head(transit(0, 3)), texts(&introduction(CLOSED, &[])), status::AUTHENTICATION),
        (
            head(transit(0, 1)),
            texts(&introduction(CLOSED, &[("AuthMethod", "None")])),
            status::AUTHENTICATION,
        ),
        (head(transit(1, 3)).with_byte(3, 1), normal.clone(), status::VERSION),
        (Head::new(0x41, 0x80), Vec::new(), status::INVALID),
        (head(transit(1, 1)), normal.clone(), status::INITIATOR_ERROR),
        (head(transit(1, 2)), normal.clone(), status::INITIATOR_ERROR),
        (head(3 << 2), normal.clone(), status::INITIATOR_ERROR),
        (head(transit(1, 3) | 0x40), normal.clone(), status::INITIATOR_ERROR),
        (head(transit(1, 3)).with_byte(4, 1), normal.clone(), status::INITIATOR_ERROR),
        (head(transit(1, 3)), b"what is this\0".to_vec(), status::INITIATOR_ERROR),
    ] {
        assert_eq!(refusal(login().advance(head, &data)), expected, "{data:?}");
    }
}

#[test]
fn a_request_of_another_login_is_refused() {
    for other in [head(4).with_itt(8), head(4).with_lun(1), head(4).with_half(at::TTT, 1)] {
        let mut login = login();
        answer(login.advance(head(4), &texts(&introduction(OPEN, &[]))));
        assert_eq!(refusal(login.advance(other, &[])), status::INITIATOR_ERROR);
    }
}

#[test]
fn a_login_holds_no_more_than_one_text() {
    let mut login = login();
    for _ in 0..TEXT_LEN_MAX / 4096 {
        answer(login.advance(head(0x44), &[b'x'; 4096]));
    }
    assert_eq!(refusal(login.advance(head(0x44), &[b'x'; 4])), status::INITIATOR_ERROR);
}

#[test]
fn a_login_does_not_go_on_for_ever() {
    let mut login = login();
    answer(login.advance(head(4), &texts(&introduction(OPEN, &[]))));
    for _ in 1..LOGIN_REQUESTS_MAX {
        answer(login.advance(head(4), &[]));
    }
    assert_eq!(refusal(login.advance(head(4), &[])), status::INITIATOR_ERROR);
}

fn asked(algorithms: &str) -> (Login, String) {
    let mut login = login();
    let offer = texts(&introduction(CLOSED, &[("AuthMethod", "CHAP,None")]));
    let (flags, text) = answer(login.advance(head(transit(0, 1)), &offer));
    assert_eq!((flags, text.as_str()), (0, "TargetPortalGroupTag=3 AuthMethod=CHAP "));
    let (_, text) = answer(login.advance(head(0), &texts(&[("CHAP_A", algorithms)])));
    (login, text)
}

fn md5(id: u8, secret: &[u8], challenge: &[u8]) -> String {
    let sum = md5::Md5::new().chain_update([id]).chain_update(secret).chain_update(challenge);
    sum.finalize().iter().fold("0x".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn whoever_knows_the_secret_is_let_in_and_may_ask_back() {
    let (mut login, text) = asked("5");
    assert_eq!(text, format!("CHAP_A=5 CHAP_I=9 CHAP_C=0x{} ", "05".repeat(32)));
    let answer_of = md5(9, SECRET, &[5; 32]);
    let reply = [("CHAP_N", USER), ("CHAP_R", &answer_of), ("CHAP_I", "4"), ("CHAP_C", "0x010203")];
    let (flags, text) = answer(login.advance(head(transit(0, 1)), &texts(&reply)));
    let own = md5(4, OWN_SECRET, &[1, 2, 3]);
    assert_eq!((flags, text), (0x81, format!("CHAP_N=appliance CHAP_R={own} ")));
    assert_eq!(login.take_proof(), Some(Proof { user: USER.to_owned(), is_right: true }));
    let agreement = agreement(login.advance(head(transit(1, 3)), &[]));
    assert_eq!(agreement.user.as_deref(), Some(USER));
}

#[test]
fn the_first_of_the_offered_digests_that_is_allowed_is_taken() {
    for (offer, expected) in [("8,7,5", "CHAP_A=8 "), ("5,7", "CHAP_A=5 "), ("99,7", "CHAP_A=7 ")] {
        assert!(asked(offer).1.starts_with(expected), "{offer}");
    }
    let mut login = login();
    let offer = texts(&introduction(CLOSED, &[("AuthMethod", "CHAP")]));
    answer(login.advance(head(0), &offer));
    let step = login.advance(head(0), &texts(&[("CHAP_A", "6,99")]));
    assert_eq!(refusal(step), status::AUTHENTICATION);
}

#[test]
fn whoever_does_not_know_the_secret_stays_out() {
    let right = md5(9, SECRET, &[5; 32]);
    let wrong = md5(9, b"guess", &[5; 32]);
    let mirrored = format!("0x{}", "05".repeat(32));
    let cases: [&[(&str, &str)]; 6] = [
        &[("CHAP_N", USER), ("CHAP_R", &wrong)],
        &[("CHAP_N", "other"), ("CHAP_R", &right)],
        &[("CHAP_R", &right)],
        &[],
        &[("CHAP_N", USER), ("CHAP_R", &right), ("CHAP_I", "9"), ("CHAP_C", &mirrored)],
        &[("CHAP_N", USER), ("CHAP_R", &right), ("CHAP_C", "0x01")],
    ];
    for reply in cases {
        let (mut login, _) = asked("5");
        let step = login.advance(head(transit(0, 1)), &texts(reply));
        assert_eq!(refusal(step), status::AUTHENTICATION, "{reply:?}");
    }
}

#[test]
fn stages_are_not_skipped_before_the_proof() {
    let (mut login, _) = asked("5");
    assert_eq!(refusal(login.advance(head(transit(0, 3)), &[])), status::AUTHENTICATION);
    let mut login = self::login();
    let offer = texts(&introduction(CLOSED, &[("AuthMethod", "CHAP")]));
    answer(login.advance(head(transit(0, 3)), &offer));
    let step = login.advance(head(transit(1, 3)), &[]);
    assert_eq!(refusal(step), status::INITIATOR_ERROR, "it is still in the first stage");
}

#[test]
fn a_discovery_needs_no_target() {
    let mut login = login();
    let pairs = [("InitiatorName", INITIATOR), ("SessionType", "Discovery"), ("InitialR2T", "No")];
    let agreement = agreement(login.advance(head(transit(1, 3)), &texts(&pairs)));
    assert!(matches!(agreement.destination, Destination::Discovery));
    assert!(read(&login.accept(1)).2.contains("InitialR2T=Irrelevant"));
}

proptest! {
    #[test]
    fn nobody_gets_in_without_the_secret(
        requests in proptest::collection::vec(
            (any::<u8>(), proptest::collection::vec(0usize..12, 0..6)), 1..8),
    ) {
        let known = [
            ("InitiatorName", INITIATOR), ("TargetName", CLOSED), ("SessionType", "Normal"),
            ("SessionType", "Discovery"), ("AuthMethod", "None"), ("AuthMethod", "CHAP,None"),
            ("CHAP_A", "5,8"), ("CHAP_N", USER), ("CHAP_R", "0x00"), ("CHAP_I", "9"),
            ("CHAP_C", "0x01"), ("HeaderDigest", "CRC32C"),
        ];
        let mut login = login();
        for (flags, pairs) in requests {
            let pairs: Vec<_> = pairs.into_iter().map(|index| known[index]).collect();
            match login.advance(head(flags & 0xcf), &texts(&pairs)) {
                Step::Answer(_) => {}
                Step::Refuse(_) => break,
                Step::Agreed(agreement) => {
                    prop_assert!(matches!(agreement.destination, Destination::Discovery));
                    break;
                }
            }
        }
    }
}
