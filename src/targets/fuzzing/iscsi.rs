//! What an initiator may send: PDUs, logins, and whole sessions.

use std::sync::Arc;
use std::task::Waker;

use base::id::Id;
use disk::MemDisk;

use crate::door::completions::Order;
use crate::iscsi::chap::{ChapBook, ChapDigest, Secret};
use crate::iscsi::discovery::Directory;
use crate::iscsi::gathered::Gathered;
use crate::iscsi::intake::{Digests, Intake, Next, Pdu, Segment, Sink};
use crate::iscsi::limits::{CHALLENGE_LEN, RECV_SEGMENT_LEN_MAX, TEXT_LEN_MAX};
use crate::iscsi::login::{Login, Premises, Step};
use crate::iscsi::parameters::Parameters;
use crate::iscsi::pdu::Head;
use crate::iscsi::pdu::request::{self, Asked};
use crate::iscsi::pdu::wire::HEADER_LEN;
use crate::iscsi::service::{Fate, Premises as ServicePremises, Service, Shared};
use crate::iscsi::window::Window;
use crate::iscsi::{Authentication, OpenTarget, TargetRefusal, TargetSummary, Targets};
use crate::scsi::{
    Audience, Identity, InitiatorPort, LogicalUnit, Mapping, NoKeeper, PortGroups, Target,
    TargetPort, UnitSettings,
};

const OPEN: &str = "iqn.2026-11.dev.tidemark:open";
const CLOSED: &str = "iqn.2026-11.dev.tidemark:closed";

/// Two targets, one of which wants a secret that nobody knows.
struct Two(Arc<Target>);

struct Book;

impl ChapBook for Book {
    fn secret(&self, user: &str) -> Option<Secret> {
        (user == "mail").then(|| Secret::new(vec![0x5a; 16]))
    }

    fn own(&self) -> Option<(String, Secret)> {
        Some(("appliance".to_owned(), Secret::new(vec![0xa5; 16])))
    }

    fn digests(&self) -> Vec<ChapDigest> {
        vec![ChapDigest::Sha3_256, ChapDigest::Sha256, ChapDigest::Sha1, ChapDigest::Md5]
    }
}

impl Targets for Two {
    fn list(&self, _initiator: &str, _chap_user: Option<&str>) -> Vec<TargetSummary> {
        let summary = |name: &str| TargetSummary { name: name.to_owned(), alias: String::new() };
        [OPEN, CLOSED].map(summary).into()
    }

    fn discovery(&self) -> Authentication {
        Authentication::None
    }

    fn authentication(
        &self,
        target: &str,
        _initiator: &str,
    ) -> Result<Authentication, TargetRefusal> {
        match target {
            OPEN => Ok(Authentication::None),
            CLOSED => Ok(Authentication::Chap(Arc::new(Book))),
            _ => Err(TargetRefusal::NotFound),
        }
    }

    /// # Panics
    /// Where somebody got in who does not know the secret.
    fn open(
        &self,
        target: &str,
        _initiator: &str,
        chap_user: Option<&str>,
    ) -> Result<OpenTarget, TargetRefusal> {
        assert_eq!(chap_user.is_some(), target == CLOSED, "somebody got in without a proof");
        Ok(OpenTarget { target: Arc::clone(&self.0), alias: String::new(), guard: None })
    }
}

fn target() -> Arc<Target> {
    let target = Target::new(OPEN.to_owned(), PortGroups::new(vec![]));
    let identity = Identity { id: Id(1), product: "volume".to_owned() };
    let settings = UnitSettings { identity, logical_block_len: 512, is_removable: false };
    let disk = Arc::new(MemDisk::new(2048)) as disk::AnyDisk;
    let unit = LogicalUnit::new(settings, Some(disk), Arc::new(NoKeeper));
    target.map(0, Mapping { unit, is_read_only: false, audience: Audience::All });
    target
}

/// PDUs. The first byte chooses the digests; the rest is what the initiator sends, received in pieces of
/// as many bytes as the second byte says.
pub fn pdu(bytes: &[u8]) {
    let [rule, step, rest @ ..] = bytes else { return };
    let digests = Digests { header: rule & 1 != 0, data: rule & 2 != 0 };
    let mut intake = Intake::new(digests);
    let mut lend = |head: &Head| {
        let data = request::data_out(head);
        match data.ttt % 3 {
            0 => Err("nobody asked for it"),
            1 => Ok(Sink { gathered: Gathered::default(), kept: 0 }),
            _ => Ok(Sink { gathered: Gathered::new(data.len as u64), kept: data.len }),
        }
    };
    drive(&mut intake, (*step, rest), &mut lend, &mut |intake, pdu| {
        assert!(pdu.head.data_len() <= RECV_SEGMENT_LEN_MAX as usize);
        Asked::decode(&pdu.head, intake.bytes(&pdu.ahs));
        if let Segment::Small(place) = &pdu.segment {
            assert_eq!(intake.bytes(place).len(), pdu.head.data_len());
        }
        true
    });
}

/// Feeds bytes to an intake until they are used up or it is done.
fn drive(
    intake: &mut Intake,
    (step, mut rest): (u8, &[u8]),
    lend: &mut dyn FnMut(&Head) -> Result<Sink, &'static str>,
    take: &mut dyn FnMut(&Intake, Pdu) -> bool,
) {
    loop {
        match intake.next(lend) {
            Next::Pdu(pdu) => {
                if !take(intake, pdu) {
                    return;
                }
            }
            Next::Damaged(_) | Next::Drop(_) => return,
            Next::Hungry if rest.is_empty() => return,
            Next::Hungry => {
                let Ok(space) = intake.space() else { panic!("no space for what must come") };
                let len = space.len().min(rest.len()).min(usize::from(step).max(1));
                assert!(len > 0, "hungry without space");
                space[..len].copy_from_slice(&rest[..len]);
                intake.received(len);
                rest = &rest[len..];
            }
        }
    }
}

/// A login: requests, each a header of 48 bytes and as many bytes of data as it says, or as there are.
pub fn login(mut bytes: &[u8]) {
    let mut login = Login::new(Premises {
        targets: Arc::new(Two(target())),
        portal_group: 1,
        challenge: [0x33; CHALLENGE_LEN],
        challenge_id: 3,
    });
    while let Some(head) = Head::first_of(bytes) {
        let rest = &bytes[HEADER_LEN..];
        let (data, rest) = rest.split_at(head.data_len().min(rest.len()));
        let step = login.advance(head, data);
        login.take_proof();
        match step {
            Step::Answer(answer) => {
                assert!(answer.len() <= HEADER_LEN + 2 * TEXT_LEN_MAX, "an answer without bounds");
            }
            Step::Refuse(_) => return,
            Step::Agreed(_) => {
                login.accept(1);
                return;
            }
        }
        bytes = rest.get(data.len().wrapping_neg() % 4..).unwrap_or_default();
    }
}

/// A session. The first byte chooses what was agreed on; the rest is what the initiator sends, received in
/// pieces of as many bytes as the second byte says.
pub fn session(bytes: &[u8]) {
    let [rule, step, rest @ ..] = bytes else { return };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else {
        return;
    };
    runtime.block_on(async { serve(*rule, (*step, rest)).await });
}

async fn serve(rule: u8, sent: (u8, &[u8])) {
    let has = |bit: u8| rule & bit != 0;
    let parameters = Parameters {
        is_initial_r2t: has(1),
        has_immediate_data: has(2),
        send_len_max: if has(4) { 512 } else { 8192 },
        outstanding_r2t_max: if has(8) { 1 } else { 4 },
        first_burst_len_max: 4096,
        burst_len_max: 8192,
        ..Parameters::default()
    };
    let target = target();
    let initiator = InitiatorPort { name: "iqn.2026-11.org.example:i".to_owned(), isid: [1; 6] };
    let nexus = target.join(initiator.clone(), None, TargetPort::of(OPEN, 1));
    let directory = Directory {
        targets: Arc::new(Two(target)),
        initiator: initiator.name,
        user: None,
        target: OPEN.to_owned(),
        portals: vec![("127.0.0.1:3260".to_owned(), 1)],
    };
    let nexus = (!has(16)).then_some(nexus);
    let premises = ServicePremises { nexus, directory, cid: 0, reset: Box::new(|| {}) };
    let shared = Arc::new(Shared::default());
    let completions = Arc::clone(&shared.completions);
    let mut service = Service::new(premises, parameters, Window::new(0, 0), shared);
    let mut intake = Intake::new(Digests::from(&parameters));
    let (step, mut rest) = sent;
    let mut ended = Vec::new();
    while !rest.is_empty() {
        let Ok(space) = intake.space() else { panic!("no space for what must come") };
        let len = space.len().min(rest.len()).min(usize::from(step).max(1));
        space[..len].copy_from_slice(&rest[..len]);
        intake.received(len);
        rest = &rest[len..];
        if !take(&mut service, &mut intake) {
            break;
        }
        service.hand_down();
        completions.take(&mut ended);
        service.settle(&mut ended);
        service.outbox = crate::door::outbox::Outbox::new();
    }
    service.abandon();
    // What is carried out ends, whatever was sent.
    for _ in 0..10_000 {
        completions.take(&mut ended);
        service.settle(&mut ended);
        service.hand_down();
        if service.is_idle() && service.is_farewell_said() {
            return;
        }
        if completions.arm(Order::Serve, Waker::noop()) {
            tokio::task::yield_now().await;
        }
    }
    panic!("a command does not end");
}

/// Takes all PDUs that have come; whether the session goes on.
fn take(service: &mut Service, intake: &mut Intake) -> bool {
    loop {
        match intake.next(&mut |head| service.lend(head)) {
            Next::Pdu(pdu) => match service.take(pdu, intake) {
                Fate::Goes => {}
                Fate::Ends(_) => return false,
            },
            Next::Hungry => return true,
            Next::Damaged(_) | Next::Drop(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    /// PDUs with any fields: of what is sent, most are commands and data.
    fn pdus() -> impl Strategy<Value = Vec<u8>> {
        let opcode = prop_oneof![
            6 => Just(1u8), 6 => Just(5), 1 => Just(0), 1 => Just(2), 1 => Just(4), 1 => Just(6),
            1 => Just(0x10), 3 => Just(0x41), 1 => Just(0x42), 1 => Just(0x44),
        ];
        let pdu = (
            opcode,
            prop_oneof![Just(0x80u8), Just(0xa0), Just(0xc0), Just(0x20), any::<u8>()],
            0u8..4,
            (0u32..4, 0u32..3000, 0u32..4),
            prop_oneof![
                Just(vec![0x2a, 0, 0, 0, 0, 1, 0, 0, 4, 0]),
                Just(vec![0x28, 0, 0, 0, 0, 1, 0, 0, 4, 0]),
                proptest::collection::vec(any::<u8>(), 16)
            ],
            0usize..3000,
        );
        proptest::collection::vec(pdu, 0..12).prop_map(|pdus| {
            let mut all = Vec::new();
            for (number, (opcode, flags, ttt, (itt, expected, data_sn), cdb, len)) in
                (0u32..).zip(pdus)
            {
                let mut head = vec![opcode, flags, 0, 0, 0];
                head.extend(&u32::try_from(len).unwrap().to_be_bytes()[1..]);
                head.extend([0; 8]);
                head.extend(itt.to_be_bytes());
                let word = if opcode & 0x3f == 5 {
                    if ttt == 0 { u32::MAX } else { u32::from(ttt) }
                } else {
                    expected
                };
                head.extend(word.to_be_bytes());
                head.extend(number.to_be_bytes());
                head.extend([0; 4]);
                head.extend(&cdb);
                head.resize(48, 0);
                if opcode & 0x3f == 5 {
                    head[36..40].copy_from_slice(&data_sn.to_be_bytes());
                }
                all.extend(head);
                all.resize(all.len() + len.next_multiple_of(4), 0x5a);
            }
            all
        })
    }

    proptest! {
        #[test]
        fn any_bytes_may_be_sent(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            super::pdu(&bytes);
            super::login(&bytes);
            super::session(&bytes);
        }

        #[test]
        fn any_pdus_may_be_sent(rule in any::<u8>(), step in any::<u8>(), pdus in pdus()) {
            let bytes = [vec![rule, step], pdus].concat();
            super::pdu(&bytes);
            super::session(&bytes);
        }
    }
}
