//! The file in the state directory with channels, their secrets, silences and settings: for its owner alone, and not in
//! the catalogue, so that alerts are told also where that is the trouble. Replaced whole or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base::name::Name;
use serde::{Deserialize, Serialize};

use super::channel::{CHANNELS_MAX, NewChannel};
use super::life::{SILENCES_MAX, Silence};
use super::settings::Settings;
use crate::error::ControlError;
use crate::files;

const FILE: &str = "alerts.toml";
const HEADING: &str =
    "# Kept by tidemarkd, with secrets. Stop it before you change anything here.\n";
const VERSION: u32 = 1;
/// Bytes of the file: above what the limits can make of channels with their authorities.
const FILE_LEN_MAX: u64 = 8 << 20;

/// What is kept of alerts besides their history.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Kept {
    pub settings: Settings,
    pub channels: BTreeMap<Name, NewChannel>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    #[serde(default)]
    settings: Settings,
    #[serde(default)]
    channels: Vec<NewChannel>,
    #[serde(default)]
    silences: Vec<Silence>,
}

/// Where the file of this state directory is.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// Reads it; nothing is kept where there is none.
///
/// # Errors
/// `Conflict`, naming the file and what is wrong in it, without what it holds.
pub(super) fn load(path: &Path) -> Result<(Kept, Vec<Silence>), ControlError> {
    let damaged = |why: String| {
        ControlError::Conflict {
        why: format!("{}: {why}", path.display()),
        way_out: "correct it, or move it away and add channels anew with `alert channel add`; then restart tidemarkd"
            .into(),
    }
    };
    match fs::metadata(path) {
        Ok(found) if found.len() > FILE_LEN_MAX => {
            return Err(damaged("it is too long to be what tidemarkd wrote".into()));
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Default::default()),
        Err(error) => return Err(damaged(error.to_string())),
    }
    let text = fs::read_to_string(path).map_err(|error| damaged(error.to_string()))?;
    // The whole message would show the line, and so perhaps a secret.
    let file: File = toml::from_str(&text).map_err(|error| damaged(error.message().to_owned()))?;
    if file.version != VERSION {
        let why = format!("its version is {}, and this program knows {VERSION}", file.version);
        return Err(damaged(why));
    }
    if file.channels.len() > CHANNELS_MAX || file.silences.len() > SILENCES_MAX {
        return Err(damaged("it has more channels or silences than there may be".into()));
    }
    file.settings.check().map_err(|error| damaged(error.to_string()))?;
    let mut channels = BTreeMap::new();
    for channel in file.channels {
        channel.check().map_err(|error| damaged(error.to_string()))?;
        let name = channel.name.clone();
        if channels.insert(name.clone(), channel).is_some() {
            return Err(damaged(format!("channel {name} is there twice")));
        }
    }
    Ok((Kept { settings: file.settings, channels }, file.silences))
}

/// Writes it.
///
/// # Errors
/// `State`, with what the operating system says; then what was kept before is.
pub(super) fn save(path: &Path, kept: &Kept, silences: Vec<Silence>) -> Result<(), ControlError> {
    let channels = kept.channels.values().cloned().collect();
    let file = File { version: VERSION, settings: kept.settings, channels, silences };
    let what = || format!("write {}", path.display());
    let text = toml::to_string(&file)
        .map_err(|error| ControlError::State { what: what(), why: error.to_string() })?;
    files::replace(path, format!("{HEADING}{text}").as_bytes())
        .map_err(|error| ControlError::state(what(), &error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::alerts::channel::{Destination, Secret};
    use crate::alerts::rule::Rule;

    fn kept() -> (Kept, Vec<Silence>) {
        let channel = NewChannel {
            name: "hook".parse().unwrap(),
            to: Destination::Webhook { url: "https://example.org/x".into(), authority: None },
            least: Default::default(),
            is_paused: false,
            secret: Some(Secret::new("opensesame-opensesame".into()).unwrap()),
        };
        let settings = Settings { repeat_hours: 3, ..Settings::default() };
        let channels = BTreeMap::from([(channel.name.clone(), channel)]);
        let silence = Silence { rule: Rule::Damage, of: "mail".into(), until_ms: 7 };
        (Kept { settings, channels }, vec![silence])
    }

    #[test]
    fn what_is_written_is_read_back_and_only_its_owner_may() {
        let temp = tempfile::tempdir().unwrap();
        let path = path(temp.path());
        assert_eq!(load(&path).unwrap(), (Kept::default(), Vec::new()));
        let (kept, silences) = kept();
        save(&path, &kept, silences.clone()).unwrap();
        assert_eq!(load(&path).unwrap(), (kept, silences));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn damage_is_named_and_no_secret_is_told_with_it() {
        let temp = tempfile::tempdir().unwrap();
        let path = path(temp.path());
        let (kept, silences) = kept();
        save(&path, &kept, silences).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        for (from, to) in [
            ("version = 1", "version = 2"),
            ("opensesame-opensesame", "opensesame"),
            ("secret = \"opensesame-opensesame\"", "secret = opensesame-opensesame"),
            ("repeat_hours = 3", "repeat_hours = 9999"),
            ("https:", "ftp:"),
        ] {
            let damaged = text.replace(from, to);
            assert_ne!(damaged, text, "{from}");
            fs::write(&path, damaged).unwrap();
            let error = load(&path).unwrap_err();
            assert!(error.to_string().contains(FILE), "{error}");
            assert!(!error.to_string().contains("sesame"), "{error}");
            assert!(error.way_out().unwrap().contains("alert channel add"));
        }
    }
}
