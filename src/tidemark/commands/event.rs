//! `events`.

use std::io::{self, Write};
use std::ops::ControlFlow;

use control::events::Event;
use control::when;

use super::{Desk, Outcome};
use crate::failure::CliError;
use crate::output::Shown;

/// Writes each event as it comes: the one command that shows something before it is through.
pub(super) async fn follow(desk: &Desk, is_json: bool) -> Outcome {
    let heard = |line: &str| {
        let Some(data) = line.strip_prefix("data:") else { return Ok(ControlFlow::Continue(())) };
        let event: Event = serde_json::from_str(data.trim_start())
            .map_err(|error| CliError::Answer(error.to_string()))?;
        write(if is_json { data.trim_start().to_owned() } else { text(&event) })
    };
    match desk.client.follow("/events", heard).await? {
        ControlFlow::Break(()) => Ok((Shown::new(&(), "")?, None)),
        ControlFlow::Continue(()) => Err(CliError::Unreachable {
            detail: "the daemon has ended, and tells no more".into(),
            way_out: "follow again when it is back; `status` shows whether it runs".into(),
        }),
    }
}

fn text(event: &Event) -> String {
    let name = event.name.as_deref().unwrap_or("-");
    format!("{}  {:<10}  {name}", when::local(event.at_ms), event.kind.word())
}

/// Writes a line; there is no more to do where the reader has gone away.
fn write(line: String) -> Result<ControlFlow<()>, CliError> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use control::events::EventKind;

    use super::*;

    #[test]
    fn an_event_is_a_line_with_its_kind_and_its_name() {
        let event = Event { kind: EventKind::Mark, name: Some("mail".into()), at_ms: 0 };
        let line = text(&event);
        assert!(line.contains("mark") && line.ends_with("  mail"), "{line}");
        assert!(text(&Event { name: None, ..event }).ends_with("  -"));
    }
}
