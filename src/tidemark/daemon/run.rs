//! One life of the daemon: start, say so, serve, read the configuration again when told to, stop.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use api::{Certificates, Https};
use control::catalogue::on_a_thread;
use control::config::Overrides;
use control::quickstart::next_steps;
use control::{Appliance, Config, ControlError, StateDir, World};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::demo::Demo;
use super::log::Level;

/// How long API requests that are being answered may take when the daemon stops.
const API_STOP_DEADLINE: Duration = Duration::from_secs(5);

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    Stop,
    Reload,
}

/// What a life needs.
pub(super) struct Run<'a> {
    pub state: StateDir,
    pub overrides: Overrides,
    pub level: Level,
    pub is_quickstart: bool,
    pub demo: Option<&'a Demo>,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Run<'_> {
    /// From start to clean stop.
    ///
    /// # Errors
    /// Why it did not start, or did not stop clean.
    pub(super) async fn live(self, config: Config) -> Result<(), ControlError> {
        let mut signals = Signals::catch()?;
        let world = self.demo.map_or_else(World::system, Demo::world);
        let starting = async {
            let appliance = Appliance::start(self.state.clone(), config, world).await?;
            let shown = match self.demo {
                Some(demo) => Some(demo.show(&appliance).await?),
                None => None,
            };
            Ok::<_, ControlError>((appliance, shown))
        };
        let (appliance, shown) = tokio::select! {
            started = starting => started?,
            // Nothing was promised yet, and recovery starts over.
            () = signals.stop() => return Ok(()),
        };
        let (stop, stopping) = watch::channel(false);
        let api = serve(&appliance, stopping.clone())?;
        let console = Console::open(&appliance).await;
        let guidance = match (self.demo.zip(shown.as_ref()), console.address()) {
            (Some((demo, shown)), Some(address)) => shown.lines(demo, &address),
            _ if self.is_quickstart => next_steps(&appliance.begin().await?, &command_line()),
            _ => Vec::new(),
        };
        say_ready(&appliance, &[console.lines(&appliance).await, guidance].concat());
        let (certificates, https) = console.serve(&appliance, stopping);
        while signals.next().await == Order::Reload {
            self.reload(&appliance).await;
            if let Some(certificates) = &certificates {
                certificates.reload(&appliance);
            }
        }
        notify(&[NotifyState::Stopping]);
        tracing::info!("stopping");
        drop(shown);
        tokio::spawn(async move {
            signals.stop().await;
            tracing::warn!("stopping at once; the next start recovers from the journal");
            super::end_at_once();
        });
        stop.send_replace(true);
        let both = async { tokio::join!(api, https) };
        if tokio::time::timeout(API_STOP_DEADLINE, both).await.is_err() {
            tracing::warn!("API requests were left unanswered");
        }
        appliance.stop().await?;
        tracing::info!("stopped");
        Ok(())
    }

    /// Reads the configuration again. What is wrong with it is logged, and what can be used is used.
    async fn reload(&self, appliance: &Appliance) {
        let now = NotifyState::monotonic_usec_now().ok();
        notify(&[NotifyState::Reloading].into_iter().chain(now).collect::<Vec<_>>());
        match self.try_reload(appliance).await {
            Ok(()) => tracing::info!("configuration read again"),
            Err(error) => {
                tracing::error!(%error, "configuration not used; what was there before goes on");
            }
        }
        notify(&[NotifyState::Ready]);
    }

    async fn try_reload(&self, appliance: &Appliance) -> Result<(), ControlError> {
        let config = Config::load(&self.state, &self.overrides)?;
        self.level.set(config.log.level.as_deref())?;
        let reloaded = appliance.reload(config).await?;
        for waits in reloaded.needs_restart {
            tracing::warn!("{waits}");
        }
        Ok(())
    }
}

impl Signals {
    fn catch() -> Result<Self, ControlError> {
        let catch =
            |kind| signal(kind).map_err(|error| ControlError::state("listen to signals", &error));
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
            hang_up: catch(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.terminate.recv() => Order::Stop,
            _ = self.interrupt.recv() => Order::Stop,
            _ = self.hang_up.recv() => Order::Reload,
        }
    }

    /// Until somebody wants the daemon to stop.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The console over HTTPS, if it could be opened. Where it could not, volumes are served all the same, the socket
/// lets the owner in, and the status tells why.
struct Console(Option<Https>);

impl Console {
    async fn open(appliance: &Arc<Appliance>) -> Self {
        let opened = Https::open(appliance).await;
        Self(opened.unwrap_or_else(|error| {
            let what = match error.way_out() {
                Some(way_out) => format!("{error}; {way_out}"),
                None => error.to_string(),
            };
            tracing::error!("the console is closed: {what}");
            appliance.set_api_trouble(Some(what));
            None
        }))
    }

    fn address(&self) -> Option<String> {
        Some(self.0.as_ref()?.addresses().first()?.to_string())
    }

    /// Where people find it, and the way in for the first of them.
    async fn lines(&self, appliance: &Arc<Appliance>) -> Vec<String> {
        let Some(https) = &self.0 else { return Vec::new() };
        let Some(address) = https.addresses().first() else { return Vec::new() };
        let mut lines = vec![
            format!("Console: https://{address}/"),
            format!("  its certificate has the SHA-256 fingerprint {}", https.fingerprint()),
        ];
        let code = on_a_thread(appliance.access(), control::access::Access::setup_code).await;
        if let Ok(Some(code)) = code {
            lines.push("There is no user yet; whoever opens this link makes the first one:".into());
            lines.push(format!("  https://{address}/#/setup/{code}"));
        }
        lines
    }

    fn serve(
        self,
        appliance: &Arc<Appliance>,
        mut stopping: watch::Receiver<bool>,
    ) -> (Option<Arc<Certificates>>, JoinHandle<()>) {
        let certificates = self.0.as_ref().map(|https| Arc::clone(https.certificates()));
        let appliance = Arc::clone(appliance);
        let serving = tokio::spawn(async move {
            if let Some(https) = self.0 {
                let stop = async move {
                    // An error means that the daemon is gone, which is a stop as well.
                    let _ = stopping.wait_for(|stop| *stop).await;
                };
                https.serve(appliance, stop).await;
            }
        });
        (certificates, serving)
    }
}

fn serve(
    appliance: &Arc<Appliance>,
    mut stopping: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, ControlError> {
    let listener = appliance.bind_socket()?;
    let appliance = Arc::clone(appliance);
    Ok(tokio::spawn(async move {
        let stop = async move {
            // An error means that the daemon is gone, which is a stop as well.
            let _ = stopping.wait_for(|stop| *stop).await;
        };
        if let Err(error) = api::serve(listener, appliance, stop).await {
            tracing::error!(%error, "serve the API");
        }
    }))
}

/// The one line on the standard output that others wait for, and the guidance where it was asked for.
fn say_ready(appliance: &Appliance, guidance: &[String]) {
    let status = appliance.status();
    let doors = status.doors.iter().map(|door| format!(", {} {}", door.protocol, door.address));
    let line = format!("tidemarkd ready: state {}{}", status.state_dir, doors.collect::<String>());
    let mut out = std::io::stdout().lock();
    let mut said = writeln!(out, "{line}");
    for line in guidance {
        said = said.and_then(|()| writeln!(out, "{line}"));
    }
    if let Err(error) = said.and_then(|()| out.flush()) {
        tracing::warn!(%error, "nobody reads the standard output");
    }
    notify(&[NotifyState::Ready, NotifyState::Status(&line)]);
}

/// Tells the service manager, where there is one.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "tell the service manager");
    }
}

/// How to call the command line: beside this program where it is there.
fn command_line() -> String {
    let beside = std::env::current_exe().ok().map(|path| path.with_file_name("tidemark"));
    match beside.filter(|path| path.is_file()) {
        Some(path) => path.display().to_string(),
        None => "tidemark".to_owned(),
    }
}
