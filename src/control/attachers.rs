//! The ways to attach disks to this host, wired to what serves them.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use base::clock::Clock;
use disk::AnyDisk;
use kernel_stubs::Attacher;
use kernel_stubs::attach::fuse_loop::FuseLoop;
use kernel_stubs::attach::nbd::{KernelNbd, Serve, ServeRequest};
use targets::door::SessionNumbers;
use targets::nbd::Server;
use targets::{Export, ExportError, ExportSummary, Exports, NoContexts};
use tokio::runtime::Handle;

/// All ways that there are, best first; not each works on every host. FUSE mounts lie below `run_dir`.
/// Must be called within a runtime.
pub(crate) fn of_this_host(run_dir: &Path, clock: &Arc<dyn Clock>) -> Vec<Arc<dyn Attacher>> {
    vec![
        Arc::new(KernelNbd::new(serve(Handle::current(), Arc::clone(clock)))),
        Arc::new(FuseLoop::new(run_dir)),
    ]
}

/// Serves the kernel's own NBD client, which sees the attached disk and nothing else.
fn serve(runtime: Handle, clock: Arc<dyn Clock>) -> Serve {
    Arc::new(move |request: ServeRequest, stream: UnixStream| {
        let _within = runtime.enter();
        let ready = stream.set_nonblocking(true);
        match ready.and_then(|()| tokio::net::UnixStream::from_std(stream)) {
            Ok(stream) => {
                let peer = format!("kernel, {}", request.name);
                let exports = OneExport { disk: request.disk, is_read_only: request.is_read_only };
                let server =
                    Server::new(Arc::new(exports), Arc::clone(&clock), SessionNumbers::default());
                server.serve_connected(stream, peer);
            }
            // The other end sees that nobody answers, and fails.
            Err(error) => tracing::error!(%error, "serve an attached disk"),
        }
    })
}

/// The only name that the kernel's client could ask for; it asks for the default.
const NAME: &str = "attached";

struct OneExport {
    disk: AnyDisk,
    is_read_only: bool,
}

impl Exports for OneExport {
    fn list(&self) -> Vec<ExportSummary> {
        vec![ExportSummary { name: NAME.into(), description: String::new() }]
    }

    fn open(&self, name: &str) -> Result<Export, ExportError> {
        if name != NAME {
            return Err(ExportError::Unknown);
        }
        Ok(Export {
            name: NAME.into(),
            description: String::new(),
            disk: Arc::clone(&self.disk),
            is_read_only: self.is_read_only,
            contexts: Arc::new(NoContexts),
            guard: None,
        })
    }

    fn default_name(&self) -> Option<String> {
        Some(NAME.into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use base::clock::ManualClock;
    use disk::MemDisk;

    use super::*;

    /// Opens the default export as the oldest clients do, and gives its length and flags.
    ///
    /// Source: NBD protocol, "NBD_OPT_EXPORT_NAME".
    fn open(mut stream: UnixStream) -> (u64, u16) {
        stream.read_exact(&mut [0; 18]).unwrap();
        stream.write_all(&3u32.to_be_bytes()).unwrap();
        stream.write_all(b"IHAVEOPT\0\0\0\x01\0\0\0\0").unwrap();
        let (mut len, mut flags) = ([0; 8], [0; 2]);
        stream.read_exact(&mut len).unwrap();
        stream.read_exact(&mut flags).unwrap();
        (u64::from_be_bytes(len), u16::from_be_bytes(flags))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_kernel_sees_the_attached_disk_and_whether_it_takes_changes() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
        let serve = serve(Handle::current(), clock);
        for is_read_only in [false, true] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let disk: AnyDisk = Arc::new(MemDisk::new(2048));
            serve(ServeRequest { disk, is_read_only, name: "mail".into() }, theirs);
            let (len, flags) = tokio::task::spawn_blocking(|| open(ours)).await.unwrap();
            assert_eq!((len, flags & 2 != 0), (1 << 20, is_read_only));
        }
    }
}
