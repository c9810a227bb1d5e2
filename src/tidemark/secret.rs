//! Secrets, asked for at the terminal without showing what is typed, or read from a file that nobody else
//! may read. Never from the command line, which others on the machine can see.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use control::iscsi::secret::{SECRET_LEN_MAX, SecretText};
use control::status::Failure;
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use crate::failure::CliError;

/// Reads the CHAP secret of somebody from this file, or asks for it.
///
/// # Errors
/// `Told` where it is no secret, others could read the file, or there is no terminal to ask at.
pub fn read(file: Option<&Path>, whose: &str) -> Result<SecretText, CliError> {
    read_as(file, &format!("Secret of {whose}"), "--secret-file FILE", SecretText::new)
}

/// Reads a secret of any kind from this file, or asks this question; `option` is what names a file.
///
/// # Errors
/// As [`read`].
pub fn read_as<T, E: std::fmt::Display>(
    file: Option<&Path>,
    question: &str,
    option: &str,
    make: impl FnOnce(String) -> Result<T, E>,
) -> Result<T, CliError> {
    let text = match file {
        Some(path) => from_file(path)?,
        None => asked(question, option)?,
    };
    make(text).map_err(|error| {
        refused(error.to_string(), "choose another, such as `openssl rand -hex 16`")
    })
}

fn refused(detail: String, way_out: &str) -> CliError {
    CliError::Told(Failure { code: "invalid".into(), detail, way_out: Some(way_out.into()) })
}

fn from_file(path: &Path) -> Result<String, CliError> {
    let failed = |error: std::io::Error| {
        refused(format!("read {}: {error}", path.display()), "name a file that you can read")
    };
    let file = File::open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    // A pipe has no others.
    if found.is_file() && found.permissions().mode() & 0o077 != 0 {
        let detail = format!("others may read {}, so it keeps no secret", path.display());
        return Err(refused(detail, &format!("chmod 600 {}", path.display())));
    }
    let mut text = String::new();
    // One more than fits, so that what is too long is seen to be.
    file.take(SECRET_LEN_MAX as u64 + 3).read_to_string(&mut text).map_err(failed)?;
    Ok(one_line(&text))
}

/// The text without the end of its line.
fn one_line(text: &str) -> String {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text).to_owned()
}

/// A terminal that does not show what is typed, until this is dropped.
struct Quiet {
    tty: File,
    before: Termios,
}

impl Quiet {
    fn open() -> std::io::Result<Self> {
        let tty = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
        let before = tcgetattr(&tty)?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO);
        quiet.local_flags.insert(LocalFlags::ECHONL);
        tcsetattr(&tty, SetArg::TCSAFLUSH, &quiet)?;
        Ok(Self { tty, before })
    }

    fn ask(&mut self, question: &str) -> std::io::Result<String> {
        write!(self.tty, "{question}: ")?;
        self.tty.flush()?;
        let mut line = String::new();
        BufReader::new(&self.tty).take(4096).read_line(&mut line)?;
        Ok(one_line(&line))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // The terminal may be gone, and nobody is left to be told.
        let _ = tcsetattr(&self.tty, SetArg::TCSAFLUSH, &self.before);
    }
}

fn asked(question: &str, option: &str) -> Result<String, CliError> {
    let mut quiet = Quiet::open().map_err(|_| {
        let detail = "there is no terminal to ask for the secret at".into();
        refused(detail, &format!("give {option}"))
    })?;
    let secret = quiet.ask(question)?;
    if quiet.ask("Again")? != secret {
        return Err(refused("the two are not the same".into(), "try again"));
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_secret_comes_from_a_file_that_is_its_owners_alone() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("secret");
        fs::write(&path, "opensesame-open\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let refused = read(Some(&path), "anna").unwrap_err();
        assert!(refused.way_out().unwrap().contains("chmod 600"), "{refused}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read(Some(&path), "anna").unwrap().reveal(), b"opensesame-open");
        fs::write(&path, "short\n").unwrap();
        let refused = read(Some(&path), "anna").unwrap_err();
        assert_eq!(refused.exit_code(), crate::failure::USAGE);
        assert!(!refused.to_string().contains("short"), "{refused}");
        fs::write(&path, "x".repeat(300)).unwrap();
        assert!(read(Some(&path), "anna").is_err());
        assert!(read(Some(&temp.path().join("none")), "anna").is_err());
    }
}
