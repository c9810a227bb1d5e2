//! Who is in the demo, and what they did when.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use api::Inside;
use base::name::Name;
use base::rng::unguessable;
use control::access::{Access, Caller, NewToken};
use control::catalogue::on_a_thread;
use control::{Appliance, ControlError, Role};
use hyper::Method;
use serde_json::{Value, json};

use super::history::told;

/// Everyone, one for each role.
const PEOPLE: [(&str, Role); 4] = [
    ("anna", Role::Admin),
    ("otto", Role::Operator),
    ("hanna", Role::Helpdesk),
    ("victor", Role::Viewer),
];
/// What the tokens are called by which they act while the history happens.
const TOKEN_LABEL: &str = "demo";
/// Longer than the history.
const TOKEN_DAYS: u32 = 60;
/// Minutes of a day, and of an hour.
const DAY: u64 = 24 * HOUR;
const HOUR: u64 = 60;

/// The people of the demo.
pub(super) struct People {
    /// With which each of them signs in.
    pub password: String,
    tokens: BTreeMap<&'static str, Inside>,
}

/// Something that somebody did.
pub(super) struct Deed {
    /// Minutes before the present.
    pub ago: u64,
    pub who: &'static str,
    pub method: Method,
    pub path: &'static str,
    pub body: Value,
    /// Whether they may not, which the audit log shows too.
    pub is_refused: bool,
}

impl People {
    /// Makes them.
    ///
    /// # Errors
    /// What the API says.
    pub(super) async fn first(office: &Arc<Appliance>) -> Result<Self, ControlError> {
        let (password, owner) = (fresh_secret(), Inside::owner(office));
        let mut tokens = BTreeMap::new();
        for (name, role) in PEOPLE {
            let user = json!({ "name": name, "role": role, "password": password });
            owner.ask(Method::POST, "/users", Some(&user)).await.map_err(told)?;
            let caller = Caller { who: name.into(), role, ..Caller::local() };
            let new = NewToken { label: TOKEN_LABEL.into(), role, days: TOKEN_DAYS };
            let made = on_a_thread(office.access(), move |access| access.make_token(&caller, &new));
            tokens.insert(name, owner.with_token(made.await?.token));
        }
        Ok(Self { password, tokens })
    }

    /// Finds them in a demo that was kept, and gives them a new password, since nothing knows the old one.
    ///
    /// # Errors
    /// What the API says.
    pub(super) async fn again(office: &Arc<Appliance>) -> Result<Self, ControlError> {
        let (password, owner) = (fresh_secret(), Inside::owner(office));
        for (name, _) in PEOPLE {
            let change = json!({ "password": password });
            let path = format!("/users/{name}");
            owner.ask(Method::PATCH, &path, Some(&change)).await.map_err(told)?;
        }
        Ok(Self { password, tokens: BTreeMap::new() })
    }

    /// Somebody, as they ask.
    pub(super) fn named(&self, name: &str) -> Option<&Inside> {
        self.tokens.get(name)
    }

    /// Takes away the tokens by which they acted.
    ///
    /// # Errors
    /// `Catalogue`.
    pub(super) async fn rest(office: &Arc<Appliance>) -> Result<(), ControlError> {
        let tokens = on_a_thread(office.access(), Access::tokens).await?;
        for token in tokens.into_iter().filter(|token| token.label == TOKEN_LABEL) {
            on_a_thread(office.access(), move |access| access.remove_token(token.id)).await?;
        }
        Ok(())
    }
}

/// "anna (admin), otto (operator), ...".
pub(super) fn names() -> String {
    let names = PEOPLE.map(|(name, role)| format!("{name} ({role})"));
    names.join(", ")
}

/// Volumes with clients inside.
pub(super) fn busy_volumes() -> Vec<Name> {
    ["mail", "index", "web"].into_iter().filter_map(|name| name.parse().ok()).collect()
}

/// Volumes that were written to in the past: a quiet one besides.
pub(super) fn written_volumes() -> Vec<Name> {
    busy_volumes().into_iter().chain("archive".parse().ok()).collect()
}

/// A password or secret that nobody can guess.
pub(super) fn fresh_secret() -> String {
    let number = u64::from_le_bytes(unguessable());
    format!("tide-{:08x}-{:08x}", number >> 32, number & 0xffff_ffff)
}

/// All that was done, earliest first.
pub(super) fn deeds(adopted: &Path) -> Vec<Deed> {
    let mut all = [disks(adopted), doors(), protection(), incidents()].concat();
    all.sort_by_key(|deed| std::cmp::Reverse(deed.ago));
    all
}

impl Clone for Deed {
    fn clone(&self) -> Self {
        Self { method: self.method.clone(), body: self.body.clone(), ..*self }
    }
}

fn post(ago: u64, who: &'static str, path: &'static str, body: Value) -> Deed {
    Deed { ago, who, method: Method::POST, path, body, is_refused: false }
}

fn patch(ago: u64, who: &'static str, path: &'static str, body: Value) -> Deed {
    Deed { method: Method::PATCH, ..post(ago, who, path, body) }
}

fn disks(adopted: &Path) -> Vec<Deed> {
    let first = 29 * DAY + 20 * HOUR;
    let volume = |name: &str, gib: u64| {
        post(first, "anna", "/volumes", json!({ "name": name, "size": gib << 30 }))
    };
    vec![
        volume("mail", 200),
        volume("index", 50),
        volume("web", 80),
        volume("archive", 100),
        post(
            first - 10,
            "anna",
            "/volumes",
            json!({ "name": "old-server", "adopt": adopted.display().to_string() }),
        ),
        post(
            first - 12,
            "anna",
            "/groups",
            json!({ "name": "mailserver", "volumes": ["mail", "index"] }),
        ),
    ]
}

fn doors() -> Vec<Deed> {
    let first = 29 * DAY + 19 * HOUR;
    let initiator = |n: u64, path, name: &str| {
        let name = format!("iqn.1993-08.org.debian:01:{name}");
        post(first - n, "otto", path, json!({ "initiator": name }))
    };
    let secret = |ago, path, user: &str| {
        post(ago, "anna", path, json!({ "user": user, "secret": fresh_secret() }))
    };
    vec![
        post(
            first,
            "otto",
            "/targets",
            json!({ "name": "mail", "alias": "Mail server", "auth": "chap" }),
        ),
        secret(first - 1, "/targets/mail/chap", "mail-host"),
        post(first - 2, "otto", "/targets/mail/luns", json!({ "disk": "mail" })),
        post(first - 3, "otto", "/targets/mail/luns", json!({ "disk": "index" })),
        initiator(4, "/targets/mail/initiators", "a3f1c2"),
        initiator(5, "/targets/mail/initiators", "a3f1c3"),
        post(first - 6, "otto", "/targets", json!({ "name": "archive", "alias": "Archive" })),
        post(
            first - 7,
            "otto",
            "/targets/archive/luns",
            json!({ "disk": "archive", "is_read_only": true }),
        ),
        initiator(8, "/targets/archive/initiators", "77b0de"),
        secret(first - 9, "/discovery/chap", "finder"),
        patch(first - 10, "otto", "/portals/2", json!({ "state": "standby" })),
    ]
}

fn protection() -> Vec<Deed> {
    let zone = "Europe/Berlin";
    let first = 29 * DAY + 18 * HOUR;
    let policy = |ago, who, body| post(ago, who, "/policies", body);
    vec![
        policy(
            first,
            "anna",
            json!({ "name": "mailserver", "group": "mailserver", "every": "6h", "zone": zone,
                "keep": { "last": 12, "daily": 21, "weekly": 8, "monthly": 6 } }),
        ),
        policy(
            first - 5,
            "anna",
            json!({ "name": "archive-nightly", "volumes": ["archive"], "cron": "30 2 * * *", "zone": zone,
                "skip_unchanged": true, "keep": { "daily": 14, "weekly": 4 } }),
        ),
        policy(
            12 * DAY,
            "otto",
            json!({ "name": "old-server-weekly", "volumes": ["old-server"], "cron": "0 6 * * sun",
                "zone": zone, "keep": { "weekly": 8 }, "is_paused": true }),
        ),
        policy(
            2 * DAY,
            "otto",
            json!({ "name": "mail-hourly", "volumes": ["mail"], "every": "1h", "zone": zone,
                "keep": { "hourly": 36 } }),
        ),
        policy(
            DAY,
            "otto",
            json!({ "name": "web-busy", "volumes": ["web"], "every": "4h", "changed": 64 << 20, "zone": zone,
                "keep": { "last": 24 } }),
        ),
    ]
}

fn incidents() -> Vec<Deed> {
    let mark = |ago, volume: &str, name: &str, grade: &str| {
        let body = json!({ "volumes": [volume], "name": name, "grade": grade });
        post(ago, "otto", "/marks", body)
    };
    let upgrade = 9 * DAY + 3 * HOUR;
    vec![
        mark(29 * DAY, "mail", "after-migration", "application"),
        Deed {
            is_refused: true,
            ..post(20 * DAY, "victor", "/marks", json!({ "volumes": ["web"] }))
        },
        mark(14 * DAY, "web", "before-deploy", "filesystem"),
        post(13 * DAY, "otto", "/volumes/web/rollback", json!({ "mark": "before-deploy" })),
        post(
            upgrade,
            "otto",
            "/groups/mailserver/marks",
            json!({ "name": "before-upgrade", "grade": "filesystem" }),
        ),
        patch(
            upgrade - 2,
            "otto",
            "/volumes/mail/marks/before-upgrade",
            json!({ "is_held": true }),
        ),
        post(
            6 * DAY,
            "hanna",
            "/views",
            json!({ "name": "rescue-ben", "of": "mail@before-upgrade" }),
        ),
        post(5 * DAY, "otto", "/views", json!({ "name": "staging", "of": "web@before-deploy" })),
        post(DAY + HOUR, "otto", "/volumes/archive/scrub", Value::Null),
        post(
            3 * HOUR,
            "anna",
            "/tokens",
            json!({ "label": "monitoring", "role": "viewer", "days": 90 }),
        ),
    ]
}
