//! Kernel NBD: the kernel's own client, on socket pairs whose other ends this process serves.
//!
//! The server is not known here: it is handed the other end of each socket pair, and is expected to
//! offer the disk there as its default export.

mod client;
mod handshake;
mod netlink;

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use disk::AnyDisk;
use nix::errno::Errno;

use super::release::{until_gone, when_unused};
use super::{
    AttachOptions, Attacher, Attachment, Availability, Held, Kind, Pending, blocking, keep,
};
use crate::error::AttachError;
use crate::record::AttachRecord;

pub(crate) use client::{connected_as, disconnect};

/// Connections to an export that allows several: the kernel gives each a queue of its own.
const CONNECTIONS_MAX: usize = 4;
/// How long the server may take to answer in a negotiation; it is in this very process.
const NEGOTIATION: Duration = Duration::from_secs(10);

/// One connection that wants a server.
#[derive(Clone)]
pub struct ServeRequest {
    /// What to offer as the default export.
    pub disk: AnyDisk,
    /// Offer it read-only.
    pub is_read_only: bool,
    /// The attachment's name, for lists of sessions.
    pub name: String,
}

/// Serves one connection, in the background, until it ends.
pub type Serve = Arc<dyn Fn(ServeRequest, UnixStream) + Send + Sync>;

/// Attaches by the kernel's NBD client.
#[derive(Clone)]
pub struct KernelNbd {
    serve: Serve,
}

impl KernelNbd {
    /// Attaches disks that `serve` serves. It is called from any thread and must not block.
    pub fn new(serve: Serve) -> Self {
        Self { serve }
    }

    /// Opens connections: one, or as many as the export allows.
    async fn dial(&self, request: &ServeRequest) -> Result<Dialled, AttachError> {
        let (first, opened) = self.dial_one(request).await?;
        let mut streams = vec![first];
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        if opened.flags & handshake::FLAG_MULTI_CONN != 0 {
            for _ in 1..cores.min(CONNECTIONS_MAX) {
                streams.push(self.dial_one(request).await?.0);
            }
        }
        Ok(Dialled { streams, opened })
    }

    async fn dial_one(
        &self,
        request: &ServeRequest,
    ) -> Result<(UnixStream, handshake::Opened), AttachError> {
        let failed = |source| AttachError::Io { what: "negotiate NBD".to_owned(), source };
        let (mut ours, theirs) = UnixStream::pair().map_err(failed)?;
        (self.serve)(request.clone(), theirs);
        blocking("negotiate NBD", move || {
            ours.set_read_timeout(Some(NEGOTIATION)).map_err(failed)?;
            let opened = handshake::open_default(&mut ours).map_err(failed)?;
            ours.set_read_timeout(None).map_err(failed)?;
            Ok((ours, opened))
        })
        .await
    }
}

struct Dialled {
    streams: Vec<UnixStream>,
    opened: handshake::Opened,
}

impl Attacher for KernelNbd {
    fn kind(&self) -> Kind {
        Kind::KernelNbd
    }

    fn name(&self) -> &'static str {
        "the kernel's NBD client"
    }

    fn availability(&self) -> Availability {
        if !nix::unistd::geteuid().is_root() {
            return Availability::No("only root can connect an NBD device".to_owned());
        }
        match client::family() {
            Ok(_) => Availability::Yes,
            Err(Errno::ENOENT) => Availability::No(
                "this kernel has none, or it is not loaded (try `modprobe nbd`)".to_owned(),
            ),
            Err(e) => Availability::No(format!("ask for it by netlink: {e}")),
        }
    }

    fn attach(&self, disk: AnyDisk, options: AttachOptions) -> Pending<'_, Attachment> {
        Box::pin(async move {
            if let Availability::No(why) = self.availability() {
                return Err(AttachError::Unavailable(why));
            }
            options.check_free()?;
            let mut record = AttachRecord::fresh(options.name.clone(), Kind::KernelNbd);
            record.save(&options.record)?;
            let is_read_only = options.is_read_only || disk.geometry().is_read_only;
            let request =
                ServeRequest { disk: disk.clone(), is_read_only, name: options.name.to_string() };
            let held = match self.make(&request, &record.token).await {
                Ok(held) => held,
                Err(error) => {
                    AttachRecord::remove(&options.record)?;
                    return Err(error);
                }
            };
            record.device = Some(held.device.clone());
            let attachment = Attachment::new(Box::new(held), disk, record.clone(), &options);
            keep(attachment, &record, &options.record).await
        })
    }
}

impl KernelNbd {
    async fn make(&self, request: &ServeRequest, token: &str) -> Result<HeldNbd, AttachError> {
        let Dialled { streams, mut opened } = self.dial(request).await?;
        if request.is_read_only {
            opened.flags |= handshake::FLAG_READ_ONLY;
        }
        let token = token.to_owned();
        let disk = request.disk.clone();
        blocking("connect NBD", move || {
            let (bytes, flags) = (opened.bytes, opened.flags);
            let asked = client::Connect { streams: &streams, bytes, flags, token: &token };
            let failed =
                |e: Errno| AttachError::Io { what: "connect NBD".to_owned(), source: e.into() };
            let device = client::connect(&asked).map_err(failed)?;
            if client::is_connected_as(&device, &token) {
                return Ok(HeldNbd { device, token, disk });
            }
            // Without its name, nobody could tell it from another's after a crash.
            client::disconnect(&device).map_err(failed)?;
            Err(AttachError::Unavailable(
                "this kernel does not remember who made an NBD device; Linux 5.14 does".to_owned(),
            ))
        })
        .await
    }
}

/// A connected device. Its connections belong to the kernel and to the server.
struct HeldNbd {
    device: PathBuf,
    token: String,
    disk: AnyDisk,
}

impl Held for HeldNbd {
    fn device(&self) -> &Path {
        &self.device
    }

    fn refresh_size(&mut self) -> Pending<'_, ()> {
        let (device, token) = (self.device.clone(), self.token.clone());
        let bytes = self.disk.geometry().sectors.saturating_mul(512);
        Box::pin(blocking("resize", move || {
            client::resize(&device, &token, bytes)
                .map_err(|e| AttachError::io("resize", &device, e))
        }))
    }

    fn release(&mut self) -> Pending<'_, ()> {
        Box::pin(async move {
            let is_there = |device: &Path| client::is_connected_as(device, &self.token);
            if !is_there(&self.device) {
                return Ok(());
            }
            when_unused(&self.device, client::release).await?;
            until_gone(&self.device, is_there).await
        })
    }
}
