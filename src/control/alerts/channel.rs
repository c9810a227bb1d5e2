//! A channel by which alerts are told: where to, and what makes no sense in one. Its secret comes in and is kept; it
//! never goes anywhere else, and is not shown where something that holds one is printed.

use std::fmt;

use base::name::Name;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rule::Severity;
use super::{mail, syslog, webhook};
use crate::error::ControlError;

/// Channels of an appliance: one for each team that looks after it, several times over.
pub(super) const CHANNELS_MAX: usize = 32;
/// Bytes of a secret: several times the tokens of mail services, and what the command line reads of a file.
pub const SECRET_LEN_MAX: usize = 255;
/// Addressees of an e-mail; more belong into a list at the mail server.
const TO_MAX: usize = 50;
/// Characters of an address, a host or a URL.
const TEXT_LEN_MAX: usize = 500;
/// Bytes of a file of authorities.
const AUTHORITY_LEN_MAX: usize = 64 * 1024;

/// A password or a key, as it was typed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Secret(String);

base::text_schema!(
    Secret,
    "ChannelSecret",
    r"^[^\x00-\x1f\x7f-\x9f]*$",
    1..=SECRET_LEN_MAX,
    "A password or a key. It is never shown."
);

/// Why a text is no secret. It does not repeat the text.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a secret is one line of 1 to {SECRET_LEN_MAX} bytes, and this one {0}")]
pub struct BadSecret(String);

impl Secret {
    /// This text as a secret.
    ///
    /// # Errors
    /// `BadSecret` where it is empty, too long, or more than a line.
    pub fn new(text: String) -> Result<Self, BadSecret> {
        if text.is_empty() || text.len() > SECRET_LEN_MAX {
            return Err(BadSecret(format!("has {}", text.len())));
        }
        if text.chars().any(char::is_control) {
            return Err(BadSecret("holds control characters".into()));
        }
        Ok(Self(text))
    }

    /// The text, for whoever shows or signs with it.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Secret {
    type Error = BadSecret;

    fn try_from(text: String) -> Result<Self, BadSecret> {
        Self::new(text)
    }
}

impl From<Secret> for String {
    fn from(secret: Secret) -> Self {
        secret.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// How a mail server is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MailTls {
    /// In the clear at first, encrypted before anything is said; a server that does not offer it is not used.
    #[default]
    Starttls,
    /// Encrypted from the first byte.
    Tls,
    /// In the clear; then without a password.
    None,
}

/// By which way a log server is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SyslogWay {
    /// By this machine's own socket.
    #[default]
    Local,
    /// In a datagram, which may be lost.
    Udp,
    /// Over a connection.
    Tcp,
}

/// Where a channel leads.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Destination {
    /// E-mail, by a mail server; the secret is the password of the user.
    Mail {
        /// The mail server's name or address.
        host: String,
        /// Its port; without one, 587 for STARTTLS, 465 for TLS, and 25 in the clear.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
        /// How it is spoken to.
        #[serde(default)]
        tls: MailTls,
        /// Who logs in there; nobody, where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// The sender's address.
        from: String,
        /// The addressees.
        to: Vec<String>,
        /// Certificates, PEM, of authorities to trust instead of this machine's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        authority: Option<String>,
    },
    /// A POST of JSON; the secret signs it.
    Webhook {
        /// Where, as `https://HOST/PATH` or `http://HOST/PATH`.
        url: String,
        /// Certificates, PEM, of authorities to trust instead of this machine's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        authority: Option<String>,
    },
    /// A log server.
    Syslog {
        /// By which way.
        #[serde(default)]
        way: SyslogWay,
        /// `HOST:PORT`; the path of a socket for `local`, without one `/dev/log`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<String>,
    },
}

/// `POST /alert-channels`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewChannel {
    /// Its name.
    pub name: Name,
    /// Where it leads.
    pub to: Destination,
    /// The least severity that it tells.
    #[serde(default)]
    pub least: Severity,
    /// Whether it tells nothing for now.
    #[serde(default)]
    pub is_paused: bool,
    /// The password at a mail server, or what a webhook is signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
}

/// `PATCH /alert-channels/{name}`: what is left out stays.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ChannelChange {
    /// Where it leads instead; then the secret is to be given again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Destination>,
    /// Another least severity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least: Option<Severity>,
    /// Whether it tells nothing for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_paused: Option<bool>,
    /// Another secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
}

/// A channel, without its secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ChannelStatus {
    /// Its name.
    pub name: Name,
    /// Where it leads.
    pub to: Destination,
    /// The least severity that it tells.
    pub least: Severity,
    /// Whether it tells nothing for now.
    pub is_paused: bool,
    /// Whether it has a secret.
    pub has_secret: bool,
    /// Messages that wait.
    pub waiting: usize,
    /// Messages that were given up since the daemon was started: the queue was full, or all tries were in vain.
    pub lost: u64,
    /// When the last message was taken by the other side, milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_ms: Option<u64>,
    /// Why the last try was in vain; none after one that was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// What came of a test.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ChannelTest {
    /// Whether the other side took the message.
    pub is_delivered: bool,
    /// What it said, or why it could not be asked.
    pub said: String,
    /// How long that took, in milliseconds.
    pub took_ms: u64,
}

impl NewChannel {
    /// Whether it makes sense.
    ///
    /// # Errors
    /// `Invalid`, with what would be right.
    pub fn check(&self) -> Result<(), ControlError> {
        self.to.check(self.secret.as_ref()).map_err(|(why, way_out)| ControlError::Invalid {
            why: format!("channel {}: {why}", self.name),
            way_out,
        })
    }

    /// Whether one makes sense that has a secret which cannot be opened.
    ///
    /// # Errors
    /// As [`NewChannel::check`].
    pub(super) fn check_locked(&self) -> Result<(), ControlError> {
        // That it was a good one was checked when it was given.
        let stand_in = Secret("x".repeat(webhook::KEY_LEN_MIN));
        Self { secret: Some(stand_in), ..self.clone() }.check()
    }

    /// It, changed, where it has a secret that cannot be opened and is not given anew.
    ///
    /// # Errors
    /// As [`NewChannel::changed_by`].
    pub(super) fn changed_locked(&self, change: ChannelChange) -> Result<Self, ControlError> {
        let stand_in = Secret("x".repeat(webhook::KEY_LEN_MIN));
        let changed = Self { secret: Some(stand_in), ..self.clone() }.changed_by(change)?;
        Ok(Self { secret: None, ..changed })
    }

    /// It, changed.
    ///
    /// # Errors
    /// As [`NewChannel::check`], and where its secret would be sent to another place than it was given for.
    pub fn changed_by(&self, change: ChannelChange) -> Result<Self, ControlError> {
        let mut next = self.clone();
        if let Some(to) = change.to {
            if self.secret.is_some() && change.secret.is_none() && !to.is_same_place(&self.to) {
                return Err(ControlError::Invalid {
                    why: format!("the secret of channel {} was given for another place", self.name),
                    way_out: "give the secret of the new place as well".into(),
                });
            }
            next.to = to;
        }
        next.secret = change.secret.or(next.secret);
        next.least = change.least.unwrap_or(next.least);
        next.is_paused = change.is_paused.unwrap_or(next.is_paused);
        next.check()?;
        Ok(next)
    }
}

type Bad = (String, String);

fn bad(why: impl Into<String>, way_out: &str) -> Bad {
    (why.into(), way_out.into())
}

impl Destination {
    /// The word for its kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Mail { .. } => "mail",
            Self::Webhook { .. } => "webhook",
            Self::Syslog { .. } => "syslog",
        }
    }

    /// Whether what is secret there is secret here.
    fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Mail { host, port, tls, user, authority, .. },
                Self::Mail { host: h, port: p, tls: t, user: u, authority: a, .. },
            ) => (host, port, tls, user, authority) == (h, p, t, u, a),
            _ => self == other,
        }
    }

    fn check(&self, secret: Option<&Secret>) -> Result<(), Bad> {
        match self {
            Self::Mail { host, tls, user, from, to, authority, .. } => {
                check_host(host)?;
                for address in to.iter().chain([from]) {
                    mail::check_address(address)
                        .map_err(|why| bad(why, "write it as name@example.org"))?;
                }
                if to.is_empty() || to.len() > TO_MAX {
                    let why = format!("a mail has 1 to {TO_MAX} addressees, not {}", to.len());
                    return Err(bad(why, "name them, or a list at your mail server"));
                }
                match (user, secret) {
                    (Some(user), _) if user.is_empty() || user.len() > TEXT_LEN_MAX => {
                        return Err(bad("its user has no name", "name one, or leave it out"));
                    }
                    (Some(_), None) => {
                        return Err(bad("it names a user and no password", "give the password"));
                    }
                    (None, Some(_)) => {
                        return Err(bad("it has a password and no user", "name the user"));
                    }
                    _ => {}
                }
                if *tls == MailTls::None && secret.is_some() {
                    let why = "a password would go over the network in the clear";
                    return Err(bad(why, "use STARTTLS or TLS, or no user"));
                }
                check_authority(authority.as_deref())
            }
            Self::Webhook { url, authority } => {
                webhook::check_url(url).map_err(|why| {
                    bad(why, "write it as https://HOST/PATH, without a user or a password")
                })?;
                let is_signed = secret.is_some_and(|secret| secret.0.len() >= webhook::KEY_LEN_MIN);
                if !is_signed {
                    let why = format!(
                        "a webhook is signed with a secret of at least {} bytes",
                        webhook::KEY_LEN_MIN
                    );
                    return Err(bad(why, "give one, such as `openssl rand -hex 32` makes"));
                }
                check_authority(authority.as_deref())
            }
            Self::Syslog { way, address } => {
                if secret.is_some() {
                    return Err(bad("syslog knows no secrets", "leave it out"));
                }
                syslog::check_address(*way, address.as_deref())
                    .map_err(|(why, way_out)| bad(why, way_out))
            }
        }
    }
}

fn check_host(host: &str) -> Result<(), Bad> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '_');
    if host.is_empty() || host.len() > TEXT_LEN_MAX || !host.chars().all(fits) {
        let shown: String = host.chars().take(80).collect();
        return Err(bad(
            format!("{shown:?} is no name of a server"),
            "write it as mail.example.org, and the port apart",
        ));
    }
    Ok(())
}

fn check_authority(pem: Option<&str>) -> Result<(), Bad> {
    let Some(pem) = pem else { return Ok(()) };
    if pem.len() > AUTHORITY_LEN_MAX {
        let why = format!("its authorities have more than {AUTHORITY_LEN_MAX} bytes");
        return Err(bad(why, "give the certificate of the one that signed the server's"));
    }
    super::trust::roots(Some(pem))
        .map(|_| ())
        .map_err(|why| bad(why, "give PEM, which begins with -----BEGIN CERTIFICATE-----"))
}

#[cfg(test)]
#[path = "channel_tests.rs"]
mod tests;
