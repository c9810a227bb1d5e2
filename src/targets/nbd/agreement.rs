//! What a negotiation has achieved so far, and what it comes to in the end.

use std::sync::Arc;

use super::limits::{COMPACT_PAYLOAD_LEN_MAX, PAYLOAD_LEN_MAX};
use super::reply::ReplyForm;
use super::request::Framing;
use super::status::{ALLOCATION, Allocation, Selected};
use super::wire::transmission_flag as flag;
use crate::export::{Context, Export};

/// What both sides agreed on.
#[derive(Debug)]
pub struct Agreement {
    /// The export, open.
    pub export: Export,
    /// The contexts that were selected.
    pub contexts: Vec<Selected>,
    /// The form of requests.
    pub framing: Framing,
    /// The form of replies.
    pub form: ReplyForm,
    /// Bytes of the largest payload.
    pub payload_len_max: u64,
}

/// What options have achieved so far. Forgotten where TLS begins.
#[derive(Default)]
pub struct Agreed {
    /// Whether structured replies were agreed on.
    pub has_structured: bool,
    /// Whether extended headers were, which count for more.
    pub has_extended: bool,
    /// The contexts that were selected, some, and the export that they are of.
    pub selection: Option<Selection>,
}

/// Contexts that were selected.
pub struct Selection {
    /// Their export, open.
    pub export: Export,
    /// The contexts.
    pub contexts: Vec<Selected>,
}

impl Agreed {
    /// The agreement on `export`. Contexts of another one come to nothing. `is_bound` says whether the
    /// client has asked for the limits that it must keep to.
    pub fn conclude(self, export: Export, is_bound: bool) -> Agreement {
        let form = self.form();
        let (export, contexts) = match self.selection {
            Some(selection) if selection.export.name == export.name => {
                (selection.export, selection.contexts)
            }
            _ => (export, Vec::new()),
        };
        let framing = match form {
            ReplyForm::Extended => Framing::Extended,
            ReplyForm::Simple | ReplyForm::Structured => Framing::Compact,
        };
        let is_lenient = framing == Framing::Compact && !is_bound;
        let payload_len_max = if is_lenient { COMPACT_PAYLOAD_LEN_MAX } else { PAYLOAD_LEN_MAX };
        Agreement { export, contexts, framing, form, payload_len_max }
    }

    /// The transmission flags of `export`, were it agreed on now.
    pub fn flags(&self, export: &Export) -> u16 {
        let selection = self.selection.as_ref();
        let has_contexts = selection.is_some_and(|selection| selection.export.name == export.name);
        flags(export, self.form(), has_contexts)
    }

    const fn form(&self) -> ReplyForm {
        match (self.has_extended, self.has_structured) {
            (true, _) => ReplyForm::Extended,
            (false, true) => ReplyForm::Structured,
            (false, false) => ReplyForm::Simple,
        }
    }
}

impl Agreement {
    /// The transmission flags of its export.
    pub fn flags(&self) -> u16 {
        flags(&self.export, self.form, !self.contexts.is_empty())
    }
}

fn flags(export: &Export, form: ReplyForm, has_contexts: bool) -> u16 {
    let mut flags = flag::HAS_FLAGS
        | flag::SEND_FLUSH
        | flag::SEND_FUA
        | flag::SEND_CACHE
        | flag::CAN_MULTI_CONN;
    flags |= if export.is_read_only() {
        flag::READ_ONLY
    } else {
        flag::SEND_TRIM | flag::SEND_WRITE_ZEROES | flag::SEND_FAST_ZERO
    };
    if form != ReplyForm::Simple {
        flags |= flag::SEND_DF;
    }
    if form == ReplyForm::Extended && has_contexts {
        flags |= flag::BLOCK_STATUS_PAYLOAD;
    }
    flags
}

/// The context of this name, of those that `export` has or every export has.
pub fn context(export: &Export, name: &str) -> Option<Arc<dyn Context>> {
    if name == ALLOCATION {
        return Some(Arc::new(Allocation(Arc::clone(&export.disk))));
    }
    export.contexts.get(name)
}
