//! Claims about negotiations, without a socket.

use base::units::Extent;
use disk::MemDisk;

use super::*;
use crate::export::{Context, ContextExtents, ExportSummary};
use crate::nbd::limits::COMPACT_PAYLOAD_LEN_MAX;
use crate::nbd::reply::ReplyForm;
use crate::nbd::wire::{OPTION_REPLY_MAGIC, transmission_flag as flag};

struct Dirty(&'static str);

impl Context for Dirty {
    fn name(&self) -> String {
        self.0.to_owned()
    }

    fn extents(&self, extent: Extent) -> ContextExtents<'_> {
        Box::pin(async move { Ok(vec![(extent.sectors, 1)]) })
    }
}

struct Some3;

impl Exports for Some3 {
    fn list(&self) -> Vec<ExportSummary> {
        ["mail", "mail@monday"]
            .map(|name| ExportSummary { name: name.to_owned(), description: "d".to_owned() })
            .to_vec()
    }

    fn open(&self, name: &str) -> Result<Export, ExportError> {
        let contexts: Vec<Arc<dyn Context>> = vec![
            Arc::new(Dirty("tidemark:since:monday")),
            Arc::new(Dirty("qemu:dirty-bitmap:monday")),
        ];
        match name {
            "mail" | "mail@monday" => Ok(Export {
                name: name.to_owned(),
                description: "a volume".to_owned(),
                disk: Arc::new(MemDisk::new(2048)),
                is_read_only: name.contains('@'),
                contexts: Arc::new(contexts),
                guard: None,
            }),
            "secret" => Err(ExportError::Denied("not yours".to_owned())),
            "new" => Err(ExportError::Unavailable("being made".to_owned())),
            _ => Err(ExportError::Unknown),
        }
    }

    fn default_name(&self) -> Option<String> {
        Some("mail".to_owned())
    }
}

/// A client: sends options one by one and reads the replies.
struct Client {
    negotiation: Negotiation,
    availability: Availability,
}

const EXPORT_NAME: u32 = 1;
const ABORT: u32 = 2;
const LIST: u32 = 3;
const STARTTLS: u32 = 5;
const INFO: u32 = 6;
const GO: u32 = 7;
const STRUCTURED: u32 = 8;
const LIST_META: u32 = 9;
const SET_META: u32 = 10;
const EXTENDED: u32 = 11;

type OptionReplies = Vec<(u32, Vec<u8>)>;

impl Client {
    fn new(tls: TlsPolicy) -> Self {
        Self::with_flags(tls, 3)
    }

    fn with_flags(tls: TlsPolicy, flags: u32) -> Self {
        let mut negotiation = Negotiation::new(Arc::new(Some3), tls);
        let (done, step) =
            negotiation.advance(&flags.to_be_bytes(), Availability::Open, &mut Vec::new());
        assert!(done == 4 && matches!(step, Step::Continue));
        Self { negotiation, availability: Availability::Open }
    }

    fn send(&mut self, option: u32, data: &[u8]) -> (OptionReplies, Step) {
        let mut sent = OPTION_MAGIC.to_be_bytes().to_vec();
        sent.extend_from_slice(&option.to_be_bytes());
        sent.extend_from_slice(&u32::try_from(data.len()).unwrap().to_be_bytes());
        sent.extend_from_slice(data);
        let mut out = Vec::new();
        loop {
            let (done, step) = self.negotiation.advance(&sent, self.availability, &mut out);
            sent.drain(..done);
            if !matches!(step, Step::Continue) || sent.is_empty() {
                assert!(sent.is_empty() || matches!(step, Step::Close));
                return (replies(option, &out), step);
            }
        }
    }

    fn last(&mut self, option: u32, data: &[u8]) -> u32 {
        self.send(option, data).0.last().expect("a reply").0
    }

    fn go(&mut self, name: &str) -> Agreement {
        match self.send(GO, &info(name, &[3])).1 {
            Step::Transmit(agreement) => *agreement,
            other => panic!("{other:?}"),
        }
    }
}

fn replies(option: u32, out: &[u8]) -> OptionReplies {
    let mut fields = Fields::new(out);
    let mut all = Vec::new();
    if option == EXPORT_NAME {
        return all;
    }
    while fields.left() > 0 {
        assert_eq!(fields.u64(), Some(OPTION_REPLY_MAGIC));
        assert_eq!(fields.u32(), Some(option));
        let code = fields.u32().unwrap();
        let len = fields.u32().unwrap() as usize;
        all.push((code, fields.bytes(len).unwrap().to_vec()));
    }
    all
}

fn text(text: &str) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

fn info(name: &str, wants: &[u16]) -> Vec<u8> {
    let mut data = text(name);
    data.extend_from_slice(&u16::try_from(wants.len()).unwrap().to_be_bytes());
    wants.iter().for_each(|want| data.extend_from_slice(&want.to_be_bytes()));
    data
}

fn meta(name: &str, queries: &[&str]) -> Vec<u8> {
    let mut data = text(name);
    data.extend_from_slice(&u32::try_from(queries.len()).unwrap().to_be_bytes());
    queries.iter().for_each(|query| data.extend(text(query)));
    data
}

fn names(replies: &OptionReplies) -> Vec<String> {
    let is_context = |reply: &&(u32, Vec<u8>)| reply.0 == OptionReply::MetaContext as u32;
    let name = |reply: &(u32, Vec<u8>)| String::from_utf8(reply.1[4..].to_vec()).unwrap();
    replies.iter().filter(is_context).map(name).collect()
}

const ACK: u32 = OptionReply::Ack as u32;

#[test]
fn unknown_client_flags_end_the_connection() {
    for flags in [4u32, 0x103, 1 << 16, u32::MAX] {
        let mut negotiation = Negotiation::new(Arc::new(Some3), TlsPolicy::Off);
        let (_, step) =
            negotiation.advance(&flags.to_be_bytes(), Availability::Open, &mut Vec::new());
        assert!(matches!(step, Step::Close), "{flags:#x}");
    }
}

#[test]
fn unknown_options_are_unsupported_and_the_next_one_is_understood() {
    let mut client = Client::new(TlsPolicy::Off);
    for option in [4, 12, 99, 0x7fff_ffff] {
        assert_eq!(client.last(option, b"some data"), OptionError::Unsupported as u32);
    }
    assert_eq!(client.last(INFO, &info("mail", &[])), ACK);
}

#[test]
fn option_data_that_is_too_long_is_skipped_up_to_a_limit() {
    let mut client = Client::new(TlsPolicy::Off);
    assert_eq!(client.last(INFO, &info(&"n".repeat(5000), &[])), OptionError::Invalid as u32);
    assert_eq!(client.last(INFO, &vec![0; 60_000]), OptionError::TooBig as u32);
    assert_eq!(client.last(77, &vec![0; 60_000]), OptionError::Unsupported as u32);
    assert_eq!(client.last(INFO, &info("mail", &[])), ACK);
    assert!(matches!(client.send(INFO, &vec![0; 70_000]).1, Step::Close));
    let mut endless = Client::new(TlsPolicy::Off);
    let closed = (0..=OPTIONS_MAX).any(|_| matches!(endless.send(77, b"").1, Step::Close));
    assert!(closed);
}

#[test]
fn a_list_names_and_describes() {
    let mut client = Client::new(TlsPolicy::Off);
    let (replies, _) = client.send(LIST, b"");
    assert_eq!(replies.len(), 3);
    assert_eq!(replies[0], (2, [&text("mail")[..], b"d"].concat()));
    assert_eq!(client.last(LIST, b"x"), OptionError::Invalid as u32);
}

#[test]
fn info_and_go_tell_the_same() {
    let mut client = Client::new(TlsPolicy::Off);
    client.send(STRUCTURED, b"");
    client.send(SET_META, &meta("mail", &["base:allocation"]));
    let request = info("", &[1, 2, 3, 0x7777]);
    let (told, _) = client.send(INFO, &request);
    let (gone, step) = client.send(GO, &request);
    assert!(matches!(step, Step::Transmit(_)));
    assert_eq!(told, gone);
    assert_eq!(told[1].1, b"\0\x01mail", "the canonical name of the default export");
    assert_eq!(told[2].1, b"\0\x02a volume");
    assert_eq!(told[3].1, b"\0\x03\0\0\0\x01\0\0\x10\0\x02\0\0\0");
}

#[test]
fn errors_of_exports_become_errors_of_options() {
    let mut client = Client::new(TlsPolicy::Off);
    assert_eq!(client.last(INFO, &info("nothing", &[])), OptionError::Unknown as u32);
    assert_eq!(client.last(GO, &info("new", &[])), OptionError::Unknown as u32);
    assert_eq!(client.last(GO, &info("secret", &[])), OptionError::Policy as u32);
    client.availability = Availability::Full;
    assert_eq!(client.last(GO, &info("mail", &[])), OptionError::Policy as u32);
    client.availability = Availability::Closing;
    assert_eq!(client.last(GO, &info("mail", &[])), OptionError::Shutdown as u32);
    assert!(matches!(client.send(ABORT, b"data").1, Step::Close));
}

#[test]
fn flags_follow_what_was_agreed() {
    let plain = Client::new(TlsPolicy::Off).go("mail");
    assert_eq!(plain.flags() & (flag::SEND_DF | flag::READ_ONLY), 0);
    assert_ne!(plain.flags() & flag::CAN_MULTI_CONN, 0);
    let read_only = Client::new(TlsPolicy::Off).go("mail@monday").flags();
    assert_ne!(read_only & flag::READ_ONLY, 0);
    assert_eq!(read_only & (flag::SEND_TRIM | flag::SEND_WRITE_ZEROES | flag::SEND_FAST_ZERO), 0);
    let mut client = Client::new(TlsPolicy::Off);
    client.send(EXTENDED, b"");
    client.send(SET_META, &meta("mail", &["base:allocation"]));
    let extended = client.go("mail");
    assert_ne!(extended.flags() & flag::BLOCK_STATUS_PAYLOAD, 0);
    assert_eq!(extended.payload_len_max, PAYLOAD_LEN_MAX);
    let mut client = Client::new(TlsPolicy::Off);
    client.send(EXTENDED, b"");
    assert_eq!(client.go("mail").flags() & flag::BLOCK_STATUS_PAYLOAD, 0, "no contexts");
}

#[test]
fn extended_headers_supersede_structured_replies() {
    let mut client = Client::new(TlsPolicy::Off);
    assert_eq!(client.last(EXTENDED, b"x"), OptionError::Invalid as u32);
    assert_eq!(client.last(STRUCTURED, b"x"), OptionError::Invalid as u32);
    assert_eq!(client.last(STRUCTURED, b""), ACK);
    assert_eq!(client.last(EXTENDED, b""), ACK);
    assert_eq!(client.last(STRUCTURED, b""), OptionError::ExtendedHeaders as u32);
    assert!(matches!(client.send(EXPORT_NAME, b"mail").1, Step::Close));
}

#[test]
fn contexts_are_listed_by_prefix_and_selected_by_name() {
    let mut client = Client::new(TlsPolicy::Off);
    let one = meta("mail", &["base:allocation"]);
    assert_eq!(client.last(SET_META, &one), OptionError::Invalid as u32);
    client.send(STRUCTURED, b"");
    let mut list = |queries: &[&str]| names(&client.send(LIST_META, &meta("mail", queries)).0);
    assert_eq!(list(&[]).len(), 3);
    assert_eq!(list(&["base:"]), ["base:allocation"]);
    assert_eq!(list(&["tidemark:since:"]), ["tidemark:since:monday"]);
    assert_eq!(list(&["qemu:"]), ["qemu:dirty-bitmap:monday"]);
    assert!(list(&["x-none:abc", "base:none-such"]).is_empty());
    let mut set = |queries: &[&str]| names(&client.send(SET_META, &meta("mail", queries)).0);
    assert!(set(&["base:"]).is_empty() && set(&[]).is_empty() && set(&["x-none:a"]).is_empty());
    let both = ["qemu:dirty-bitmap:monday", "base:allocation"];
    assert_eq!(set(&[both[0], both[1], both[0]]), both);
    let agreement = client.go("");
    assert_eq!(agreement.contexts.iter().map(|one| one.id).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn contexts_of_another_export_or_taken_back_are_not_agreed_on() {
    let mut client = Client::new(TlsPolicy::Off);
    client.send(STRUCTURED, b"");
    client.send(SET_META, &meta("mail@monday", &["base:allocation"]));
    assert!(client.go("mail").contexts.is_empty());
    client.send(STRUCTURED, b"");
    client.send(SET_META, &meta("mail", &["base:allocation"]));
    assert_eq!(client.last(SET_META, b"short"), OptionError::Invalid as u32);
    assert!(client.go("mail").contexts.is_empty(), "a failed selection takes the others back");
}

#[test]
fn nothing_is_told_before_tls_where_it_is_required() {
    let mut client = Client::new(TlsPolicy::Required);
    for (option, data) in [
        (LIST, Vec::new()),
        (INFO, info("mail", &[])),
        (GO, info("mail", &[])),
        (STRUCTURED, Vec::new()),
        (LIST_META, meta("mail", &[])),
        (0x4242, vec![0; 20_000]),
    ] {
        assert_eq!(client.last(option, &data), OptionError::TlsRequired as u32);
    }
    assert!(matches!(client.send(EXPORT_NAME, b"mail").1, Step::Close));
    let (replies, step) = client.send(ABORT, b"");
    assert!(matches!(step, Step::Close) && replies[0].0 == ACK);
}

#[test]
fn what_was_agreed_before_tls_is_forgotten() {
    let mut client = Client::new(TlsPolicy::Offered);
    client.send(STRUCTURED, b"");
    client.send(SET_META, &meta("mail", &["base:allocation"]));
    assert_eq!(client.last(STARTTLS, b"x"), OptionError::Invalid as u32);
    assert!(matches!(client.send(STARTTLS, b"").1, Step::StartTls));
    client.negotiation.secure();
    assert_eq!(client.last(STARTTLS, b""), OptionError::Invalid as u32);
    let agreement = client.go("mail");
    assert_eq!(agreement.form, ReplyForm::Simple);
    assert!(agreement.contexts.is_empty());
}

#[test]
fn tls_that_is_not_set_up_is_refused_by_policy() {
    assert_eq!(Client::new(TlsPolicy::Off).last(STARTTLS, b""), OptionError::Policy as u32);
    let mut old = Client::with_flags(TlsPolicy::Offered, 0);
    assert_eq!(old.last(STARTTLS, b""), OptionError::Policy as u32);
}

#[test]
fn export_name_is_padded_unless_the_client_wants_none() {
    for (flags, len) in [(1, 134), (3, 10)] {
        let mut client = Client::with_flags(TlsPolicy::Off, flags);
        let mut out = Vec::new();
        let step =
            client.negotiation.on_option(EXPORT_NAME, Some(b"mail"), Availability::Open, &mut out);
        let Step::Transmit(agreement) = step else { panic!("{step:?}") };
        assert_eq!(out.len(), len);
        assert_eq!(out[..8], (2048u64 * 512).to_be_bytes());
        assert_eq!(agreement.payload_len_max, COMPACT_PAYLOAD_LEN_MAX, "it asked for no limit");
    }
    let mut client = Client::new(TlsPolicy::Off);
    assert!(matches!(client.send(EXPORT_NAME, b"nothing").1, Step::Close));
}
