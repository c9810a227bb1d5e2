//! One appliance: a state directory, the pool in it, and everything that uses that pool.
//!
//! Order of a life: the state directory is taken, what a dead daemon left attached is cleaned up, the
//! pool is opened, the doors open, policies run. It ends in the opposite order. What an operation is allowed to do is
//! decided in `volumes`, `marks`, `views`, `groups`, `policy`; this file only holds it together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::clock::Clock;
use base::rng::Rng;
use disk::Shelf;
use kernel_stubs::Attacher;
use store::{Pool, World};
use tokio::task::JoinHandle;

use crate::access::Access;
use crate::alerts::rule::Finding;
use crate::alerts::{self, Alerts};
use crate::answers::Answers;
use crate::attachers::of_this_host;
use crate::attachments::Attachments;
use crate::audit::Audit;
use crate::capacity::Capacity;
use crate::catalogue::{Catalogue, on_a_thread};
use crate::config::{ApiConfig, Config};
use crate::doors::{Doors, Protocol, SessionStatus};
use crate::error::ControlError;
use crate::events::{self, Events};
use crate::exports::PoolExports;
use crate::inspect::open_shelf;
use crate::inventory::{self, Inventory};
use crate::iscsi::Iscsi;
use crate::job_history::Past;
use crate::jobs::Jobs;
use crate::opening::{close_pool, keep_copies, open_catalogue, watch};
use crate::policy::Policies;
use crate::secrets::Vault;
use crate::state::{StateDir, StateLock, while_in_use};
use crate::status::{
    self, ApplianceStatus, DoorStatus, ExportStatus, PoolStatus, Trouble, ViewStatus, VolumeStatus,
};
use crate::traffic::Traffic;
use crate::uses::{Closing, Scope, Uses};
use crate::volumes::Sessions;

/// How long a process on its way out may hold the pool after the state directory.
const POOL_HOLDER: Duration = Duration::from_secs(5);

/// A running appliance.
pub struct Appliance {
    state: StateDir,
    lock: StateLock,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    started_ms: u64,
    config: Mutex<Config>,
    not_in_force: Mutex<Vec<String>>,
    pool: Arc<Pool>,
    background: Mutex<Option<JoinHandle<()>>>,
    uses: Uses,
    exports: Arc<PoolExports>,
    iscsi: Arc<Iscsi>,
    /// Looks whether mapped disks are there, and measures what clients do.
    watch: JoinHandle<()>,
    doors: Doors,
    attachments: Attachments,
    jobs: Jobs,
    vault: Arc<Vault>,
    traffic: Arc<Traffic>,
    catalogue: Arc<Catalogue>,
    access: Arc<Access>,
    answers: Arc<Answers>,
    audit: Arc<Audit>,
    /// Keeps the copy of the catalogue.
    copying: JoinHandle<()>,
    api: Mutex<Vec<DoorStatus>>,
    api_trouble: Mutex<Option<String>>,
    events: Events,
    policies: Arc<Policies>,
    inventory: Arc<Inventory>,
    capacity: Arc<Capacity>,
    alerts: Arc<Alerts>,
}

/// Where an appliance lives and what it may use of its host.
pub struct Site {
    /// The state directory.
    pub state: StateDir,
    /// The right to use it.
    pub lock: StateLock,
    /// Where the pool lies.
    pub shelf: Arc<dyn Shelf>,
    /// Ways to attach disks to this host, best first.
    pub attachers: Vec<Arc<dyn Attacher>>,
}

/// What came of reading the configuration again.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reloaded {
    /// What counts only after a restart, in words.
    pub needs_restart: Vec<String>,
}

impl Appliance {
    /// Starts the appliance of a state directory, and makes a pool there at the first start. Must be
    /// called within a runtime. When it returns, clients can come in.
    ///
    /// # Errors
    /// `StateInUse` where another daemon has it, `Listen` where an address is taken, or what the store
    /// says about the pool. A volume that does not open is no error: the others must not wait for it.
    pub async fn start(
        state: StateDir,
        config: Config,
        world: World,
    ) -> Result<Arc<Self>, ControlError> {
        let lock = state.take_from_the_dying().await?;
        // Of what a daemon had open, this lock may be the first to be free.
        let shelf = while_in_use(|_| POOL_HOLDER, || open_shelf(&state.pool())).await?;
        // Absolute, because the kernel shows it to people in its table of mounts.
        let mounts =
            std::path::absolute(state.attachments()).unwrap_or_else(|_| state.attachments());
        let attachers = of_this_host(&mounts.join("run"), &world.clock);
        Self::start_at(Site { state, lock, shelf, attachers }, config, world).await
    }

    /// Starts an appliance on what it is given, as [`Appliance::start`] does.
    ///
    /// # Errors
    /// As [`Appliance::start`].
    pub async fn start_at(
        site: Site,
        config: Config,
        world: World,
    ) -> Result<Arc<Self>, ControlError> {
        let Site { state, lock, shelf, attachers } = site;
        if state.is_open_to_others() {
            tracing::warn!(dir = %state.path().display(), "others may enter the state directory; `chmod 700` keeps them out");
        }
        let clock = Arc::clone(&world.clock);
        let attachments = Attachments::new(state.attachments(), attachers, Arc::clone(&clock));
        attachments.clean_up().await;
        // Before the doors open: who sees one looks for the socket at once, and that must not wait for a database.
        let catalogue = open_catalogue(&state).await?;
        let past = Past::of(&catalogue, clock.wall_ms()).await;
        let inventory = Inventory::new(Arc::clone(&catalogue), &state, config.pool.forgotten);
        let pool = inventory.open_pool(shelf, config.pool_options(), &world).await?;
        let background = tokio::spawn(Arc::clone(&pool).run());
        let uses = Uses::default();
        let events = Events::new(Arc::clone(&clock));
        let traffic = Arc::new(Traffic::new(Arc::clone(&pool), Arc::clone(&clock)));
        let default = config.nbd.default_export.clone();
        let exports = Arc::new(PoolExports::new(Arc::clone(&traffic), uses.clone(), default));
        let vault = Arc::new(Vault::open(state.path()));
        let by = Arc::clone(&traffic);
        let targets = Iscsi::open(by, state.path(), Arc::clone(&vault), events.clone());
        let iscsi = Arc::new(targets);
        let opened = Doors::open(Arc::clone(&exports), Arc::clone(&iscsi), &config, &world).await;
        let doors = match opened {
            Ok(doors) => doors,
            Err(error) => {
                close_pool(&pool, background).await?;
                return Err(error);
            }
        };
        let (of, at, name) = (Arc::clone(&catalogue), Arc::clone(&clock), config.appliance_name());
        let place = alerts::Place::new(state.path(), Arc::clone(&vault));
        let alerts = Alerts::open(place, name, of, at, events.clone());
        let appliance = Self {
            access: Arc::new(Access::new(Arc::clone(&catalogue), Arc::clone(&clock))),
            answers: Arc::new(Answers::new(&catalogue, &vault, &clock)),
            audit: Arc::new(Audit::new(Arc::clone(&catalogue), Arc::clone(&clock), state.path())),
            copying: tokio::spawn(keep_copies(Arc::clone(&catalogue))),
            policies: Arc::new(Policies::open(state.path(), Arc::clone(&catalogue)).await),
            inventory: Arc::new(inventory),
            catalogue,
            vault,
            api: Mutex::default(),
            api_trouble: Mutex::default(),
            lock,
            started_ms: clock.wall_ms(),
            config: Mutex::new(config),
            not_in_force: Mutex::default(),
            pool,
            background: Mutex::new(Some(background)),
            uses,
            exports,
            watch: tokio::spawn(watch(Arc::clone(&iscsi), Arc::clone(&traffic))),
            iscsi,
            traffic,
            doors,
            attachments,
            jobs: Jobs::new(Arc::clone(&clock), events.clone(), past),
            events,
            capacity: Arc::new(Capacity::open(state.path())),
            alerts: Arc::new(alerts),
            clock,
            rng: Arc::clone(&world.rng),
            state,
        };
        let appliance = Arc::new(appliance);
        appliance.begin_tasks().await;
        Ok(appliance)
    }

    /// Begins what goes on by itself.
    async fn begin_tasks(self: &Arc<Self>) {
        self.watch_what_goes_on();
        tokio::spawn(events::watch(Arc::downgrade(self)));
        self.look_at_inventory().await;
        tokio::spawn(inventory::watch(Arc::downgrade(self)));
        self.policies.begin(self);
        self.capacity.begin(self);
        self.alerts.begin(self);
    }

    /// What the store was still copying when the last daemon ended goes on; so do the jobs.
    fn watch_what_goes_on(&self) {
        for volume in self.pool.volumes() {
            if let Some(rollback) = &volume.rollback {
                self.watch_rollback(&volume.name, &rollback.safety);
            }
        }
        for view in self.pool.views() {
            if view.promotion.is_some()
                && let Err(error) = self.watch_promotion(&view.name)
            {
                tracing::warn!(view = %view.name, %error, "watch a promotion");
            }
        }
    }

    /// Takes another configuration, as far as that goes without a restart: doors, certificates and the
    /// default export. Sessions go on.
    ///
    /// # Errors
    /// `Listen` or `Config` where a door cannot be had as asked; the others are as asked then.
    pub async fn reload(&self, config: Config) -> Result<Reloaded, ControlError> {
        self.exports.set_default(config.nbd.default_export.clone());
        let opened = self.doors.reload(&config).await;
        self.alerts.open_again().await;
        let needs_restart = self.config().needs_restart(&config);
        let mut told = needs_restart.clone();
        told.extend(opened.as_ref().err().map(|error| {
            format!("{error}; correct the configuration and reload, and the door is there")
        }));
        *self.not_in_force() = told;
        // The pool's choices stay those it was opened with, so that what waits is told until it counts.
        let mut current = self.config();
        current.nbd = config.nbd;
        current.iscsi = config.iscsi;
        let listen = current.api.listen.clone();
        current.api = ApiConfig { listen, ..config.api };
        current.log = config.log;
        opened.map(|()| Reloaded { needs_restart })
    }

    /// Ends everything in order: sessions, attachments, jobs, then the pool, which has nothing to recover
    /// at the next start.
    ///
    /// # Errors
    /// What the store says where it could not close clean; nothing that was answered is lost then
    /// either, the next start recovers it from the journal.
    pub async fn stop(&self) -> Result<(), ControlError> {
        self.watch.abort();
        self.copying.abort();
        self.alerts.stop().await;
        self.policies.stop().await;
        self.capacity.stop().await;
        self.doors.close().await;
        self.attachments.detach_all().await;
        self.jobs.stop().await;
        self.state.remove_socket(&self.lock);
        self.close_inventory().await;
        if let Err(error) = on_a_thread(&self.catalogue, Catalogue::keep_copy).await {
            tracing::warn!(%error, "copy the catalogue into the pool");
        }
        let background = self.background.lock().unwrap_or_else(PoisonError::into_inner).take();
        match background {
            Some(background) => close_pool(&self.pool, background).await,
            None => Ok(()),
        }
    }

    /// Opens the API's socket.
    ///
    /// # Errors
    /// `State`, with what the operating system says.
    pub fn bind_socket(&self) -> Result<std::os::unix::net::UnixListener, ControlError> {
        self.state.bind_socket(&self.lock)
    }

    /// The appliance as a whole.
    pub fn status(&self) -> ApplianceStatus {
        let (pool, volumes, views) = (self.pool.status(), self.pool.volumes(), self.pool.views());
        let mut troubles = self.own_troubles(&pool, &volumes, &views);
        troubles.extend(self.findings_of(&pool).iter().map(|finding| finding.trouble()));
        ApplianceStatus {
            name: self.config().appliance_name(),
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            started_ms: self.started_ms,
            now_ms: self.clock.wall_ms(),
            state_dir: self.state.path().display().to_string(),
            pool,
            volumes,
            views,
            targets: self.targets(),
            doors: [self.doors.status(), self.api_doors().clone()].concat(),
            sessions: self.doors.sessions().len(),
            attachments: self.attachments.list(),
            jobs_running: self.jobs.running(),
            alerts_open: self.alerts.count(),
            troubles,
        }
    }

    /// What is wrong that no part of the appliance tells as a trouble.
    pub(crate) fn findings_of(&self, pool: &PoolStatus) -> Vec<Finding> {
        [self.alerts.findings(pool), self.inventory.findings(pool)].concat()
    }

    /// What a person should look at that parts of the appliance tell by themselves.
    pub(crate) fn own_troubles(
        &self,
        pool: &PoolStatus,
        volumes: &[VolumeStatus],
        views: &[ViewStatus],
    ) -> Vec<Trouble> {
        let mut troubles = status::troubles(pool, volumes, views);
        troubles.extend(self.other_troubles());
        if self.has_background_ended() {
            let what =
                "the pool's background work has ended; the log says why. Start the daemon again";
            troubles.insert(0, Trouble { of: "pool".into(), what: what.into(), is_failure: true });
        }
        troubles
    }

    fn other_troubles(&self) -> Vec<Trouble> {
        let is_closed = self.iscsi.damage().is_some();
        let iscsi = self.iscsi.troubles().into_iter();
        let mut all: Vec<_> =
            iscsi.map(|(of, what)| Trouble { of, what, is_failure: is_closed }).collect();
        all.extend(self.doors.iscsi().missing().map(|why| Trouble {
            of: "iscsi".into(),
            what: format!(
                "it is closed: {why}; choose where it listens with --iscsi or iscsi.listen in the \
                 configuration, or `none`"
            ),
            is_failure: false,
        }));
        all.extend(self.iscsi.locked().or_else(|| self.vault.trouble()).map(|error| Trouble {
            of: "secrets".into(),
            what: match error.way_out() {
                Some(way_out) => format!("{error}; {way_out}"),
                None => error.to_string(),
            },
            is_failure: self.iscsi.locked().is_some(),
        }));
        all.extend(self.catalogue.trouble().map(|what| Trouble {
            of: "catalogue".into(),
            what,
            is_failure: false,
        }));
        let api = self.api_trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.extend(api.map(|what| Trouble { of: "console".into(), what, is_failure: false }));
        all.extend(self.policies.troubles());
        all.extend(self.capacity.troubles());
        all.extend(self.not_in_force().iter().map(|what| Trouble {
            of: "configuration".into(),
            what: what.clone(),
            is_failure: false,
        }));
        all
    }

    /// What clients may open: so many of it, from behind the export of this name on.
    ///
    /// # Errors
    /// `Invalid`: no export can have that name.
    pub fn exports(
        &self,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<ExportStatus>, ControlError> {
        let open: Vec<String> =
            self.doors.sessions().into_iter().map(|session| session.export).collect();
        self.exports.status(after, most, &open)
    }

    /// Who is connected.
    pub fn sessions(&self) -> Vec<SessionStatus> {
        self.doors.sessions()
    }

    /// Ends a session.
    ///
    /// # Errors
    /// `UnknownSession`.
    pub fn end_session(&self, id: u64) -> Result<(), ControlError> {
        self.doors.end(id)
    }

    /// The state directory.
    pub fn state(&self) -> &StateDir {
        &self.state
    }

    /// Who may come in.
    pub fn access(&self) -> &Arc<Access> {
        &self.access
    }

    /// What was answered to requests with a key.
    pub fn answers(&self) -> &Arc<Answers> {
        &self.answers
    }

    /// What clients do with disks, in numbers.
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// Where secrets are sealed.
    pub fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    /// What was done by whom.
    pub fn audit(&self) -> &Arc<Audit> {
        &self.audit
    }

    /// What a person must know, and by which channels they are told.
    pub fn alerts(&self) -> &Arc<Alerts> {
        &self.alerts
    }

    /// When it was started, milliseconds since 1970.
    pub(crate) fn started_ms(&self) -> u64 {
        self.started_ms
    }

    /// What is configured for the API.
    pub fn api_config(&self) -> ApiConfig {
        self.config().api.clone()
    }

    /// Takes note of where the API listens besides the socket.
    pub fn set_api_doors(&self, doors: Vec<DoorStatus>) {
        *self.api_doors() = doors;
    }

    /// Takes note of the certificate by which those doors are known.
    pub fn set_api_fingerprint(&self, fingerprint: &str) {
        for door in self.api_doors().iter_mut() {
            door.fingerprint = Some(fingerprint.to_owned());
        }
    }

    /// Takes note of what is wrong with the API over HTTPS, for the status.
    pub fn set_api_trouble(&self, what: Option<String>) {
        *self.api_trouble.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    fn api_doors(&self) -> MutexGuard<'_, Vec<DoorStatus>> {
        self.api.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pool.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The jobs.
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// Where changes are told.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// What is attached to this host.
    pub fn attachments(&self) -> &Attachments {
        &self.attachments
    }

    pub(crate) fn iscsi(&self) -> &Iscsi {
        &self.iscsi
    }

    pub(crate) fn doors(&self) -> &Doors {
        &self.doors
    }

    pub(crate) fn uses(&self) -> &Uses {
        &self.uses
    }

    pub(crate) fn policy_desk(&self) -> &Arc<Policies> {
        &self.policies
    }

    pub(crate) fn inventory(&self) -> &Arc<Inventory> {
        &self.inventory
    }

    pub(crate) fn capacity_desk(&self) -> &Arc<Capacity> {
        &self.capacity
    }

    pub(crate) fn rng(&self) -> &dyn Rng {
        &*self.rng
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Lets nobody into these disks any more, after those inside have left or, where that is wanted,
    /// were sent away.
    pub(crate) async fn close_off(
        &self,
        scope: Scope,
        them: Sessions,
    ) -> Result<Closing, ControlError> {
        if them == Sessions::End {
            // iSCSI sessions have targets open, not disks: what they see is unmapped.
            let of = |session: &SessionStatus| match session.protocol {
                Protocol::Nbd => session.export.parse().ok(),
                Protocol::Iscsi => None,
            };
            let inside = self.doors.sessions().into_iter();
            for session in
                inside.filter(|session| of(session).is_some_and(|disk| scope.covers(&disk)))
            {
                // One that has just ended by itself is as good.
                let _ = self.doors.end(session.id);
            }
        }
        self.uses.close(scope).await
    }

    fn has_background_ended(&self) -> bool {
        let background = self.background.lock().unwrap_or_else(PoisonError::into_inner);
        background.as_ref().is_some_and(JoinHandle::is_finished)
    }

    fn config(&self) -> MutexGuard<'_, Config> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn not_in_force(&self) -> MutexGuard<'_, Vec<String>> {
        self.not_in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
