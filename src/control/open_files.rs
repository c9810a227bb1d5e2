//! Room for as many open files as the system allows: volumes, sessions and rings all need some, and the
//! usual limit is meant for programs that wait on `select`.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises this process's limit of open files to the highest that it may have.
pub fn raise() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "raise the limit of open files");
    }
}
