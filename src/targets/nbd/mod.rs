//! The NBD door: fixed newstyle negotiation, TLS, and the transmission of requests and replies.
//!
//! Cores are pure and take bytes or values: [`negotiation`], [`request`], [`intake`], [`reply`],
//! [`status`]. The shell around them: [`session`] serves one client, [`server`] all of them.
//! Source: the NBD protocol with its extension of extended headers.

pub mod admission;
pub mod agreement;
pub mod completions;
pub mod handshake;
pub mod intake;
pub mod limits;
pub mod listener;
pub mod negotiation;
pub mod option;
pub mod outbox;
pub mod pending;
pub mod reply;
pub mod request;
pub mod server;
pub mod service;
pub mod session;
pub mod socket;
pub mod status;
pub mod tally;
pub mod tls;
pub mod unaligned;
pub mod wire;

pub use server::{Address, Security, Server, SessionStatus, Totals};
pub use tls::{ClientCertificates, Tls, TlsError, TlsFiles};
