//! The demo: a throw-away appliance with people, volumes, a month of history, and load that goes on.
//!
//! Nothing in it is made up: people of the demo asked for everything by the API, and clients wrote through the NBD door,
//! under a clock that began a month ago and was moved to the present. It listens on the loopback alone.

mod history;
mod scene;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::clock::LateClock;
use base::rng::{SystemRng, unguessable};
use base::size::ByteSize;
use control::config::{ListenAddress, Overrides, PortalAddress};
use control::demo::Load;
use control::{Appliance, ControlError, World};
use tokio::task::JoinSet;

use scene::People;

/// How far back its history goes.
const HISTORY: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Its journal: a demo must not take the space of an appliance.
const JOURNAL_LEN: ByteSize = ByteSize(128 << 20);
/// The file by which the state directory of a demo is known.
const SIGN: &str = "demo";
/// What is logged: what the demo does to itself is nobody's news.
pub(super) const LOG_LEVEL: &str = "warn,fuser=error";

/// A demo that is to be shown.
pub(super) struct Demo {
    clock: Arc<LateClock>,
    place: PathBuf,
    is_kept: bool,
    has_history: bool,
}

/// What goes on while a demo is shown, and what to say about it.
pub(super) struct Shown {
    people: People,
    _load: JoinSet<()>,
}

impl Demo {
    /// Finds a place: the state directory that was named, which must be a demo's or new, or one of its own.
    ///
    /// # Errors
    /// `Invalid` where the directory is an appliance's, or `State`.
    pub(super) fn at(named: Option<&Path>) -> Result<Self, ControlError> {
        let place = match named {
            Some(path) => path.to_owned(),
            None => own_place()?,
        };
        let has_history = place.join(SIGN).is_file();
        if !has_history && place.join("pool").exists() {
            return Err(ControlError::Invalid {
                why: format!("{} is the state of an appliance, and no demo", place.display()),
                way_out: "name a directory that is not there yet, or leave --state out".into(),
            });
        }
        let behind = if has_history { Duration::ZERO } else { HISTORY };
        let clock = Arc::new(LateClock::behind(behind));
        Ok(Self { clock, place, is_kept: named.is_some(), has_history })
    }

    /// Its state directory.
    pub(super) fn path(&self) -> &Path {
        &self.place
    }

    /// Its time.
    pub(super) fn world(&self) -> World {
        World { clock: Arc::clone(&self.clock) as _, rng: Arc::new(SystemRng) }
    }

    /// What is laid over its configuration: free ports of the loopback, two groups of iSCSI portals.
    pub(super) fn overrides() -> Overrides {
        let nowhere_else = "127.0.0.1:0".to_owned();
        let portal = |group| PortalAddress { address: nowhere_else.clone(), group };
        Overrides {
            name: "demo".parse().ok(),
            listen: Some(vec![ListenAddress::Tcp(nowhere_else.clone())]),
            iscsi_listen: Some(vec![portal(1), portal(2)]),
            api_listen: Some(vec![nowhere_else]),
            journal_size: Some(JOURNAL_LEN),
            ..Overrides::default()
        }
    }

    /// Lets its history happen, unless it has one, and begins the load.
    ///
    /// # Errors
    /// What the API says to the people of the demo.
    pub(super) async fn show(&self, office: &Arc<Appliance>) -> Result<Shown, ControlError> {
        let load = Load::of(office, Arc::new(SystemRng))?;
        let people = match self.has_history {
            true => People::again(office).await?,
            false => {
                let people = People::first(office).await?;
                history::happen(&history::Stage {
                    office,
                    clock: &self.clock,
                    people: &people,
                    load: &load,
                    place: &self.place,
                })
                .await?;
                std::fs::write(self.place.join(SIGN), "This state directory is a demo's.\n")
                    .map_err(|error| ControlError::state("sign the demo", &error))?;
                people
            }
        };
        self.clock.catch_up();
        Ok(Shown { people, _load: load.go_on(scene::busy_volumes()) })
    }

    /// Removes what was made, unless it is to be kept.
    pub(super) fn clear(&self) {
        if self.is_kept {
            return;
        }
        if let Err(error) = std::fs::remove_dir_all(&self.place) {
            tracing::warn!(place = %self.place.display(), %error, "remove the demo");
        }
    }

    fn ending(&self) -> String {
        match self.is_kept {
            true => format!("Ctrl-C ends it; it stays in {}.", self.place.display()),
            false => "Ctrl-C ends it and removes everything.".into(),
        }
    }
}

impl Shown {
    /// What to say, with the address of the console.
    pub(super) fn lines(&self, demo: &Demo, console: &str) -> Vec<String> {
        vec![
            format!(
                "Demo: https://{console}/ shows a month in the life of an appliance; sign in as {} with {}",
                scene::names(),
                self.people.password
            ),
            demo.ending(),
        ]
    }
}

/// A new directory for this demo alone.
fn own_place() -> Result<PathBuf, ControlError> {
    let number = u64::from_le_bytes(unguessable());
    let place = std::env::temp_dir().join(format!("tidemark-demo-{number:016x}"));
    let made = DirBuilder::new().mode(0o700).create(&place);
    made.map_err(|error| ControlError::state(format!("make {}", place.display()), &error))?;
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_appliance_is_never_taken_for_a_demo() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        assert!(!Demo::at(Some(&path)).unwrap().has_history);
        std::fs::create_dir_all(path.join("pool")).unwrap();
        let Err(error) = Demo::at(Some(&path)) else { panic!("it was taken") };
        assert!(error.to_string().contains("no demo"), "{error}");
        std::fs::write(path.join(SIGN), "").unwrap();
        assert!(Demo::at(Some(&path)).unwrap().has_history);
    }

    #[test]
    fn a_place_of_its_own_goes_and_one_that_was_named_stays() {
        let demo = Demo::at(None).unwrap();
        assert!(demo.path().is_dir());
        demo.clear();
        assert!(!demo.path().exists());
        let folder = tempfile::tempdir().unwrap();
        Demo::at(Some(folder.path())).unwrap().clear();
        assert!(folder.path().is_dir());
    }
}
