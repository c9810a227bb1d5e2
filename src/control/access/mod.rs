//! Who may come in, and as what: users with passwords and sessions, programs with tokens. All of it lies in the
//! catalogue; nothing that opens a door lies there in the clear.
//!
//! Whoever opens the API's socket needs none of it: the file system says who may, and that is the owner of the
//! appliance ([`Caller::local`]).

mod hash;
pub mod password;
mod sessions;
mod throttle;
mod tokens;
mod users;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::clock::Clock;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use hash::hex;
pub use hash::is_same;
pub use password::Password;
pub use sessions::{SESSION_MAX_S, Session, SessionId};
pub use throttle::network;
pub use tokens::{NewToken, TOKEN_PREFIX, TokenMade, TokenStatus};
pub use users::{NewUser, UserChange, UserStatus};

use crate::catalogue::Catalogue;
use crate::error::ControlError;
use crate::role::Role;
use throttle::Throttle;

/// How often it is written down that a session or a token is used, in milliseconds.
const NOTED_EACH_MS: u64 = 60_000;
/// The name of whoever comes through the socket. No user may have it.
pub const LOCAL: &str = "local";

/// Somebody who is in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// The user, or [`LOCAL`]; a token acts for the user who made it.
    pub who: String,
    /// What they may do.
    pub role: Role,
    /// The token they came with, by its label.
    pub token: Option<String>,
    /// What a change must show besides the session's cookie.
    pub csrf: Option<String>,
    /// When the session or token ends, milliseconds since 1970.
    pub expires_ms: Option<u64>,
}

impl Caller {
    /// The owner, at the socket.
    pub fn local() -> Self {
        Self { who: LOCAL.into(), role: Role::Admin, token: None, csrf: None, expires_ms: None }
    }
}

/// Who is in, as the API tells them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct WhoAmI {
    /// The user, or `local`.
    pub user: String,
    /// What they may do.
    pub role: Role,
    /// What a change must carry in `x-csrf-token`, where a cookie says who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csrf: Option<String>,
    /// When they must log in again, milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
}

impl From<&Caller> for WhoAmI {
    fn from(caller: &Caller) -> Self {
        Self {
            user: caller.who.clone(),
            role: caller.role,
            csrf: caller.csrf.clone(),
            expires_ms: caller.expires_ms,
        }
    }
}

/// Everything about who may come in. Its calls block, on the catalogue and on passwords.
pub struct Access {
    catalogue: Arc<Catalogue>,
    clock: Arc<dyn Clock>,
    throttle: Throttle,
    /// Lets the first user be made by whoever reads it at the daemon's terminal.
    setup: Mutex<Option<String>>,
    /// When a use could not be written down last, milliseconds since 1970; 0 where it could.
    not_noted_ms: AtomicU64,
    /// How often somebody was put out.
    put_out: AtomicU64,
}

impl Access {
    /// Who may come in by this catalogue.
    pub fn new(catalogue: Arc<Catalogue>, clock: Arc<dyn Clock>) -> Self {
        let throttle = Throttle::new(Arc::clone(&clock));
        Self {
            catalogue,
            clock,
            throttle,
            setup: Mutex::default(),
            not_noted_ms: AtomicU64::new(0),
            put_out: AtomicU64::new(0),
        }
    }

    /// Whether nobody has a name here yet.
    ///
    /// # Errors
    /// `Catalogue`.
    pub fn is_fresh(&self) -> Result<bool, ControlError> {
        Ok(self.users()?.is_empty())
    }

    /// What makes the first admin, while there is nobody: to be shown at the daemon's terminal and nowhere else.
    ///
    /// # Errors
    /// `Catalogue`.
    pub fn setup_code(&self) -> Result<Option<String>, ControlError> {
        if !self.is_fresh()? {
            return Ok(None);
        }
        Ok(Some(
            self.setup().get_or_insert_with(|| hash::hex(&base::rng::unguessable::<16>())).clone(),
        ))
    }

    /// Makes the first admin.
    ///
    /// # Errors
    /// `NotKnown` where the code is not the one that was shown, `Conflict` where there is somebody already.
    pub fn set_up(&self, code: &str, new: NewUser) -> Result<UserStatus, ControlError> {
        let mut setup = self.setup();
        let is_right = setup.as_ref().is_some_and(|right| hash::is_same(right, code));
        if !is_right {
            return Err(ControlError::NotKnown {
                why: "this is not the code for the first start, or it was used already".into(),
                way_out: "the daemon prints the link at its start while there is no user; or, on its host, \
                          `tidemark user add NAME --role admin`"
                    .into(),
            });
        }
        if !self.is_fresh()? {
            // Whoever still has the link must not make another admin with it.
            *setup = None;
            return Err(ControlError::Conflict {
                why: "there is somebody already, so this is not the first start".into(),
                way_out: "log in; an admin makes more users with `user add`".into(),
            });
        }
        let made = self.add_user(NewUser { role: Role::Admin, ..new })?;
        *setup = None;
        Ok(made)
    }

    fn setup(&self) -> MutexGuard<'_, Option<String>> {
        self.setup.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        self.clock.wall_ms()
    }

    /// Writes down that a session or token is used, where that can be done. Where it cannot, whoever is in stays in:
    /// they may be the one who asks what is wrong with the catalogue; and it is not tried again at each request,
    /// since trying waits for whoever has it locked.
    fn note_use(
        &self,
        now: u64,
        noting: impl FnOnce(&rusqlite::Transaction<'_>) -> Result<(), ControlError>,
    ) {
        let failed = self.not_noted_ms.load(Ordering::Relaxed);
        if failed > 0 && now.abs_diff(failed) < NOTED_EACH_MS {
            return;
        }
        // Whoever comes while this one waits does not wait as well.
        self.not_noted_ms.store(now.max(1), Ordering::Relaxed);
        match self.catalogue.change(noting) {
            Ok(()) => self.not_noted_ms.store(0, Ordering::Relaxed),
            Err(error) => tracing::warn!(%error, "write down who is in"),
        }
    }

    /// How often somebody was put out: whoever lets in for longer than one request asks again when it is another.
    pub fn put_out_count(&self) -> u64 {
        self.put_out.load(Ordering::SeqCst)
    }

    fn note_put_out(&self) {
        self.put_out.fetch_add(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests;
