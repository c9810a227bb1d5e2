//! What can be typed about alerts.

use std::path::{Path, PathBuf};

use base::name::Name;
use clap::{Args, Subcommand, ValueEnum};
use control::alerts::channel::{Destination, MailTls, SyslogWay};
use control::alerts::rule::Severity;

/// Verbs for alerts.
#[derive(Subcommand, Debug)]
pub enum AlertCommand {
    /// What is wrong now, worst first
    Ls,
    /// Show one alert and the way out
    Show {
        /// Its number
        id: u64,
    },
    /// Alerts that resolved, newest first
    History {
        /// How many
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Alerts older than the one with this number
        #[arg(long)]
        before: Option<u64>,
    },
    /// Say that you know: it is not told again until it gets worse or resolves; of what is missing, that it is meant to be
    Ack {
        /// Its number
        id: u64,
    },
    /// Tell nothing of what an alert is about until a date
    Silence {
        /// Its number
        id: u64,
        /// Until when, as 2027-03-01 or 2027-03-01T02:30 in the zone of the daemon's machine
        #[arg(long, value_name = "MOMENT")]
        until: String,
    },
    /// Tell again of what an alert is about
    Unsilence {
        /// Its number
        id: u64,
    },
    /// From when on something is told, and how often again
    Settings,
    /// Change from when on something is told, and how often again
    Set(AlertSet),
    /// Channels: the ways by which alerts are told
    #[command(subcommand)]
    Channel(ChannelCommand),
}

/// `alert set`
#[derive(Args, Debug)]
#[group(skip)]
#[command(group = clap::ArgGroup::new("setting").required(true).multiple(true))]
pub struct AlertSet {
    /// After how many of its policy's runs without a mark the newest mark of a volume is too old
    #[arg(long, value_name = "RUNS", group = "setting")]
    pub mark_age_factor: Option<u32>,
    /// From how much used space on there is a warning
    #[arg(long, value_name = "PERCENT", group = "setting")]
    pub space_warning: Option<u32>,
    /// From how much used space on it is critical
    #[arg(long, value_name = "PERCENT", group = "setting")]
    pub space_critical: Option<u32>,
    /// After how many hours what lasts is told again; 0 for never
    #[arg(long, value_name = "HOURS", group = "setting")]
    pub repeat_hours: Option<u32>,
}

/// Verbs for channels.
#[derive(Subcommand, Debug)]
pub enum ChannelCommand {
    /// Tell alerts by e-mail, webhook or syslog
    Add {
        /// Its name
        name: Name,
        /// What holds for each kind of channel
        #[command(flatten)]
        more: ChannelArgs,
        /// Where it leads
        #[command(subcommand)]
        to: Box<ToArgs>,
    },
    /// List channels, and whether they deliver
    Ls,
    /// Change a channel; what is left out stays
    Set(Box<ChannelSet>),
    /// Remove a channel with its secret
    Rm {
        /// Its name
        name: Name,
    },
    /// Send a test, and say what the other side says; exit code 1 if it was not delivered
    Test {
        /// Its name
        name: Name,
    },
}

/// `alert channel set`
#[derive(Args, Debug)]
#[group(skip)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub struct ChannelSet {
    /// Its name
    pub name: Name,
    /// The least severity that it tells
    #[arg(long, group = "change")]
    pub least: Option<SeverityArg>,
    /// Whether it tells nothing for now
    #[arg(long, value_name = "BOOL", group = "change")]
    pub paused: Option<bool>,
    /// Read another secret from this file, which nobody else may read; needed where it leads to another place
    #[arg(long, value_name = "FILE", group = "change")]
    pub secret_file: Option<PathBuf>,
    /// Another mail server
    #[arg(long, group = "change")]
    pub host: Option<String>,
    /// Another port of the mail server
    #[arg(long, group = "change")]
    pub port: Option<u16>,
    /// Another way to speak to the mail server
    #[arg(long, group = "change")]
    pub tls: Option<TlsArg>,
    /// Another user at the mail server
    #[arg(long, group = "change")]
    pub user: Option<String>,
    /// Another sender's address
    #[arg(long, group = "change")]
    pub from: Option<String>,
    /// Other addressees, all of them
    #[arg(long, value_delimiter = ',', value_name = "ADDRESS[,ADDRESS...]", group = "change")]
    pub to: Vec<String>,
    /// Another URL of a webhook
    #[arg(long, group = "change")]
    pub url: Option<String>,
    /// A log server by UDP
    #[arg(long, value_name = "HOST:PORT", group = "change", conflicts_with_all = ["tcp", "socket"])]
    pub udp: Option<String>,
    /// A log server by TCP
    #[arg(long, value_name = "HOST:PORT", group = "change", conflicts_with = "socket")]
    pub tcp: Option<String>,
    /// Another socket of this machine's log
    #[arg(long, value_name = "PATH", group = "change")]
    pub socket: Option<String>,
    /// Trust the authorities in this PEM file instead
    #[arg(long, value_name = "FILE", group = "change")]
    pub authority: Option<PathBuf>,
}

/// What every channel has.
#[derive(Args, Debug)]
pub struct ChannelArgs {
    /// The least severity that it tells
    #[arg(long)]
    pub least: Option<SeverityArg>,
    /// Read its secret, a password or what a webhook is signed with, from this file, which nobody else may read
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
}

/// Where a channel leads.
#[derive(Subcommand, Debug)]
pub enum ToArgs {
    /// E-mail, by a mail server
    Mail {
        /// The mail server
        #[arg(long)]
        host: String,
        /// Its port; without one, 587 for starttls, 465 for tls, 25 for none
        #[arg(long)]
        port: Option<u16>,
        /// How it is spoken to
        #[arg(long, default_value = "starttls")]
        tls: TlsArg,
        /// Who logs in there; the password is the channel's secret
        #[arg(long)]
        user: Option<String>,
        /// The sender's address
        #[arg(long)]
        from: String,
        /// The addressees
        #[arg(long, required = true, value_delimiter = ',', value_name = "ADDRESS[,ADDRESS...]")]
        to: Vec<String>,
        /// Trust the authorities in this PEM file instead of this machine's
        #[arg(long, value_name = "FILE")]
        authority: Option<PathBuf>,
    },
    /// A POST of JSON, signed with the channel's secret
    Webhook {
        /// Where, as https://HOST/PATH
        url: String,
        /// Trust the authorities in this PEM file instead of this machine's
        #[arg(long, value_name = "FILE")]
        authority: Option<PathBuf>,
    },
    /// A log: without an address this machine's own
    Syslog {
        /// By UDP, to HOST:PORT
        #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["tcp", "socket"])]
        udp: Option<String>,
        /// By TCP, to HOST:PORT
        #[arg(long, value_name = "HOST:PORT", conflicts_with = "socket")]
        tcp: Option<String>,
        /// To another socket of this machine than /dev/log
        #[arg(long, value_name = "PATH")]
        socket: Option<String>,
    },
}

/// How bad something is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum SeverityArg {
    /// Everything works; a person should look within days
    Warning,
    /// Something does not work, or will soon not
    Critical,
}

/// How a mail server is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum TlsArg {
    /// Encrypted before anything is said
    Starttls,
    /// Encrypted from the first byte
    Tls,
    /// In the clear, without a password
    None,
}

impl From<SeverityArg> for Severity {
    fn from(arg: SeverityArg) -> Self {
        match arg {
            SeverityArg::Warning => Self::Warning,
            SeverityArg::Critical => Self::Critical,
        }
    }
}

impl From<TlsArg> for MailTls {
    fn from(arg: TlsArg) -> Self {
        match arg {
            TlsArg::Starttls => Self::Starttls,
            TlsArg::Tls => Self::Tls,
            TlsArg::None => Self::None,
        }
    }
}

impl ToArgs {
    /// As the API takes it, and whether a secret belongs to it.
    ///
    /// # Errors
    /// In words, where a file of authorities cannot be read.
    pub fn destination(self) -> Result<(Destination, bool), String> {
        Ok(match self {
            Self::Mail { host, port, tls, user, from, to, authority } => {
                let (tls, has_secret) = (tls.into(), user.is_some());
                let authority = read(authority.as_deref())?;
                (Destination::Mail { host, port, tls, user, from, to, authority }, has_secret)
            }
            Self::Webhook { url, authority } => {
                (Destination::Webhook { url, authority: read(authority.as_deref())? }, true)
            }
            Self::Syslog { udp, tcp, socket } => {
                let (way, address) = match (udp, tcp) {
                    (Some(address), _) => (SyslogWay::Udp, Some(address)),
                    (None, Some(address)) => (SyslogWay::Tcp, Some(address)),
                    (None, None) => (SyslogWay::Local, socket),
                };
                (Destination::Syslog { way, address }, false)
            }
        })
    }
}

fn read(path: Option<&Path>) -> Result<Option<String>, String> {
    let Some(path) = path else { return Ok(None) };
    let text = std::fs::read_to_string(path);
    text.map(Some).map_err(|error| format!("read {}: {error}", path.display()))
}

impl ChannelSet {
    /// Where a channel leads that leads there now; nothing where that stays.
    ///
    /// # Errors
    /// In words, where an option is not for a channel of this kind, or a file cannot be read.
    pub fn destination(&self, now: &Destination) -> Result<Option<Destination>, String> {
        let of_mail = self.host.is_some()
            || self.port.is_some()
            || self.tls.is_some()
            || self.user.is_some()
            || self.from.is_some()
            || !self.to.is_empty();
        let of_log = self.udp.is_some() || self.tcp.is_some() || self.socket.is_some();
        let of_hook = self.url.is_some();
        let has_authority = self.authority.is_some();
        let fits = match now {
            Destination::Mail { .. } => !of_hook && !of_log,
            Destination::Webhook { .. } => !of_mail && !of_log,
            Destination::Syslog { .. } => !of_mail && !of_hook && !has_authority,
        };
        if !fits {
            return Err(format!("an option is not for a channel of kind {}", now.kind()));
        }
        if !(of_mail || of_log || of_hook || has_authority) {
            return Ok(None);
        }
        let mut next = now.clone();
        match &mut next {
            Destination::Mail { host, port, tls, user, from, to, authority } => {
                put(host, self.host.clone());
                *port = self.port.or(*port);
                put(tls, self.tls.map(Into::into));
                *user = self.user.clone().or(user.take());
                put(from, self.from.clone());
                put(to, Some(self.to.clone()).filter(|to| !to.is_empty()));
                *authority = read(self.authority.as_deref())?.or(authority.take());
            }
            Destination::Webhook { url, authority } => {
                put(url, self.url.clone());
                *authority = read(self.authority.as_deref())?.or(authority.take());
            }
            Destination::Syslog { way, address } => {
                (*way, *address) = match (&self.udp, &self.tcp) {
                    (Some(udp), _) => (SyslogWay::Udp, Some(udp.clone())),
                    (None, Some(tcp)) => (SyslogWay::Tcp, Some(tcp.clone())),
                    (None, None) => (SyslogWay::Local, self.socket.clone()),
                };
            }
        }
        Ok(Some(next))
    }
}

fn put<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    #[test]
    fn what_is_changed_of_a_destination_is_what_was_typed() {
        let set = |line: &str| {
            let words = format!("tidemark alert channel set ops {line}");
            let cli = Cli::try_parse_from(words.split_whitespace()).unwrap();
            let Command::Alert(AlertCommand::Channel(ChannelCommand::Set(set))) = cli.command
            else {
                panic!("{line}");
            };
            set
        };
        let mail = Destination::Mail {
            host: "a".into(),
            port: Some(587),
            tls: MailTls::Starttls,
            user: Some("u".into()),
            from: "f@example.org".into(),
            to: vec!["t@example.org".into()],
            authority: None,
        };
        assert_eq!(set("--paused true").destination(&mail).unwrap(), None);
        let changed = set("--to x@example.org,y@example.org").destination(&mail).unwrap().unwrap();
        let Destination::Mail { host, port, to, .. } = changed else { panic!("another kind") };
        assert_eq!((host.as_str(), port, to.len()), ("a", Some(587), 2));
        assert!(set("--url http://x/").destination(&mail).unwrap_err().contains("mail"));
        let log = Destination::Syslog { way: SyslogWay::Local, address: None };
        let changed = set("--tcp h:1").destination(&log).unwrap();
        let tcp = Destination::Syslog { way: SyslogWay::Tcp, address: Some("h:1".into()) };
        assert_eq!(changed, Some(tcp));
        assert!(set("--authority none.pem").destination(&log).is_err());
    }
}
