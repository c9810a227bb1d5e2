//! `export` and `session`.

use api::model::Removed;
use control::doors::SessionStatus;
use control::status::ExportStatus;

use super::Desk;
use super::volume::word;
use crate::args::{ExportCommand, SessionCommand};
use crate::failure::CliError;
use crate::output::Shown;
use crate::table::{numbers, size, table, time, words, yes};

pub(super) async fn exports(desk: &Desk, command: ExportCommand) -> Result<Shown, CliError> {
    match command {
        ExportCommand::Ls => {
            let exports: Vec<ExportStatus> = desk.client.list("/exports").await?;
            Shown::new(&exports, export_table(&exports))
        }
    }
}

fn export_table(exports: &[ExportStatus]) -> String {
    let columns = [words("NAME"), words("DESCRIPTION"), numbers("SESSIONS"), words("DEFAULT")];
    let rows = exports.iter().map(|export| {
        vec![
            export.name.clone(),
            export.description.clone(),
            export.sessions.to_string(),
            yes(export.is_default),
        ]
    });
    table(&columns, rows.collect(), "no exports; a volume is one as soon as it is made")
}

pub(super) async fn sessions(desk: &Desk, command: SessionCommand) -> Result<Shown, CliError> {
    match command {
        SessionCommand::Ls => {
            let sessions: Vec<SessionStatus> = desk.client.list("/sessions").await?;
            Shown::new(&sessions, session_table(&sessions, desk.now_ms))
        }
        SessionCommand::Kill { id } => {
            let gone: Removed = desk.client.delete(format!("/sessions/{id}")).await?;
            Shown::new(&gone, format!("ended session {id}"))
        }
    }
}

fn session_table(sessions: &[SessionStatus], now_ms: u64) -> String {
    let columns = [
        numbers("ID"),
        words("PROTOCOL"),
        words("INITIATOR/PEER"),
        words("TARGET/EXPORT"),
        words("TLS"),
        numbers("READ"),
        numbers("WRITTEN"),
        numbers("REQUESTS"),
        words("SINCE"),
    ];
    let rows = sessions.iter().map(|session| {
        vec![
            session.id.to_string(),
            word(&session.protocol),
            session.iscsi.as_ref().map_or(&session.peer, |iscsi| &iscsi.initiator).clone(),
            if session.export.is_empty() { "(discovery)".into() } else { session.export.clone() },
            yes(session.is_tls),
            size(session.read_bytes),
            size(session.written_bytes),
            session.requests.to_string(),
            time(session.since_ms, now_ms),
        ]
    });
    table(&columns, rows.collect(), "nobody is connected")
}
