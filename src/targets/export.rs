//! What a door may open: names, and the disks behind them.
//!
//! The appliance implements [`Exports`]; a door calls it and knows nothing more. Opening is cheap and
//! does not wait: it happens while a client negotiates.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;

use base::units::{Extent, SECTOR_LEN};
use disk::{AnyDisk, DiskError};

/// A name that a client may ask for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExportSummary {
    /// The name to ask by.
    pub name: String,
    /// A line for people.
    pub description: String,
}

/// Why an export was not opened.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ExportError {
    /// No export has this name.
    #[error("there is no export of this name")]
    Unknown,
    /// It exists and cannot be used now.
    #[error("this export cannot be used now: {0}")]
    Unavailable(String),
    /// It exists and this client may not use it.
    #[error("this export may not be used: {0}")]
    Denied(String),
}

/// Everything that is exported.
pub trait Exports: Send + Sync + 'static {
    /// The exports to show to a client that asks for a list, in the order to show them.
    fn list(&self) -> Vec<ExportSummary>;

    /// Opens the export of this name for one session. The empty name never arrives here.
    ///
    /// # Errors
    /// See [`ExportError`].
    fn open(&self, name: &str) -> Result<Export, ExportError>;

    /// The name that is meant by a client that names none.
    fn default_name(&self) -> Option<String>;
}

/// An export that one session has open.
pub struct Export {
    /// Its canonical name. Exports of one canonical name must stand for one and the same disk: requests
    /// that are not whole sectors exclude each other by it.
    pub name: String,
    /// A line for people.
    pub description: String,
    /// The disk.
    pub disk: AnyDisk,
    /// Whether this client may not change it, whatever the disk itself allows.
    pub is_read_only: bool,
    /// What can be asked about its extents beside allocation.
    pub contexts: Arc<dyn Contexts>,
    /// Dropped when the session has ended and its last request was answered.
    pub guard: Option<Box<dyn Any + Send + Sync>>,
}

impl Export {
    /// Whether changes are refused, by the export or by its disk.
    pub(crate) fn is_read_only(&self) -> bool {
        self.is_read_only || self.disk.geometry().is_read_only
    }

    /// Bytes that it has now.
    pub(crate) fn len_bytes(&self) -> u64 {
        self.disk.geometry().sectors.saturating_mul(SECTOR_LEN as u64)
    }
}

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Export({})", self.name)
    }
}

/// The contexts of an export. They may be many, so each is made when it is asked for.
pub trait Contexts: Send + Sync {
    /// The names of all, each a namespace, a colon and a leaf: `tidemark:since:monday`.
    fn names(&self) -> Vec<String>;

    /// The context of exactly this name.
    fn get(&self, name: &str) -> Option<Arc<dyn Context>>;
}

/// The contexts of an export that has none.
#[derive(Clone, Copy, Debug)]
pub struct NoContexts;

impl Contexts for NoContexts {
    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn get(&self, _name: &str) -> Option<Arc<dyn Context>> {
        None
    }
}

impl Contexts for Vec<Arc<dyn Context>> {
    fn names(&self) -> Vec<String> {
        self.iter().map(|context| context.name()).collect()
    }

    fn get(&self, name: &str) -> Option<Arc<dyn Context>> {
        self.iter().find(|context| context.name() == name).map(Arc::clone)
    }
}

/// A future that gives consecutive stretches from the start of the extent that was asked about: how many
/// sectors, and their flags.
pub type ContextExtents<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<(u64, u32)>, DiskError>> + Send + 'a>>;

/// Something that can be asked about every extent of a disk.
pub trait Context: Send + Sync {
    /// Its full name.
    fn name(&self) -> String;

    /// The flags of `extent`, which is not empty and lies within the disk: consecutive stretches without
    /// gaps from its start. They may end before it does but never cover nothing, and may reach past its
    /// end. Not more of them than 65,536.
    fn extents(&self, extent: Extent) -> ContextExtents<'_>;
}
