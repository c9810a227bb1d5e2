//! Sessions of people, who log in with a password and are known by a cookie from then on.

use rusqlite::{OptionalExtension, params};

use super::throttle::Try;
use super::{Access, Caller, NOTED_EACH_MS, Password, hash, users};
use crate::error::ControlError;
use crate::role::Role;

/// A session ends when it was not used for so long, in milliseconds.
const IDLE_MAX_MS: u64 = 12 * 60 * 60_000;
/// A session ends when it is so old, in seconds.
pub const SESSION_MAX_S: u64 = 7 * 24 * 60 * 60;
/// Sessions of a user: the oldest goes where there is one more.
const SESSIONS_OF_USER_MAX: u32 = 32;

/// What the cookie holds.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionId(String);

impl SessionId {
    /// What a client shows as one.
    pub fn shown(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// For the cookie, and nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// A session that has begun.
pub struct Session {
    /// What the cookie is to hold.
    pub id: SessionId,
    /// Who it is.
    pub caller: Caller,
}

impl Access {
    /// Lets a person in from this address. Blocks for as long as it takes to try a password.
    ///
    /// # Errors
    /// `NotKnown` where user and password do not fit or the user is locked, `TooMany`, or `Catalogue`.
    pub fn log_in(
        &self,
        user: &str,
        password: &Password,
        origin: &str,
    ) -> Result<Session, ControlError> {
        let kept = self.catalogue.read(|database| {
            let sql = "SELECT password, is_locked,
                       EXISTS (SELECT 1 FROM session WHERE user = name AND origin = ?2)
                       FROM user WHERE name = ?1";
            let found = database
                .query_row(sql, [user, origin], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
            Ok(found.optional()?)
        })?;
        let (kept, is_locked, has_session): (Option<String>, bool, bool) = kept
            .map_or((None, false, false), |(kept, is_locked, has)| (Some(kept), is_locked, has));
        let one = Try { user, address: origin, is_known: has_session };
        let is_right = self.throttle.attempt(&one, || password.is(kept.as_deref()))?;
        if !is_right || is_locked {
            return Err(ControlError::NotKnown {
                why: "user and password do not fit, or the user is locked".into(),
                way_out:
                    "try again; an admin sets another password with `user set NAME --password`"
                        .into(),
            });
        }
        let id = SessionId(hash::hex(&base::rng::unguessable::<32>()));
        let csrf = hash::hex(&base::rng::unguessable::<16>());
        let now = self.now();
        let role = self.catalogue.change(|change| {
            // Somebody may have changed the user while the password was tried.
            let found = users::find(change, user)?.filter(|user| !user.is_locked);
            let found = found.ok_or_else(not_in)?;
            end_old(change, now)?;
            change.execute(
                "DELETE FROM session WHERE digest IN
                 (SELECT digest FROM session WHERE user = ?1 ORDER BY used_ms DESC LIMIT -1 OFFSET ?2)",
                params![user, SESSIONS_OF_USER_MAX - 1],
            )?;
            change.execute(
                "INSERT INTO session (digest, user, csrf, origin, made_ms, used_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
                params![hash::digest(&id.0), user, csrf, origin, now],
            )?;
            change.execute("UPDATE user SET login_ms = ?2 WHERE name = ?1", params![user, now])?;
            Ok(found.role)
        })?;
        let caller = caller(user.to_owned(), role, csrf, now, now);
        Ok(Session { id, caller })
    }

    /// Who comes with this cookie.
    ///
    /// # Errors
    /// `NotKnown` where there is no such session or it has ended, or `Catalogue`.
    pub fn of_session(&self, id: &SessionId) -> Result<Caller, ControlError> {
        let now = self.now();
        let (caller, used_ms) = self.session(id, now)?;
        if now.abs_diff(used_ms) > NOTED_EACH_MS {
            self.note_use(now, |change| {
                change.execute(
                    "UPDATE session SET used_ms = ?2 WHERE digest = ?1",
                    params![hash::digest(&id.0), now],
                )?;
                Ok(())
            });
        }
        Ok(caller)
    }

    /// Who comes with this cookie, which does not count as a use of it: for whoever was let in for longer than one
    /// request.
    ///
    /// # Errors
    /// As [`Access::of_session`].
    pub fn still_of_session(&self, id: &SessionId) -> Result<Caller, ControlError> {
        self.session(id, self.now()).map(|(caller, _)| caller)
    }

    /// Whose session this is, and when its use was noted last.
    fn session(&self, id: &SessionId, now: u64) -> Result<(Caller, u64), ControlError> {
        let digest = hash::digest(&id.0);
        let found = self.catalogue.read(|database| {
            let sql = "SELECT user, csrf, made_ms, used_ms FROM session WHERE digest = ?1";
            let found = database.prepare_cached(sql)?.query_row([digest], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            });
            let Some((name, csrf, made_ms, used_ms)) = found.optional()? else { return Ok(None) };
            let user = users::find(database, &String::clone(&name))?.filter(|user| !user.is_locked);
            Ok(user.map(|user| (name, user.role, csrf, made_ms, used_ms)))
        })?;
        let (name, role, csrf, made_ms, used_ms) = found.ok_or_else(not_in)?;
        if has_ended(made_ms, used_ms, now) {
            // One that stays in the catalogue would be good again were the clock moved once more.
            if let Err(error) = self.log_out(id) {
                tracing::debug!(%error, "forget a session that has ended");
            }
            return Err(not_in());
        }
        Ok((caller(name, role, csrf, made_ms, now), used_ms))
    }

    /// Ends a session; no effect on one that has ended.
    ///
    /// # Errors
    /// `Catalogue`.
    pub fn log_out(&self, id: &SessionId) -> Result<(), ControlError> {
        self.catalogue.change(|change| {
            change.execute("DELETE FROM session WHERE digest = ?1", [hash::digest(&id.0)])?;
            Ok(())
        })?;
        self.note_put_out();
        Ok(())
    }
}

fn caller(who: String, role: Role, csrf: String, made_ms: u64, used_ms: u64) -> Caller {
    let expires_ms = (used_ms + IDLE_MAX_MS).min(made_ms + SESSION_MAX_S * 1000);
    Caller { who, role, token: None, csrf: Some(csrf), expires_ms: Some(expires_ms) }
}

/// A clock that was moved back ends a session rather than to keep it for longer.
fn has_ended(made_ms: u64, used_ms: u64, now: u64) -> bool {
    let slack = NOTED_EACH_MS;
    now >= made_ms + SESSION_MAX_S * 1000 || now >= used_ms + IDLE_MAX_MS || now + slack < made_ms
}

fn end_old(change: &rusqlite::Connection, now: u64) -> Result<(), ControlError> {
    let (idle, old) = (now.saturating_sub(IDLE_MAX_MS), now.saturating_sub(SESSION_MAX_S * 1000));
    change
        .execute("DELETE FROM session WHERE used_ms <= ?1 OR made_ms <= ?2", params![idle, old])?;
    Ok(())
}

fn not_in() -> ControlError {
    ControlError::NotKnown {
        why: "you are not logged in, or the session has ended".into(),
        way_out: "log in".into(),
    }
}
