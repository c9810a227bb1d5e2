//! Who asks, whether they may, and a word about it in the audit log: the one place where every request passes.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Extension, MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use control::access::{Access, Caller, SessionId};
use control::audit::{Audit, Deed};
use control::catalogue::on_a_thread;
use control::{Appliance, ControlError};
use serde_json::{Map, Value};

use crate::once::REPLAYED_HEADER;
use crate::operations::{self, Operation};
use crate::problem::{PROBLEM_TYPE, Problem};
use crate::server::BODY_LEN_MAX;

/// The cookie of a session.
pub const COOKIE: &str = "tidemark_session";
/// The header that a change must carry where a cookie says who asks: another site cannot set it.
pub const CSRF_HEADER: &str = "x-csrf-token";
/// What of a request's body is never written down, however deep it lies.
const SECRETS: &[&str] = &["password", "secret", "code", "token"];
/// What of it may hold a secret behind the name of the host.
const ADDRESSES: &[&str] = &["url"];

/// By which way a request came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Through the socket: by the owner of the appliance.
    Socket,
    /// Over HTTPS, from this address.
    Https(IpAddr),
    /// From the daemon itself: by whose token it shows, or by the owner of the appliance.
    Inside,
}

impl Way {
    /// As the audit log has it.
    pub fn origin(self) -> String {
        match self {
            Self::Socket => "socket".into(),
            Self::Https(address) => address.to_canonical().to_string(),
            Self::Inside => "inside".into(),
        }
    }
}

/// Lets a request through to its handler, which finds a [`Caller`] where somebody is known.
pub async fn guard(
    State(office): State<Arc<Appliance>>,
    Extension(way): Extension<Way>,
    path: MatchedPath,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(operation) = operations::of_route(request.method().as_str(), path.as_str()) else {
        return Problem::no_method().into_response();
    };
    let caller = match who_asks(&office, way, request.headers()).await {
        Ok(caller) => caller,
        // Who wants to log in may still show what has ended.
        Err(ControlError::NotKnown { .. }) if operation.role.is_none() => None,
        Err(error) => return Problem::from(error).into_response(),
    };
    let is_change = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let refused = may(operation, caller.as_ref()).and_then(|()| match &caller {
        Some(caller) if is_change => shows_csrf(caller, request.headers()),
        _ => Ok(()),
    });
    let mut deed = Deed {
        who: caller.as_ref().map(name_of).unwrap_or_default(),
        role: caller.as_ref().map(|caller| caller.role.to_string()).unwrap_or_default(),
        origin: way.origin(),
        operation: format!("{} {}", operation.method, operation.path),
        // The router has taken the base from the address already.
        object: request.uri().path().to_owned(),
        ..Deed::default()
    };
    if let Err(problem) = refused {
        if is_change && caller.is_some() {
            deed.outcome = format!("{}: {}", problem.failure.code, problem.failure.detail);
            note(office.audit(), deed).await;
        }
        return problem.into_response();
    }
    let is_known = caller.is_some();
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    if !is_change {
        return next.run(request).await;
    }
    let request = match with_detail(request, &mut deed).await {
        Ok(request) => request,
        Err(problem) => return problem.into_response(),
    };
    // A client that goes away meanwhile must not take the entry with it.
    let audit = Arc::clone(office.audit());
    let done = tokio::spawn(async move {
        let (response, outcome) = outcome_of(next.run(request).await).await;
        if is_noted(operation, is_known, response.status()) {
            deed.outcome = outcome;
            note(&audit, deed).await;
        }
        response
    });
    done.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a request broke off");
        let why = "it broke off; the log says where".into();
        Problem::from(ControlError::State { what: "answer the request".into(), why })
            .into_response()
    })
}

/// Lets a request of any viewer through; for what is read and stands in no table.
pub async fn viewers(
    State(office): State<Arc<Appliance>>,
    Extension(way): Extension<Way>,
    request: Request,
    next: Next,
) -> Response {
    match who_asks(&office, way, request.headers()).await {
        // Every role is a viewer's at least.
        Ok(Some(_)) => next.run(request).await,
        Ok(None) => not_known().into_response(),
        Err(error) => Problem::from(error).into_response(),
    }
}

fn not_known() -> Problem {
    Problem::from(ControlError::NotKnown {
        why: "this needs somebody who is logged in".into(),
        way_out: "log in, or send a token as `Authorization: Bearer tmk_...`".into(),
    })
}

/// Who asks: `None` where nothing was shown.
async fn who_asks(
    office: &Arc<Appliance>,
    way: Way,
    headers: &HeaderMap,
) -> Result<Option<Caller>, ControlError> {
    caller(office, shown(way, headers), Access::of_token, Access::of_session).await
}

/// Who still asks, of a request that was let in before: `None` where nothing was shown. It counts as no use.
pub(crate) async fn still_asks(
    office: &Arc<Appliance>,
    way: Way,
    headers: &HeaderMap,
) -> Result<Option<Caller>, ControlError> {
    caller(office, shown(way, headers), Access::still_of_token, Access::still_of_session).await
}

/// Who comes with what was shown, as these look it up.
async fn caller(
    office: &Arc<Appliance>,
    shown: Shown,
    of_token: fn(&Access, &str) -> Result<Caller, ControlError>,
    of_session: fn(&Access, &SessionId) -> Result<Caller, ControlError>,
) -> Result<Option<Caller>, ControlError> {
    match shown {
        Shown::Owner => Ok(Some(Caller::local())),
        Shown::Nothing => Ok(None),
        Shown::Token(token) => {
            on_a_thread(office.access(), move |access| of_token(access, &token)).await.map(Some)
        }
        Shown::Session(id) => {
            on_a_thread(office.access(), move |access| of_session(access, &id)).await.map(Some)
        }
    }
}

/// What a request shows of who asks.
enum Shown {
    /// That it is the owner of the appliance, by the way it came.
    Owner,
    Token(String),
    Session(SessionId),
    Nothing,
}

fn shown(way: Way, headers: &HeaderMap) -> Shown {
    if way == Way::Socket {
        return Shown::Owner;
    }
    if let Some(token) = bearer(headers) {
        return Shown::Token(token);
    }
    if way == Way::Inside {
        return Shown::Owner;
    }
    cookie(headers).map_or(Shown::Nothing, Shown::Session)
}

fn may(operation: &Operation, caller: Option<&Caller>) -> Result<(), Box<Problem>> {
    let Some(least) = operation.role else { return Ok(()) };
    let caller = caller.ok_or_else(not_known)?;
    if caller.role >= least {
        return Ok(());
    }
    Err(Box::new(Problem::forbidden(
        format!("{} is {}, and this needs {least}", caller.who, caller.role),
        format!("ask an admin to do it, or for the role: `user set {} --role {least}`", caller.who),
    )))
}

fn shows_csrf(caller: &Caller, headers: &HeaderMap) -> Result<(), Box<Problem>> {
    let Some(right) = &caller.csrf else { return Ok(()) };
    let shown = headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if control::access::is_same(right, shown) {
        return Ok(());
    }
    Err(Box::new(Problem::forbidden(
        format!("a change needs the header {CSRF_HEADER} with what the session gave"),
        "`GET /api/v1/session` tells it; programs use a token instead".into(),
    )))
}

/// As the audit log has them.
pub(crate) fn name_of(caller: &Caller) -> String {
    match &caller.token {
        Some(label) => format!("{} by token {label:?}", caller.who),
        None => caller.who.clone(),
    }
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

/// The session that a request shows.
pub fn cookie(headers: &HeaderMap) -> Option<SessionId> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, id)| SessionId::shown(id))
}

/// Reads the body, and writes down what is asked for, without secrets.
async fn with_detail(request: Request, deed: &mut Deed) -> Result<Request, Problem> {
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, BODY_LEN_MAX).await.map_err(|_| {
        let what = format!("a request's body has at most {BODY_LEN_MAX} bytes, and arrives whole");
        Problem::bad_request(StatusCode::PAYLOAD_TOO_LARGE, what)
    })?;
    if let Ok(Value::Object(mut fields)) = serde_json::from_slice(&bytes) {
        if deed.who.is_empty()
            && let Some(Value::String(user)) = fields.get("user")
        {
            deed.who = format!("{user} (says they)");
        }
        veil(&mut fields);
        deed.detail = Value::Object(fields).to_string();
    }
    if let Some(query) = parts.uri.query() {
        deed.detail = format!("?{query} {}", deed.detail).trim_end().to_owned();
    }
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

/// Takes out of a body what nobody should read in a log.
fn veil(fields: &mut Map<String, Value>) {
    for (name, value) in fields {
        match value {
            _ if SECRETS.contains(&name.as_str()) => *value = "...".into(),
            Value::String(address) if ADDRESSES.contains(&name.as_str()) => {
                *address = host_of(address);
            }
            Value::Object(inner) => veil(inner),
            Value::Array(all) => all.iter_mut().filter_map(Value::as_object_mut).for_each(veil),
            _ => {}
        }
    }
}

/// An address up to its host, without who it says to be.
fn host_of(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..end].rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}/...")
}

/// Whether a change is written down that was answered so. A flood of tries must not fill the log: of those whom nobody
/// knows only passwords count, which are slowed down, and who comes in.
fn is_noted(operation: &Operation, is_known: bool, status: StatusCode) -> bool {
    if status == StatusCode::TOO_MANY_REQUESTS {
        return false;
    }
    let is_try = operation.path == "/session" && status == StatusCode::UNAUTHORIZED;
    is_known || (operation.method == "POST" && (status.is_success() || is_try))
}

/// What came of it, in the words of the answer.
async fn outcome_of(response: Response) -> (Response, String) {
    if response.headers().contains_key(REPLAYED_HEADER) {
        return (response, "answered as before: the same request came already".into());
    }
    if response.status().is_success() {
        return (response, "done".into());
    }
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, BODY_LEN_MAX).await.unwrap_or_else(|_| Bytes::new());
    let is_problem =
        parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM_TYPE);
    let problem = is_problem.then(|| serde_json::from_slice::<Problem>(&bytes).ok()).flatten();
    let outcome = match problem {
        Some(problem) => format!("{}: {}", problem.failure.code, problem.failure.detail),
        None => parts.status.to_string(),
    };
    (Response::from_parts(parts, Body::from(bytes)), outcome)
}

async fn note(audit: &Arc<Audit>, deed: Deed) {
    let noted = on_a_thread(audit, move |audit| {
        audit.note(deed);
        Ok(())
    });
    if let Err(error) = noted.await {
        tracing::error!(%error, "audit");
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        pairs.collect()
    }

    #[test]
    fn a_cookie_is_found_among_others_and_by_its_whole_name() {
        let found = |line| cookie(&headers(&[("cookie", line)])).map(|id| id.reveal().to_owned());
        assert_eq!(found("a=b; tidemark_session=123; c=d").as_deref(), Some("123"));
        assert_eq!(found("xtidemark_session=123"), None);
        assert_eq!(found("tidemark_session"), None);
    }

    #[test]
    fn a_bearer_token_is_found_whatever_the_case_of_its_scheme() {
        let found = |line| bearer(&headers(&[("authorization", line)]));
        assert_eq!(found("bearer tmk_1").as_deref(), Some("tmk_1"));
        assert_eq!(found("Basic dG1r"), None);
    }

    #[tokio::test]
    async fn what_is_written_down_of_a_request_holds_no_secret() {
        let body = r#"{"name":"anna","role":"admin","password":"correct horse battery"}"#;
        let request = Request::builder().uri("/users?force=true").body(Body::from(body)).unwrap();
        let mut deed = Deed::default();
        let request = with_detail(request, &mut deed).await.unwrap();
        assert!(
            deed.detail.starts_with("?force=true {") && deed.detail.contains("anna"),
            "{deed:?}"
        );
        assert!(!deed.detail.contains("horse"), "{deed:?}");
        let hook = r#"{"to":{"url":"https://me:opensesame@hooks.example.org/T0/opensesame"},"all":[{"secret":7}]}"#;
        let other = Request::builder().uri("/channels").body(Body::from(hook)).unwrap();
        let mut deed = Deed::default();
        with_detail(other, &mut deed).await.unwrap();
        assert!(deed.detail.contains("https://hooks.example.org/..."), "{deed:?}");
        assert!(!deed.detail.contains("opensesame") && !deed.detail.contains('7'), "{deed:?}");
        assert_eq!(to_bytes(request.into_body(), 1000).await.unwrap(), body);
    }

    #[test]
    fn a_stranger_cannot_fill_the_log() {
        let noted = |method, path, is_known, status| {
            let operation = operations::find(method, path).unwrap();
            is_noted(operation, is_known, StatusCode::from_u16(status).unwrap())
        };
        for (method, path, status, is_written) in [
            ("POST", "/session", 200, true),
            ("POST", "/session", 401, true),
            ("POST", "/session", 422, false),
            ("POST", "/session", 429, false),
            ("DELETE", "/session", 200, false),
            ("POST", "/setup", 200, true),
            ("POST", "/setup", 401, false),
        ] {
            assert_eq!(noted(method, path, false, status), is_written, "{method} {path} {status}");
        }
        assert!(noted("DELETE", "/session", true, 200) && noted("POST", "/volumes", true, 422));
    }

    #[test]
    fn every_role_may_what_its_operations_need_and_no_more() {
        for operation in operations::OPERATIONS {
            for role in control::Role::ALL {
                let caller = Caller { role, ..Caller::local() };
                let may = may(operation, Some(&caller)).is_ok();
                assert_eq!(
                    may,
                    operation.role.is_none_or(|least| role >= least),
                    "{operation:?} {role}"
                );
            }
            assert_eq!(may(operation, None).is_ok(), operation.role.is_none(), "{operation:?}");
        }
    }
}
