//! `user`, `token`, `whoami`.

use std::path::Path;

use api::model::Removed;
use control::access::{
    NewToken, NewUser, Password, TokenMade, TokenStatus, UserChange, UserStatus, WhoAmI,
};

use super::Desk;
use crate::args::access::{TokenCommand, UserCommand};
use crate::client::part;
use crate::failure::CliError;
use crate::output::{Shown, confirm};
use crate::secret;
use crate::table::{numbers, table, time, words, yes};

pub(super) async fn whoami(desk: &Desk) -> Result<Shown, CliError> {
    let me: WhoAmI = desk.client.get("/session").await?;
    let human = format!("{}, who is {}", me.user, me.role);
    Shown::new(&me, human)
}

pub(super) async fn users(desk: &Desk, command: UserCommand) -> Result<Shown, CliError> {
    match command {
        UserCommand::Add { name, role, password_file } => {
            // Whether the daemon is there is told before anybody types a password.
            let _: Vec<UserStatus> = desk.client.list("/users").await?;
            let password = password(password_file.as_deref(), name.as_str())?;
            let new = NewUser { name, role, password };
            let made: UserStatus = desk.client.post("/users", Some(&new)).await?;
            let human = format!("made user {}, who is {}", made.name, made.role);
            Shown::new(&made, human)
        }
        UserCommand::Ls => {
            let all: Vec<UserStatus> = desk.client.list("/users").await?;
            Shown::new(&all, user_table(&all, desk.now_ms))
        }
        UserCommand::Set { name, role, password: is_asked, password_file, lock, unlock } => {
            let wants_password = is_asked || password_file.is_some();
            let change = UserChange {
                role,
                password: wants_password
                    .then(|| password(password_file.as_deref(), name.as_str()))
                    .transpose()?,
                is_locked: (lock || unlock).then_some(lock),
            };
            let path = format!("/users/{}", part(&name));
            let changed: UserStatus = desk.client.patch(path, &change).await?;
            let locked = if changed.is_locked { ", and locked" } else { "" };
            let human = format!("user {name} is {} now{locked}", changed.role);
            Shown::new(&changed, human)
        }
        UserCommand::Rm { name } => {
            confirm(&format!("Remove user {name}, with their tokens?"), desk.is_sure)?;
            let gone: Removed = desk.client.delete(format!("/users/{}", part(&name))).await?;
            Shown::new(&gone, format!("removed user {name}"))
        }
    }
}

fn password(file: Option<&Path>, name: &str) -> Result<Password, CliError> {
    secret::read_as(file, &format!("Password of {name}"), "--password-file FILE", Password::new)
}

pub(super) async fn tokens(desk: &Desk, command: TokenCommand) -> Result<Shown, CliError> {
    match command {
        TokenCommand::Create { label, role, days } => {
            let new = NewToken { label, role, days };
            let made: TokenMade = desk.client.post("/tokens", Some(&new)).await?;
            let human = format!(
                "{}\nThis is shown once. It may do what {} may, until {}.\n\
                 A program sends it as `Authorization: Bearer {}...`",
                made.token,
                made.about.role,
                time(made.about.expires_ms, desk.now_ms),
                control::access::TOKEN_PREFIX,
            );
            Shown::new(&made, human)
        }
        TokenCommand::Ls => {
            let all: Vec<TokenStatus> = desk.client.list("/tokens").await?;
            Shown::new(&all, token_table(&all, desk.now_ms))
        }
        TokenCommand::Rm { id } => {
            confirm(&format!("Remove token {id}?"), desk.is_sure)?;
            let gone: Removed = desk.client.delete(format!("/tokens/{id}")).await?;
            Shown::new(&gone, format!("removed token {id}"))
        }
    }
}

fn user_table(users: &[UserStatus], now_ms: u64) -> String {
    let columns = [words("NAME"), words("ROLE"), words("LOCKED"), words("LAST LOGIN")];
    let rows = users.iter().map(|user| {
        let login = user.login_ms.map_or_else(|| "-".to_owned(), |at| time(at, now_ms));
        vec![user.name.to_string(), user.role.to_string(), yes(user.is_locked), login]
    });
    let empty = "no users yet; `user add NAME --role admin` makes the first";
    table(&columns, rows.collect(), empty)
}

fn token_table(tokens: &[TokenStatus], now_ms: u64) -> String {
    let columns = [
        numbers("ID"),
        words("LABEL"),
        words("USER"),
        words("ROLE"),
        words("EXPIRES"),
        words("LAST USED"),
    ];
    let rows = tokens.iter().map(|token| {
        vec![
            token.id.to_string(),
            token.label.clone(),
            token.user.clone(),
            token.role.to_string(),
            time(token.expires_ms, now_ms),
            token.used_ms.map_or_else(|| "-".to_owned(), |at| time(at, now_ms)),
        ]
    });
    table(&columns, rows.collect(), "no tokens; `token create LABEL --role viewer` makes one")
}
