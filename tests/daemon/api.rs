//! The API: what it answers, and how it refuses.

use api::model::{MarkChange, NewGroup, NewMark, NewView, NewVolume, Removed, VolumeChange};
use control::config::host_name;
use control::status::{
    ApplianceStatus, Grade, GroupStatus, JobState, JobStatus, MarkStatus, RollbackStarted,
    ScrubReport, ViewStatus, VolumeStatus,
};
use control::traffic::recent::TrafficStatus;
use serde_json::json;

use super::http::{Answer, ask, ask_as};
use super::nbd::Session;
use super::office::Office;

/// Asks as bytes, without holding up the appliance in the same runtime.
async fn raw(office: &Office, method: &str, path: &str, body: &str) -> Answer {
    let (socket, method, path) = (office.socket(), method.to_owned(), path.to_owned());
    let body = body.to_owned();
    tokio::task::spawn_blocking(move || ask(&socket, &method, &path, &body)).await.unwrap()
}

async fn make(office: &Office, name: &str, size: &str) -> VolumeStatus {
    let new =
        NewVolume { name: name.parse().unwrap(), size: Some(size.parse().unwrap()), adopt: None };
    office.client.post("/volumes", Some(&new)).await.unwrap()
}

async fn mark(office: &Office, volumes: &[&str], name: &str) -> Vec<MarkStatus> {
    let new = NewMark {
        volumes: volumes.iter().map(|volume| volume.parse().unwrap()).collect(),
        name: Some(name.parse().unwrap()),
        grade: Grade::Crash,
    };
    office.client.post("/marks", Some(&new)).await.unwrap()
}

async fn ended(office: &Office, id: u64) -> JobStatus {
    loop {
        let job: JobStatus = office.client.get(format!("/jobs/{id}")).await.unwrap();
        if job.state != JobState::Running {
            return job;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_lives_from_create_to_remove() {
    let office = Office::start().await;
    let made = make(&office, "mail", "64M").await;
    let all: Vec<VolumeStatus> = office.client.get("/volumes").await.unwrap();
    assert_eq!(all.iter().map(|volume| volume.id).collect::<Vec<_>>(), [made.id]);
    let change = VolumeChange { size: Some("128M".parse().unwrap()), ..VolumeChange::default() };
    let grown: VolumeStatus = office.client.patch("/volumes/mail", &change).await.unwrap();
    assert_eq!(grown.size, "128M".parse().unwrap());
    let gone: Removed = office.client.delete("/volumes/mail").await.unwrap();
    assert_eq!(gone.removed, "mail");
    assert_eq!(raw(&office, "GET", "/volumes/mail", "").await.status, 404);
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_did_and_how_long_they_waited_is_told_for_a_chart() {
    let office = Office::start().await;
    make(&office, "mail", "16M").await;
    make(&office, "quiet", "16M").await;
    let door = office.door();
    let opened = tokio::task::spawn_blocking(move || Session::open(&door, "mail").unwrap());
    let mut client = opened.await.unwrap().unwrap();
    let told = loop {
        let written = tokio::task::spawn_blocking(move || {
            client.write(0, &[7; 4096]).unwrap().unwrap();
            client
        });
        client = written.await.unwrap();
        let told: TrafficStatus = office.client.get("/volumes/mail/traffic").await.unwrap();
        if !told.points.is_empty() {
            break told;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    let write = told.points[0].write;
    assert!(write.count > 0 && write.bytes == write.count * 4096, "{told:?}");
    assert!(write.p50_us.unwrap() <= write.p99_us.unwrap(), "{told:?}");
    assert_eq!(told.points[0].read.p99_us, None);
    let all: TrafficStatus = office.client.get("/traffic").await.unwrap();
    assert_eq!(all.points[0], told.points[0]);
    let quiet: TrafficStatus = office.client.get("/volumes/quiet/traffic").await.unwrap();
    assert!(quiet.points.is_empty(), "{quiet:?}");
    assert_eq!(raw(&office, "GET", "/volumes/nothing/traffic", "").await.status, 404);
    tokio::task::spawn_blocking(move || client.close().unwrap()).await.unwrap();
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appliance_is_called_as_its_host_unless_it_has_a_name() {
    let office = Office::start().await;
    let status: ApplianceStatus = office.client.get("/status").await.unwrap();
    assert_eq!(Some(status.name), host_name());
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_stay_as_they_were_set() {
    let office = Office::start().await;
    make(&office, "mail", "64M").await;
    let change = json!({ "sync": "always", "when_marks_full": "thin" }).to_string();
    let answer = raw(&office, "PATCH", "/volumes/mail", &change).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let shown = raw(&office, "GET", "/volumes/mail", "").await.body;
    assert_eq!((&shown["sync"], &shown["when_marks_full"]), (&json!("always"), &json!("thin")));
    assert_eq!(shown["when_store_full"], json!("drop_oldest"));
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_mark_is_one_instant_and_a_held_mark_stays() {
    let office = Office::start().await;
    make(&office, "a", "16M").await;
    make(&office, "b", "16M").await;
    let taken = mark(&office, &["a", "b"], "monday").await;
    assert_eq!(taken.len(), 2);
    assert_eq!((taken[0].taken_ms, taken[0].group), (taken[1].taken_ms, taken[1].group));
    assert!(taken[0].group.is_some());
    let hold = MarkChange { is_held: Some(true), ..MarkChange::default() };
    let held: MarkStatus = office.client.patch("/volumes/a/marks/monday", &hold).await.unwrap();
    assert!(held.is_held);
    let refused = raw(&office, "DELETE", "/volumes/a/marks/monday", "").await;
    assert_eq!(refused.status, 409, "{refused:?}");
    let free = MarkChange {
        name: Some("tuesday".parse().unwrap()),
        is_held: Some(false),
        ..MarkChange::default()
    };
    let free: MarkStatus = office.client.patch("/volumes/a/marks/monday", &free).await.unwrap();
    assert_eq!((free.name.as_str(), free.is_held), ("tuesday", false));
    let _: Removed = office.client.delete("/volumes/a/marks/tuesday").await.unwrap();
    let left: Vec<MarkStatus> = office.client.get("/volumes/b/marks").await.unwrap();
    assert_eq!(left.len(), 1);
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_mark_stays_with_its_volume_and_what_a_removal_frees_is_told() {
    let office = Office::start().await;
    make(&office, "a", "16M").await;
    mark(&office, &["a"], "monday").await;
    mark(&office, &["a"], "tuesday").await;
    let until = r#"{"is_held":true,"hold_until":"2999-01-01"}"#;
    let refused = raw(&office, "PATCH", "/volumes/a/marks/monday", until).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    let both = r#"{"hold_for":"1d","hold_until":"2999-01-01"}"#;
    assert_eq!(raw(&office, "PATCH", "/volumes/a/marks/monday", both).await.status, 400);
    let hold = r#"{"hold_for":"1d"}"#;
    let held = raw(&office, "PATCH", "/volumes/a/marks/monday", hold).await;
    assert_eq!((held.status, &held.body["is_held"]), (200, &json!(true)), "{held:?}");
    assert!(held.body["held_until_ms"].as_u64() > held.body["taken_ms"].as_u64());
    let lock = r#"{"lock_for":"30d"}"#;
    let locked = raw(&office, "POST", "/volumes/a/marks/tuesday/lock", lock).await;
    assert_eq!((locked.status, &locked.body["is_locked"]), (200, &json!(true)), "{locked:?}");
    let shorter = r#"{"lock_for":"1d"}"#;
    let refused = raw(&office, "POST", "/volumes/a/marks/tuesday/lock", shorter).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    for path in ["/volumes/a/marks/tuesday?force=true", "/volumes/a?force=true"] {
        let refused = raw(&office, "DELETE", path, "").await;
        assert_eq!(refused.status, 409, "{refused:?}");
        let way_out = refused.body["way_out"].as_str().unwrap();
        assert!(way_out.contains("nobody can unlock it before"), "{way_out}");
    }
    let seen = raw(&office, "GET", "/volumes/a/removal-preview?marks=monday,tuesday", "").await;
    assert_eq!((seen.status, &seen.body["least_bytes"]), (200, &json!(0)), "{seen:?}");
    assert_eq!(seen.body["obstacles"].as_array().unwrap().len(), 2);
    for (marks, status) in [("none", 404), ("a,,b", 400), ("%2F", 400)] {
        let path = format!("/volumes/a/removal-preview?marks={marks}");
        assert_eq!(raw(&office, "GET", &path, "").await.status, status, "{marks}");
    }
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_without_a_name_gets_its_moment_in_utc() {
    let office = Office::start().await;
    make(&office, "mail", "16M").await;
    let answer = raw(&office, "POST", "/marks", r#"{"volumes":["mail"]}"#).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let name = answer.body[0]["name"].as_str().unwrap();
    assert!(name.len() == 16 && name.ends_with('Z') && name.contains('T'), "{name}");
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_keeps_its_mark_and_becomes_a_volume_when_promoted() {
    let office = Office::start().await;
    make(&office, "mail", "16M").await;
    mark(&office, &["mail"], "monday").await;
    let new = NewView { name: "look".parse().unwrap(), of: "mail@monday".parse().unwrap() };
    let view: ViewStatus = office.client.post("/views", Some(&new)).await.unwrap();
    assert_eq!(view.of, new.of);
    let refused = raw(&office, "DELETE", "/volumes/mail/marks/monday", "").await;
    assert_eq!((refused.status, &refused.body["code"]), (409, &json!("conflict")));
    let job: JobStatus = office.client.post("/views/look/promote", None::<&()>).await.unwrap();
    let job = ended(&office, job.id).await;
    assert_eq!(job.state, JobState::Done, "{job:?}");
    let promoted: VolumeStatus = office.client.get("/volumes/look").await.unwrap();
    assert_eq!(promoted.size, view.size);
    let _: Removed = office.client.delete("/volumes/mail/marks/monday").await.unwrap();
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_names_the_mark_that_undoes_it() {
    let office = Office::start().await;
    make(&office, "mail", "16M").await;
    mark(&office, &["mail"], "monday").await;
    let rollback = api::model::NewRollback { mark: "monday".parse().unwrap() };
    let begun: RollbackStarted =
        office.client.post("/volumes/mail/rollback", Some(&rollback)).await.unwrap();
    assert_eq!(begun.rollback.to.as_str(), "monday");
    assert_eq!(ended(&office, begun.job.id).await.state, JobState::Done);
    let marks: Vec<MarkStatus> = office.client.get("/volumes/mail/marks").await.unwrap();
    assert!(marks.iter().any(|mark| mark.name == begun.rollback.safety), "{marks:?}");
    let undone: RollbackStarted =
        office.client.post("/volumes/mail/undo", None::<&()>).await.unwrap();
    assert_eq!(undone.rollback.to, begun.rollback.safety);
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrub_is_a_job_with_a_report() {
    let office = Office::start().await;
    make(&office, "mail", "16M").await;
    let job: JobStatus = office.client.post("/volumes/mail/scrub", None::<&()>).await.unwrap();
    let job = ended(&office, job.id).await;
    assert_eq!(job.state, JobState::Done, "{job:?}");
    let report: ScrubReport = serde_json::from_value(job.result.unwrap()).unwrap();
    assert!(report.damaged.is_empty());
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_remembers_its_members() {
    let office = Office::start().await;
    make(&office, "a", "16M").await;
    make(&office, "b", "16M").await;
    let new = NewGroup {
        name: "all".parse().unwrap(),
        volumes: vec!["a".parse().unwrap(), "b".parse().unwrap()],
    };
    let made: GroupStatus = office.client.post("/groups", Some(&new)).await.unwrap();
    assert_eq!(made.volumes, new.volumes);
    let taken = raw(&office, "POST", "/groups/all/marks", r#"{"name":"noon"}"#).await;
    assert_eq!((taken.status, taken.body.as_array().unwrap().len()), (201, 2));
    let unknown = raw(&office, "POST", "/groups/none/marks", "{}").await;
    assert_eq!(unknown.status, 404, "{unknown:?}");
    let _: Removed = office.client.delete("/groups/all").await.unwrap();
    let left: Vec<GroupStatus> = office.client.get("/groups").await.unwrap();
    assert!(left.is_empty());
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_a_problem_with_a_code_a_detail_and_a_status() {
    let office = Office::start().await;
    make(&office, "mail", "64M").await;
    let cases = [
        ("GET", "/volumes/none", "", 404, "not-found", "none"),
        ("GET", "/volumes/a%20b", "", 400, "invalid", "a b"),
        ("GET", "/volumes/mail/marks/none", "", 404, "not-found", "mail@none"),
        ("GET", "/nothing/here", "", 404, "not-found", "nothing at this address"),
        ("PUT", "/volumes", "{}", 405, "invalid", "method"),
        ("POST", "/volumes", r#"{"name":"mail","size":1048576}"#, 409, "conflict", "mail"),
        ("POST", "/volumes", r#"{"name":"x"}"#, 400, "invalid", "size"),
        ("POST", "/volumes", r#"{"name":"x","size":1,"adopt":"/x"}"#, 400, "invalid", "size"),
        ("POST", "/volumes", r#"{"name":"x","adopt":"x.img"}"#, 400, "invalid", "x.img"),
        ("POST", "/volumes", r#"{"name":"x","size":1,"colour":"red"}"#, 422, "invalid", "colour"),
        ("POST", "/volumes", r#"{"name":"a/b","size":1}"#, 422, "invalid", "a/b"),
        ("POST", "/volumes", "{", 400, "invalid", "JSON"),
        ("PATCH", "/volumes/mail", r#"{"size":1048576}"#, 400, "invalid", "shrink"),
        ("PATCH", "/volumes/mail", r#"{"sync":"maybe"}"#, 422, "invalid", "maybe"),
        ("POST", "/marks", r#"{"volumes":[]}"#, 400, "invalid", "volume"),
        ("POST", "/volumes/mail/release", "", 409, "conflict", "not adopted"),
        ("POST", "/volumes/mail/undo", "", 404, "not-found", "rollback"),
        ("DELETE", "/volumes/mail?force=perhaps", "", 400, "invalid", "force"),
        ("DELETE", "/sessions/7", "", 404, "not-found", "session 7"),
        ("DELETE", "/jobs/7", "", 404, "not-found", "job 7"),
        ("DELETE", "/attachments/view%2Fnone", "", 404, "not-found", "view/none"),
    ];
    for (method, path, body, status, code, named) in cases {
        let answer = raw(&office, method, path, body).await;
        let what = format!("{method} {path} {body}: {answer:?}");
        assert_eq!(answer.status, status, "{what}");
        assert_eq!(answer.content_type, "application/problem+json", "{what}");
        assert_eq!(answer.body["code"], json!(code), "{what}");
        assert_eq!(answer.body["status"], json!(status), "{what}");
        assert_eq!(answer.body["type"], json!(format!("urn:tidemark:problem:{code}")), "{what}");
        assert!(answer.body["detail"].as_str().unwrap().contains(named), "{what}");
    }
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_long_or_no_json_is_refused() {
    let office = Office::start().await;
    let long = format!(r#"{{"name":"{}","size":1}}"#, "x".repeat(70_000));
    let answer = raw(&office, "POST", "/volumes", &long).await;
    assert_eq!((answer.status, &answer.body["code"]), (413, &json!("invalid")));
    let socket = office.socket();
    let asked = move || ask_as(&socket, "POST", "/volumes", ("text/plain", r#"{"name":"x"}"#));
    let answer = tokio::task::spawn_blocking(asked).await.unwrap();
    assert_eq!((answer.status, &answer.body["code"]), (415, &json!("invalid")));
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_of_everything() {
    let office = Office::start().await;
    make(&office, "mail", "64M").await;
    let status: ApplianceStatus = office.client.get("/status").await.unwrap();
    assert_eq!(status.pid, std::process::id());
    assert_eq!(status.volumes.len(), 1);
    assert_eq!(status.doors[0].address, format!("unix:{}", office.door().display()));
    assert!(status.troubles.is_empty(), "{:?}", status.troubles);
    office.stop().await;
}
