//! `/session`, `/setup`, `/users`, `/tokens`: who may come in.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post};
use axum::{Json, Router};
use base::name::Name;
use control::access::{
    Caller, NewToken, NewUser, SESSION_MAX_S, Session, TokenMade, TokenStatus, UserChange,
    UserStatus, WhoAmI,
};
use control::catalogue::on_a_thread;
use control::{Appliance, ControlError, Role};

use super::{Answer, List, Office};
use crate::extract::{Asked, Body, Named};
use crate::guard::{COOKIE, Way, cookie};
use crate::model::{Login, Removed, Setup};
use crate::paged::{Paged, Paging, rising};
use crate::problem::Problem;

pub(super) fn routes() -> Router<Arc<Appliance>> {
    Router::new()
        .route("/session", get(who_am_i).post(log_in).delete(log_out))
        .route("/setup", post(set_up))
        .route("/users", get(users).post(add_user))
        .route("/users/{name}", patch(change_user).delete(remove_user))
        .route("/tokens", get(tokens).post(make_token))
        .route("/tokens/{id}", delete(remove_token))
}

async fn who_am_i(
    State(office): Office,
    caller: Option<Extension<Caller>>,
) -> Result<Json<WhoAmI>, Problem> {
    if let Some(Extension(caller)) = caller {
        return Ok(Json(WhoAmI::from(&caller)));
    }
    let is_fresh = on_a_thread(office.access(), control::access::Access::is_fresh).await?;
    let problem = Problem::from(ControlError::NotKnown {
        why: "nobody is logged in here".into(),
        way_out: match is_fresh {
            true => {
                "open the link that the daemon printed at its start and make the first admin".into()
            }
            false => "log in".into(),
        },
    });
    Err(Problem { is_fresh, ..problem })
}

async fn log_in(
    State(office): Office,
    Extension(way): Extension<Way>,
    Body(login): Body<Login>,
) -> Result<Response, Problem> {
    let origin = way.origin();
    let session = on_a_thread(office.access(), move |access| {
        access.log_in(login.user.as_str(), &login.password, &origin)
    });
    Ok(begun(&session.await?))
}

async fn log_out(State(office): Office, headers: HeaderMap) -> Result<Response, Problem> {
    if let Some(id) = cookie(&headers) {
        on_a_thread(office.access(), move |access| access.log_out(&id)).await?;
    }
    let forget = format!("{COOKIE}=; Path=/; HttpOnly; Secure; SameSite=Strict; Max-Age=0");
    let gone = Removed { removed: "session".into() };
    Ok(([(header::SET_COOKIE, forget)], Json(gone)).into_response())
}

async fn set_up(
    State(office): Office,
    Extension(way): Extension<Way>,
    Body(setup): Body<Setup>,
) -> Result<Response, Problem> {
    let origin = way.origin();
    let session = on_a_thread(office.access(), move |access| {
        let Setup { code, user, password } = setup;
        let new = NewUser { name: user.clone(), role: Role::Admin, password: password.clone() };
        access.set_up(&code, new)?;
        access.log_in(user.as_str(), &password, &origin)
    });
    Ok(begun(&session.await?))
}

/// Tells who is in, and gives their browser the cookie.
fn begun(session: &Session) -> Response {
    let cookie = format!(
        "{COOKIE}={}; Path=/; HttpOnly; Secure; SameSite=Strict; Max-Age={SESSION_MAX_S}",
        session.id.reveal()
    );
    ([(header::SET_COOKIE, cookie)], Json(WhoAmI::from(&session.caller))).into_response()
}

async fn users(State(office): Office, Asked(paging): Asked<Paging>) -> List<UserStatus> {
    let all = on_a_thread(office.access(), control::access::Access::users).await?;
    Ok(Paged::of(all, &paging, |one| one.name.to_string())?)
}

async fn add_user(
    State(office): Office,
    Body(new): Body<NewUser>,
) -> Result<(StatusCode, Json<UserStatus>), Problem> {
    let made = on_a_thread(office.access(), move |access| access.add_user(new)).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

async fn change_user(
    State(office): Office,
    Named(name): Named<Name>,
    Body(change): Body<UserChange>,
) -> Answer<UserStatus> {
    let changed = on_a_thread(office.access(), move |access| access.change_user(&name, &change));
    Ok(Json(changed.await?))
}

async fn remove_user(State(office): Office, Named(name): Named<Name>) -> Answer<Removed> {
    let removed = Removed { removed: name.to_string() };
    on_a_thread(office.access(), move |access| access.remove_user(&name)).await?;
    Ok(Json(removed))
}

async fn tokens(State(office): Office, Asked(paging): Asked<Paging>) -> List<TokenStatus> {
    let all = on_a_thread(office.access(), control::access::Access::tokens).await?;
    Ok(Paged::of(all, &paging, |one| rising(one.id.unsigned_abs()))?)
}

async fn make_token(
    State(office): Office,
    Extension(maker): Extension<Caller>,
    Body(new): Body<NewToken>,
) -> Result<(StatusCode, Json<TokenMade>), Problem> {
    let made = on_a_thread(office.access(), move |access| access.make_token(&maker, &new)).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

async fn remove_token(State(office): Office, Named(id): Named<i64>) -> Answer<Removed> {
    on_a_thread(office.access(), move |access| access.remove_token(id)).await?;
    Ok(Json(Removed { removed: id.to_string() }))
}
