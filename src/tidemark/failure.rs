//! How the programs fail: what is told, and with which exit code.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | it did not work |
//! | 2 | the command makes no sense |
//! | 3 | what was named is not there |
//! | 4 | in use, or in the way of something else |
//! | 5 | no space left |
//! | 6 | the daemon cannot be reached |
//! | 7 | something that is kept is damaged |

use std::io;
use std::process::ExitCode;

use api::Problem;
use control::ControlError;
use control::status::Failure;
use serde_json::json;

/// It did not work.
pub const FAILED: u8 = 1;
/// The command makes no sense.
pub const USAGE: u8 = 2;
/// What was named is not there.
pub const NOT_FOUND: u8 = 3;
/// In use, or in the way of something else.
pub const CONFLICT: u8 = 4;
/// No space left.
pub const NO_SPACE: u8 = 5;
/// The daemon cannot be reached.
pub const UNREACHABLE: u8 = 6;
/// Something that is kept is damaged.
pub const DAMAGED: u8 = 7;

/// What exit codes mean, for `--help`.
pub const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 in use or conflict, \
5 no space, 6 daemon not reachable, 7 damaged";

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Said by the daemon, or by the office itself where no daemon is needed.
    #[error("{}", .0.detail)]
    Told(Failure),
    /// The daemon does not answer.
    #[error("{detail}")]
    Unreachable {
        /// What is wrong.
        detail: String,
        /// What to do.
        way_out: String,
    },
    /// The daemon answers what this program does not understand.
    #[error("the daemon's answer is not understood: {0}")]
    Answer(String),
    /// The person at the terminal said no.
    #[error("nothing was done")]
    Declined,
    /// What was found is not as it should be. The output says what; nothing more is told.
    #[error("{detail}")]
    Found {
        /// What was found.
        detail: String,
        /// Its exit code.
        exit_code: u8,
    },
    /// The output cannot be written.
    #[error("write the output: {0}")]
    Output(#[from] io::Error),
}

impl From<Problem> for CliError {
    fn from(problem: Problem) -> Self {
        Self::Told(problem.failure)
    }
}

impl From<ControlError> for CliError {
    fn from(error: ControlError) -> Self {
        Self::Told(Failure::of(&error))
    }
}

impl CliError {
    /// The program's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Told(failure) => exit_code_of(&failure.code),
            Self::Unreachable { .. } => UNREACHABLE,
            Self::Answer(_) | Self::Declined | Self::Output(_) => FAILED,
            Self::Found { exit_code, .. } => *exit_code,
        }
    }

    /// What to do about it, where there is something to say.
    pub fn way_out(&self) -> Option<&str> {
        match self {
            Self::Told(failure) => failure.way_out.as_deref(),
            Self::Unreachable { way_out, .. } => Some(way_out),
            Self::Answer(_) => Some("see whether `tidemark` and `tidemarkd` are of one version"),
            Self::Declined | Self::Found { .. } | Self::Output(_) => None,
        }
    }

    /// Tells it on the error stream, for people or as JSON.
    pub fn tell(&self, is_json: bool) -> ExitCode {
        let code = self.exit_code();
        if is_json {
            let word = match self {
                Self::Told(failure) => failure.code.as_str(),
                Self::Unreachable { .. } => "unreachable",
                Self::Found { .. } => "found",
                Self::Answer(_) | Self::Declined | Self::Output(_) => "failed",
            };
            let error = json!({
                "code": word,
                "detail": self.to_string(),
                "way_out": self.way_out(),
                "exit_code": code,
            });
            eprintln!("{}", json!({ "error": error }));
        } else {
            eprintln!("error: {self}");
            if let Some(way_out) = self.way_out() {
                eprintln!("  way out: {way_out}");
            }
        }
        ExitCode::from(code)
    }
}

/// The exit code for a failure's word.
pub fn exit_code_of(code: &str) -> u8 {
    match code {
        "not-found" => NOT_FOUND,
        "conflict" => CONFLICT,
        "invalid" => USAGE,
        "no-space" => NO_SPACE,
        "damaged" => DAMAGED,
        _ => FAILED,
    }
}

#[cfg(test)]
mod tests {
    use control::ErrorKind;
    use control::status::code_of;

    use super::*;

    #[test]
    fn every_kind_of_failure_has_its_documented_exit_code() {
        for (kind, code) in [
            (ErrorKind::NotFound, NOT_FOUND),
            (ErrorKind::Conflict, CONFLICT),
            (ErrorKind::Invalid, USAGE),
            (ErrorKind::NoSpace, NO_SPACE),
            (ErrorKind::Damaged, DAMAGED),
            (ErrorKind::Failed, FAILED),
        ] {
            assert_eq!(exit_code_of(code_of(kind)), code, "{kind:?}");
        }
    }
}
