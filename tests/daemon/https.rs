//! The API over HTTPS, as bytes: an appliance with the console's listener, and a client that trusts its certificate.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use api::Https;
use control::access::{NewUser, Password};
use control::{Appliance, Role};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// The password of everybody here.
pub const PASSWORD: &str = "correct horse battery";

/// A console that is open.
pub struct Console {
    pub address: SocketAddr,
    certificate: PathBuf,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Value,
}

impl Answer {
    /// A header of it.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The cookie that it sets, as it is to be sent.
    pub fn cookie(&self) -> String {
        let set = self.header("set-cookie").unwrap_or_else(|| panic!("no cookie: {self:?}"));
        format!("Cookie: {}", set.split(';').next().unwrap())
    }
}

impl Console {
    /// Opens one for this appliance, whose configuration must say where.
    pub async fn open(appliance: &Arc<Appliance>) -> Self {
        let https = Https::open(appliance).await.unwrap().unwrap();
        let address = https.addresses()[0];
        let (stop, stopped) = oneshot::channel();
        let serving = https.serve(Arc::clone(appliance), async {
            let _ = stopped.await;
        });
        let serving = tokio::spawn(serving);
        let certificate = appliance.state().path().join("api-certificate.pem");
        Self { address, certificate, stop, serving }
    }

    /// Asks once, with these header lines and a body of JSON.
    pub async fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let (address, certificate) = (self.address, self.certificate.clone());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{}\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            headers.iter().map(|line| format!("{line}\r\n")).collect::<String>(),
            body.len()
        );
        let request = head + body;
        tokio::task::spawn_blocking(move || ask(address, &certificate, &request)).await.unwrap()
    }

    /// Logs somebody in; the headers with which a change is made.
    pub async fn log_in(&self, user: &str) -> [String; 2] {
        let body = format!(r#"{{"user":"{user}","password":"{PASSWORD}"}}"#);
        let answer = self.ask("POST", "/api/v1/session", &[], &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        [answer.cookie(), format!("X-CSRF-Token: {}", answer.body["csrf"].as_str().unwrap())]
    }

    /// Stops listening.
    pub async fn close(self) {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap();
    }
}

/// Makes a user.
pub fn add_user(appliance: &Appliance, name: &str, role: Role) {
    let password = Password::new(PASSWORD.into()).unwrap();
    appliance.access().add_user(NewUser { name: name.parse().unwrap(), role, password }).unwrap();
}

fn ask(address: SocketAddr, certificate: &std::path::Path, request: &str) -> Answer {
    let mut pem = BufReader::new(std::fs::File::open(certificate).unwrap());
    let mut roots = RootCertStore::empty();
    for found in rustls_pemfile::certs(&mut pem) {
        roots.add(found.unwrap()).unwrap();
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address).unwrap());
    // A server that refuses early may hang up before it has read everything.
    let _ = stream.write_all(request.as_bytes());
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: serde_json::from_str(body).unwrap_or(Value::Null),
    }
}
