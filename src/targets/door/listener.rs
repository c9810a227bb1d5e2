//! Listening sockets: addresses as people write them, and the tasks that accept.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::task::JoinHandle;

use super::admission::Source;
use super::socket::Socket;

/// Where to listen: `ADDRESS:PORT`, or `unix:PATH`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Address {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A text that is no address.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is neither ADDRESS:PORT, like 127.0.0.1:10809, nor unix:PATH")]
pub struct BadAddress(String);

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        match text.strip_prefix("unix:") {
            Some(path) if !path.is_empty() => Ok(Self::Unix(path.into())),
            Some(_) => Err(BadAddress(text.to_owned())),
            None => text.parse().map(Self::Tcp).map_err(|_| BadAddress(text.to_owned())),
        }
    }
}

/// A listening socket, until it is dropped.
pub struct Bound {
    address: Address,
    task: JoinHandle<()>,
}

impl Bound {
    /// Where it listens.
    pub const fn address(&self) -> &Address {
        &self.address
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.task.abort();
        if let Address::Unix(path) = &self.address {
            // Somebody may have removed it already.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Time to wait after `accept` failed: it fails for want of descriptors, which others have to give back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Listens at `address` and calls `accept` with each connection, its peer's name, and where it is from.
///
/// # Errors
/// What the operating system gives.
pub async fn bind(
    address: &Address,
    accept: impl Fn(Socket, String, Source) + Send + Sync + 'static,
) -> io::Result<Bound> {
    match address {
        Address::Tcp(address) => {
            let listener = TcpListener::bind(address).await?;
            let address = Address::Tcp(listener.local_addr()?);
            let task = tokio::spawn(async move {
                loop {
                    match listener.accept().await {
                        Ok((stream, peer)) => {
                            accept(Socket::Tcp(stream), peer.to_string(), peer.ip().into());
                        }
                        Err(error) => pause(&error).await,
                    }
                }
            });
            Ok(Bound { address, task })
        }
        Address::Unix(path) => {
            let listener = bind_unix(path).await?;
            let task = tokio::spawn(async move {
                loop {
                    match listener.accept().await {
                        Ok((stream, _)) => {
                            let peer = local_peer(&stream);
                            accept(Socket::Unix(stream), peer, Source::Local);
                        }
                        Err(error) => pause(&error).await,
                    }
                }
            });
            Ok(Bound { address: address.clone(), task })
        }
    }
}

async fn pause(error: &io::Error) {
    tracing::warn!(%error, "accept a connection");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// Binds a Unix socket, in place of one that nobody listens at any more.
async fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            match UnixStream::connect(path).await {
                Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {
                    std::fs::remove_file(path)?;
                    UnixListener::bind(path)
                }
                _ => Err(error),
            }
        }
        outcome => outcome,
    }
}

fn local_peer(stream: &UnixStream) -> String {
    match stream.peer_cred().ok().and_then(|peer| peer.pid()) {
        Some(pid) => format!("unix, process {pid}"),
        None => "unix".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_shown() {
        for text in ["127.0.0.1:10809", "[::1]:10809", "unix:/run/tidemark/nbd.sock"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in ["", "unix:", "localhost", "127.0.0.1", "127.0.0.1:99999"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
