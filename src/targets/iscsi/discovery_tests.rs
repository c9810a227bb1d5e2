//! Claims about texts behind the login.

use super::super::doubles::{CLOSED, Catalogue, OPEN};
use super::*;

fn directory(target: &str) -> Directory {
    Directory {
        targets: Arc::new(Catalogue::default()),
        initiator: "iqn.2026-11.org.example:host".to_owned(),
        user: None,
        target: target.to_owned(),
        portals: vec![("10.0.0.1:3260".to_owned(), 1), ("10.0.0.2:3260".to_owned(), 2)],
    }
}

const WHOLE: TextRequest = TextRequest { ttt: NO_TAG, is_final: true, is_continued: false };

fn step(target: &str, request: &str) -> TextStep {
    Conversation::default().take(&directory(target), WHOLE, request.as_bytes(), 8192)
}

fn ask(target: &str, request: &str) -> String {
    match step(target, request) {
        TextStep::Whole(text) => String::from_utf8(text).unwrap().replace('\0', " "),
        other => panic!("{other:?}"),
    }
}

fn told(name: &str) -> String {
    format!("TargetName={name} TargetAddress=10.0.0.1:3260,1 TargetAddress=10.0.0.2:3260,2 ")
}

#[test]
fn a_discovery_is_told_all_targets_or_one() {
    assert_eq!(ask("", "SendTargets=All\0"), told(CLOSED) + &told(OPEN));
    assert_eq!(ask("", &format!("SendTargets={OPEN}\0")), told(OPEN));
    assert_eq!(ask("", "SendTargets=iqn.other\0"), "");
    assert_eq!(step("", "SendTargets=\0"), TextStep::Invalid);
}

#[test]
fn a_session_is_told_its_own_target_only() {
    for request in ["SendTargets=\0", "SendTargets=All\0", &format!("SendTargets={OPEN}\0")] {
        assert_eq!(ask(OPEN, request), told(OPEN));
    }
    for request in [&format!("SendTargets={CLOSED}\0"), "SendTargets=All2\0", "SendTargets=A\0"] {
        assert_eq!(step(OPEN, request), TextStep::Invalid);
    }
}

#[test]
fn other_keys_are_senseless_or_come_too_late() {
    assert_eq!(step(OPEN, "SendTargetsPlease=All\0"), TextStep::Invalid);
    assert_eq!(ask(OPEN, "X-com.example.key=1\0"), "X-com.example.key=NotUnderstood ");
    assert_eq!(ask(OPEN, "HeaderDigest=None\0"), "HeaderDigest=Reject ");
    let mut conversation = Conversation::default();
    let request = b"MaxRecvDataSegmentLength=65536\0";
    let step = conversation.take(&directory(OPEN), WHOLE, request, 8192);
    assert_eq!((step, conversation.declared), (TextStep::Whole(Vec::new()), Some(65536)));
}

#[test]
fn a_long_answer_is_fetched_in_parts() {
    let (directory, mut conversation) = (directory(""), Conversation::default());
    let mut step = conversation.take(&directory, WHOLE, b"SendTargets=All\0", 100);
    let mut text = Vec::new();
    while let TextStep::Part(part, ttt) = step {
        assert_eq!(part.len(), 100);
        text.extend(part);
        step = conversation.take(&directory, TextRequest { ttt, ..WHOLE }, &[], 100);
    }
    let TextStep::Whole(rest) = step else { panic!("{step:?}") };
    text.extend(rest);
    assert_eq!(String::from_utf8(text).unwrap().replace('\0', " "), told(CLOSED) + &told(OPEN));
}

#[test]
fn a_long_request_comes_in_parts_of_a_bounded_length() {
    let (directory, mut conversation) = (directory(""), Conversation::default());
    let part = TextRequest { is_final: false, is_continued: true, ..WHOLE };
    let TextStep::More(ttt) = conversation.take(&directory, part, b"SendTargets=", 8192) else {
        panic!("the rest is wanted");
    };
    let step = conversation.take(&directory, TextRequest { ttt, ..WHOLE }, b"All\0", 8192);
    assert!(matches!(step, TextStep::Whole(text) if text.starts_with(b"TargetName")));
    let mut next = NO_TAG;
    for _ in 0..TEXT_LEN_MAX / 8192 {
        let request = TextRequest { ttt: next, ..part };
        match conversation.take(&directory, request, &[b'x'; 8192], 8192) {
            TextStep::More(ttt) => next = ttt,
            other => panic!("{other:?}"),
        }
    }
    let request = TextRequest { ttt: next, ..part };
    assert_eq!(conversation.take(&directory, request, b"x", 8192), TextStep::Invalid);
}

#[test]
fn a_tag_that_was_not_given_is_invalid() {
    let mut conversation = Conversation::default();
    let request = TextRequest { ttt: 5, ..WHOLE };
    assert_eq!(conversation.take(&directory(""), request, b"", 8192), TextStep::Invalid);
}
