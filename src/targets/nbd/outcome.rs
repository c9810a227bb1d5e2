//! What became of a request.

use disk::{Answer, DiskError};

use super::status::ContextStatus;

/// What became of a request.
#[derive(Debug)]
pub enum Outcome {
    /// The disk's answer.
    Disk(Answer),
    /// The extents of contexts.
    Status(Result<Vec<ContextStatus>, DiskError>),
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        Self::Disk(answer)
    }
}
