//! What the office refuses or could not do: each error names the thing and, apart, the way out.

use std::path::PathBuf;

use store::{DiskRef, StoreError};

pub use store::ErrorKind;

/// Why the appliance did not do what it was asked to.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ControlError {
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody uses what should go or change.
    #[error("{what} is in use by {by}")]
    InUse {
        /// What.
        what: String,
        /// Who.
        by: String,
        /// What ends that use.
        way_out: String,
    },
    /// No job of this number.
    #[error("there is no job {0}")]
    UnknownJob(u64),
    /// The job cannot be stopped.
    #[error("job {id} cannot be cancelled: {why}")]
    NotCancellable {
        /// Its number.
        id: u64,
        /// Why not.
        why: String,
    },
    /// No session of this number.
    #[error("there is no session {0}")]
    UnknownSession(u64),
    /// Nothing is attached there.
    #[error("{0} is not attached")]
    NotAttached(DiskRef),
    /// It is attached already.
    #[error("{of} is attached already, as {device}")]
    AlreadyAttached {
        /// What.
        of: DiskRef,
        /// Where.
        device: String,
    },
    /// Attaching or detaching failed.
    #[error("{what}: {why}")]
    Attach {
        /// Verb and object.
        what: String,
        /// Why.
        why: String,
        /// What kind of failure it is.
        kind: ErrorKind,
    },
    /// What was asked makes no sense.
    #[error("{why}")]
    Invalid {
        /// What is wrong.
        why: String,
        /// What would be right.
        way_out: String,
    },
    /// What was named is not there.
    #[error("{why}")]
    Unknown {
        /// What.
        why: String,
        /// Where to look.
        way_out: String,
    },
    /// Something else is in the way.
    #[error("{why}")]
    Conflict {
        /// What.
        why: String,
        /// What to do.
        way_out: String,
    },
    /// A file that the daemon keeps cannot be used.
    #[error("{}: {why}", path.display())]
    Book {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        why: String,
    },
    /// The configuration cannot be used.
    #[error("{}: {why}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        why: String,
    },
    /// Another daemon has this state directory.
    #[error("{} is in use by another tidemarkd{}", path.display(), of_pid(*pid))]
    StateInUse {
        /// The state directory.
        path: PathBuf,
        /// Its process, where that is known.
        pid: Option<u32>,
    },
    /// The state directory cannot be used.
    #[error("{what}: {why}")]
    State {
        /// Verb and object.
        what: String,
        /// What the operating system says.
        why: String,
    },
    /// There is no room where the state directory lies.
    #[error("{what}: {why}")]
    NoRoom {
        /// Verb and object.
        what: String,
        /// What the operating system says.
        why: String,
    },
    /// The catalogue cannot be used: locked, full, damaged.
    #[error("the catalogue cannot be used: {why}")]
    Catalogue {
        /// What the database says.
        why: String,
    },
    /// What is sealed cannot be opened, or nothing be sealed.
    #[error("{why}")]
    Secrets {
        /// What is wrong with the key, or with what was sealed.
        why: String,
        /// Where the key belongs.
        way_out: String,
    },
    /// Nobody is let in with this.
    #[error("{why}")]
    NotKnown {
        /// What was shown, and what is wrong with it.
        why: String,
        /// What to do about it.
        way_out: String,
    },
    /// Too many tries, or too many at once.
    #[error("{why}")]
    TooMany {
        /// Of what.
        why: String,
        /// Seconds after which it is worth trying again.
        after_s: u64,
    },
    /// A door could not be opened.
    #[error("listen on {address}: {why}")]
    Listen {
        /// Where.
        address: String,
        /// The option that chooses another place.
        option: &'static str,
        /// What the operating system says.
        why: String,
    },
}

fn of_pid(pid: Option<u32>) -> String {
    pid.map(|pid| format!(", process {pid}")).unwrap_or_default()
}

impl From<rusqlite::Error> for ControlError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Catalogue { why: error.to_string() }
    }
}

impl ControlError {
    /// From an error of the operating system about the state directory.
    pub fn state(what: impl Into<String>, error: &std::io::Error) -> Self {
        let (what, why) = (what.into(), error.to_string());
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::NoRoom { what, why }
            }
            _ => Self::State { what, why },
        }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Attach { kind, .. } => *kind,
            Self::InUse { .. }
            | Self::NotCancellable { .. }
            | Self::AlreadyAttached { .. }
            | Self::Conflict { .. }
            | Self::StateInUse { .. } => ErrorKind::Conflict,
            Self::UnknownJob(_)
            | Self::UnknownSession(_)
            | Self::Unknown { .. }
            | Self::NotAttached(_) => ErrorKind::NotFound,
            Self::Book { .. } => ErrorKind::Damaged,
            Self::NoRoom { .. } => ErrorKind::NoSpace,
            Self::Invalid { .. } | Self::Config { .. } | Self::NotKnown { .. } => {
                ErrorKind::Invalid
            }
            Self::Catalogue { .. }
            | Self::Secrets { .. }
            | Self::State { .. }
            | Self::Listen { .. }
            | Self::TooMany { .. } => ErrorKind::Failed,
        }
    }

    /// What is wrong, without the way out.
    pub fn detail(&self) -> String {
        let text = self.to_string();
        match self {
            Self::Store(_) => text.split_once("; ").map_or(text.clone(), |(what, _)| what.into()),
            _ => text,
        }
    }

    /// What a person can do about it, where there is something to say. The store writes it into the
    /// message, after a semicolon.
    pub fn way_out(&self) -> Option<String> {
        match self {
            Self::Store(error) => {
                error.to_string().split_once("; ").map(|(_, way_out)| way_out.to_owned())
            }
            Self::InUse { way_out, .. }
            | Self::Invalid { way_out, .. }
            | Self::Unknown { way_out, .. }
            | Self::NotKnown { way_out, .. }
            | Self::Secrets { way_out, .. }
            | Self::Conflict { way_out, .. } => Some(way_out.clone()),
            Self::Book { .. } => Some(
                "correct it, or move it away and set up targets anew; then reload with SIGHUP"
                    .into(),
            ),
            Self::UnknownJob(_) | Self::NotCancellable { .. } => {
                Some("`job ls` shows the jobs and how far they are".into())
            }
            Self::UnknownSession(_) => Some("`session ls` shows those that are there".into()),
            Self::NotAttached(_) => Some("`status` shows what is attached".into()),
            Self::AlreadyAttached { of, .. } => {
                Some(format!("use it there, or `detach {of}` first"))
            }
            Self::Config { .. } => Some("correct the file and start or reload again".into()),
            Self::StateInUse { .. } => {
                Some("use that one, stop it first, or choose another directory with --state".into())
            }
            Self::Listen { option, .. } => {
                Some(format!("choose another address with {option}, such as {option} 127.0.0.1:0"))
            }
            Self::NoRoom { .. } => {
                Some("make room where the state directory lies, and try again".into())
            }
            Self::State { .. } => Some("`doctor` checks what the daemon needs".into()),
            Self::Catalogue { .. } => Some(
                "volumes go on without it; `status` tells what is wrong, and the socket in the state \
                 directory lets its owner in"
                    .into(),
            ),
            Self::TooMany { after_s, .. } => Some(format!("try again in {after_s} s")),
            Self::Attach { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_store_is_split_into_what_is_wrong_and_the_way_out() {
        let error = ControlError::from(StoreError::UnknownVolume("mail".parse().unwrap()));
        assert_eq!(error.detail(), "there is no volume mail");
        assert_eq!(error.way_out().unwrap(), "`volume ls` shows those that are there");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn an_error_without_a_way_out_keeps_its_whole_text() {
        let error = ControlError::from(StoreError::Closed);
        assert_eq!(error.detail(), "the pool is closed");
        assert_eq!(error.way_out(), None);
    }

    #[test]
    fn a_full_state_directory_is_a_want_of_space() {
        let of = |kind: std::io::ErrorKind| ControlError::state("write x", &kind.into());
        let full = of(std::io::ErrorKind::StorageFull);
        assert_eq!(full.kind(), ErrorKind::NoSpace);
        assert!(full.to_string().starts_with("write x: ") && full.way_out().is_some());
        assert_eq!(of(std::io::ErrorKind::PermissionDenied).kind(), ErrorKind::Failed);
    }

    #[test]
    fn a_second_daemon_is_told_who_the_first_one_is() {
        let error = ControlError::StateInUse { path: "/srv/t".into(), pid: Some(42) };
        assert_eq!(error.to_string(), "/srv/t is in use by another tidemarkd, process 42");
    }
}
