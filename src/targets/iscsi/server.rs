//! The door itself: portals, who is let in, the sessions there are, and the end of them all.
//!
//! Every connection is one task whose failure stays its own.

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::clock::Clock;
use base::rng::Rng;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::agreement::{Agreement, Destination};
use super::discovery::Directory;
use super::handshake::{farewell, log_in};
use super::intake::{Digests, Intake};
use super::limits::{CHALLENGE_LEN, REINSTATEMENT_TIME_MAX};
use super::login::{Login, Premises, Proof};
use super::pdu::wire::status;
use super::penalty::Penalties;
use super::portal::{self, Portal};
use super::register::{Entry, Place, Register, Registered};
use super::service::{Premises as ServicePremises, Service, Shared};
use super::session::Session;
use super::status::{SessionStatus, Totals};
use super::targets::{OpenTarget, Targets};
use super::window::Window;
use crate::door::admission::{Admission, Source};
use crate::door::completions::Order;
use crate::door::limits::{NEGOTIATION_TIME_MAX, SESSIONS_MAX};
use crate::door::listener::{self, Bound};
use crate::door::socket::Socket;
use crate::door::tally::{Counts, Tally};
use crate::door::{Address, SessionNumbers};
use crate::scsi::{InitiatorPort, Nexus, TargetPort};

struct Inner {
    targets: Arc<dyn Targets>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    numbers: SessionNumbers,
    admission: Admission,
    penalties: Penalties,
    register: Arc<Register>,
    listeners: Mutex<Vec<(Bound, u16)>>,
    announced: Mutex<Vec<(String, u16)>>,
    is_closing: AtomicBool,
    connections: AtomicU64,
    turned_away: AtomicU64,
    wrong_chap: AtomicU64,
    /// Cloned into every connection; when the last clone is gone, all have ended.
    alive: Mutex<Option<mpsc::Sender<Infallible>>>,
    all_ended: tokio::sync::Mutex<mpsc::Receiver<Infallible>>,
}

/// The iSCSI door. Clones are the same door.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

impl Server {
    /// A door to `targets` that listens nowhere yet. Its sessions are numbered by `numbers`; challenges
    /// come from `rng`, which must not be guessed.
    pub fn new(
        targets: Arc<dyn Targets>,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        numbers: SessionNumbers,
    ) -> Self {
        let (alive, all_ended) = mpsc::channel(1);
        let inner = Inner {
            targets,
            clock,
            rng,
            numbers,
            admission: Admission::default(),
            penalties: Penalties::default(),
            register: Arc::default(),
            listeners: Mutex::default(),
            announced: Mutex::default(),
            is_closing: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
            wrong_chap: AtomicU64::new(0),
            alive: Mutex::new(Some(alive)),
            all_ended: tokio::sync::Mutex::new(all_ended),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Listens at `address` as a portal of this group. Gives the address that it got: a port of 0 becomes
    /// a free one.
    ///
    /// # Errors
    /// What the operating system gives; a Unix socket that somebody listens at is `AddrInUse`.
    pub async fn listen(&self, address: &Address, portal_group: u16) -> io::Result<Address> {
        let server = self.clone();
        let bound = listener::bind(address, move |socket, peer, source| {
            server.accept(socket, peer, source, portal_group);
        })
        .await?;
        let address = bound.address().clone();
        lock(&self.inner.listeners).push((bound, portal_group));
        Ok(address)
    }

    /// Stops listening at `address`; its sessions go on. Says whether there was such a listener.
    pub fn unlisten(&self, address: &Address) -> bool {
        let mut listeners = lock(&self.inner.listeners);
        let before = listeners.len();
        listeners.retain(|(bound, _)| bound.address() != address);
        listeners.len() < before
    }

    /// Where it listens.
    pub fn portals(&self) -> Vec<Portal> {
        let portal = |(bound, group): &(Bound, u16)| Portal {
            address: bound.address().clone(),
            group: *group,
        };
        lock(&self.inner.listeners).iter().map(portal).collect()
    }

    /// Tells these addresses, `host:port` and group, instead of those that it listens at; none: those.
    pub fn announce(&self, portals: Vec<(String, u16)>) {
        *lock(&self.inner.announced) = portals;
    }

    /// Serves an initiator that is connected already: the other end of a socket pair. `peer` names it in
    /// the list of sessions.
    pub fn serve_connected(&self, stream: UnixStream, peer: String, portal_group: u16) {
        self.accept(Socket::Unix(stream), peer, Source::Local, portal_group);
    }

    /// The sessions there are, oldest first.
    pub fn sessions(&self) -> Vec<SessionStatus> {
        self.inner.register.statuses()
    }

    /// Ends a session at once. Says whether there was such a session.
    pub fn kill(&self, id: u64) -> bool {
        self.inner.register.kill_where(&|status| status.id == id) > 0
    }

    /// Ends at once the sessions for which `which` is true.
    pub fn end_where(&self, which: &dyn Fn(&SessionStatus) -> bool) {
        self.inner.register.kill_where(which);
    }

    /// What it has done.
    pub fn totals(&self) -> Totals {
        let (sessions, counts): (u64, Counts) = self.inner.register.totals();
        Totals {
            connections: self.inner.connections.load(Ordering::Relaxed),
            negotiating: self.inner.admission.len() as u64,
            turned_away: self.inner.turned_away.load(Ordering::Relaxed),
            wrong_chap: self.inner.wrong_chap.load(Ordering::Relaxed),
            sessions,
            counts,
        }
    }

    /// Ends: listens no more, asks initiators to log out, and waits until they did. Sessions that take
    /// longer than `grace` are ended.
    pub async fn shutdown(&self, grace: Duration) {
        lock(&self.inner.listeners).clear();
        self.inner.is_closing.store(true, Ordering::Relaxed);
        self.inner.register.order_all(Order::Close);
        self.inner.admission.clear();
        lock(&self.inner.alive).take();
        if timeout(grace, self.all_ended()).await.is_err() {
            tracing::info!("end iSCSI sessions that do not log out");
            self.inner.register.order_all(Order::Kill);
            if timeout(grace, self.all_ended()).await.is_err() {
                tracing::error!("iSCSI sessions wait for a disk that does not answer");
            }
        }
    }

    async fn all_ended(&self) {
        // Nothing is ever sent: the end of the channel is the message.
        while self.inner.all_ended.lock().await.recv().await.is_some() {}
    }

    fn accept(&self, socket: Socket, peer: String, source: Source, portal_group: u16) {
        let Some(alive) = lock(&self.inner.alive).clone() else { return };
        self.inner.connections.fetch_add(1, Ordering::Relaxed);
        let server = self.clone();
        tokio::spawn(async move {
            let _alive = alive;
            if !server.connection(socket, &peer, source, portal_group).await {
                server.inner.turned_away.fetch_add(1, Ordering::Relaxed);
            }
        });
    }

    /// Logs in and serves. Says whether there was a session.
    async fn connection(
        &self,
        mut socket: Socket,
        peer: &str,
        source: Source,
        portal_group: u16,
    ) -> bool {
        socket.tune();
        let mut pass = self.inner.admission.enter(source);
        let mut login = Login::new(self.premises(portal_group));
        let entered = tokio::select! {
            entered = timeout(
                NEGOTIATION_TIME_MAX,
                self.enter(&mut socket, &mut login, peer, source),
            ) => entered,
            () = pass.evicted() => {
                tracing::debug!(peer, "make room for another initiator");
                return false;
            }
        };
        let (agreement, registered) = match entered {
            Ok(Ok(Some(entered))) => entered,
            Ok(Ok(None)) => return false,
            Ok(Err(error)) => {
                tracing::debug!(peer, %error, "log in");
                return false;
            }
            Err(_) => {
                tracing::debug!(peer, "the initiator took too long to log in");
                return false;
            }
        };
        pass.leave();
        self.serve(socket, *agreement, registered).await;
        true
    }

    fn premises(&self, portal_group: u16) -> Premises {
        let mut challenge = [0; CHALLENGE_LEN];
        for chunk in challenge.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.inner.rng.next_u64().to_be_bytes());
        }
        let [challenge_id, ..] = self.inner.rng.next_u64().to_be_bytes();
        let targets = Arc::clone(&self.inner.targets);
        Premises { targets, portal_group, challenge, challenge_id }
    }

    /// Logs in, takes a place among the sessions and says so.
    async fn enter(
        &self,
        socket: &mut Socket,
        login: &mut Login,
        peer: &str,
        source: Source,
    ) -> io::Result<Option<(Box<Agreement>, Registered)>> {
        let delay = |proof: Proof| {
            let now = self.inner.clock.monotonic();
            let wait = self.inner.penalties.note(source, &proof.user, proof.is_right, now);
            if !proof.is_right {
                self.inner.wrong_chap.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(peer, user = proof.user, "wrong CHAP secret");
            }
            tokio::time::sleep(wait)
        };
        let Some(agreement) = log_in(socket, login, delay).await? else { return Ok(None) };
        match self.register(peer, &agreement).await {
            Ok(registered) => {
                socket.write_all(&login.accept(registered.tsih)).await?;
                Ok(Some((agreement, registered)))
            }
            Err(status) => {
                socket.write_all(&login.refuse(status)).await?;
                farewell(socket).await?;
                Ok(None)
            }
        }
    }

    async fn register(&self, peer: &str, agreement: &Agreement) -> Result<Registered, u16> {
        let mut tsih = agreement.tsih;
        loop {
            if self.inner.is_closing.load(Ordering::Relaxed) {
                return Err(status::UNAVAILABLE);
            }
            let entry = Entry::new(&self.inner, peer, agreement);
            match self.inner.register.enter(entry, tsih, SESSIONS_MAX) {
                Place::Taken(registered) => return Ok(registered),
                Place::Refused(status) => return Err(status),
                Place::After(mut old) => {
                    // The sender is dropped when the old session has ended.
                    let ended = async { while old.changed().await.is_ok() {} };
                    if timeout(REINSTATEMENT_TIME_MAX, ended).await.is_err() {
                        return Err(status::NO_ROOM);
                    }
                    // What it meant has ended for its sake.
                    tsih = 0;
                }
            }
        }
    }

    async fn serve(&self, socket: Socket, agreement: Agreement, registered: Registered) {
        let shared = Arc::clone(&registered.shared);
        let digests = Digests::from(&agreement.parameters);
        let window = Window::new(agreement.cmd_sn, agreement.stat_sn);
        let parameters = agreement.parameters;
        let announced = lock(&self.inner.announced).clone();
        let directory = Directory {
            targets: Arc::clone(&self.inner.targets),
            initiator: agreement.initiator.clone(),
            user: agreement.user.clone(),
            target: agreement.target.clone(),
            portals: portal::told(&announced, &self.portals(), socket.reached()),
        };
        let cid = agreement.cid;
        let (nexus, _guard) = self.join(agreement, &registered);
        let reset = {
            let (register, id, target) =
                (Arc::clone(&self.inner.register), registered.id, directory.target.clone());
            Box::new(move || {
                register.kill_where(&|status| status.target == target && status.id != id);
            })
        };
        let premises = ServicePremises { nexus, directory, cid, reset };
        let service = Service::new(premises, parameters, window, Arc::clone(&shared));
        let completions = Arc::clone(&shared.completions);
        Session::new(socket, Intake::new(digests), service, completions).run().await;
    }

    /// The nexus of a session, and what is to be kept as long as it is.
    fn join(
        &self,
        agreement: Agreement,
        registered: &Registered,
    ) -> (Option<Arc<Nexus>>, Option<OpenTarget>) {
        let Destination::Target(open) = agreement.destination else { return (None, None) };
        let group = agreement.portal_group;
        let initiator = InitiatorPort { name: agreement.initiator, isid: agreement.isid };
        let port = TargetPort::of(&agreement.target, group);
        let nexus = open.target.join(initiator, agreement.user, port);
        registered.sees(&nexus);
        (Some(nexus), Some(open))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Entry {
    fn new(inner: &Inner, peer: &str, agreement: &Agreement) -> Self {
        let isid = agreement.isid.iter().map(|byte| format!("{byte:02x}")).collect();
        let status = SessionStatus {
            id: inner.numbers.next(),
            peer: peer.to_owned(),
            initiator: agreement.initiator.clone(),
            initiator_alias: agreement.alias.clone(),
            target: agreement.target.clone(),
            portal_group: agreement.portal_group,
            isid,
            tsih: 0,
            chap_user: agreement.user.clone(),
            parameters: agreement.parameters,
            luns: Vec::new(),
            since_wall_ms: inner.clock.wall_ms(),
            counts: Tally::default().counts(),
        };
        Self::of(status, agreement.cid, Arc::new(Shared::default()))
    }
}
