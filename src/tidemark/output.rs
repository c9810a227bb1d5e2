//! What a command shows: the same for people and for programs, in two forms.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use serde_json::Value;

use crate::failure::CliError;

/// The result of a command.
#[derive(Clone, PartialEq, Debug)]
pub struct Shown {
    /// For people.
    pub human: String,
    /// For programs, with the API's field names.
    pub json: Value,
}

impl Shown {
    /// This value, and how people see it.
    ///
    /// # Errors
    /// `Answer` where the value is none that JSON can hold.
    pub fn new(value: &impl Serialize, human: impl Into<String>) -> Result<Self, CliError> {
        let json =
            serde_json::to_value(value).map_err(|error| CliError::Answer(error.to_string()))?;
        Ok(Self { human: human.into(), json })
    }

    /// Writes it to the standard output. A reader that has gone away is no error.
    ///
    /// # Errors
    /// `Output`.
    pub fn write(&self, is_json: bool) -> Result<(), CliError> {
        let text = if is_json { format!("{:#}", self.json) } else { self.human.clone() };
        let text = text.trim_end();
        if text.is_empty() {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        match writeln!(out, "{text}").and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }
}

/// Asks a person before something is lost. Where nobody sits at the terminal, or `--yes` was said, the
/// answer is yes.
///
/// # Errors
/// `Declined`, or `Output` where the terminal cannot be read.
pub fn confirm(question: &str, is_sure: bool) -> Result<(), CliError> {
    if is_sure || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(());
    }
    eprint!("{question} [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    if is_yes(&answer) { Ok(()) } else { Err(CliError::Declined) }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        assert!(is_yes("y\n") && is_yes(" YES "));
        assert!(!is_yes("") && !is_yes("\n") && !is_yes("yeah no"));
    }

    #[test]
    fn both_forms_come_from_one_value() {
        let shown = Shown::new(&vec![1, 2], "one and two").unwrap();
        assert_eq!(shown.json.to_string(), "[1,2]");
    }
}
