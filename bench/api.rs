//! Tidemark's API over its Unix socket, without the cost of starting a program for each call.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::Outcome;

/// Where the API listens.
#[derive(Clone, Debug)]
pub struct Api {
    socket: PathBuf,
}

impl Api {
    /// The API of the daemon with this state folder.
    ///
    /// # Errors
    /// Where there is no socket in it.
    pub fn of(state: &Path) -> Outcome<Self> {
        let entries = std::fs::read_dir(state)?.filter_map(Result::ok).map(|entry| entry.path());
        let is_socket = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "sock");
        let socket = entries.into_iter().find(is_socket);
        Ok(Self { socket: socket.ok_or("the daemon has no socket of an API")? })
    }

    /// Asks once, and gives the body of the answer.
    ///
    /// # Errors
    /// Where the daemon is gone or refuses.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Outcome<String> {
        let mut stream = UnixStream::connect(&self.socket)?;
        let head = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let (head, body) = text.split_once("\r\n\r\n").ok_or("the API answers with nothing")?;
        if head.split(' ').nth(1).is_some_and(|status| status.starts_with('2')) {
            return Ok(body.to_owned());
        }
        Err(format!("{method} {path}: {body}").into())
    }

    /// Takes a mark.
    ///
    /// # Errors
    /// As [`Api::ask`].
    pub fn take_mark(&self, volume: &str, mark: &str) -> Outcome<()> {
        let body = format!("{{\"volumes\": [\"{volume}\"], \"name\": \"{mark}\"}}");
        self.ask("POST", "/marks", &body).map(drop)
    }

    /// Removes a mark.
    ///
    /// # Errors
    /// As [`Api::ask`].
    pub fn remove_mark(&self, volume: &str, mark: &str) -> Outcome<()> {
        self.ask("DELETE", &format!("/volumes/{volume}/marks/{mark}"), "").map(drop)
    }
}
