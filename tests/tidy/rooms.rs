//! Rule: arrows point down, and a technique has one room.
//!
//! Both tables are the ones of `src/ARCHITECTURE.md`. A package that stands in neither may not be
//! imported at all: a new one is filed here, with a thought about which room it belongs to.

use std::collections::{BTreeMap, BTreeSet};

use super::cargo::{self, Manifest};
use super::tree::{Finding, Tree};
use super::{accepts, finds, holds};

/// Which rooms a room may import.
const IMPORTS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("disk", &["base"]),
    ("kernel-stubs", &["base", "disk"]),
    ("store", &["base", "disk"]),
    ("targets", &["base", "disk"]),
    ("control", &["base", "disk", "store", "targets", "kernel-stubs"]),
    ("api", &["base", "control"]),
    ("tidemark", &["base", "control", "api"]),
];

/// Packages that stand above the house and may look into every room.
const OUTSIDERS: &[&str] = &["tests", "bench", "tidemark-fuzz"];

/// Which rooms may use an outside package in the code they ship.
const PACKAGES: &[(&str, &[&str])] = &[
    // Furniture: from floor 1 up.
    ("tokio", ABOVE_GROUND),
    ("tracing", ABOVE_GROUND),
    ("serde_json", ABOVE_GROUND),
    ("thiserror", EVERYWHERE),
    ("schemars", EVERYWHERE),
    ("serde", EVERYWHERE),
    // Techniques: one room each, or the few that share an edge.
    ("argon2", &["control"]),
    ("axum", &["api"]),
    ("bitvec", &["base"]),
    ("clap", &["tidemark"]),
    ("clap_complete", &["tidemark"]),
    ("comfy-table", &["tidemark"]),
    ("crc32c", &["base"]),
    ("cronexpr", &["control"]),
    ("fuser", &["kernel-stubs"]),
    ("futures-util", &["api", "store"]),
    ("getrandom", &["base"]),
    ("hmac", &["control"]),
    ("hyper", &["api", "control", "tidemark"]),
    ("hyper-util", &["api", "control", "tidemark"]),
    ("http-body-util", &["control", "tidemark"]),
    ("indicatif", &["tidemark"]),
    ("io-uring", &["disk"]),
    ("jiff", &["control"]),
    ("lettre", &["control"]),
    ("libc", &["disk", "kernel-stubs"]),
    ("md-5", &["targets"]),
    ("mimalloc", &["tidemark"]),
    ("nix", &["disk", "kernel-stubs", "targets", "control", "tidemark"]),
    ("prometheus-client", &["api"]),
    ("rcgen", &["api"]),
    ("ring", &["control"]),
    ("rusqlite", &["control"]),
    ("rustls", &["targets", "control", "api"]),
    ("rustls-native-certs", &["control"]),
    ("rustls-pemfile", &["targets", "control", "api"]),
    ("sd-notify", &["tidemark"]),
    ("sha1", &["targets"]),
    ("sha2", &["targets", "control", "api"]),
    ("sha3", &["targets"]),
    ("subtle", &["targets", "control"]),
    ("tokio-rustls", &["targets", "control", "api"]),
    ("toml", &["control"]),
    ("tracing-subscriber", &["tidemark"]),
    ("x509-parser", &["api"]),
    ("zeroize", &["targets"]),
    ("zstd", &["store"]),
];

const EVERYWHERE: &[&str] =
    &["base", "disk", "kernel-stubs", "store", "targets", "control", "api", "tidemark"];
const ABOVE_GROUND: &[&str] = EVERYWHERE.split_at(1).1;

/// Outside packages that tests of any room may use besides.
const FOR_TESTS: &[&str] = &["proptest", "tempfile", "tokio", "tracing-subscriber", "serde_json"];

fn rooms(tree: &Tree) -> Vec<Manifest> {
    let inside = |manifest: &Manifest| !OUTSIDERS.contains(&manifest.name.as_str());
    cargo::manifests(tree).into_iter().filter(inside).collect()
}

fn arrows_point_down(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for room in rooms(tree) {
        let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == room.name) else {
            let what = format!("room {} stands on no floor: give it a line in IMPORTS", room.name);
            findings.push(Finding::file(&room.path, what));
            continue;
        };
        for dependency in &room.dependencies {
            let name = dependency.name.as_str();
            let is_room = IMPORTS.iter().any(|(room, _)| *room == name);
            if (is_room || OUTSIDERS.contains(&name))
                && name != room.name
                && !allowed.contains(&name)
            {
                let what = format!("room {} may not import {name}", room.name);
                findings.push(Finding::file(&room.path, what));
            }
        }
    }
    findings
}

fn a_technique_has_its_room(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for room in rooms(tree) {
        for dependency in &room.dependencies {
            let name = dependency.name.as_str();
            if IMPORTS.iter().any(|(room, _)| *room == name) || OUTSIDERS.contains(&name) {
                continue;
            }
            let ships =
                PACKAGES.iter().find(|(package, _)| *package == name).map(|(_, rooms)| *rooms);
            let may_ship = ships.is_some_and(|rooms| rooms.contains(&room.name.as_str()));
            if may_ship || (dependency.is_dev && FOR_TESTS.contains(&name)) {
                continue;
            }
            let what = match ships {
                Some(rooms) => format!("{name} lives in {rooms:?}, not in {}", room.name),
                None => format!("{name} has no room: file it in PACKAGES or FOR_TESTS"),
            };
            findings.push(Finding::file(&room.path, what));
        }
    }
    findings
}

/// The table of rooms in the plan says what the table above says.
fn the_plan_says_the_same(tree: &Tree) -> Vec<Finding> {
    let path = "src/ARCHITECTURE.md";
    let rows = tree.text(path).unwrap_or_default().lines().filter(|line| line.starts_with("| `"));
    let planned: BTreeMap<&str, BTreeSet<&str>> = rows
        .filter_map(|row| {
            let cells: Vec<&str> = row.split('|').collect();
            let room = cells.get(1)?.split('`').nth(1)?;
            Some((room, cells.get(2)?.split('`').skip(1).step_by(2).collect()))
        })
        .collect();
    let table = IMPORTS.iter().map(|(room, imports)| (*room, imports.iter().copied().collect()));
    let table: BTreeMap<&str, BTreeSet<&str>> = table.collect();
    let rooms: BTreeSet<&str> = planned.keys().chain(table.keys()).copied().collect();
    let differing = rooms.into_iter().filter(|room| planned.get(room) != table.get(room));
    let say = |room| match (planned.get(room), table.get(room)) {
        (Some(_), None) => format!("room {room} is not in IMPORTS"),
        (None, Some(_)) => format!("room {room} is not in the plan"),
        (plan, table) => format!("room {room} imports {plan:?} by the plan, {table:?} by IMPORTS"),
    };
    differing.map(|room| Finding::file(path, say(room))).collect()
}

#[test]
fn every_room_imports_only_floors_below_it() {
    holds(arrows_point_down);
    holds(the_plan_says_the_same);
}

#[test]
fn every_technique_lives_in_its_room() {
    holds(a_technique_has_its_room);
}

#[test]
fn the_import_table_itself_has_no_cycle() {
    for (room, imports) in IMPORTS {
        let floor = |name: &str| IMPORTS.iter().position(|(known, _)| *known == name);
        for import in *imports {
            assert!(floor(import) < floor(room), "{room} imports {import}, which stands above it");
        }
    }
}

#[test]
fn an_arrow_that_points_up_or_sideways_is_found() {
    let path = "src/targets/Cargo.toml";
    let manifest = |kind: &str, name: &str| {
        format!("[package]\nname = 'targets'\n[{kind}]\n{name}.workspace = true\n")
    };
    accepts(arrows_point_down, &[(path, &manifest("dependencies", "disk"))]);
    for kind in ["dependencies", "dev-dependencies", "build-dependencies", "target.x.dependencies"]
    {
        let files = [(path, manifest(kind, "store"))];
        let files = [(files[0].0, files[0].1.as_str())];
        finds(arrows_point_down, &files, (path, "may not import store"));
    }
    finds(arrows_point_down, &[(path, &manifest("dependencies", "tests"))], (path, "import tests"));
    let stranger = "[package]\nname = 'attic'\n";
    finds(
        arrows_point_down,
        &[("src/attic/Cargo.toml", stranger)],
        ("src/attic/Cargo.toml", "no floor"),
    );
}

#[test]
fn a_plan_that_says_otherwise_is_found() {
    let row = |(room, imports): &(&str, &[&str])| {
        let imports: Vec<String> = imports.iter().map(|name| format!("`{name}`")).collect();
        format!("| `{room}` | {} | `x` |\n", imports.join(", "))
    };
    let plan: String = IMPORTS.iter().map(row).collect();
    let path = "src/ARCHITECTURE.md";
    accepts(the_plan_says_the_same, &[(path, &plan)]);
    for (from, to, what) in [
        ("| `disk` | `base` |", "| `disk` | `base`, `store` |", "room disk imports"),
        ("| `disk` | `base` | `x` |\n", "", "not in the plan"),
        ("| `disk` | `base` |", "| `attic` | |\n| `disk` | `base` |", "not in IMPORTS"),
    ] {
        finds(the_plan_says_the_same, &[(path, &plan.replace(from, to))], (path, what));
    }
}

#[test]
fn a_technique_out_of_its_room_is_found() {
    let path = "src/targets/Cargo.toml";
    let manifest = |kind: &str, name: &str| {
        format!("[package]\nname = 'targets'\n[{kind}]\n{name}.workspace = true\n")
    };
    accepts(a_technique_has_its_room, &[(path, &manifest("dependencies", "rustls"))]);
    accepts(a_technique_has_its_room, &[(path, &manifest("dev-dependencies", "proptest"))]);
    let cases = [
        ("dependencies", "io-uring", "lives in"),
        ("dependencies", "proptest", "has no room"),
        ("dev-dependencies", "io-uring", "lives in"),
        ("dependencies", "left-pad", "has no room"),
    ];
    for (kind, name, what) in cases {
        let text = manifest(kind, name);
        finds(a_technique_has_its_room, &[(path, &text)], (path, what));
    }
    let ground = "[package]\nname = 'base'\n[dependencies]\ntokio.workspace = true\n";
    finds(
        a_technique_has_its_room,
        &[("src/base/Cargo.toml", ground)],
        ("src/base/Cargo.toml", "tokio"),
    );
}
