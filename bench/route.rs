//! The way to what a contender serves: over NBD, or over iSCSI. A load does not care which.

use crate::Outcome;
use crate::client::{Client, Limit};
use crate::contender::Server;
use crate::initiator::{Portal, Session};
use crate::libiscsi::Libiscsi;
use crate::plan::Plan;
use crate::tally::Tally;

/// A way to one disk.
#[derive(Clone, Debug)]
pub enum Route {
    /// The server's own export, over its Unix socket.
    Nbd,
    /// A logical unit, over TCP.
    Iscsi(Portal),
    /// The same through libiscsi.
    Libiscsi(Portal, Libiscsi),
}

impl Route {
    /// Connects.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub async fn connect(&self, server: &Server) -> Outcome<Connection> {
        Ok(match self {
            Self::Nbd => Connection::Nbd(server.connect().await?),
            Self::Iscsi(portal) => Connection::Iscsi(Session::open(portal).await?),
            Self::Libiscsi(portal, program) => {
                let session = Session::open(portal).await?;
                let size = session.size;
                session.close().await?;
                Connection::Libiscsi { portal: portal.clone(), program: program.clone(), size }
            }
        })
    }
}

/// A connection to one disk.
#[derive(Debug)]
pub enum Connection {
    /// Over NBD.
    Nbd(Client),
    /// Over iSCSI.
    Iscsi(Session),
    /// Through libiscsi, which connects anew for each load.
    Libiscsi {
        /// The logical unit.
        portal: Portal,
        /// The program that uses it.
        program: Libiscsi,
        /// Bytes of the unit.
        size: u64,
    },
}

impl Connection {
    /// Bytes of the disk.
    pub fn size(&self) -> u64 {
        match self {
            Self::Nbd(client) => client.size,
            Self::Iscsi(session) => session.size,
            Self::Libiscsi { size, .. } => *size,
        }
    }

    /// Runs a load and tells how it went. Returns when every request was answered.
    ///
    /// # Errors
    /// Where the server answers with an error, with nonsense, or not at all.
    pub async fn run(&mut self, plan: &mut Plan, depth: usize, limit: Limit) -> Outcome<Tally> {
        match self {
            Self::Nbd(client) => client.run(plan, depth, limit).await,
            Self::Iscsi(session) => session.run(plan, depth, limit).await,
            Self::Libiscsi { portal, program, .. } => program.run(portal, plan, depth, limit).await,
        }
    }

    /// Ends the connection in good order.
    ///
    /// # Errors
    /// Where it is broken already.
    pub async fn close(self) -> Outcome<()> {
        match self {
            Self::Nbd(client) => client.disconnect().await,
            Self::Iscsi(session) => session.close().await,
            Self::Libiscsi { .. } => Ok(()),
        }
    }
}
