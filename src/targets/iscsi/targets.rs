//! What the door may open: targets by name, and who has to prove what before.
//!
//! The appliance implements [`Targets`]; the door calls it and knows nothing more. Nothing here waits: it
//! happens while an initiator logs in.

use std::any::Any;
use std::sync::Arc;

use super::chap::ChapBook;
use crate::scsi;

/// All targets.
pub trait Targets: Send + Sync + 'static {
    /// The targets to show to this initiator, in the order to show them.
    fn list(&self, initiator: &str, chap_user: Option<&str>) -> Vec<TargetSummary>;

    /// What an initiator has to prove before it is told which targets there are.
    fn discovery(&self) -> Authentication;

    /// What this initiator has to prove before it may use this target. Strangers must not learn from the
    /// answer whether a target exists.
    ///
    /// # Errors
    /// See [`TargetRefusal`].
    fn authentication(
        &self,
        target: &str,
        initiator: &str,
    ) -> Result<Authentication, TargetRefusal>;

    /// Opens a target for a session of an initiator that has proved what it had to.
    ///
    /// # Errors
    /// See [`TargetRefusal`].
    fn open(
        &self,
        target: &str,
        initiator: &str,
        chap_user: Option<&str>,
    ) -> Result<OpenTarget, TargetRefusal>;
}

/// A target to show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetSummary {
    /// Its name.
    pub name: String,
    /// A line for people.
    pub alias: String,
}

/// A target that one session has open.
pub struct OpenTarget {
    /// The target.
    pub target: Arc<scsi::Target>,
    /// A line for people.
    pub alias: String,
    /// Dropped when the session has ended.
    pub guard: Option<Box<dyn Any + Send + Sync>>,
}

impl std::fmt::Debug for OpenTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenTarget({})", self.alias)
    }
}

/// Why a target is not opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TargetRefusal {
    /// There is none of this name, as far as this initiator may know.
    #[error("there is no such target")]
    NotFound,
    /// This initiator may not use it.
    #[error("this initiator may not use this target")]
    Forbidden,
    /// It cannot be used now.
    #[error("the target cannot be used now")]
    Unavailable,
}

/// What an initiator has to prove.
#[derive(Clone)]
pub enum Authentication {
    /// Nothing.
    None,
    /// That it knows a secret.
    Chap(Arc<dyn ChapBook>),
}
