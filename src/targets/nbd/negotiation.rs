//! The negotiation: from the client's flags to an agreement on an export, or to a farewell.
//!
//! A state machine without a socket: received bytes go in, replies come out, and what to do next. What
//! was agreed before TLS is forgotten when TLS begins.
//! Source: NBD protocol, "Fixed newstyle negotiation", "TLS support", "Option types".

use std::sync::Arc;

use super::agreement::{Agreed, Agreement, Selection, context};
use super::limits::{
    BLOCK_LEN_PREFERRED, OPTION_DATA_LEN_MAX, OPTION_REPLY_LEN_MAX, OPTION_SKIP_LEN_MAX,
    OPTIONS_MAX, PAYLOAD_LEN_MAX, STATUS_CONTEXTS_MAX,
};
use super::option::{InfoRequest, MetaRequest};
use super::status::{ALLOCATION, Selected};
use super::wire::{
    Fields, GREETING_MAGIC, OPTION_LEN, OPTION_MAGIC, OptionCode, OptionError, OptionReply,
    handshake_flag, info, put_option_reply, string,
};
use crate::export::{Export, ExportError, Exports};

/// What a listener does about TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlsPolicy {
    /// There is none.
    Off,
    /// A client may ask for it.
    Offered,
    /// Nothing is told or opened without it.
    Required,
}

/// Whether the server takes another session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Availability {
    /// It does.
    Open,
    /// There are too many.
    Full,
    /// It is ending.
    Closing,
}

/// What to do after some bytes were looked at.
#[derive(Debug)]
pub enum Step {
    /// Receive more.
    Hungry,
    /// Go on with what is there.
    Continue,
    /// Send what is to be sent, and close.
    Close,
    /// Send what is to be sent, and begin TLS. What was received behind is not to be trusted.
    StartTls,
    /// Send what is to be sent, and serve requests.
    Transmit(Box<Agreement>),
}

/// One client's negotiation.
pub struct Negotiation {
    exports: Arc<dyn Exports>,
    tls: TlsPolicy,
    is_secured: bool,
    client_flags: Option<u16>,
    options: u32,
    skipping: Option<Skipping>,
    agreed: Agreed,
}

struct Skipping {
    option: u32,
    left: usize,
}

/// An option that is refused: the error, and why, for people.
type Refused = (OptionError, String);

fn refused<T>(error: OptionError, why: &str) -> Result<T, Refused> {
    Err((error, why.to_owned()))
}

/// The first bytes of every connection.
pub fn greeting() -> Vec<u8> {
    let mut out = GREETING_MAGIC.to_be_bytes().to_vec();
    out.extend_from_slice(&OPTION_MAGIC.to_be_bytes());
    let flags = handshake_flag::FIXED_NEWSTYLE | handshake_flag::NO_ZEROES;
    out.extend_from_slice(&flags.to_be_bytes());
    out
}

impl Negotiation {
    /// A negotiation that has just greeted.
    pub fn new(exports: Arc<dyn Exports>, tls: TlsPolicy) -> Self {
        Self {
            exports,
            tls,
            is_secured: false,
            client_flags: None,
            options: 0,
            skipping: None,
            agreed: Agreed::default(),
        }
    }

    /// Notes that TLS has begun.
    pub fn secure(&mut self) {
        self.is_secured = true;
    }

    /// Whether TLS has begun.
    pub const fn is_secured(&self) -> bool {
        self.is_secured
    }

    /// Looks at the front of `input`: one message at most. Appends replies to `out`; gives how many bytes
    /// are done with, and what to do.
    pub fn advance(
        &mut self,
        input: &[u8],
        availability: Availability,
        out: &mut Vec<u8>,
    ) -> (usize, Step) {
        if self.client_flags.is_none() {
            return self.on_flags(input);
        }
        if let Some(Skipping { option, left }) = self.skipping.take() {
            let skipped = left.min(input.len());
            if skipped == left {
                return (skipped, self.on_option(option, None, availability, out));
            }
            self.skipping = Some(Skipping { option, left: left - skipped });
            return (skipped, Step::Hungry);
        }
        let mut fields = Fields::new(input);
        if fields.u64().is_some_and(|magic| magic != OPTION_MAGIC) {
            return (0, Step::Close);
        }
        let (Some(option), Some(len)) = (fields.u32(), fields.u32()) else {
            return (0, Step::Hungry);
        };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len > OPTION_SKIP_LEN_MAX || self.options == OPTIONS_MAX {
            return (0, Step::Close);
        }
        if len > OPTION_DATA_LEN_MAX {
            self.options += 1;
            self.skipping = Some(Skipping { option, left: len });
            return (OPTION_LEN, Step::Continue);
        }
        let Some(data) = fields.bytes(len) else {
            return (0, Step::Hungry);
        };
        self.options += 1;
        (OPTION_LEN + len, self.on_option(option, Some(data), availability, out))
    }

    fn on_flags(&mut self, input: &[u8]) -> (usize, Step) {
        let Some(flags) = Fields::new(input).u32() else {
            return (0, Step::Hungry);
        };
        let known = handshake_flag::FIXED_NEWSTYLE | handshake_flag::NO_ZEROES;
        match u16::try_from(flags) {
            Ok(flags) if flags & !known == 0 => {
                self.client_flags = Some(flags);
                (4, Step::Continue)
            }
            _ => (0, Step::Close),
        }
    }

    fn has_client_flag(&self, bit: u16) -> bool {
        self.client_flags.is_some_and(|flags| flags & bit != 0)
    }

    /// Deals with an option; `data` is `None` where it was too long to be kept.
    pub fn on_option(
        &mut self,
        option: u32,
        data: Option<&[u8]>,
        availability: Availability,
        out: &mut Vec<u8>,
    ) -> Step {
        let code = OptionCode::from(option);
        if code == OptionCode::ExportName {
            return self.on_export_name(data, availability, out);
        }
        if code == OptionCode::Abort {
            put_option_reply(out, option, OptionReply::Ack as u32, &[]);
            return Step::Close;
        }
        let mut replies = Replies { option, out };
        let step = self
            .gate(code, availability)
            .and_then(|()| self.dispatch(code, data, availability, &mut replies));
        step.unwrap_or_else(|(error, why)| {
            put_option_reply(out, option, error as u32, &[why.as_bytes()]);
            Step::Continue
        })
    }

    fn gate(&self, code: OptionCode, availability: Availability) -> Result<(), Refused> {
        if availability == Availability::Closing {
            return refused(OptionError::Shutdown, "the server is ending");
        }
        let is_demanded = self.tls == TlsPolicy::Required && !self.is_secured;
        if is_demanded && code != OptionCode::StartTls {
            return refused(OptionError::TlsRequired, "this server wants TLS first");
        }
        Ok(())
    }

    fn dispatch(
        &mut self,
        code: OptionCode,
        data: Option<&[u8]>,
        availability: Availability,
        replies: &mut Replies<'_>,
    ) -> Result<Step, Refused> {
        let data = match (code, data) {
            (OptionCode::Unknown(_), _) => {
                return refused(OptionError::Unsupported, "this option is not known");
            }
            (_, None) => return refused(OptionError::TooBig, "the option's data is too long"),
            (_, Some(data)) => data,
        };
        match code {
            OptionCode::List => {
                without(data)?;
                self.on_list(replies)
            }
            OptionCode::StartTls => self.on_start_tls(data, replies),
            OptionCode::Info => self.on_info(data, replies),
            OptionCode::Go => self.on_go(data, availability, replies),
            OptionCode::StructuredReply => {
                without(data)?;
                if self.agreed.has_extended {
                    let why = "extended headers are in use already";
                    return refused(OptionError::ExtendedHeaders, why);
                }
                self.agreed.has_structured = true;
                Ok(replies.ack())
            }
            OptionCode::ExtendedHeaders => {
                without(data)?;
                self.agreed.has_extended = true;
                Ok(replies.ack())
            }
            OptionCode::ListMetaContext => self.on_list_contexts(data, replies),
            OptionCode::SetMetaContext => self.on_set_contexts(data, replies),
            OptionCode::ExportName | OptionCode::Abort | OptionCode::Unknown(_) => {
                refused(OptionError::Unsupported, "this option is not known")
            }
        }
    }

    fn on_export_name(
        &mut self,
        data: Option<&[u8]>,
        availability: Availability,
        out: &mut Vec<u8>,
    ) -> Step {
        let is_demanded = self.tls == TlsPolicy::Required && !self.is_secured;
        if is_demanded || availability != Availability::Open || self.agreed.has_extended {
            return Step::Close;
        }
        let Some(export) = data.and_then(string).and_then(|name| self.open(name).ok()) else {
            return Step::Close;
        };
        let agreement = std::mem::take(&mut self.agreed).conclude(export, false);
        let flags = agreement.flags();
        out.extend_from_slice(&agreement.export.len_bytes().to_be_bytes());
        out.extend_from_slice(&flags.to_be_bytes());
        if !self.has_client_flag(handshake_flag::NO_ZEROES) {
            out.extend_from_slice(&[0; 124]);
        }
        Step::Transmit(Box::new(agreement))
    }

    fn on_list(&self, replies: &mut Replies<'_>) -> Result<Step, Refused> {
        let before = replies.out.len();
        for summary in self.exports.list() {
            let name_len = u32::try_from(summary.name.len()).unwrap_or(u32::MAX).to_be_bytes();
            let data = [&name_len, summary.name.as_bytes(), summary.description.as_bytes()];
            replies.put(OptionReply::Server, &data);
            if replies.out.len() - before > OPTION_REPLY_LEN_MAX {
                return refused(OptionError::TooBig, "there are more exports than can be listed");
            }
        }
        Ok(replies.ack())
    }

    fn on_start_tls(&mut self, data: &[u8], replies: &mut Replies<'_>) -> Result<Step, Refused> {
        without(data)?;
        if self.is_secured {
            return refused(OptionError::Invalid, "TLS is in use already");
        }
        if self.tls == TlsPolicy::Off || !self.has_client_flag(handshake_flag::FIXED_NEWSTYLE) {
            return refused(OptionError::Policy, "TLS is not set up here");
        }
        self.agreed = Agreed::default();
        replies.ack();
        Ok(Step::StartTls)
    }

    fn on_info(&mut self, data: &[u8], replies: &mut Replies<'_>) -> Result<Step, Refused> {
        let request = info_request(data)?;
        let export = self.open(request.name)?;
        describe(&export, self.agreed.flags(&export), &request, replies);
        Ok(replies.ack())
    }

    fn on_go(
        &mut self,
        data: &[u8],
        availability: Availability,
        replies: &mut Replies<'_>,
    ) -> Result<Step, Refused> {
        let request = info_request(data)?;
        if availability == Availability::Full {
            return refused(OptionError::Policy, "there are too many sessions");
        }
        let export = self.open(request.name)?;
        let is_bound = request.wants(info::BLOCK_SIZE);
        let agreement = std::mem::take(&mut self.agreed).conclude(export, is_bound);
        describe(&agreement.export, agreement.flags(), &request, replies);
        replies.ack();
        Ok(Step::Transmit(Box::new(agreement)))
    }

    fn on_list_contexts(&self, data: &[u8], replies: &mut Replies<'_>) -> Result<Step, Refused> {
        let request = meta_request(data)?;
        let export = self.open(request.name)?;
        let names = std::iter::once(ALLOCATION.to_owned()).chain(export.contexts.names());
        for name in names.filter(|name| request.shows(name)) {
            replies.put(OptionReply::MetaContext, &[&0u32.to_be_bytes(), name.as_bytes()]);
        }
        Ok(replies.ack())
    }

    fn on_set_contexts(&mut self, data: &[u8], replies: &mut Replies<'_>) -> Result<Step, Refused> {
        self.agreed.selection = None;
        if !self.agreed.has_structured && !self.agreed.has_extended {
            return refused(OptionError::Invalid, "contexts need structured replies");
        }
        let request = meta_request(data)?;
        let export = self.open(request.name)?;
        let mut contexts: Vec<Selected> = Vec::new();
        for (index, query) in request.queries.iter().enumerate() {
            if request.queries[..index].contains(query) {
                continue;
            }
            let Some(context) = context(&export, query) else { continue };
            if contexts.len() == STATUS_CONTEXTS_MAX {
                return refused(OptionError::TooBig, "more contexts than one session may have");
            }
            let id = u32::try_from(contexts.len()).unwrap_or(u32::MAX) + 1;
            replies.put(OptionReply::MetaContext, &[&id.to_be_bytes(), query.as_bytes()]);
            contexts.push(Selected { id, context });
        }
        if !contexts.is_empty() {
            self.agreed.selection = Some(Selection { export, contexts });
        }
        Ok(replies.ack())
    }

    fn open(&self, name: &str) -> Result<Export, Refused> {
        let default;
        let name = if name.is_empty() {
            let none = || (OptionError::Unknown, "there is no default export".to_owned());
            default = self.exports.default_name().ok_or_else(none)?;
            &default
        } else {
            name
        };
        self.exports.open(name).map_err(|error| {
            let code = match error {
                ExportError::Unknown | ExportError::Unavailable(_) => OptionError::Unknown,
                ExportError::Denied(_) => OptionError::Policy,
            };
            (code, error.to_string())
        })
    }
}

fn without(data: &[u8]) -> Result<(), Refused> {
    if data.is_empty() { Ok(()) } else { refused(OptionError::Invalid, "no data is expected here") }
}

fn info_request(data: &[u8]) -> Result<InfoRequest<'_>, Refused> {
    let malformed = || (OptionError::Invalid, "a name and a list are expected".to_owned());
    InfoRequest::decode(data).ok_or_else(malformed)
}

fn meta_request(data: &[u8]) -> Result<MetaRequest<'_>, Refused> {
    let malformed = || (OptionError::Invalid, "a name and queries are expected".to_owned());
    MetaRequest::decode(data).ok_or_else(malformed)
}

fn describe(export: &Export, flags: u16, request: &InfoRequest<'_>, replies: &mut Replies<'_>) {
    let len = export.len_bytes().to_be_bytes();
    replies.info(info::EXPORT, &[&len, &flags.to_be_bytes()]);
    if request.wants(info::NAME) {
        replies.info(info::NAME, &[export.name.as_bytes()]);
    }
    if request.wants(info::DESCRIPTION) && !export.description.is_empty() {
        replies.info(info::DESCRIPTION, &[export.description.as_bytes()]);
    }
    if request.wants(info::BLOCK_SIZE) {
        let preferred = export.disk.geometry().physical_block_len.max(BLOCK_LEN_PREFERRED);
        let largest = u32::try_from(PAYLOAD_LEN_MAX).unwrap_or(u32::MAX);
        let lens = [1, preferred.min(largest), largest].map(u32::to_be_bytes);
        replies.info(info::BLOCK_SIZE, &[&lens[0], &lens[1], &lens[2]]);
    }
}

/// Replies to one option.
struct Replies<'a> {
    option: u32,
    out: &'a mut Vec<u8>,
}

impl Replies<'_> {
    fn put(&mut self, reply: OptionReply, data: &[&[u8]]) {
        put_option_reply(self.out, self.option, reply as u32, data);
    }

    fn info(&mut self, kind: u16, data: &[&[u8]]) {
        let kind = kind.to_be_bytes();
        let mut all: Vec<&[u8]> = vec![&kind];
        all.extend_from_slice(data);
        self.put(OptionReply::Info, &all);
    }

    fn ack(&mut self) -> Step {
        self.put(OptionReply::Ack, &[]);
        Step::Continue
    }
}

#[cfg(test)]
#[path = "negotiation_tests.rs"]
mod tests;
