//! The NBD door: fixed newstyle negotiation, TLS, and the transmission of requests and replies.
//!
//! Cores are pure and take bytes or values: [`negotiation`], [`request`], [`intake`], [`reply`],
//! [`status`]. The shell around them: [`session`] serves one client, [`server`] all of them.
//! Source: the NBD protocol with its extension of extended headers.

pub mod agreement;
pub mod client;
pub mod handshake;
pub mod intake;
pub mod limits;
pub mod negotiation;
pub mod option;
pub mod outcome;
pub mod pending;
pub mod reply;
pub mod request;
pub mod server;
pub mod service;
pub mod session;
pub mod status;
pub mod tls;
pub mod unaligned;
pub mod wire;

pub use server::{Address, Security, Server, SessionStatus, Totals};
pub use tls::{ClientCertificates, Tls, TlsError, TlsFiles};
