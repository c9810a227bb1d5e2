//! The sockets that clients come by, plain or within TLS, as one kind of stream.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use super::limits::SOCKET_SEND_LEN;

/// A connection without TLS.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

impl Socket {
    /// The address of this host that the client reached.
    pub fn reached(&self) -> Option<std::net::IpAddr> {
        match self {
            Self::Tcp(stream) => {
                stream.local_addr().ok().map(|address| address.ip().to_canonical())
            }
            Self::Unix(_) => None,
        }
    }

    /// Sets what makes it quick, and finds out clients that are gone.
    pub fn tune(&self) {
        let outcome = match self {
            Self::Tcp(stream) => stream.set_nodelay(true).and_then(|()| {
                setsockopt(stream, sockopt::KeepAlive, &true)?;
                setsockopt(stream, sockopt::TcpKeepIdle, &60)?;
                setsockopt(stream, sockopt::TcpKeepInterval, &15)?;
                Ok(setsockopt(stream, sockopt::TcpKeepCount, &4)?)
            }),
            // The kernel grants privileged users what it would cut for others.
            Self::Unix(stream) => setsockopt(stream, sockopt::SndBufForce, &SOCKET_SEND_LEN)
                .or_else(|_| setsockopt(stream, sockopt::SndBuf, &SOCKET_SEND_LEN))
                .map_err(io::Error::from),
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "set socket options");
        }
    }
}

/// A connection, plain or within TLS.
#[derive(Debug)]
pub enum Stream {
    /// Plain.
    Plain(Socket),
    /// Within TLS.
    Secured(Box<TlsStream<Socket>>),
}

macro_rules! each {
    ($self:expr, $kind:ident: $($variant:ident)|+, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            $($kind::$variant($stream) => {
                let $stream = Pin::new($stream);
                $call
            })+
        }
    };
}

macro_rules! forward {
    ($kind:ident: $first:ident | $second:ident) => {
        impl AsyncRead for $kind {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                each!(self, $kind: $first | $second, stream => stream.poll_read(cx, buf))
            }
        }

        impl AsyncWrite for $kind {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                each!(self, $kind: $first | $second, stream => stream.poll_write(cx, bytes))
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                each!(self, $kind: $first | $second, stream => stream.poll_write_vectored(cx, slices))
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                each!(self, $kind: $first | $second, stream => stream.poll_flush(cx))
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                each!(self, $kind: $first | $second, stream => stream.poll_shutdown(cx))
            }
        }
    };
}

forward!(Socket: Tcp | Unix);
forward!(Stream: Plain | Secured);
