//! Alerts from outside: channels by command line and API, a test that reaches a log, and an alert from its cause to
//! somebody who says that they know.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use control::Role;
use control::alerts::life::AlertStatus;
use control::audit::AuditEntry;
use serde_json::{Value, json};

use super::https::{Console, add_user};
use super::office::Office;
use super::process::Daemon;

const SECRET: &str = "opensesame-opensesame";

#[test]
fn channels_are_run_by_the_command_line_and_a_test_tells_what_the_other_side_said() {
    let daemon = Daemon::start();
    let dir = daemon.state.parent().unwrap().to_owned();
    assert_eq!(daemon.json(&["alert", "ls"]), json!([]));
    assert_eq!(daemon.json(&["alert", "history"]), json!([]));
    let listed = daemon.tidemark(&["alert", "channel", "ls"]).out;
    assert!(listed.contains("alert channel add"), "{listed}");
    let log = UnixDatagram::bind(dir.join("log")).unwrap();
    log.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let socket = dir.join("log").display().to_string();
    daemon.json(&["alert", "channel", "add", "log", "syslog", "--socket", &socket]);
    let tested = daemon.json(&["alert", "channel", "test", "log"]);
    assert_eq!(tested["is_delivered"], json!(true), "{tested}");
    let mut buffer = [0; 4096];
    let len = log.recv(&mut buffer).unwrap();
    let told = String::from_utf8_lossy(&buffer[..len]).into_owned();
    assert!(told.starts_with("<29>1 ") && told.contains("TEST alert 0: channel log:"), "{told}");

    let file = dir.join("secret");
    fs::write(&file, SECRET).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let file = file.display().to_string();
    let add = ["alert", "channel", "add", "hook", "--secret-file", &file, "--least", "critical"];
    daemon.json(&[&add[..], &["webhook", "http://127.0.0.1:1/x"]].concat());
    let failed = daemon.tidemark(&["alert", "channel", "test", "hook"]);
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.out.contains("connect to 127.0.0.1"), "{failed:?}");
    let changed = daemon.json(&["alert", "channel", "set", "hook", "--paused", "true"]);
    assert_eq!((&changed["is_paused"], &changed["has_secret"]), (&json!(true), &json!(true)));
    let elsewhere = ["alert", "channel", "set", "hook", "--url", "http://127.0.0.1:2/"];
    assert_eq!(daemon.tidemark(&elsewhere).code, 2, "a secret went to another place");
    let with = [&elsewhere[..], &["--secret-file", &file]].concat();
    assert_eq!(daemon.json(&with)["to"]["url"], json!("http://127.0.0.1:2/"));
    let all = daemon.json(&["alert", "channel", "ls"]);
    assert_eq!(all.as_array().map(Vec::len), Some(2), "{all}");
    assert!(!all.to_string().contains("sesame"), "{all}");
    let kept = daemon.state.join("alerts.toml");
    assert_eq!(fs::metadata(kept).unwrap().permissions().mode() & 0o777, 0o600);
    daemon.json(&["alert", "channel", "rm", "hook", "--yes"]);
    for (arguments, code) in [
        (&["alert", "channel", "test", "hook"][..], 3),
        (&["alert", "channel", "add", "log", "syslog"], 4),
        (&["alert", "channel", "add", "x", "syslog", "--udp", "nowhere"], 2),
        (&["alert", "channel", "set", "log"], 2),
        (&["alert", "ack", "7"], 3),
        (&["alert", "show", "7"], 3),
    ] {
        let said = daemon.tidemark(arguments);
        assert_eq!(said.code, code, "{arguments:?}: {said:?}");
    }
    daemon.stop();
}

#[test]
fn what_is_told_when_is_set_and_kept_over_a_restart() {
    let daemon = Daemon::start();
    let set =
        ["alert", "set", "--mark-age-factor", "3", "--space-warning", "99", "--repeat-hours", "0"];
    assert_eq!(daemon.tidemark(&set).code, 2, "a warning above the critical threshold");
    let set = [&set[..], &["--space-critical", "100"]].concat();
    let settings = daemon.json(&set);
    assert_eq!(settings["space_warning_percent"], json!(99));
    let dir = daemon.stop();
    let daemon = Daemon::start_in(dir, &[]);
    assert_eq!(daemon.json(&["alert", "settings"]), settings);
    let shown = daemon.tidemark(&["alert", "settings"]).out;
    assert!(shown.contains("never") && shown.contains("after 3 runs"), "{shown}");
    daemon.stop();
}

/// The open alert of this thing, once it is there.
async fn alert_of(office: &Office, of: &str) -> AlertStatus {
    for _ in 0..600 {
        let all: Vec<AlertStatus> = office.client.get("/alerts").await.unwrap();
        if let Some(alert) = all.into_iter().find(|alert| alert.of == of) {
            return alert;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no alert of {of}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_takes_no_mark_is_an_alert_that_an_operator_acknowledges() {
    let office = Office::start().await;
    let console = Console::open(&office.appliance).await;
    for role in [Role::Viewer, Role::Operator, Role::Admin] {
        let appliance = office.appliance.clone();
        let add = move || add_user(&appliance, role.word(), role);
        tokio::task::spawn_blocking(add).await.unwrap();
    }
    let volume = json!({ "name": "mail", "size": 16 << 20 });
    office.client.post::<Value>("/volumes", Some(&volume)).await.unwrap();
    let policy =
        json!({ "name": "nightly", "volumes": ["mail"], "every": "1d", "keep": { "last": 2 } });
    office.client.post::<Value>("/policies", Some(&policy)).await.unwrap();
    office.client.delete::<Value>("/volumes/mail").await.unwrap();
    office.client.post::<Value>("/policies/nightly/run", None::<&()>).await.unwrap();
    let alert = alert_of(&office, "policy nightly").await;
    assert!(alert.what.contains("took no mark"), "{alert:?}");
    let status: Value = office.client.get("/status").await.unwrap();
    assert_eq!(status["alerts_open"], json!(1), "{status}");

    let acknowledge = format!("/api/v1/alerts/{}/acknowledge", alert.id);
    let [cookie, csrf] = console.log_in("viewer").await;
    let seen = console.ask("GET", "/api/v1/alerts", &[&cookie], "").await;
    assert_eq!(seen.body[0]["of"], json!("policy nightly"), "{seen:?}");
    let refused = console.ask("POST", &acknowledge, &[&cookie, &csrf], "").await;
    assert_eq!(refused.status, 403, "{refused:?}");
    let hidden = console.ask("GET", "/api/v1/alert-channels", &[&cookie], "").await;
    assert_eq!(hidden.status, 403, "{hidden:?}");
    let [cookie, csrf] = console.log_in("operator").await;
    let headers = [cookie.as_str(), csrf.as_str()];
    let noted = console.ask("POST", &acknowledge, &headers, "").await;
    assert_eq!(noted.body["acknowledged"]["by"], json!("operator"), "{noted:?}");
    let silence = format!("/api/v1/alerts/{}/silence", alert.id);
    let silenced = console.ask("POST", &silence, &headers, r#"{"until":"1999-01-01"}"#).await;
    assert_eq!(silenced.status, 400, "{silenced:?}");
    let tomorrow = control::when::internet(alert.last_ms + 86_400_000);
    let body = format!(r#"{{"until":"{tomorrow}"}}"#);
    let silenced = console.ask("POST", &silence, &headers, &body).await;
    assert_eq!(
        silenced.body["silenced_until_ms"],
        json!(alert.last_ms + 86_400_000),
        "{silenced:?}"
    );
    let told_again = console.ask("DELETE", &silence, &headers, "").await;
    assert!(told_again.body.get("silenced_until_ms").is_none(), "{told_again:?}");

    let [cookie, csrf] = console.log_in("admin").await;
    let hook = format!(
        r#"{{"name":"hook","to":{{"kind":"webhook","url":"http://127.0.0.1:1/"}},"secret":"{SECRET}"}}"#
    );
    let made = console.ask("POST", "/api/v1/alert-channels", &[&cookie, &csrf], &hook).await;
    assert_eq!(made.status, 201, "{made:?}");
    let entries: Vec<AuditEntry> = office.client.get("/audit?limit=1").await.unwrap();
    assert!(entries[0].detail.contains("webhook"), "{entries:?}");
    let all = format!("{entries:?}{made:?}");
    assert!(!all.contains("sesame"), "{all}");
    console.close().await;
    office.stop().await;
}
