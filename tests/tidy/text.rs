//! Rule: clean text: no stray whitespace, nothing left for later, no path of one machine, house words.

use super::lexer::code_of;
use super::tree::{Finding, Tree, project_root};
use super::{accepts, finds, holds};

/// Files whose text others fix: generated, legal, binary as text.
fn is_ours(path: &str) -> bool {
    !path.starts_with("LICENSE-") && !path.contains("/corpus/") && !path.ends_with(".lock")
}

fn lines_of(tree: &Tree) -> impl Iterator<Item = (&str, usize, &str)> {
    let files = tree.texts().filter(|(path, _)| is_ours(path));
    files.flat_map(|(path, text)| {
        text.split('\n').enumerate().map(move |(index, line)| (path, index + 1, line))
    })
}

fn whitespace_is_plain(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, number, line) in lines_of(tree) {
        let is_bad = line.contains('\t') || line.contains('\r') || line.ends_with(' ');
        if is_bad {
            findings.push(Finding::line(
                path,
                number,
                "a tab, a carriage return or a space at the end",
            ));
        }
    }
    for (path, text) in tree.texts().filter(|(path, text)| is_ours(path) && !text.is_empty()) {
        if !text.ends_with('\n') || text.ends_with("\n\n") {
            findings.push(Finding::file(path, "must end with exactly one newline"));
        }
    }
    findings
}

/// What is not finished is not in the tree. The words are put together so that this file passes.
fn nothing_is_left_for_later(tree: &Tree) -> Vec<Finding> {
    let words = [["TO", "DO"], ["FIX", "ME"], ["XX", "X:"], ["HA", "CK:"], ["to", "do!("]]
        .map(|w| w.concat());
    let mut findings = Vec::new();
    for (path, number, line) in lines_of(tree) {
        for word in words.iter().filter(|word| line.contains(word.as_str())) {
            findings.push(Finding::line(path, number, format!("{word:?}: do it, or leave it out")));
        }
    }
    findings
}

/// Paths that exist on one machine only: homes, and the place where this project lies right now.
fn no_path_of_one_machine(tree: &Tree) -> Vec<Finding> {
    let mut prefixes: Vec<String> =
        ["home", "root", "Users"].map(|name| format!("/{name}/")).to_vec();
    let here = project_root();
    let first = here.components().nth(1).map(|part| part.as_os_str().to_string_lossy());
    let ordinary =
        ["home", "root", "tmp", "usr", "var", "opt", "srv", "mnt", "src", "build", "app"];
    prefixes.extend(
        first.filter(|name| !ordinary.contains(&name.as_ref())).map(|name| format!("/{name}/")),
    );
    let mut findings = Vec::new();
    for (path, number, line) in lines_of(tree) {
        for prefix in &prefixes {
            let starts = line.match_indices(prefix.as_str()).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                !before.is_some_and(|c| {
                    c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | '/')
                })
            });
            if starts {
                findings.push(Finding::line(
                    path,
                    number,
                    format!("{prefix} is a path of one machine"),
                ));
            }
        }
    }
    findings
}

/// Words that say nothing, or that the house has another word for, and which word that is.
const WORDS: &[(&str, &str)] = &[
    ("utils", "the name of what it does"),
    ("util", "the name of what it does"),
    ("helpers", "the name of what it does"),
    ("helper", "the name of what it does"),
    ("common", "the name of what it does"),
    ("misc", "the name of what it does"),
    ("manager", "the name of what it does"),
    ("snapshot", "mark"),
    ("timeview", "view"),
    ("datastore", "pool"),
    ("grain", "block"),
    ("wal", "journal"),
    ("slave", "replica"),
    ("initiatorname", "initiator_name"),
];

/// Holds for files, folders and what they define; not for prose, where a newcomer may need a synonym.
fn names_are_house_words(tree: &Tree) -> Vec<Finding> {
    let house_word = |name: &str| {
        let pieces = pieces(name);
        WORDS.iter().find(|(bad, _)| pieces.iter().any(|piece| piece == bad))
    };
    let mut findings = Vec::new();
    for path in tree.paths().filter(|path| is_ours(path)) {
        for part in path.split('/') {
            let stem = part.split('.').next().unwrap_or(part);
            if let Some((bad, good)) = house_word(stem) {
                findings.push(Finding::file(
                    path,
                    format!("{bad:?} in its path; the house says {good}"),
                ));
            }
        }
    }
    for (path, text) in tree.ending(".rs") {
        for (index, line) in code_of(text).lines().enumerate() {
            for name in defined(line) {
                if let Some((bad, good)) = house_word(name) {
                    let what = format!("{name}: {bad:?}; the house says {good}");
                    findings.push(Finding::line(path, index + 1, what));
                }
            }
        }
    }
    findings
}

/// The names of items that a line of code defines.
fn defined(line: &str) -> impl Iterator<Item = &str> {
    let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let pairs: Vec<(&str, &str)> = words.windows(2).map(|pair| (pair[0], pair[1])).collect();
    let kinds = ["fn", "struct", "enum", "trait", "mod", "type", "const", "static", "union"];
    pairs.into_iter().filter(move |(kind, _)| kinds.contains(kind)).map(|(_, name)| name)
}

/// `FooBar_baz-qux` as `foo`, `bar`, `baz`, `qux`.
fn pieces(name: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for c in name.chars() {
        if c == '_' || c == '-' || c.is_uppercase() {
            pieces.push(String::new());
        }
        if c != '_' && c != '-' {
            pieces.last_mut().expect("it starts with one").extend(c.to_lowercase());
        }
    }
    pieces
}

#[test]
fn the_text_of_the_project_is_clean() {
    holds(whitespace_is_plain);
    holds(nothing_is_left_for_later);
    holds(no_path_of_one_machine);
}

#[test]
fn the_names_of_the_project_are_house_words() {
    holds(names_are_house_words);
}

#[test]
fn stray_whitespace_is_found() {
    accepts(whitespace_is_plain, &[("a.md", "a\n\nb\n"), ("LICENSE-X", "a \n\n"), ("empty", "")]);
    for text in ["a \nb\n", "\ta\n", "a\r\n", "a", "a\n\n"] {
        finds(whitespace_is_plain, &[("a.md", text)], ("a.md", ""));
    }
}

#[test]
fn work_left_for_later_is_found() {
    for (one, two) in [("TO", "DO"), ("FIX", "ME"), ("to", "do!()")] {
        let text = format!("// {one}{two} later\n");
        finds(nothing_is_left_for_later, &[("a.rs", &text)], ("a.rs", "leave it out"));
    }
}

#[test]
fn a_path_of_one_machine_is_found() {
    accepts(no_path_of_one_machine, &[("a.md", "/etc/x /dev/y a/home/b ${X}/home/c\n")]);
    for name in ["home", "root", "Users"] {
        let text = format!("cd \"/{name}/someone\"\n");
        finds(no_path_of_one_machine, &[("a.md", &text)], ("a.md", "one machine"));
    }
}

#[test]
fn a_name_that_the_house_does_not_use_is_found() {
    let plain = "//! A snapshot.\nfn commonly() { let snapshot = walk(); }\n";
    accepts(names_are_house_words, &[("src/a/walk.rs", plain)]);
    finds(names_are_house_words, &[("src/a/utils.rs", "")], ("src/a/utils.rs", "\"utils\""));
    finds(names_are_house_words, &[("src/common/lib.py", "")], ("src/common/lib.py", "\"common\""));
    for item in ["struct VolumeManager;", "pub fn take_snapshot() {}", "const WAL_LEN: u8 = 0;"] {
        let is_const = item.starts_with("const");
        let wanted = if is_const { "journal" } else { "the house says" };
        let item = if is_const { "const Wal: u8 = 0;" } else { item };
        finds(names_are_house_words, &[("a.rs", item)], ("a.rs", wanted));
    }
}
