//! Tokens of programs: shown once when they are made, kept as a digest, good until they expire.

use rusqlite::{OptionalExtension, Row, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::users::{self, parsed};
use super::{Access, Caller, LOCAL, NOTED_EACH_MS, hash};
use crate::error::ControlError;
use crate::role::Role;

/// How a token begins, so that people and scanners of leaked secrets know one.
pub const TOKEN_PREFIX: &str = "tmk_";
/// The longest life of a token, in days.
const DAYS_MAX: u32 = 3660;
/// Tokens of an appliance.
const TOKENS_MAX: usize = 1000;
/// Characters of a label.
const LABEL_LEN_MAX: usize = 64;

/// `POST /tokens`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is for, such as `nightly report`.
    pub label: String,
    /// What it may do; not more than whoever makes it.
    pub role: Role,
    /// After how many days it expires.
    pub days: u32,
}

/// A token, without what opens the door.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TokenStatus {
    /// Its number.
    pub id: i64,
    /// What it is for.
    pub label: String,
    /// Who made it.
    pub user: String,
    /// What it may do, as long as its maker may.
    pub role: Role,
    /// When it was made, milliseconds since 1970.
    pub made_ms: u64,
    /// When it ends, milliseconds since 1970.
    pub expires_ms: u64,
    /// When it was last used, milliseconds since 1970, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_ms: Option<u64>,
}

/// A token that was made now.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenMade {
    /// About it.
    #[serde(flatten)]
    pub about: TokenStatus,
    /// The token itself, which is shown this once.
    pub token: String,
}

impl std::fmt::Debug for TokenMade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenMade").field("about", &self.about).finish_non_exhaustive()
    }
}

const COLUMNS: &str = "id, label, user, role, made_ms, expires_ms, used_ms";

impl Access {
    /// The tokens, oldest first.
    ///
    /// # Errors
    /// `Catalogue`.
    pub fn tokens(&self) -> Result<Vec<TokenStatus>, ControlError> {
        self.catalogue.read(|database| {
            let mut all =
                database.prepare_cached(&format!("SELECT {COLUMNS} FROM token ORDER BY id"))?;
            let all = all.query_map([], token)?.collect::<Result<Vec<_>, _>>()?;
            Ok(all)
        })
    }

    /// Makes a token for somebody.
    ///
    /// # Errors
    /// `Invalid` where it asks for more than they may, or never expires; `Conflict` where there are too many;
    /// `Catalogue`.
    pub fn make_token(&self, maker: &Caller, new: &NewToken) -> Result<TokenMade, ControlError> {
        let invalid =
            |why: String, way_out: &str| ControlError::Invalid { why, way_out: way_out.into() };
        if new.role > maker.role {
            let why = format!("a token of {} may not be {}", maker.role, new.role);
            return Err(invalid(why, "give it no more than you may yourself"));
        }
        if new.days == 0 || new.days > DAYS_MAX {
            let why = format!("a token lasts 1 to {DAYS_MAX} days, not {}", new.days);
            return Err(invalid(why, "give it a date on which it ends"));
        }
        let label = new.label.trim();
        if label.is_empty()
            || label.chars().count() > LABEL_LEN_MAX
            || label.chars().any(char::is_control)
        {
            let why = format!("a label is one line of 1 to {LABEL_LEN_MAX} characters");
            return Err(invalid(why, "say what it is for, such as \"nightly report\""));
        }
        let secret = format!("{TOKEN_PREFIX}{}", hash::hex(&base::rng::unguessable::<32>()));
        let now = self.now();
        let expires_ms = now + u64::from(new.days) * 24 * 60 * 60_000;
        let about = self.catalogue.change(|change| {
            let count: usize = change.query_row("SELECT count(*) FROM token", [], |row| row.get(0))?;
            if count >= TOKENS_MAX {
                return Err(ControlError::Conflict {
                    why: format!("there are {TOKENS_MAX} tokens, and no more are kept"),
                    way_out: "remove some: `token ls` shows when each was last used".into(),
                });
            }
            change.execute(
                "INSERT INTO token (label, digest, user, role, made_ms, expires_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![label, hash::digest(&secret), maker.who, new.role.word(), now, expires_ms],
            )?;
            let sql = format!("SELECT {COLUMNS} FROM token WHERE id = last_insert_rowid()");
            Ok(change.query_row(&sql, [], token)?)
        })?;
        Ok(TokenMade { about, token: secret })
    }

    /// Removes a token, which opens nothing from then on.
    ///
    /// # Errors
    /// `Unknown`, or `Catalogue`.
    pub fn remove_token(&self, id: i64) -> Result<(), ControlError> {
        self.catalogue.change(|change| {
            match change.execute("DELETE FROM token WHERE id = ?1", [id])? {
                0 => Err(ControlError::Unknown {
                    why: format!("there is no token {id}"),
                    way_out: "`token ls` shows those that are there".into(),
                }),
                _ => Ok(()),
            }
        })?;
        self.note_put_out();
        Ok(())
    }

    /// Who comes with this token.
    ///
    /// # Errors
    /// `NotKnown` where there is none, it has expired, or its maker is gone or locked; or `Catalogue`.
    pub fn of_token(&self, secret: &str) -> Result<Caller, ControlError> {
        let now = self.now();
        let (caller, about) = self.token(secret, now)?;
        if about.used_ms.is_none_or(|used| now.abs_diff(used) > NOTED_EACH_MS) {
            self.note_use(now, |change| {
                change.execute(
                    "UPDATE token SET used_ms = ?2 WHERE id = ?1",
                    params![about.id, now],
                )?;
                Ok(())
            });
        }
        Ok(caller)
    }

    /// Who comes with this token, which does not count as a use of it: for whoever was let in for longer than one
    /// request.
    ///
    /// # Errors
    /// As [`Access::of_token`].
    pub fn still_of_token(&self, secret: &str) -> Result<Caller, ControlError> {
        self.token(secret, self.now()).map(|(caller, _)| caller)
    }

    /// Whose token this is, and what is kept of it.
    fn token(&self, secret: &str, now: u64) -> Result<(Caller, TokenStatus), ControlError> {
        let refused = |why: &str| ControlError::NotKnown {
            why: why.into(),
            way_out: "make another: `token create`".into(),
        };
        let (about, maker) = self.catalogue.read(|database| {
            let sql = format!("SELECT {COLUMNS} FROM token WHERE digest = ?1");
            let found = database.prepare_cached(&sql)?.query_row([hash::digest(secret)], token);
            let about = found.optional()?.ok_or_else(|| refused("this token is not known here"))?;
            let maker = match about.user.as_str() {
                LOCAL => Some(Role::Admin),
                user => users::find(database, user)?
                    .filter(|user| !user.is_locked)
                    .map(|user| user.role),
            };
            Ok((about, maker))
        })?;
        let maker = maker.ok_or_else(|| refused("whoever made this token is locked or gone"))?;
        if now >= about.expires_ms || now + NOTED_EACH_MS < about.made_ms {
            return Err(refused("this token has expired"));
        }
        let caller = Caller {
            who: about.user.clone(),
            role: about.role.min(maker),
            token: Some(about.label.clone()),
            csrf: None,
            expires_ms: Some(about.expires_ms),
        };
        Ok((caller, about))
    }
}

fn token(row: &Row<'_>) -> rusqlite::Result<TokenStatus> {
    Ok(TokenStatus {
        id: row.get(0)?,
        label: row.get(1)?,
        user: row.get(2)?,
        role: parsed(row, 3)?,
        made_ms: row.get(4)?,
        expires_ms: row.get(5)?,
        used_ms: row.get(6)?,
    })
}
