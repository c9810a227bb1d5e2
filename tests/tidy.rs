//! The house rules that a machine can check: walls between rooms, where a technique lives, lengths,
//! words, links, licences.
//!
//! Every rule is a pure function from a [`Tree`] of files to [`Finding`]s. It is held against the real
//! tree, and against small bad trees to prove that it can fail. A rule never stops at the first finding.

mod cargo;
mod heads;
mod layout;
mod lexer;
mod licences;
mod links;
mod manifests;
mod orphans;
mod rooms;
mod sizes;
mod text;
mod tree;
mod unsafety;

use tree::{Finding, Tree};

/// Holds one rule against the project itself.
#[track_caller]
fn holds(rule: impl Fn(&Tree) -> Vec<Finding>) {
    let findings = rule(Tree::project());
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(findings.is_empty(), "{} finding(s):\n{}", lines.len(), lines.join("\n"));
}

/// Holds one rule against a small tree that breaks it: there must be exactly one finding, at `path`, and
/// it must say `what`.
#[track_caller]
fn finds(rule: impl Fn(&Tree) -> Vec<Finding>, files: &[(&str, &str)], (path, what): (&str, &str)) {
    let findings = rule(&Tree::of(files));
    let [finding] = findings.as_slice() else {
        panic!("wanted one finding about {what:?} in {path}, got {findings:?}");
    };
    assert_eq!(finding.path, path, "{finding}");
    assert!(finding.what.contains(what), "{finding} does not say {what:?}");
}

/// Holds one rule against a small tree that keeps it.
#[track_caller]
fn accepts(rule: impl Fn(&Tree) -> Vec<Finding>, files: &[(&str, &str)]) {
    let findings = rule(&Tree::of(files));
    assert!(findings.is_empty(), "{findings:?}");
}
