//! Who may come in over HTTPS, what they may do there, and what is written down of it.

use std::time::Duration;

use control::Role;
use control::audit::{AuditEntry, AuditVerdict};
use serde_json::json;

use super::https::{Console, PASSWORD, add_user};
use super::office::Office;
use super::process::Daemon;

const VOLUME: &str = r#"{"name":"mail","size":16777216}"#;

/// An appliance with a console and somebody of each role, who is named after it.
async fn staffed() -> (Office, Console) {
    let office = Office::start().await;
    let console = Console::open(&office.appliance).await;
    for role in Role::ALL {
        let appliance = office.appliance.clone();
        let add = move || add_user(&appliance, role.word(), role);
        tokio::task::spawn_blocking(add).await.unwrap();
    }
    (office, console)
}

async fn close(office: Office, console: Console) {
    console.close().await;
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_admin_comes_in_by_the_code_and_nobody_else_does() {
    let office = Office::start().await;
    let console = Console::open(&office.appliance).await;
    let answer = console.ask("GET", "/api/v1/session", &[], "").await;
    assert_eq!((answer.status, &answer.body["is_fresh"]), (401, &json!(true)), "{answer:?}");
    let access = office.appliance.access().clone();
    let code = tokio::task::spawn_blocking(move || access.setup_code()).await.unwrap().unwrap();
    let body = |code: &str| format!(r#"{{"code":"{code}","user":"anna","password":"{PASSWORD}"}}"#);
    let refused = console.ask("POST", "/api/v1/setup", &[], &body("0000")).await;
    assert_eq!((refused.status, &refused.body["code"]), (401, &json!("unauthenticated")));
    let made = console.ask("POST", "/api/v1/setup", &[], &body(&code.unwrap())).await;
    assert_eq!((made.status, &made.body["role"]), (200, &json!("admin")), "{made:?}");
    let cookie = made.header("set-cookie").unwrap();
    for flag in ["HttpOnly", "Secure", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(flag), "{cookie}");
    }
    let me = console.ask("GET", "/api/v1/session", &[&made.cookie()], "").await;
    assert_eq!((&me.body["user"], &me.body["csrf"]), (&json!("anna"), &made.body["csrf"]));
    let stranger = console.ask("GET", "/api/v1/session", &[], "").await;
    assert_eq!(stranger.body.get("is_fresh"), None);
    close(office, console).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_shown_or_done_for_a_stranger() {
    let (office, console) = staffed().await;
    for operation in api::operations::OPERATIONS.iter().filter(|one| one.role.is_some()) {
        let path = format!("/api/v1{}", operation.path.replace(['{', '}'], ""));
        for headers in [&[][..], &["Cookie: tidemark_session=00"], &["Authorization: Bearer tmk_0"]]
        {
            let answer = console.ask(operation.method, &path, headers, "{}").await;
            assert_eq!(answer.status, 401, "{} {path} {headers:?}: {answer:?}", operation.method);
            assert_eq!(answer.body["code"], json!("unauthenticated"));
        }
    }
    close(office, console).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_may_what_it_may_and_is_told_what_it_may_not() {
    let (office, console) = staffed().await;
    for (role, status) in [("viewer", 403), ("helpdesk", 403), ("operator", 201)] {
        let [cookie, csrf] = console.log_in(role).await;
        let seen = console.ask("GET", "/api/v1/volumes", &[&cookie], "").await;
        assert_eq!(seen.status, 200, "{role}: {seen:?}");
        let made = console.ask("POST", "/api/v1/volumes", &[&cookie, &csrf], VOLUME).await;
        assert_eq!(made.status, status, "{role}: {made:?}");
        if status == 403 {
            assert_eq!(made.body["code"], json!("forbidden"));
            let detail = made.body["detail"].as_str().unwrap();
            assert!(detail.contains(role) && detail.contains("operator"), "{detail}");
        }
        let users = console.ask("GET", "/api/v1/users", &[&cookie], "").await;
        assert_eq!(users.status, 403, "{role}: {users:?}");
    }
    close(office, console).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_alone_changes_nothing_and_one_that_has_ended_is_worth_nothing() {
    let (office, console) = staffed().await;
    let [cookie, csrf] = console.log_in("operator").await;
    for headers in [&[cookie.as_str()][..], &[&cookie, "X-CSRF-Token: 00"]] {
        let answer = console.ask("POST", "/api/v1/volumes", headers, VOLUME).await;
        assert_eq!((answer.status, &answer.body["code"]), (403, &json!("forbidden")), "{answer:?}");
    }
    let [_, of_another] = console.log_in("admin").await;
    let mixed = console.ask("POST", "/api/v1/volumes", &[&cookie, &of_another], VOLUME).await;
    assert_eq!(mixed.status, 403, "{mixed:?}");
    let out = console.ask("DELETE", "/api/v1/session", &[&cookie, &csrf], "").await;
    assert_eq!(out.status, 200, "{out:?}");
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"));
    let replayed = console.ask("GET", "/api/v1/volumes", &[&cookie], "").await;
    assert_eq!(replayed.status, 401, "{replayed:?}");
    close(office, console).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_events_hears_no_more_once_they_are_out() {
    let (office, console) = staffed().await;
    let [cookie, csrf] = console.log_in("operator").await;
    let events = office.appliance.events();
    let shown = [cookie.as_str()];
    let follow = console.ask("GET", "/api/v1/events", &shown, "");
    let log_out = async {
        while events.listeners() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let out = console.ask("DELETE", "/api/v1/session", &[&cookie, &csrf], "").await;
        assert_eq!(out.status, 200, "{out:?}");
        let [cookie, csrf] = console.log_in("admin").await;
        let made = console.ask("POST", "/api/v1/volumes", &[&cookie, &csrf], VOLUME).await;
        assert_eq!(made.status, 201, "{made:?}");
    };
    let both = async { tokio::join!(follow, log_out) };
    let (heard, ()) = tokio::time::timeout(Duration::from_secs(60), both).await.unwrap();
    assert_eq!(heard.status, 200, "{heard:?}");
    assert_eq!(events.listeners(), 0);
    close(office, console).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_says_what_to_do() {
    let (office, console) = staffed().await;
    let [cookie, csrf] = console.log_in("admin").await;
    let headers = [cookie.as_str(), csrf.as_str()];
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(70_000));
    for (method, path, body, status) in [
        ("PUT", "/volumes", "", 405),
        ("POST", "/volumes", "{", 400),
        ("POST", "/volumes", r#"{"name":"a","size":"1G"}"#, 422),
        ("POST", "/volumes", long.as_str(), 413),
        ("GET", "/volumes/a%2Fb", "", 400),
        ("GET", "/volumes?limit=all", "", 400),
        ("GET", "/jobs/first", "", 400),
        ("GET", "/nothing", "", 404),
    ] {
        let answer = console.ask(method, &format!("/api/v1{path}"), &headers, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let [detail, way_out] =
            ["detail", "way_out"].map(|field| answer.body[field].as_str().unwrap_or_default());
        assert!(!detail.is_empty() && !way_out.is_empty(), "{method} {path}: {answer:?}");
        assert!(!detail.contains("u64") && !detail.contains("deserialize"), "{detail}");
    }
    close(office, console).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_comes_in_with_a_token_until_it_is_removed() {
    let (office, console) = staffed().await;
    let [cookie, csrf] = console.log_in("admin").await;
    let new = r#"{"label":"report","role":"viewer","days":1}"#;
    let made = console.ask("POST", "/api/v1/tokens", &[&cookie, &csrf], new).await;
    assert_eq!(made.status, 201, "{made:?}");
    let bearer = format!("Authorization: Bearer {}", made.body["token"].as_str().unwrap());
    let seen = console.ask("GET", "/api/v1/volumes", &[&bearer], "").await;
    assert_eq!(seen.status, 200, "{seen:?}");
    let refused = console.ask("POST", "/api/v1/volumes", &[&bearer], VOLUME).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    let listed = console.ask("GET", "/api/v1/tokens", &[&cookie], "").await;
    assert!(listed.body[0].get("token").is_none(), "{listed:?}");
    let path = format!("/api/v1/tokens/{}", made.body["id"]);
    assert_eq!(console.ask("DELETE", &path, &[&cookie, &csrf], "").await.status, 200);
    assert_eq!(console.ask("GET", "/api/v1/volumes", &[&bearer], "").await.status, 401);
    close(office, console).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_passwords_must_wait() {
    let (office, console) = staffed().await;
    let wrong = r#"{"user":"admin","password":"not this, not this"}"#;
    for _ in 0..5 {
        let answer = console.ask("POST", "/api/v1/session", &[], wrong).await;
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    let answer = console.ask("POST", "/api/v1/session", &[], wrong).await;
    assert_eq!((answer.status, &answer.body["code"]), (429, &json!("too-many")), "{answer:?}");
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    close(office, console).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_written_down_without_secrets() {
    let (office, console) = staffed().await;
    let [cookie, csrf] = console.log_in("admin").await;
    let headers = [cookie.as_str(), csrf.as_str()];
    let new = format!(r#"{{"name":"ben","role":"viewer","password":"{PASSWORD}"}}"#);
    console.ask("POST", "/api/v1/users", &headers, &new).await;
    console.ask("POST", "/api/v1/volumes", &headers, VOLUME).await;
    console.ask("DELETE", "/api/v1/volumes/none?force=true", &headers, "").await;
    let [cookie, csrf] = console.log_in("viewer").await;
    console.ask("DELETE", "/api/v1/volumes/mail", &[&cookie, &csrf], "").await;
    let entries: Vec<AuditEntry> = office.client.get("/audit?limit=4").await.unwrap();
    let told: Vec<_> = entries
        .iter()
        .map(|one| (one.who.as_str(), one.object.as_str(), one.outcome.split(':').next().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("viewer", "/volumes/mail", "forbidden"),
            ("viewer (says they)", "/session", "done"),
            ("admin", "/volumes/none", "not-found"),
            ("admin", "/volumes", "done"),
        ]
    );
    assert_eq!(
        (entries[0].origin.as_str(), entries[2].detail.as_str()),
        ("127.0.0.1", "?force=true")
    );
    let all: Vec<AuditEntry> = office.client.get("/audit").await.unwrap();
    let text = format!("{all:?}");
    assert!(text.contains("ben") && !text.contains(PASSWORD), "{text}");
    let verdict: AuditVerdict = office.client.get("/audit/verify").await.unwrap();
    assert!(verdict.is_whole, "{verdict:?}");
    close(office, console).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_are_told_to_be_careful_and_tricks_lead_nowhere() {
    let (office, console) = staffed().await;
    let [cookie, csrf] = console.log_in("admin").await;
    let answer = console.ask("GET", "/api/v1/volumes", &[&cookie], "").await;
    for (name, value) in [
        ("content-security-policy", "frame-ancestors 'none'"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ] {
        assert!(
            answer.header(name).is_some_and(|found| found.contains(value)),
            "{name}: {answer:?}"
        );
    }
    for path in [
        "/api/v1/../../etc/passwd",
        "/api/v1/%2e%2e/%2e%2e/etc/passwd",
        "/..%2fetc/passwd",
        "//api/v1/users",
    ] {
        let answer = console.ask("GET", path, &[&cookie], "").await;
        assert!(matches!(answer.status, 400 | 404), "{path}: {answer:?}");
    }
    let long = format!(r#"{{"name":"{}","size":1}}"#, "x".repeat(70_000));
    let answer = console.ask("POST", "/api/v1/volumes", &[&cookie, &csrf], &long).await;
    assert_eq!((answer.status, &answer.body["code"]), (413, &json!("invalid")), "{answer:?}");
    let html = r#"{"name":"<img src=x onerror=alert(1)>","size":16777216}"#;
    let answer = console.ask("POST", "/api/v1/volumes", &[&cookie, &csrf], html).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    close(office, console).await;
}

#[test]
fn the_daemon_prints_the_way_in_and_verifies_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start_in(dir, &["--api", "127.0.0.1:0"]);
    let address = daemon.ready.trim_end().rsplit(' ').next().unwrap().to_owned();
    assert_eq!(daemon.line(), format!("Console: https://{address}/"));
    let fingerprint = daemon.line();
    assert!(fingerprint.ends_with(|c: char| c.is_ascii_hexdigit()), "{fingerprint}");
    assert!(daemon.line().contains("no user yet"));
    assert!(daemon.line().starts_with(&format!("  https://{address}/#/setup/")));
    let me = daemon.json(&["whoami"]);
    assert_eq!((&me["user"], &me["role"]), (&json!("local"), &json!("admin")));
    let secret = daemon.state.join("password");
    std::fs::write(&secret, PASSWORD).unwrap();
    let said = std::process::Command::new("chmod").arg("600").arg(&secret).status().unwrap();
    assert!(said.success());
    let file = secret.to_str().unwrap();
    daemon.json(&["user", "add", "anna", "--role", "admin", "--password-file", file]);
    let refused = daemon.tidemark(&["user", "rm", "anna", "--yes"]);
    assert_eq!(refused.code, 0, "the last of all may go: {refused:?}");
    daemon.json(&["user", "add", "anna", "--role", "admin", "--password-file", file]);
    daemon.json(&["user", "add", "ben", "--role", "viewer", "--password-file", file]);
    assert_eq!(daemon.tidemark(&["user", "set", "anna", "--role", "viewer"]).code, 4);
    assert_eq!(daemon.json(&["user", "set", "ben", "--lock"])["is_locked"], json!(true));
    let token = daemon.json(&["token", "create", "report", "--role", "viewer", "--days", "1"]);
    assert!(token["token"].as_str().unwrap().starts_with("tmk_"));
    daemon.json(&["token", "rm", "1", "--yes"]);
    assert_eq!(daemon.json(&["audit", "verify"])["is_whole"], json!(true));
    let catalogue = rusqlite::Connection::open(daemon.state.join("catalogue.sqlite")).unwrap();
    catalogue.execute("UPDATE audit SET who = 'nobody' WHERE number = 2", []).unwrap();
    let said = daemon.tidemark(&["audit", "verify"]);
    assert_eq!(said.code, 7, "{said:?}");
    assert!(said.err.contains("entry 2 is not what was written"), "{said:?}");
    daemon.stop();
}

#[test]
fn a_catalogue_that_is_damaged_touches_no_volume() {
    let daemon = Daemon::start();
    daemon.json(&["volume", "create", "mail", "--size", "64M"]);
    let state = daemon.state.clone();
    let dir = daemon.stop();
    std::fs::write(state.join("catalogue.sqlite"), "x".repeat(10_000)).unwrap();
    let daemon = Daemon::start_in(dir, &[]);
    daemon.json(&["mark", "take", "mail", "--name", "monday"]);
    let status = daemon.json(&["status"]);
    let troubles = status["troubles"].as_array().unwrap();
    let told = troubles.iter().find(|one| one["of"] == json!("catalogue"));
    assert!(told.unwrap()["what"].as_str().unwrap().contains("took its place"), "{status}");
    assert_eq!(
        daemon.json(&["audit", "ls"]).as_array().unwrap().len(),
        2,
        "the copy has the first"
    );
    daemon.stop();
}
