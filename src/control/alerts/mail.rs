//! Alerts by e-mail: one message to all addressees of a channel, by the mail server that it names.
//!
//! Source: RFC 5321, RFC 3207 (STARTTLS), RFC 8314 (TLS).

use std::error::Error;

use lettre::address::{Address, Envelope};
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use super::channel::{MailTls, Secret};
use super::courier::{Failed, shown};
use super::message::Letter;

/// A mail server and what is sent by it.
pub(super) struct Post<'a> {
    pub host: &'a str,
    pub port: Option<u16>,
    pub tls: MailTls,
    pub user: Option<&'a str>,
    pub secret: Option<&'a Secret>,
    pub from: &'a str,
    pub to: &'a [String],
    pub authority: Option<&'a str>,
}

/// Whether a text is an address to which mail can be sent.
///
/// # Errors
/// In words.
pub(super) fn check_address(text: &str) -> Result<(), String> {
    match text.parse::<Address>() {
        Ok(_) => Ok(()),
        Err(_) => {
            Err(format!("{:?} is no mail address", text.chars().take(80).collect::<String>()))
        }
    }
}

/// Hands a letter to the mail server, and says what that said.
///
/// # Errors
/// `Failed`: lasting where the server refuses the login or the message for good.
pub(super) async fn send(post: &Post<'_>, letter: &Letter) -> Result<String, Failed> {
    let mail = message(post, letter).map_err(Failed::for_good)?;
    let server = server(post).map_err(Failed::for_good)?;
    let told = server.send(mail).await.map_err(|error| Failed {
        is_lasting: error.is_permanent() || error.is_client(),
        why: explained(&error),
    })?;
    let said: Vec<_> = told.message().collect();
    Ok(shown(&format!("{} {}", told.code(), said.join(" "))))
}

fn message(post: &Post<'_>, letter: &Letter) -> Result<Message, String> {
    let address = |text: &str| {
        text.parse::<Address>().map_err(|error| format!("{text} is no mail address: {error}"))
    };
    let from = address(post.from)?;
    let to: Vec<_> = post.to.iter().map(|text| address(text)).collect::<Result<_, _>>()?;
    let id = format!("<{}@{}>", letter.id, from.domain());
    let envelope =
        Envelope::new(Some(from.clone()), to.clone()).map_err(|error| error.to_string())?;
    let mut mail = Message::builder()
        .from(Mailbox::new(Some("Tidemark".into()), from))
        .subject(letter.subject())
        .message_id(Some(id))
        .header(Automatic)
        .envelope(envelope);
    for address in to {
        mail = mail.to(Mailbox::new(None, address));
    }
    mail.header(ContentType::TEXT_PLAIN).body(letter.text()).map_err(|error| error.to_string())
}

fn server(post: &Post<'_>) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let (usual_port, tls) = match post.tls {
        MailTls::Starttls => (587, Tls::Required(parameters(post)?)),
        MailTls::Tls => (465, Tls::Wrapper(parameters(post)?)),
        MailTls::None => (25, Tls::None),
    };
    let mut server = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(post.host)
        .port(post.port.unwrap_or(usual_port))
        .tls(tls);
    if let (Some(user), Some(secret)) = (post.user, post.secret) {
        server = server.credentials(Credentials::new(user.into(), secret.reveal().into()));
    }
    Ok(server.build())
}

fn parameters(post: &Post<'_>) -> Result<TlsParameters, String> {
    let mut tls = TlsParameters::builder(post.host.to_owned());
    if let Some(pem) = post.authority {
        tls = tls.certificate_store(CertificateStore::None);
        let roots = Certificate::from_pem(pem.as_bytes()).map_err(|error| explained(&error))?;
        tls = tls.add_root_certificate(roots);
    }
    tls.build_rustls().map_err(|error| explained(&error))
}

/// An error with all that is behind it.
fn explained(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    shown(&text)
}

/// Says that a program wrote it, so that no program answers.
///
/// Source: RFC 3834 5.
#[derive(Clone)]
struct Automatic;

impl Header for Automatic {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".into())
    }
}

#[cfg(test)]
#[path = "mail_tests.rs"]
mod tests;
