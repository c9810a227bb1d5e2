//! Tidemark's API over its Unix socket, without the cost of starting a program for each call.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::Outcome;

/// How long a daemon may take until its API answers, and how often it is tried.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);

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

    /// The same, once it answers: a daemon that was just started may take a moment.
    ///
    /// # Errors
    /// Where it does not answer in time.
    pub async fn reached(state: &Path) -> Outcome<Self> {
        for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() {
            if let Ok(api) = Self::of(state)
                && api.ask("GET", "/volumes", "").is_ok()
            {
                return Ok(api);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(format!("the API in {} does not answer", state.display()).into())
    }

    /// Asks once, and gives the body of the answer.
    ///
    /// # Errors
    /// Where the daemon is gone or refuses.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Outcome<String> {
        self.ask_at(method, &format!("/api/v1{path}"), body)
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// Where the daemon is gone.
    pub fn connect(&self) -> Outcome<UnixStream> {
        Ok(UnixStream::connect(&self.socket)?)
    }

    /// Asks once, at an address outside the API too.
    ///
    /// # Errors
    /// As [`Api::ask`].
    pub fn ask_at(&self, method: &str, path: &str, body: &str) -> Outcome<String> {
        let mut stream = self.connect()?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\
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

    /// Asks for something, and understands the answer.
    ///
    /// # Errors
    /// As [`Api::ask`].
    pub fn look(&self, path: &str) -> Outcome<Value> {
        Ok(serde_json::from_str(&self.ask("GET", path, "")?)?)
    }

    /// Bytes that all volumes together have in the journal and not yet in their bases.
    ///
    /// # Errors
    /// As [`Api::ask`].
    pub fn unapplied_bytes(&self) -> Outcome<u64> {
        let volumes = self.look("/volumes")?;
        let of = |volume: &Value| volume["unapplied_bytes"].as_u64().unwrap_or(0);
        Ok(volumes.as_array().into_iter().flatten().map(of).sum())
    }

    /// Makes a thin volume of `size` bytes.
    ///
    /// # Errors
    /// As [`Api::ask`].
    pub fn create_volume(&self, volume: &str, size: u64) -> Outcome<()> {
        let body = format!("{{\"name\": \"{volume}\", \"size\": {size}}}");
        self.ask("POST", "/volumes", &body).map(drop)
    }

    /// Removes a volume with all its marks, whoever has it open.
    ///
    /// # Errors
    /// As [`Api::ask`].
    pub fn remove_volume(&self, volume: &str) -> Outcome<()> {
        self.ask("DELETE", &format!("/volumes/{volume}?force=true"), "").map(drop)
    }

    /// Makes a view of a mark.
    ///
    /// # Errors
    /// As [`Api::ask`].
    pub fn create_view(&self, view: &str, of: &str) -> Outcome<()> {
        let body = format!("{{\"name\": \"{view}\", \"of\": \"{of}\"}}");
        self.ask("POST", "/views", &body).map(drop)
    }

    /// Drops a view, whoever has it open.
    ///
    /// # Errors
    /// As [`Api::ask`].
    pub fn remove_view(&self, view: &str) -> Outcome<()> {
        self.ask("DELETE", &format!("/views/{view}?force=true"), "").map(drop)
    }

    /// Scrubs a volume. `is_told_to_end` waits a moment and says whether to leave off. Gives the share of
    /// the volume that was read.
    ///
    /// # Errors
    /// As [`Api::ask`], or where damage is found.
    pub fn scrub(&self, volume: &str, is_told_to_end: impl Fn() -> bool) -> Outcome<f64> {
        let started = self.ask("POST", &format!("/volumes/{volume}/scrub"), "")?;
        let started: Value = serde_json::from_str(&started)?;
        let path = format!("/jobs/{}", started["id"]);
        loop {
            let job = self.look(&path)?;
            let bytes = |name: &str| job[name].as_f64().unwrap_or(0.0);
            let share = bytes("done_bytes") / bytes("total_bytes").max(1.0);
            match job["state"].as_str() {
                Some("running") if is_told_to_end() => {
                    self.ask("DELETE", &path, "")?;
                    return Ok(share);
                }
                Some("running") => {}
                Some("done") if job["result"]["damaged"] == Value::Array(Vec::new()) => {
                    return Ok(1.0);
                }
                _ => return Err(format!("the scrub of {volume} ended badly: {job}").into()),
            }
        }
    }
}
