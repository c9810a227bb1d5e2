//! The file in the state directory with channels, their secrets, silences and settings: for its owner alone, and not in
//! the catalogue, so that alerts are told also where that is the trouble. Replaced whole or not at all.
//!
//! Each secret is sealed by itself, so that a key that is lost keeps only those channels from telling that have one, and
//! all else can be changed meanwhile. Secrets that a version before left in the clear are sealed when they are read.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::name::Name;
use serde::{Deserialize, Serialize};

use super::channel::{CHANNELS_MAX, Destination, NewChannel, Secret};
use super::life::{SILENCES_MAX, Silence};
use super::rule::Severity;
use super::settings::Settings;
use crate::error::ControlError;
use crate::files;
use crate::secrets::Vault;

const FILE: &str = "alerts.toml";
const HEADING: &str = "# Kept by tidemarkd. Stop it before you change anything here.\n";
/// The version of the file whose secrets are sealed.
const VERSION: u32 = 2;
/// The version whose secrets are in the clear.
const CLEAR_VERSION: u32 = 1;
/// Bytes of the file: above what the limits can make of channels with their authorities.
const FILE_LEN_MAX: u64 = 8 << 20;

/// What is kept of alerts besides their history.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Kept {
    pub settings: Settings,
    /// Those whose secret cannot be opened have none here.
    pub channels: BTreeMap<Name, NewChannel>,
    /// The secrets of channels that cannot be opened.
    pub locked: BTreeMap<Name, Locked>,
}

/// A secret that cannot be opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Locked {
    sealed: String,
    /// Why not, and what to do.
    pub why: String,
}

/// Where it is kept, and what seals it. Its calls block.
#[derive(Clone)]
pub(crate) struct Place {
    path: PathBuf,
    vault: Arc<Vault>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    #[serde(default)]
    settings: Settings,
    #[serde(default)]
    channels: Vec<Row>,
    #[serde(default)]
    silences: Vec<Silence>,
}

/// A channel in the file: its secret is sealed, but for that of a version before.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: Name,
    to: Destination,
    #[serde(default)]
    least: Severity,
    #[serde(default)]
    is_paused: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// What the file held, and whether its secrets are not sealed as they should be.
struct Found {
    kept: Kept,
    silences: Vec<Silence>,
    is_to_be_sealed: bool,
}

impl Place {
    pub(crate) fn new(dir: &Path, vault: Arc<Vault>) -> Self {
        Self { path: dir.join(FILE), vault }
    }

    /// Reads it; nothing is kept where there is none. Secrets in the clear, or sealed with another key than now, are
    /// sealed where that can be done.
    ///
    /// # Errors
    /// `Conflict`, naming the file and what is wrong in it, without what it holds.
    pub(super) fn load(&self) -> Result<(Kept, Vec<Silence>), ControlError> {
        let Found { kept, silences, is_to_be_sealed } = self.find()?;
        if is_to_be_sealed {
            match self.save(&kept, silences.clone()) {
                Ok(()) => {
                    tracing::info!("secrets of channels are sealed with the key that is here now")
                }
                Err(error) => tracing::warn!(%error, "secrets of channels stay as they lie there"),
            }
        }
        Ok((kept, silences))
    }

    fn find(&self) -> Result<Found, ControlError> {
        let damaged = |why: String| self.damaged(&why);
        let Some(text) = self.text()? else {
            let (kept, silences) = Default::default();
            return Ok(Found { kept, silences, is_to_be_sealed: false });
        };
        // The whole message would show the line, and so perhaps a secret.
        let file: File =
            toml::from_str(&text).map_err(|error| damaged(error.message().to_owned()))?;
        if ![CLEAR_VERSION, VERSION].contains(&file.version) {
            let why = format!("its version is {}, and this program knows {VERSION}", file.version);
            return Err(damaged(why));
        }
        if file.channels.len() > CHANNELS_MAX || file.silences.len() > SILENCES_MAX {
            return Err(damaged("it has more channels or silences than there may be".into()));
        }
        file.settings.check().map_err(|error| damaged(error.to_string()))?;
        let mut kept = Kept { settings: file.settings, ..Kept::default() };
        let mut is_to_be_sealed = false;
        for row in file.channels {
            let name = row.name.clone();
            if kept.channels.contains_key(&name) {
                return Err(damaged(format!("channel {name} is there twice")));
            }
            let is_clear = file.version == CLEAR_VERSION;
            is_to_be_sealed |= row
                .secret
                .as_ref()
                .is_some_and(|text| is_clear || !self.vault.is_of_this_key(text));
            self.take(row, is_clear, &mut kept)?;
        }
        Ok(Found { kept, silences: file.silences, is_to_be_sealed })
    }

    /// Takes a channel in, with its secret or the reason why that stays closed.
    fn take(&self, row: Row, is_clear: bool, kept: &mut Kept) -> Result<(), ControlError> {
        let Row { name, to, least, is_paused, secret } = row;
        let opened = match secret {
            None => Ok(None),
            Some(clear) if is_clear => Ok(Some(clear)),
            Some(sealed) => self.open(&name, sealed).map(Some),
        };
        let (secret, locked) = match opened {
            Ok(secret) => {
                let secret = secret.map(Secret::new).transpose();
                (secret.map_err(|error| self.damaged(&error.to_string()))?, None)
            }
            Err(locked) => (None, Some(locked)),
        };
        let channel = NewChannel { name: name.clone(), to, least, is_paused, secret };
        let checked = match &locked {
            Some(_) => channel.check_locked(),
            None => channel.check(),
        };
        checked.map_err(|error| self.damaged(&error.to_string()))?;
        kept.locked.extend(locked.map(|locked| (name.clone(), locked)));
        kept.channels.insert(name, channel);
        Ok(())
    }

    fn open(&self, name: &Name, sealed: String) -> Result<String, Locked> {
        match self.vault.unseal(&purpose(name), &sealed) {
            Ok(clear) => Ok(String::from_utf8_lossy(&clear).into_owned()),
            Err(error) => {
                let way_out = error.way_out().unwrap_or_default();
                tracing::error!(channel = %name, %error, "a channel tells nothing");
                Err(Locked {
                    sealed,
                    why: format!("its secret cannot be opened: {error}; {way_out}"),
                })
            }
        }
    }

    fn text(&self) -> Result<Option<String>, ControlError> {
        match fs::metadata(&self.path) {
            Ok(found) if found.len() > FILE_LEN_MAX => {
                return Err(self.damaged("it is too long to be what tidemarkd wrote"));
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.damaged(&error.to_string())),
        }
        let read = fs::read_to_string(&self.path);
        read.map(Some).map_err(|error| self.damaged(&error.to_string()))
    }

    /// Opens the secrets that could not be opened, where the key is here now; says whether one could be.
    pub(super) fn open_again(&self, kept: &mut Kept) -> bool {
        self.vault.load_again();
        let before = kept.locked.len();
        for (name, locked) in std::mem::take(&mut kept.locked) {
            let Some(channel) = kept.channels.get_mut(&name) else { continue };
            match self.open(&name, locked.sealed) {
                Ok(clear) => channel.secret = Secret::new(clear).ok(),
                Err(locked) => {
                    kept.locked.insert(name, locked);
                }
            }
        }
        kept.locked.len() < before
    }

    /// Writes it.
    ///
    /// # Errors
    /// `Secrets` where a secret cannot be sealed, or `State`, with what the operating system says; then what was kept
    /// before is.
    pub(super) fn save(&self, kept: &Kept, silences: Vec<Silence>) -> Result<(), ControlError> {
        let seal = |channel: &NewChannel| -> Result<Row, ControlError> {
            let NewChannel { name, to, least, is_paused, secret } = channel.clone();
            let secret = match (secret, kept.locked.get(&name)) {
                (Some(secret), _) => {
                    Some(self.vault.seal(&purpose(&name), secret.reveal().as_bytes())?)
                }
                (None, locked) => locked.map(|locked| locked.sealed.clone()),
            };
            Ok(Row { name, to, least, is_paused, secret })
        };
        let channels = kept.channels.values().map(seal).collect::<Result<_, _>>()?;
        let file = File { version: VERSION, settings: kept.settings, channels, silences };
        let what = || format!("write {}", self.path.display());
        let text = toml::to_string(&file)
            .map_err(|error| ControlError::State { what: what(), why: error.to_string() })?;
        files::replace(&self.path, format!("{HEADING}{text}").as_bytes())
            .map_err(|error| ControlError::state(what(), &error))
    }

    fn damaged(&self, why: &str) -> ControlError {
        ControlError::Conflict {
            why: format!("{}: {why}", self.path.display()),
            way_out: "correct it, or move it away and add channels anew with `alert channel add`; then restart \
                      tidemarkd"
                .into(),
        }
    }
}

/// What the secret of a channel is sealed for.
fn purpose(name: &Name) -> String {
    format!("the secret of channel {name}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
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
        (Kept { settings, channels, ..Kept::default() }, vec![silence])
    }

    fn place(dir: &Path) -> Place {
        Place::new(dir, Arc::new(Vault::open_with(dir, None)))
    }

    /// The file as the version before wrote it.
    fn clear() -> String {
        let (kept, silences) = kept();
        let row = |channel: &NewChannel| Row {
            name: channel.name.clone(),
            to: channel.to.clone(),
            least: channel.least,
            is_paused: channel.is_paused,
            secret: channel.secret.as_ref().map(|secret| secret.reveal().to_owned()),
        };
        let channels = kept.channels.values().map(row).collect();
        let file = File { version: CLEAR_VERSION, settings: kept.settings, channels, silences };
        toml::to_string(&file).unwrap()
    }

    #[test]
    fn what_is_written_is_read_back_and_sealed_and_only_its_owner_may() {
        let temp = tempfile::tempdir().unwrap();
        let place = place(temp.path());
        assert_eq!(place.load().unwrap(), (Kept::default(), Vec::new()));
        let (kept, silences) = kept();
        place.save(&kept, silences.clone()).unwrap();
        assert_eq!(place.load().unwrap(), (kept, silences));
        assert_eq!(fs::metadata(&place.path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&place.path).unwrap();
        assert!(text.contains("sealed:1:") && !text.contains("sesame"), "{text}");
    }

    #[test]
    fn secrets_in_the_clear_are_sealed_when_they_are_read() {
        let temp = tempfile::tempdir().unwrap();
        let place = place(temp.path());
        fs::write(&place.path, clear()).unwrap();
        assert!(clear().contains("sesame"));
        for _ in 0..2 {
            assert_eq!(place.load().unwrap(), kept());
            let text = fs::read_to_string(&place.path).unwrap();
            assert!(text.contains("version = 2") && !text.contains("sesame"), "{text}");
        }
    }

    #[test]
    fn without_the_key_only_secrets_stay_closed_and_all_else_can_be_changed() {
        let temp = tempfile::tempdir().unwrap();
        let (kept, silences) = kept();
        place(temp.path()).save(&kept, silences.clone()).unwrap();
        let key = temp.path().join("secrets.key");
        let away = temp.path().join("away");
        fs::rename(&key, &away).unwrap();
        let place = place(temp.path());
        let (mut locked, seen) = place.load().unwrap();
        assert_eq!((locked.settings, &seen), (kept.settings, &silences));
        let hook: Name = "hook".parse().unwrap();
        assert!(locked.locked[&hook].why.contains("secrets.key"), "{locked:?}");
        assert_eq!(locked.channels[&hook].secret, None);
        locked.settings.repeat_hours = 5;
        place.save(&locked, seen).unwrap();
        assert!(!place.open_again(&mut locked));
        fs::rename(&away, &key).unwrap();
        assert!(place.open_again(&mut locked));
        assert_eq!(locked.channels, kept.channels);
        let (again, _) = place.load().unwrap();
        assert_eq!((again.channels, again.settings.repeat_hours), (kept.channels, 5));
    }

    #[test]
    fn damage_is_named_and_no_secret_is_told_with_it() {
        let temp = tempfile::tempdir().unwrap();
        let place = place(temp.path());
        for (from, to) in [
            ("version = 1", "version = 3"),
            ("opensesame-opensesame", "opensesame"),
            ("secret = \"opensesame-opensesame\"", "secret = opensesame-opensesame"),
            ("repeat_hours = 3", "repeat_hours = 9999"),
            ("https:", "ftp:"),
        ] {
            let text = clear();
            let damaged = text.replace(from, to);
            assert_ne!(damaged, text, "{from}");
            fs::write(&place.path, damaged).unwrap();
            let error = place.load().unwrap_err();
            assert!(error.to_string().contains(FILE), "{error}");
            assert!(!error.to_string().contains("sesame"), "{error}");
            assert!(error.way_out().unwrap().contains("alert channel add"));
        }
    }
}
