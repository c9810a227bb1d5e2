//! Requests that are sent twice, changes of what somebody has seen, lists a page at a time, and what a monitoring
//! system reads.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::http::{Answer, ask_with};
use super::nbd::Session;
use super::office::Office;
use super::process::{Daemon, until};

/// Asks with headers, below `/api/v1`.
fn send(socket: &Path, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let headers = [&[("Content-Type", "application/json")][..], headers].concat();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    ask_with(socket, method, &format!("/api/v1{path}"), &headers, &body)
}

/// The same, without holding up an appliance in the same runtime.
async fn asked(
    office: &Office,
    method: &'static str,
    path: &str,
    headers: &[(&'static str, &str)],
    body: Value,
) -> Answer {
    let (socket, path) = (office.socket(), path.to_owned());
    let headers: Vec<_> =
        headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let ask = move || {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        send(&socket, method, &path, &headers, &body)
    };
    tokio::task::spawn_blocking(ask).await.unwrap()
}

fn socket(daemon: &Daemon) -> PathBuf {
    daemon.state.join("tidemark.sock")
}

fn count(daemon: &Daemon, list: &[&str]) -> usize {
    daemon.json(list).as_array().unwrap().len()
}

/// The connection breaks while the request is carried out: the answer is there for who asks again.
#[test]
fn a_client_that_hangs_up_and_asks_again_gets_the_answer() {
    let daemon = Daemon::start();
    daemon.json(&["volume", "create", "mail", "--size", "16M"]);
    for turn in 0..20 {
        let (key, name) = (format!("key-{turn}"), format!("m{turn}"));
        let body = json!({ "volumes": ["mail"], "name": name });
        let text = body.to_string();
        let mut stream = UnixStream::connect(socket(&daemon)).unwrap();
        write!(
            stream,
            "POST /api/v1/marks HTTP/1.1\r\nHost: tidemark\r\nContent-Type: application/json\r\n\
             Idempotency-Key: {key}\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        )
        .unwrap();
        drop(stream);
        let again = until("the first request has ended", || {
            let headers = [("Idempotency-Key", key.as_str())];
            let again = send(&socket(&daemon), "POST", "/marks", &headers, &body);
            (!again.text().contains("goes on")).then_some(again)
        });
        assert_eq!(again.status, 201, "{again:?}");
        assert_eq!(count(&daemon, &["mark", "ls", "mail"]), turn + 1);
    }
    daemon.stop();
}

#[test]
fn a_request_that_is_sent_again_after_a_kill_is_not_carried_out_again() {
    let daemon = Daemon::start();
    let key = [("Idempotency-Key", "8e03978e-40d5-43dd-bc93-6894a57f9324")];
    daemon.json(&["volume", "create", "mail", "--size", "16M"]);
    let take = json!({ "volumes": ["mail"] });
    let first = send(&socket(&daemon), "POST", "/marks", &key, &take);
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, String::new()));
    let token = json!({ "label": "report", "role": "viewer", "days": 1 });
    let other = [("Idempotency-Key", "another")];
    let made = send(&socket(&daemon), "POST", "/tokens", &other, &token);
    assert_eq!(made.status, 201, "{made:?}");
    daemon.signal(Signal::SIGKILL);
    let (_, _, dir) = daemon.ended();
    let daemon = Daemon::start_in(dir, &[]);
    for (request, key, before) in
        [(("/marks", &take), key, &first), (("/tokens", &token), other, &made)]
    {
        let again = send(&socket(&daemon), "POST", request.0, &key, request.1);
        assert_eq!((again.status, again.text()), (before.status, before.text()));
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(again.content_type, "application/json");
    }
    assert_eq!((count(&daemon, &["mark", "ls", "mail"]), count(&daemon, &["token", "ls"])), (1, 1));
    let wrong = send(&socket(&daemon), "POST", "/marks", &key, &json!({ "volumes": ["other"] }));
    assert_eq!((wrong.status, &wrong.body["code"]), (422, &json!("invalid")));
    let without =
        send(&socket(&daemon), "POST", "/marks", &[], &json!({ "volumes": ["mail"], "name": "x" }));
    assert_eq!(without.status, 201, "{without:?}");
    let log = daemon.json(&["audit", "ls"]);
    let outcomes = log.as_array().unwrap().iter().map(|entry| entry["outcome"].as_str().unwrap());
    assert_eq!(outcomes.filter(|outcome| outcome.contains("answered as before")).count(), 2);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_repeated_and_a_key_that_is_none_is_refused() {
    let office = Office::start().await;
    let key = [("Idempotency-Key", "k")];
    let body = json!({ "volumes": ["mail"], "name": "x" });
    let refused = asked(&office, "POST", "/marks", &key, body.clone()).await;
    assert_eq!(refused.status, 404, "{refused:?}");
    let volume = json!({ "name": "mail", "size": 16_777_216 });
    let made = asked(&office, "POST", "/volumes", &[("Idempotency-Key", "l")], volume).await;
    assert_eq!(made.status, 201, "{made:?}");
    let again = asked(&office, "POST", "/marks", &key, body.clone()).await;
    assert_eq!((again.status, again.content_type.as_str()), (404, "application/problem+json"));
    assert_eq!(
        asked(&office, "POST", "/marks", &[("Idempotency-Key", "m")], body.clone()).await.status,
        201
    );
    let empty = asked(&office, "POST", "/marks", &[("Idempotency-Key", "")], body).await;
    assert_eq!(empty.status, 400, "{empty:?}");
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_seen_is_not_told_again_and_only_what_was_seen_is_changed() {
    let office = Office::start().await;
    let volume = json!({ "name": "mail", "size": 16_777_216 });
    assert_eq!(asked(&office, "POST", "/volumes", &[], volume).await.status, 201);
    let seen = asked(&office, "GET", "/volumes/mail", &[], Value::Null).await.header("etag");
    assert!(seen.starts_with('"'), "{seen}");
    let same =
        asked(&office, "GET", "/volumes/mail", &[("If-None-Match", seen.as_str())], Value::Null)
            .await;
    assert_eq!((same.status, same.text(), same.header("etag")), (304, "", seen.clone()));
    // A mark is nothing that was set.
    let mark = json!({ "volumes": ["mail"], "name": "x" });
    assert_eq!(asked(&office, "POST", "/marks", &[], mark).await.status, 201);
    let moved =
        asked(&office, "GET", "/volumes/mail", &[("If-None-Match", seen.as_str())], Value::Null)
            .await;
    assert_eq!((moved.status, &moved.body["marks"]), (200, &json!(1)));
    let change = json!({ "sync": "always" });
    let meant = [("If-Match", seen.as_str())];
    assert_eq!(asked(&office, "PATCH", "/volumes/mail", &meant, change.clone()).await.status, 200);
    for (method, body) in [("PATCH", change), ("DELETE", Value::Null)] {
        let stale = asked(&office, method, "/volumes/mail", &meant, body).await;
        assert_eq!((stale.status, stale.content_type.as_str()), (412, "application/problem+json"));
        assert!(stale.body["way_out"].as_str().unwrap().contains("read it again"), "{stale:?}");
    }
    let gone = asked(&office, "DELETE", "/volumes/none", &[("If-Match", "*")], Value::Null).await;
    assert_eq!(gone.status, 412, "{gone:?}");
    let any =
        asked(&office, "DELETE", "/volumes/mail/marks/x", &[("If-Match", "*")], Value::Null).await;
    assert_eq!(any.status, 200, "{any:?}");
    office.stop().await;
}

/// The names on each page of a list, from the page that is asked for on.
async fn pages(office: &Office, list: &str, query: &str) -> Vec<Vec<String>> {
    let mut query = query.to_owned();
    let mut seen = Vec::new();
    loop {
        let page = asked(office, "GET", &format!("{list}{query}"), &[], Value::Null).await;
        let names = page.body.as_array().unwrap().iter();
        seen.push(names.map(|one| one["name"].as_str().unwrap().to_owned()).collect());
        let link = page.header("link");
        match link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\"")) {
            Some(next) => query = next.to_owned(),
            None => return seen,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_come_a_page_at_a_time_each_volume_and_view_before_its_marks() {
    let office = Office::start().await;
    for name in ["mail", "mail-2"] {
        let volume = json!({ "name": name, "size": 1_048_576 });
        assert_eq!(asked(&office, "POST", "/volumes", &[], volume).await.status, 201);
    }
    for mark in ["b", "a"] {
        let mark = json!({ "volumes": ["mail", "mail-2"], "name": mark });
        assert_eq!(asked(&office, "POST", "/marks", &[], mark).await.status, 201);
    }
    let view = json!({ "name": "look", "of": "mail@a" });
    assert_eq!(asked(&office, "POST", "/views", &[], view).await.status, 201);
    let expected = ["view/look", "mail", "mail@a", "mail@b", "mail-2", "mail-2@a", "mail-2@b"];
    for limit in 1..=8 {
        let all = pages(&office, "/exports", &format!("?limit={limit}")).await;
        assert!(all.iter().all(|page| page.len() <= limit), "{limit}: {all:?}");
        assert_eq!(all.concat(), expected, "{limit}");
    }
    // Where a page ended nothing need be any more.
    let first = asked(&office, "GET", "/exports?limit=3", &[], Value::Null).await;
    let gone = asked(&office, "DELETE", "/volumes/mail/marks/a", &[], Value::Null).await;
    assert_eq!(gone.status, 409, "a view shows it: {gone:?}");
    assert_eq!(asked(&office, "DELETE", "/views/look", &[], Value::Null).await.status, 200);
    let gone = asked(&office, "DELETE", "/volumes/mail/marks/a", &[], Value::Null).await;
    assert_eq!(gone.status, 200, "{gone:?}");
    let next = first.header("link").split(['<', '>']).nth(1).unwrap().to_owned();
    assert_eq!(pages(&office, "/exports", &next).await.concat(), expected[3..]);
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_read_a_page_at_a_time_and_the_command_line_shows_all_of_it() {
    let office = Office::start().await;
    for name in ["c", "a", "e", "b", "d"] {
        let volume = json!({ "name": name, "size": 1_048_576 });
        assert_eq!(asked(&office, "POST", "/volumes", &[], volume).await.status, 201);
    }
    let seen = pages(&office, "/volumes", "?limit=2").await;
    assert_eq!(json!(seen), json!([["a", "b"], ["c", "d"], ["e"]]));
    assert_eq!(asked(&office, "GET", "/volumes", &[], Value::Null).await.header("link"), "");
    for wrong in ["limit=0", "limit=1001", "cursor=x", "colour=red"] {
        let refused = asked(&office, "GET", &format!("/volumes?{wrong}"), &[], Value::Null).await;
        assert_eq!(refused.status, 400, "{wrong}: {refused:?}");
    }
    let listed: Vec<Value> = office.client.list("/volumes").await.unwrap();
    assert_eq!(listed.len(), 5);
    let audit = asked(&office, "GET", "/audit?limit=2", &[], Value::Null).await;
    assert_eq!(audit.header("link"), "<?before=4&limit=2>; rel=\"next\"");
    office.stop().await;
}

/// Every name of a metric in a text.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let words = text.split(|c: char| !is_part(c)).filter(|word| word.starts_with("tidemark_"));
    words.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rules_and_dashboard_ask_for_is_measured() {
    let office = Office::start().await;
    let volume = json!({ "name": "mail", "size": 16_777_216 });
    assert_eq!(asked(&office, "POST", "/volumes", &[], volume).await.status, 201);
    let mark = json!({ "volumes": ["mail"], "name": "x" });
    assert_eq!(asked(&office, "POST", "/marks", &[], mark).await.status, 201);
    let door = office.door();
    let io = move || {
        let mut session = Session::open(&door, "mail").unwrap().unwrap();
        session.write(0, &[1; 4096]).unwrap().unwrap();
        session.read(0, 4096).unwrap().unwrap();
    };
    tokio::task::spawn_blocking(io).await.unwrap();
    let socket = office.socket();
    let text = tokio::task::spawn_blocking(move || ask_with(&socket, "GET", "/metrics", &[], ""));
    let text = text.await.unwrap();
    let measured: BTreeSet<String> = text
        .text()
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .map(str::to_owned)
        .collect();
    for line in [
        "tidemark_volume_read_bytes_total{volume=\"mail\"} 4096",
        "tidemark_volume_write_bytes_total{volume=\"mail\"} 4096",
        "tidemark_volume_write_seconds_count{volume=\"mail\"} 1",
        "tidemark_mark_create_seconds_count 1",
    ] {
        assert!(text.text().lines().any(|known| known == line), "{line}: {}", text.text());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/tidemark/prometheus");
    for file in ["alerts.yml", "dashboard.json"] {
        let asked = metrics_in(&std::fs::read_to_string(folder.join(file)).unwrap());
        assert!(asked.len() > 3, "{file} asks for nothing");
        // What is foreseen is told once there is a day of history.
        let foreseen = |name: &&String| name.ends_with("_seconds_to_full");
        let missing: Vec<_> = asked.difference(&measured).filter(|name| !foreseen(name)).collect();
        assert!(missing.is_empty(), "{file} asks for {missing:?}, which nobody measures");
    }
    office.stop().await;
}
