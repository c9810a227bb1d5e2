//! Users.

use base::name::Name;
use rusqlite::{Connection, OptionalExtension, Row, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Access, LOCAL, Password};
use crate::error::ControlError;
use crate::role::Role;

/// Users of an appliance: far above the people who run one.
const USERS_MAX: usize = 1000;

/// `POST /users`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// Their name.
    pub name: Name,
    /// What they may do.
    pub role: Role,
    /// Their password.
    pub password: Password,
}

/// `PATCH /users/{name}`: what is left out stays.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UserChange {
    /// What they may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Another password; ends their sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Password>,
    /// Whether they are kept out; ends their sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_locked: Option<bool>,
}

/// A user.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UserStatus {
    /// Their name.
    pub name: Name,
    /// What they may do.
    pub role: Role,
    /// Whether they are kept out.
    pub is_locked: bool,
    /// When they were made, milliseconds since 1970.
    pub made_ms: u64,
    /// When their password was set, milliseconds since 1970.
    pub password_ms: u64,
    /// When they last logged in, milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_ms: Option<u64>,
}

const COLUMNS: &str = "name, role, is_locked, made_ms, password_ms, login_ms";

impl Access {
    /// The users, by name.
    ///
    /// # Errors
    /// `Catalogue`.
    pub fn users(&self) -> Result<Vec<UserStatus>, ControlError> {
        self.catalogue.read(|database| {
            let mut all =
                database.prepare_cached(&format!("SELECT {COLUMNS} FROM user ORDER BY name"))?;
            let all = all.query_map([], user)?.collect::<Result<Vec<_>, _>>()?;
            Ok(all)
        })
    }

    /// Makes a user.
    ///
    /// # Errors
    /// `Conflict` where the name is taken or there are too many, or `Catalogue`.
    pub fn add_user(&self, new: NewUser) -> Result<UserStatus, ControlError> {
        let NewUser { name, role, password } = new;
        let taken = |why: String| ControlError::Conflict {
            why,
            way_out: "choose another name; `user ls` shows those that are there".into(),
        };
        if name.as_str() == LOCAL {
            return Err(taken(format!(
                "{LOCAL} is whoever uses the socket in the state directory"
            )));
        }
        let (kept, now) = (password.keep()?, self.now());
        self.catalogue.change(|change| {
            if find(change, name.as_str())?.is_some() {
                return Err(taken(format!("there is a user {name} already")));
            }
            let count: usize = change.query_row("SELECT count(*) FROM user", [], |row| row.get(0))?;
            if count >= USERS_MAX {
                return Err(taken(format!("there are {USERS_MAX} users, and no more are kept")));
            }
            change.execute(
                "INSERT INTO user (name, role, password, made_ms, password_ms) VALUES (?1, ?2, ?3, ?4, ?4)",
                params![name.as_str(), role.word(), kept, now],
            )?;
            known(change, name.as_str())
        })
    }

    /// Changes a user.
    ///
    /// # Errors
    /// `Unknown`, `Conflict` where nobody would be left who may do everything, or `Catalogue`.
    pub fn change_user(
        &self,
        name: &Name,
        change: &UserChange,
    ) -> Result<UserStatus, ControlError> {
        let kept = change.password.as_ref().map(Password::keep).transpose()?;
        let now = self.now();
        let changed = self.catalogue.change(|database| {
            let name = name.as_str();
            known(database, name)?;
            if let Some(role) = change.role {
                database.execute(
                    "UPDATE user SET role = ?2 WHERE name = ?1",
                    params![name, role.word()],
                )?;
            }
            if let Some(is_locked) = change.is_locked {
                database.execute(
                    "UPDATE user SET is_locked = ?2 WHERE name = ?1",
                    params![name, is_locked],
                )?;
            }
            if let Some(kept) = &kept {
                database.execute(
                    "UPDATE user SET password = ?2, password_ms = ?3 WHERE name = ?1",
                    params![name, kept, now],
                )?;
            }
            if kept.is_some() || change.is_locked == Some(true) {
                database.execute("DELETE FROM session WHERE user = ?1", [name])?;
            }
            an_admin_is_left(database)?;
            known(database, name)
        })?;
        self.note_put_out();
        Ok(changed)
    }

    /// Removes a user with their sessions and tokens.
    ///
    /// # Errors
    /// As [`Access::change_user`].
    pub fn remove_user(&self, name: &Name) -> Result<(), ControlError> {
        self.catalogue.change(|change| {
            known(change, name.as_str())?;
            change.execute("DELETE FROM token WHERE user = ?1", [name.as_str()])?;
            change.execute("DELETE FROM user WHERE name = ?1", [name.as_str()])?;
            an_admin_is_left(change)
        })?;
        self.note_put_out();
        Ok(())
    }
}

/// A user, if there is one.
pub(super) fn find(database: &Connection, name: &str) -> Result<Option<UserStatus>, ControlError> {
    let sql = format!("SELECT {COLUMNS} FROM user WHERE name = ?1");
    Ok(database.prepare_cached(&sql)?.query_row([name], user).optional()?)
}

fn known(database: &Connection, name: &str) -> Result<UserStatus, ControlError> {
    find(database, name)?.ok_or_else(|| ControlError::Unknown {
        why: format!("there is no user {name}"),
        way_out: "`user ls` shows those that are there".into(),
    })
}

/// Where there are users, one of them must be able to make more.
fn an_admin_is_left(database: &Connection) -> Result<(), ControlError> {
    let sql = "SELECT count(*), count(*) FILTER (WHERE role = 'admin' AND NOT is_locked) FROM user";
    let (all, admins): (usize, usize) =
        database.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if all == 0 || admins > 0 {
        return Ok(());
    }
    Err(ControlError::Conflict {
        why: "this is the last admin who may log in".into(),
        way_out: "make another first: `user add NAME --role admin`".into(),
    })
}

fn user(row: &Row<'_>) -> rusqlite::Result<UserStatus> {
    Ok(UserStatus {
        name: parsed(row, 0)?,
        role: parsed(row, 1)?,
        is_locked: row.get(2)?,
        made_ms: row.get(3)?,
        password_ms: row.get(4)?,
        login_ms: row.get(5)?,
    })
}

/// A column that holds text of a kind of its own.
pub(super) fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    row.get::<_, String>(column)?.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Text,
            Box::new(error),
        )
    })
}
