//! An appliance within the test: a state directory of its own, a pool in memory, a door on a socket.

use std::path::PathBuf;
use std::sync::Arc;

use control::config::{ApiConfig, IscsiConfig, ListenAddress, NbdConfig};
use control::{Appliance, Config, Site, StateDir, World};
use disk::MemShelf;
use kernel_stubs::Attacher;
use kernel_stubs::attach::double::Double;
use tempfile::TempDir;
use tidemark::client::Client;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running appliance.
pub struct Office {
    pub appliance: Arc<Appliance>,
    pub client: Client,
    /// What stands for the host's kernel.
    pub double: Double,
    pub dir: TempDir,
    stop: oneshot::Sender<()>,
    api: JoinHandle<()>,
}

impl Office {
    /// Starts one on an empty shelf.
    pub async fn start() -> Self {
        Self::start_on(Arc::new(MemShelf::new())).await
    }

    /// Starts one on a shelf.
    pub async fn start_on(shelf: Arc<MemShelf>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::new(dir.path().join("state"));
        let lock = state.take().unwrap();
        let mut config = config(vec![door(&dir, "nbd.sock")]);
        config.pool.journal_size = Some("8M".parse().unwrap());
        let double = Double::new();
        let attachers: Vec<Arc<dyn Attacher>> = vec![Arc::new(double.clone())];
        let site = Site { state: state.clone(), lock, shelf, attachers };
        let started = Appliance::start_at(site, config, World::system());
        let appliance = started.await.unwrap();
        let listener = appliance.bind_socket().unwrap();
        let (stop, stopped) = oneshot::channel();
        let served = api::serve(listener, Arc::clone(&appliance), async {
            let _ = stopped.await;
        });
        let api = tokio::spawn(async { served.await.unwrap() });
        Self { appliance, client: Client::new(state), double, dir, stop, api }
    }

    /// The API's socket.
    pub fn socket(&self) -> PathBuf {
        self.appliance.state().socket()
    }

    /// The door that is open from the start.
    pub fn door(&self) -> PathBuf {
        self.dir.path().join("nbd.sock")
    }

    /// Stops it clean.
    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        self.api.await.unwrap();
        self.appliance.stop().await.unwrap();
    }
}

/// The address of a door in a test's own directory.
pub fn door(dir: &TempDir, name: &str) -> ListenAddress {
    ListenAddress::Unix(dir.path().join(name))
}

/// A configuration that opens these doors and nothing else.
pub fn config(listen: Vec<ListenAddress>) -> Config {
    let iscsi = IscsiConfig { listen: Some(Vec::new()), ..IscsiConfig::default() };
    let api = ApiConfig { listen: Some(vec!["127.0.0.1:0".into()]), ..ApiConfig::default() };
    let nbd = NbdConfig { listen, ..NbdConfig::default() };
    Config { nbd, iscsi, api, ..Config::default() }
}
