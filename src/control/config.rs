//! What can be configured: `tidemark.toml` in the state directory, and what the command line lays over
//! it. Everything has a default; an unknown key is an error, because it is a misspelt one.
//!
//! ```toml
//! name = "store1"                   # what this appliance is called; the host's name without it
//!
//! [nbd]
//! listen = ["127.0.0.1:10809", "unix:/run/tidemark/nbd.sock"]
//! default_export = "mail"
//! tls = "required"                  # off, on, required
//! certificate = "tls/server.pem"    # paths are relative to the state directory
//! key = "tls/server.key"
//! client_ca = "tls/clients.pem"     # given: clients must show a certificate of this authority
//!
//! [iscsi]
//! listen = ["127.0.0.1:3260", "192.0.2.1:3260,2"]   # a portal and its group; group 1 without one
//! announce = ["storage.example.org:3260"]           # what initiators are told instead
//! discovery_chap_md5 = false                        # whether discovery takes CHAP with MD5
//!
//! [api]
//! listen = ["127.0.0.1:8443"]       # the console and the API over HTTPS, besides the socket
//! certificate = "tls/api.pem"       # without these, one of its own that signs itself
//! key = "tls/api.key"
//!
//! [pool]
//! journal_size = "1G"               # counts when the pool is made
//! compression_level = 1             # of zstd, 1 to 19; 0 is off
//!
//! [log]
//! level = "info"
//! ```

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base::name::Name;
use base::size::ByteSize;
use serde::{Deserialize, Deserializer, Serialize};
use store::{Compression, PoolOptions};

use crate::error::ControlError;
use crate::inventory::ForgottenPool;
use crate::state::StateDir;

/// The port that is registered for NBD.
pub const NBD_PORT: u16 = 10809;
/// The port that is registered for iSCSI.
pub const ISCSI_PORT: u16 = 3260;
/// Portals of an appliance: every address of a large host.
const PORTALS_MAX: usize = 64;
/// The port of the console where nobody chose another.
pub const API_PORT: u16 = 8443;
/// Addresses on which the console listens.
const API_ADDRESSES_MAX: usize = 16;
/// The highest level of zstd that needs no special memory.
const COMPRESSION_LEVEL_MAX: i32 = 19;

/// Where a door listens.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ListenAddress {
    /// `HOST:PORT`; port 0 takes one that is free.
    Tcp(String),
    /// `unix:PATH`.
    Unix(PathBuf),
}

/// Why a text is not an address to listen on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address to listen on: write HOST:PORT, such as 127.0.0.1:10809, or unix:PATH")]
pub struct BadAddress(String);

impl FromStr for ListenAddress {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(bad()) } else { Ok(Self::Unix(path.into())) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let is_bare_v6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
        if host.is_empty() || is_bare_v6 || port.parse::<u16>().is_err() {
            return Err(bad());
        }
        Ok(Self::Tcp(text.to_owned()))
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Whether clients of the NBD door speak TLS.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TlsMode {
    /// They cannot.
    #[default]
    Off,
    /// They may.
    On,
    /// They must.
    Required,
}

/// The NBD door.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NbdConfig {
    /// Where it listens; nowhere, where this is empty.
    pub listen: Vec<ListenAddress>,
    /// The export for clients that name none. Without it, the only volume is, where there is one alone.
    pub default_export: Option<String>,
    /// Whether clients speak TLS.
    pub tls: TlsMode,
    /// The server's certificates, PEM.
    pub certificate: Option<PathBuf>,
    /// The server's key, PEM.
    pub key: Option<PathBuf>,
    /// Certificates of the authority whose clients are let in, PEM.
    pub client_ca: Option<PathBuf>,
    /// Whether any free port will do where one is taken. Not for files: an address that was chosen is
    /// kept to.
    #[serde(skip)]
    pub is_port_flexible: bool,
}

impl Default for NbdConfig {
    fn default() -> Self {
        Self {
            listen: vec![ListenAddress::Tcp(format!("127.0.0.1:{NBD_PORT}"))],
            default_export: None,
            tls: TlsMode::Off,
            certificate: None,
            key: None,
            client_ca: None,
            is_port_flexible: false,
        }
    }
}

/// A place where initiators come in, and the port group that it belongs to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PortalAddress {
    /// `HOST:PORT`; port 0 takes one that is free.
    pub address: String,
    /// Its port group, not 0.
    pub group: u16,
}

/// Why a text is not a portal.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no portal: write HOST:PORT or HOST:PORT,GROUP, such as 127.0.0.1:3260,1")]
pub struct BadPortal(String);

impl FromStr for PortalAddress {
    type Err = BadPortal;

    fn from_str(text: &str) -> Result<Self, BadPortal> {
        let bad = || BadPortal(text.to_owned());
        let (address, group) = match text.split_once(',') {
            Some((address, group)) => (address, group.parse().map_err(|_| bad())?),
            None => (text, 1),
        };
        match address.parse() {
            Ok(ListenAddress::Tcp(address)) if group > 0 => Ok(Self { address, group }),
            _ => Err(bad()),
        }
    }
}

impl<'de> Deserialize<'de> for PortalAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The iSCSI door.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IscsiConfig {
    /// Where it listens; nowhere, where this is empty. Where nobody has said, on this host alone, unless
    /// that is taken.
    pub listen: Option<Vec<PortalAddress>>,
    /// What initiators are told instead of that.
    pub announce: Vec<PortalAddress>,
    /// Whether discovery takes CHAP with MD5.
    pub discovery_chap_md5: bool,
    /// Whether any free port will do where the usual one is taken.
    #[serde(skip)]
    pub is_port_flexible: bool,
}

impl IscsiConfig {
    /// Where it listens.
    pub fn portals(&self) -> Vec<PortalAddress> {
        let usual = || vec![PortalAddress { address: format!("127.0.0.1:{ISCSI_PORT}"), group: 1 }];
        self.listen.clone().unwrap_or_else(usual)
    }

    fn check(&self) -> Result<(), String> {
        let portals = self.portals();
        let mut fixed: Vec<_> = portals.iter().map(|portal| &portal.address).collect();
        fixed.retain(|address| !address.ends_with(":0"));
        fixed.sort();
        if let Some(twice) = fixed.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("iscsi.listen has {} twice", twice[0]));
        }
        if portals.len() > PORTALS_MAX || self.announce.len() > PORTALS_MAX {
            return Err(format!("iscsi has at most {PORTALS_MAX} portals"));
        }
        if let Some(free) = self.announce.iter().find(|portal| portal.address.ends_with(":0")) {
            return Err(format!("iscsi.announce has {}, which is no port", free.address));
        }
        Ok(())
    }
}

/// The console and the API over HTTPS.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// Where it listens, as `HOST:PORT`; nowhere, where this is empty. Where nobody has said, on this host alone, and
    /// on a free port where the usual one is taken.
    pub listen: Option<Vec<String>>,
    /// Its certificates, PEM.
    pub certificate: Option<PathBuf>,
    /// Its key, PEM.
    pub key: Option<PathBuf>,
}

impl ApiConfig {
    /// Where it listens, and whether a free port will do.
    pub fn addresses(&self) -> (Vec<String>, bool) {
        match &self.listen {
            Some(listen) => (listen.clone(), false),
            None => (vec![format!("127.0.0.1:{API_PORT}")], true),
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.certificate.is_some() != self.key.is_some() {
            return Err("api.certificate and api.key go together".into());
        }
        let listen = self.listen.iter().flatten();
        for address in listen.clone() {
            if !matches!(address.parse(), Ok(ListenAddress::Tcp(_))) {
                return Err(format!("api.listen has {address:?}, which is no HOST:PORT"));
            }
        }
        if listen.count() > API_ADDRESSES_MAX {
            return Err(format!("api.listen has at most {API_ADDRESSES_MAX} addresses"));
        }
        Ok(())
    }
}

/// The pool.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolConfig {
    /// Bytes of the journal; counts when the pool is made.
    #[serde(deserialize_with = "size_text")]
    pub journal_size: Option<ByteSize>,
    /// The level of zstd for preserved blocks; 0 is off.
    pub compression_level: Option<i32>,
    /// The pool that is given up with its volumes. Not for files: it is said once, and by its name.
    #[serde(skip)]
    pub forgotten: Option<ForgottenPool>,
}

/// The log.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,store=debug`.
    pub level: Option<String>,
}

/// Everything that can be configured.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What the appliance is called.
    pub name: Option<Name>,
    /// The NBD door.
    pub nbd: NbdConfig,
    /// The iSCSI door.
    pub iscsi: IscsiConfig,
    /// The console and the API over HTTPS.
    pub api: ApiConfig,
    /// The pool.
    pub pool: PoolConfig,
    /// The log.
    pub log: LogConfig,
}

/// What the command line lays over the file; `None` leaves what the file says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Overrides {
    /// What the appliance is called.
    pub name: Option<Name>,
    /// Where the NBD door listens.
    pub listen: Option<Vec<ListenAddress>>,
    /// Where the iSCSI door listens.
    pub iscsi_listen: Option<Vec<PortalAddress>>,
    /// Where the API listens.
    pub api_listen: Option<Vec<String>>,
    /// Bytes of a new pool's journal.
    pub journal_size: Option<ByteSize>,
    /// The pool that is given up.
    pub forgotten_pool: Option<ForgottenPool>,
    /// The log's level.
    pub log_level: Option<String>,
    /// Whether another port will do where the default one of NBD is taken.
    pub is_port_flexible: bool,
    /// Whether this is the first look at the appliance: usual ports may be others.
    pub is_quickstart: bool,
}

impl Config {
    /// The configuration of a state directory: its file, if there is one, or the defaults; with the
    /// overrides laid over it.
    ///
    /// # Errors
    /// `Config` where the file cannot be read or does not make sense.
    pub fn load(state: &StateDir, overrides: &Overrides) -> Result<Self, ControlError> {
        let path = state.config();
        let failed = |why: String| ControlError::Config { path: path.clone(), why };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed(error.to_string())),
        };
        let mut config = Self::parse(&text, state.path()).map_err(failed)?;
        config.overlay(overrides.clone());
        config.check().map_err(failed)?;
        Ok(config)
    }

    /// Reads a configuration whose relative paths start at `from`.
    fn parse(text: &str, from: &Path) -> Result<Self, String> {
        let mut config: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let (nbd, api) = (&mut config.nbd, &mut config.api);
        let files = [&mut nbd.certificate, &mut nbd.key, &mut nbd.client_ca];
        let files = files.into_iter().chain([&mut api.certificate, &mut api.key]);
        for path in files.flatten() {
            *path = from.join(&*path);
        }
        Ok(config)
    }

    fn overlay(&mut self, overrides: Overrides) {
        self.name = overrides.name.or(self.name.take());
        if let Some(listen) = overrides.listen {
            self.nbd.listen = listen;
        }
        let is_chosen = overrides.iscsi_listen.is_some() || self.iscsi.listen.is_some();
        self.iscsi.listen = overrides.iscsi_listen.or(self.iscsi.listen.take());
        self.iscsi.is_port_flexible = overrides.is_quickstart && !is_chosen;
        self.api.listen = overrides.api_listen.or(self.api.listen.take());
        self.pool.forgotten = overrides.forgotten_pool;
        self.pool.journal_size = overrides.journal_size.or(self.pool.journal_size);
        self.log.level = overrides.log_level.or(self.log.level.take());
        let is_default = self.nbd.listen == NbdConfig::default().listen;
        self.nbd.is_port_flexible = overrides.is_port_flexible && is_default;
    }

    fn check(&self) -> Result<(), String> {
        let nbd = &self.nbd;
        if nbd.tls != TlsMode::Off && (nbd.certificate.is_none() || nbd.key.is_none()) {
            return Err("nbd.tls needs nbd.certificate and nbd.key".into());
        }
        if nbd.tls == TlsMode::Off && nbd.client_ca.is_some() {
            return Err(
                "nbd.client_ca does nothing while nbd.tls is off; set it to required".into()
            );
        }
        let mut listen: Vec<_> = nbd.listen.iter().filter(|at| !at.takes_free_port()).collect();
        listen.sort();
        if let Some(twice) = listen.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("nbd.listen has {} twice", twice[0]));
        }
        self.iscsi.check()?;
        self.api.check()?;
        match self.pool.compression_level {
            Some(level) if !(0..=COMPRESSION_LEVEL_MAX).contains(&level) => Err(format!(
                "pool.compression_level is {level}; it goes from 0 (off) to {COMPRESSION_LEVEL_MAX}"
            )),
            _ => Ok(()),
        }
    }

    /// What the appliance is called by people: as they said, or as its host is.
    pub fn appliance_name(&self) -> String {
        let chosen = self.name.as_ref().map(Name::to_string);
        chosen.or_else(host_name).unwrap_or_else(|| "tidemark".into())
    }

    /// What the store wants to know.
    pub fn pool_options(&self) -> PoolOptions {
        let mut options = PoolOptions::default();
        if let Some(len) = self.pool.journal_size {
            options.journal_len = len;
        }
        match self.pool.compression_level {
            Some(0) => options.compression = Compression::Off,
            Some(level) => options.compression = Compression::Zstd(level),
            None => {}
        }
        options
    }

    /// What of `next` counts only after a restart, in words.
    pub fn needs_restart(&self, next: &Self) -> Vec<String> {
        let mut waits = Vec::new();
        if self.name != next.name {
            waits.push("name counts after the daemon is started again".into());
        }
        if self.api.addresses() != next.api.addresses() {
            waits.push("api.listen counts after the daemon is started again".into());
        }
        if self.pool.journal_size != next.pool.journal_size {
            waits.push("pool.journal_size counts only when a pool is made".into());
        }
        if self.pool.compression_level != next.pool.compression_level {
            waits.push("pool.compression_level counts after the daemon is started again".into());
        }
        waits
    }
}

impl ListenAddress {
    fn takes_free_port(&self) -> bool {
        matches!(self, Self::Tcp(address) if address.ends_with(":0"))
    }
}

/// What the host of the daemon is called.
pub fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

fn size_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ByteSize>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        let config = Config::parse(text, Path::new("/srv/t"))?;
        config.check()?;
        Ok(config)
    }

    #[test]
    fn nothing_configured_listens_on_this_host_alone() {
        let config = parse("").unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(config.nbd.listen[0].to_string(), "127.0.0.1:10809");
        assert_eq!(Some(config.appliance_name()), host_name());
    }

    #[test]
    fn a_whole_file_is_understood() {
        let config = parse(
            "name = 'store1'\n[nbd]\nlisten = ['[::1]:0', 'unix:/run/x']\ntls = 'required'\ncertificate = 'a.pem'\nkey = '/k'\n\
             [pool]\njournal_size = '64M'\ncompression_level = 0\n[log]\nlevel = 'debug'",
        )
        .unwrap();
        assert_eq!(config.nbd.listen[1], ListenAddress::Unix("/run/x".into()));
        assert_eq!(config.nbd.certificate.as_deref(), Some(Path::new("/srv/t/a.pem")));
        assert_eq!(config.nbd.key.as_deref(), Some(Path::new("/k")));
        assert_eq!(config.appliance_name(), "store1");
        let options = config.pool_options();
        assert_eq!(options.journal_len, ByteSize(64 << 20));
        assert_eq!(options.compression, Compression::Off);
    }

    #[test]
    fn portals_have_groups_and_are_on_this_host_alone_unless_chosen() {
        let usual = parse("").unwrap().iscsi.portals();
        assert_eq!(
            (usual.len(), usual[0].address.as_str(), usual[0].group),
            (1, "127.0.0.1:3260", 1)
        );
        let config = parse("[iscsi]\nlisten = ['[::1]:3260', '127.0.0.1:3261,7']").unwrap();
        let groups: Vec<_> = config.iscsi.portals().iter().map(|portal| portal.group).collect();
        assert_eq!(groups, [1, 7]);
        assert!(parse("[iscsi]\nlisten = []").unwrap().iscsi.portals().is_empty());
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_named() {
        for (text, named) in [
            ("[nbd]\nlissten = []", "lissten"),
            ("[nbd]\nlisten = ['10809']", "10809"),
            ("[nbd]\nlisten = ['::1:10809']", "::1"),
            ("[nbd]\nlisten = ['unix:']", "unix:"),
            ("[nbd]\nlisten = ['a:1', 'a:1']", "twice"),
            ("[iscsi]\nlisten = ['3260']", "3260"),
            ("[iscsi]\nlisten = ['a:1,0']", "a:1,0"),
            ("[iscsi]\nlisten = ['unix:/run/x']", "portal"),
            ("[iscsi]\nlisten = ['a:1', 'a:1,2']", "twice"),
            ("[iscsi]\nannounce = ['a:0']", "a:0"),
            ("[nbd]\ntls = 'on'", "nbd.certificate"),
            ("[nbd]\nclient_ca = 'x'", "nbd.client_ca"),
            ("[pool]\njournal_size = '1Q'", "1Q"),
            ("[pool]\ncompression_level = 99", "99"),
            ("[wat]", "wat"),
            ("name = 'two words'", "two words"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn the_command_line_wins_over_the_file() {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::new(temp.path());
        std::fs::write(state.config(), "[nbd]\nlisten = ['a:1']\n[log]\nlevel = 'warn'").unwrap();
        let listen = Some(vec!["b:2".parse().unwrap()]);
        let overrides = Overrides { listen, ..Overrides::default() };
        let config = Config::load(&state, &overrides).unwrap();
        assert_eq!(config.nbd.listen, ["b:2".parse().unwrap()]);
        assert_eq!(config.log.level.as_deref(), Some("warn"));
    }

    #[test]
    fn an_error_in_the_file_names_the_file() {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::new(temp.path());
        std::fs::write(state.config(), "[nbd").unwrap();
        let error = Config::load(&state, &Overrides::default()).unwrap_err().to_string();
        assert!(error.contains("tidemark.toml"), "{error}");
    }

    #[test]
    fn what_a_reload_cannot_change_is_told() {
        let now = parse("").unwrap();
        let next = parse("[pool]\njournal_size = '2G'\n[nbd]\nlisten = []").unwrap();
        let waits = now.needs_restart(&next);
        assert_eq!(waits.len(), 1, "{waits:?}");
        assert!(waits[0].contains("journal_size"));
    }
}
