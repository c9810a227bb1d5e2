//! What is mounted where, by `/proc/self/mountinfo`.
//!
//! Source: proc_pid_mountinfo(5).

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::error::AttachError;

const TABLE: &str = "/proc/self/mountinfo";

/// One mount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mount {
    /// The device number as `major:minor`; that of no device for a file system without one.
    pub number: String,
    /// Where it is mounted.
    pub dir: PathBuf,
    /// The type of the file system.
    pub kind: String,
    /// What is mounted: the device's path, or a name.
    pub source: PathBuf,
}

/// All mounts of this process's namespace, in the order in which they were made.
///
/// # Errors
/// `Io` where the table cannot be read.
pub fn all() -> Result<Vec<Mount>, AttachError> {
    let text = fs::read(TABLE).map_err(|e| AttachError::io("read", Path::new(TABLE), e))?;
    Ok(text.split(|byte| *byte == b'\n').filter_map(parse_line).collect())
}

/// What is mounted on `dir`, uppermost if several are.
///
/// # Errors
/// As [`all`].
pub fn on(dir: &Path) -> Result<Option<Mount>, AttachError> {
    Ok(all()?.into_iter().rev().find(|mount| mount.dir == dir))
}

/// Where `device` is mounted.
///
/// # Errors
/// As [`all`].
pub fn of_device(device: &Path) -> Result<Vec<PathBuf>, AttachError> {
    let of_it = all()?.into_iter().filter(|mount| mount.source == device);
    Ok(of_it.map(|mount| mount.dir).collect())
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    // Optional fields of any number end with a lone dash.
    let dash = fields.iter().skip(6).position(|field| *field == b"-")? + 6;
    Some(Mount {
        number: String::from_utf8(fields.get(2)?.to_vec()).ok()?,
        dir: path(fields.get(4)?),
        kind: String::from_utf8(fields.get(dash + 1)?.to_vec()).ok()?,
        source: path(fields.get(dash + 2)?),
    })
}

/// Undoes the octal escapes of blanks and backslashes.
fn path(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| *first == b'\\').and_then(octal);
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(OsString::from_vec(bytes))
}

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_optional_fields_and_blanks_is_understood() {
        let line =
            br"36 35 98:0 /mnt1 /mnt\0402\134x rw,noatime master:1 shared:7 - ext3 /dev/root rw";
        let mount = parse_line(line).unwrap();
        assert_eq!(mount.dir, Path::new(r"/mnt 2\x"));
        assert_eq!((mount.kind.as_str(), mount.number.as_str()), ("ext3", "98:0"));
        assert_eq!(mount.source, Path::new("/dev/root"));
    }

    #[test]
    fn lines_that_end_early_are_passed_over() {
        for line in [&b""[..], b"36", b"36 35 98:0 / / rw -", b"1 2 3 4 5 6 7 8 9"] {
            assert_eq!(parse_line(line), None);
        }
        assert_eq!(path(br"\9\04"), Path::new(r"\9\04"));
    }

    #[test]
    fn the_root_is_mounted() {
        assert!(on(Path::new("/")).unwrap().is_some());
    }
}
