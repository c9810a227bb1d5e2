//! Rule: everything the lock file brings in has a licence and a source that `.deny.toml` allows.
//!
//! Needs no network: cargo knows the manifests of what it has downloaded to build this test.

use std::process::Command;

use serde_json::Value;
use toml::Table;

use super::tree::{Tree, project_root};

/// One outside package in the lock file.
#[derive(Clone, Debug)]
struct Package {
    name: String,
    licence: String,
    source: String,
}

/// What `.deny.toml` says, as far as it can be checked without a network.
struct Policy {
    allowed: Vec<String>,
    banned: Vec<String>,
    registries: Vec<String>,
}

impl Policy {
    fn of(text: &str) -> Self {
        let table: Table = text.parse().expect(".deny.toml is TOML");
        let texts = |part: &str, key: &str| -> Vec<String> {
            let list = table[part][key].as_array().expect("a list");
            let name = |value: &toml::Value| {
                value.get("name").unwrap_or(value).as_str().map(str::to_owned)
            };
            list.iter().filter_map(name).collect()
        };
        Self {
            allowed: texts("licenses", "allow"),
            banned: texts("bans", "deny"),
            registries: texts("sources", "allow-registry"),
        }
    }

    /// What is wrong with a package, if anything.
    fn objection(&self, package: &Package) -> Option<String> {
        if self.banned.contains(&package.name) {
            return Some(format!("{} is banned", package.name));
        }
        if !self.registries.iter().any(|registry| package.source == format!("registry+{registry}"))
        {
            return Some(format!("{} comes from {}", package.name, package.source));
        }
        let is_allowed = allows(&self.allowed, &package.licence);
        (!is_allowed).then(|| format!("{} is under {:?}", package.name, package.licence))
    }
}

/// Whether a licence expression can be met with the allowed ones. `AND` binds closer than `OR`; the old
/// `/` means `OR`.
fn allows(allowed: &[String], expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let is_met = any_of(allowed, &words, &mut at);
    is_met && at == words.len()
}

fn any_of(allowed: &[String], words: &[&str], at: &mut usize) -> bool {
    let mut is_met = all_of(allowed, words, at);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        is_met |= all_of(allowed, words, at);
    }
    is_met
}

fn all_of(allowed: &[String], words: &[&str], at: &mut usize) -> bool {
    let mut is_met = one_of(allowed, words, at);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        is_met &= one_of(allowed, words, at);
    }
    is_met
}

fn one_of(allowed: &[String], words: &[&str], at: &mut usize) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let is_met = any_of(allowed, words, at);
        let is_closed = words.get(*at) == Some(&")");
        *at += 1;
        return is_met && is_closed;
    }
    let mut licence = (*word).to_owned();
    if let (Some(&"WITH"), Some(exception)) = (words.get(*at), words.get(*at + 1)) {
        licence = format!("{licence} WITH {exception}");
        *at += 2;
    }
    allowed.contains(&licence)
}

/// The outside packages of a workspace, as its lock file has them.
fn packages(manifest: &str) -> Vec<Package> {
    let output = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
        .args(["metadata", "--format-version=1", "--locked", "--offline"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu", "--manifest-path"])
        .arg(project_root().join(manifest))
        .output()
        .expect("run cargo metadata");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let text = |package: &Value, key: &str| package[key].as_str().unwrap_or_default().to_owned();
    let all = metadata["packages"].as_array().expect("a list of packages").iter();
    let outside = all.filter(|package| !package["source"].is_null()).map(|package| Package {
        name: text(package, "name"),
        licence: text(package, "license"),
        source: text(package, "source"),
    });
    outside.collect()
}

fn policy() -> Policy {
    Policy::of(Tree::project().text(".deny.toml").expect(".deny.toml is there"))
}

#[test]
fn every_package_in_the_lock_file_is_allowed() {
    let packages = packages("Cargo.toml");
    assert!(packages.len() > 20, "only {} packages: was the lock file read?", packages.len());
    let policy = policy();
    let objections: Vec<String> = packages.iter().filter_map(|one| policy.objection(one)).collect();
    assert!(objections.is_empty(), "{}", objections.join("\n"));
}

#[test]
fn a_package_that_is_not_allowed_is_found() {
    let good = Package {
        name: "left-pad".to_owned(),
        licence: "MIT".to_owned(),
        source: "registry+https://github.com/rust-lang/crates.io-index".to_owned(),
    };
    let policy = policy();
    assert_eq!(policy.objection(&good), None);
    let bad = [
        Package { licence: "GPL-3.0-only".to_owned(), ..good.clone() },
        Package { licence: String::new(), ..good.clone() },
        Package { name: "openssl".to_owned(), ..good.clone() },
        Package { source: "git+https://example.org/left-pad".to_owned(), ..good.clone() },
    ];
    for package in bad {
        assert!(policy.objection(&package).is_some(), "{package:?}");
    }
}

#[test]
fn licence_expressions_are_read_as_they_are_meant() {
    let allowed =
        ["MIT", "Apache-2.0", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
    let cases = [
        ("MIT", true),
        ("GPL-2.0", false),
        ("MIT OR GPL-2.0", true),
        ("GPL-2.0/MIT", true),
        ("MIT AND GPL-2.0", false),
        ("(MIT OR GPL-2.0) AND Unicode-3.0", true),
        ("MIT OR GPL-2.0 AND X", true),
        ("(MIT OR GPL-2.0) AND X", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("GPL-2.0 WITH LLVM-exception", false),
        ("MIT)", false),
        ("(MIT", false),
        ("", false),
    ];
    for (expression, wanted) in cases {
        assert_eq!(allows(&allowed, expression), wanted, "{expression:?}");
    }
}
