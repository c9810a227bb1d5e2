//! Rule: every Rust file is part of a crate. A file that no `mod` reaches is never compiled, and rots.

use std::collections::BTreeSet;

use toml::Value;

use super::cargo::{self, Manifest};
use super::lexer::{block_end, code_of, words};
use super::tree::{Finding, Tree};
use super::{accepts, finds, holds};

fn every_file_is_reached(tree: &Tree) -> Vec<Finding> {
    let mut reached = BTreeSet::new();
    for manifest in cargo::manifests(tree) {
        for root in roots(&manifest, tree) {
            reach(tree, &root, &folder_of(&root), &mut reached);
        }
    }
    let lost = tree.ending(".rs").filter(|(path, _)| !reached.contains(*path));
    lost.map(|(path, _)| Finding::file(path, "no `mod` reaches it: it is never compiled")).collect()
}

/// The files where the crates of a package begin: what its manifest names, and what cargo finds itself.
pub fn roots(manifest: &Manifest, tree: &Tree) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    let path_of = |target: &Value| target.get("path").and_then(Value::as_str).map(str::to_owned);
    paths.extend(manifest.table.get("lib").and_then(path_of));
    for kind in ["bin", "test", "bench", "example"] {
        let targets = manifest.table.get(kind).and_then(Value::as_array);
        paths.extend(targets.into_iter().flatten().filter_map(path_of));
    }
    paths.extend(["src/lib.rs", "src/main.rs", "build.rs"].map(str::to_owned));
    paths.extend(found_by_cargo(manifest, tree));
    let in_folder = paths.iter().map(|path| format!("{}/{path}", manifest.folder));
    in_folder.filter(|path| tree.has(path)).collect()
}

/// Roots that a manifest need not name: each file in these folders, and each `main.rs` one deeper.
fn found_by_cargo(manifest: &Manifest, tree: &Tree) -> Vec<String> {
    let start = format!("{}/", manifest.folder);
    let inside = tree.paths().filter_map(|path| path.strip_prefix(&start));
    let is_root = |path: &&str| match path.split('/').collect::<Vec<_>>()[..] {
        ["tests" | "benches" | "examples", file] => file.ends_with(".rs"),
        ["tests" | "benches" | "examples", _, file] => file == "main.rs",
        _ => false,
    };
    inside.filter(is_root).map(str::to_owned).collect()
}

/// Follows the modules that the file at `path` declares; their files lie in `folder`.
fn reach(tree: &Tree, path: &str, folder: &str, reached: &mut BTreeSet<String>) {
    let Some(text) = tree.text(path) else { return };
    if !reached.insert(path.to_owned()) {
        return;
    }
    let code = code_of(text);
    for (offset, _) in code.match_indices("include!(") {
        if let Some(name) = quoted(&text[offset..]) {
            reached.insert(join(&folder_of(path), name));
        }
    }
    for offset in words(&code, "mod") {
        let rest = code[offset + 3..].trim_start();
        let name: String =
            rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        if name.is_empty() || !rest[name.len()..].trim_start().starts_with(';') {
            continue;
        }
        let inside = format!("{folder}{}", inline_folders(&code, offset));
        if let Some(named) = path_attribute(text, &code, offset) {
            let file = join(&folder_of(path), named);
            reach(tree, &file, &folder_of(&file), reached);
            continue;
        }
        let (flat, deep) = (format!("{inside}/{name}.rs"), format!("{inside}/{name}/mod.rs"));
        reach(tree, &flat, &format!("{inside}/{name}"), reached);
        reach(tree, &deep, &format!("{inside}/{name}"), reached);
    }
}

/// `/a/b` where the offset lies inside `mod a { mod b { ... } }`.
fn inline_folders(code: &str, at: usize) -> String {
    let mut folders = String::new();
    for offset in words(&code[..at], "mod") {
        let rest = &code[offset + 3..];
        let Some(open) = rest.find(['{', ';']) else { continue };
        let open = offset + 3 + open;
        if code.as_bytes()[open] == b'{' && open < at && at < block_end(code, open) {
            folders.push('/');
            folders.push_str(code[offset + 3..open].trim());
        }
    }
    folders
}

/// The file named by a `#[path = "..."]` right before the `mod` at `offset`.
fn path_attribute<'a>(text: &'a str, code: &str, offset: usize) -> Option<&'a str> {
    let start = code[..offset].rfind("#[path")?;
    let between = &code[start..offset];
    let is_next = !between.contains([';', '{', '}']);
    is_next.then(|| quoted(&text[start..]))?
}

fn quoted(text: &str) -> Option<&str> {
    text.split('"').nth(1)
}

fn folder_of(path: &str) -> String {
    path.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned())
}

fn join(folder: &str, name: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').collect();
    for part in name.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[test]
fn every_rust_file_of_the_project_is_compiled() {
    holds(every_file_is_reached);
}

#[test]
fn modules_are_followed_wherever_they_may_lie() {
    let good = [
        (
            "src/a/Cargo.toml",
            "[package]\nname = 'a'\n[lib]\npath = 'lib.rs'\n[[bin]]\nname = 'x'\npath = 'bin/x.rs'\n",
        ),
        (
            "src/a/lib.rs",
            "mod one; pub(crate) mod two; mod inner { mod deep; }\n#[path = \"odd/place.rs\"]\nmod three;",
        ),
        ("src/a/bin/x.rs", "include!(\"../table.rs\");"),
        ("src/a/one.rs", "#[cfg(test)]\nmod tests;"),
        ("src/a/one/tests.rs", ""),
        ("src/a/two/mod.rs", "mod more;"),
        ("src/a/two/more.rs", ""),
        ("src/a/inner/deep.rs", ""),
        ("src/a/odd/place.rs", ""),
        ("src/a/table.rs", ""),
    ];
    accepts(every_file_is_reached, &good);
}

#[test]
fn a_file_that_nothing_reaches_is_found() {
    let manifest = ("src/a/Cargo.toml", "[package]\nname = 'a'\n[lib]\npath = 'lib.rs'\n");
    for root in
        ["", "// mod lost;", "const A: &str = \"mod lost;\";", "mod lost { }", "mod lost_not;"]
    {
        let files = [manifest, ("src/a/lib.rs", root), ("src/a/lost.rs", "")];
        finds(every_file_is_reached, &files, ("src/a/lost.rs", "never compiled"));
    }
}
