//! Rule: `unsafe` has two rooms, and every exception from a lint says why.

use super::lexer::{code_of, line_at, words};
use super::tree::{Finding, Tree};
use super::{accepts, cargo, finds, holds};

/// Where `unsafe` may stand.
const UNSAFE_ROOMS: &[&str] = &["src/disk/", "kernel-stubs/"];

fn unsafe_has_two_rooms(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".rs") {
        if UNSAFE_ROOMS.iter().any(|room| path.starts_with(room)) {
            continue;
        }
        let code = code_of(text);
        for offset in words(&code, "unsafe") {
            let what = format!("`unsafe` lives in {UNSAFE_ROOMS:?} only");
            findings.push(Finding::line(path, line_at(&code, offset), what));
        }
    }
    findings
}

/// The compiler then enforces what the rule above can only read.
fn crates_without_unsafe_forbid_it(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for manifest in cargo::manifests(tree) {
        let folder = format!("{}/", manifest.folder);
        if UNSAFE_ROOMS.contains(&folder.as_str()) {
            continue;
        }
        for root in super::orphans::roots(&manifest, tree) {
            let code = code_of(tree.text(&root).unwrap_or_default());
            if !code.contains("#![forbid(unsafe_code)]") {
                findings.push(Finding::file(&root, "must say `#![forbid(unsafe_code)]`"));
            }
        }
    }
    findings
}

fn exceptions_say_why(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".rs") {
        let code = code_of(text);
        let mut complain = |offset: usize, what: &str| {
            findings.push(Finding::line(path, line_at(&code, offset), what));
        };
        for start in ["#[", "#!["] {
            for (offset, _) in code.match_indices(start) {
                let attribute = &code[offset..attribute_end(&code, offset)];
                let mut lints = words(attribute, "allow").chain(words(attribute, "expect"));
                if words(attribute, "allow")
                    .next()
                    .is_some_and(|at| attribute[at..].starts_with("allow("))
                {
                    complain(
                        offset,
                        "write `#[expect(lint, reason = \"...\")]`: it ends with its cause",
                    );
                } else if lints.any(|at| attribute[at..].starts_with("expect("))
                    && words(attribute, "reason").next().is_none()
                {
                    complain(offset, "an exception needs its reason");
                }
                let inner = attribute.trim_start_matches(['#', '!', '[']);
                if inner.starts_with("ignore") && !inner.contains('=') {
                    complain(offset, "an ignored test needs its reason");
                }
            }
        }
    }
    findings
}

fn attribute_end(code: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'[' => depth += 1,
            b']' if depth == 1 => return offset + 1,
            b']' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

#[test]
fn unsafe_code_lives_in_its_rooms() {
    holds(unsafe_has_two_rooms);
    holds(crates_without_unsafe_forbid_it);
}

#[test]
fn every_exception_from_a_lint_says_why() {
    holds(exceptions_say_why);
}

#[test]
fn unsafe_code_in_another_room_is_found() {
    let code = "//! A.\n// unsafe is a word here\nfn f() { unsafe { g() } }\n";
    accepts(unsafe_has_two_rooms, &[("src/disk/a.rs", code)]);
    finds(unsafe_has_two_rooms, &[("src/store/a.rs", code)], ("src/store/a.rs", "unsafe"));
    let manifest = ("src/a/Cargo.toml", "[package]\nname = 'a'\n[lib]\npath = 'lib.rs'\n");
    accepts(
        crates_without_unsafe_forbid_it,
        &[manifest, ("src/a/lib.rs", "#![forbid(unsafe_code)]")],
    );
    let bad = [manifest, ("src/a/lib.rs", "// #![forbid(unsafe_code)]\n")];
    finds(crates_without_unsafe_forbid_it, &bad, ("src/a/lib.rs", "forbid"));
}

#[test]
fn an_exception_without_a_reason_is_found() {
    accepts(
        exceptions_say_why,
        &[("a.rs", "#[expect(dead_code, reason = \"soon\")]\n#[ignore = \"slow\"]\n")],
    );
    accepts(exceptions_say_why, &[("a.rs", "let allow = x[0]; y.expect(\"z\"); // #[allow(x)]\n")]);
    let bad = [
        ("#[allow(dead_code)]", "it ends with its cause"),
        ("#![allow(dead_code)]", "it ends with its cause"),
        ("#[cfg_attr(test, allow(dead_code))]", "it ends with its cause"),
        ("#[expect(\n    dead_code\n)]", "needs its reason"),
        ("#[ignore]", "ignored test"),
    ];
    for (text, what) in bad {
        finds(exceptions_say_why, &[("a.rs", text)], ("a.rs", what));
    }
}
