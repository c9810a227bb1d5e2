//! What became of something that a session waits for.

use disk::Answer;

use crate::scsi::{ManagementOutcome, Response};

/// What became of it.
#[derive(Debug)]
pub enum Outcome {
    /// A disk's answer.
    Disk(Answer),
    /// A command's response.
    Command(Response),
    /// A task management function.
    Managed(ManagementOutcome),
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        Self::Disk(answer)
    }
}
