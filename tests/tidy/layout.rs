//! Rule: the top of the project stays short, so that a newcomer sees the house and not its wiring.

use std::collections::BTreeSet;

use super::tree::{Finding, Tree, project_root};
use super::{accepts, finds, holds};

/// What may lie at the top besides dot-files.
const TOP: &[&str] = &[
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "bench",
    "kernel-stubs",
    "src",
    "tests",
    "web",
];

fn the_top_is_short(tree: &Tree) -> Vec<Finding> {
    let tops: BTreeSet<&str> = tree.paths().filter_map(|path| path.split('/').next()).collect();
    let strange = tops.into_iter().filter(|name| !name.starts_with('.') && !TOP.contains(name));
    strange.map(|name| Finding::file(name, "does not belong at the top of the project")).collect()
}

/// Configuration of tools lies in dot-files, wherever the tool allows it.
fn lib_is_a_door(tree: &Tree) -> Vec<Finding> {
    let nested = tree.paths().filter(|path| path.starts_with("src/") && path.contains("/src/"));
    nested
        .map(|path| Finding::file(path, "rooms keep their files directly in their folder"))
        .collect()
}

#[test]
fn the_top_of_the_project_is_short() {
    holds(the_top_is_short);
    holds(lib_is_a_door);
    for name in ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "Cargo.lock"] {
        assert!(Tree::project().has(name), "{name} is missing");
    }
}

#[test]
fn a_stranger_at_the_top_is_found() {
    accepts(the_top_is_short, &[("README.md", ""), (".deny.toml", ""), ("src/a/lib.rs", "")]);
    finds(the_top_is_short, &[("notes.txt", "")], ("notes.txt", "top"));
    finds(the_top_is_short, &[("docs/a.md", "")], ("docs", "top"));
    finds(lib_is_a_door, &[("src/store/src/lib.rs", "")], ("src/store/src/lib.rs", "directly"));
}

#[test]
fn scripts_can_be_started() {
    use std::os::unix::fs::PermissionsExt;
    let scripts = Tree::project().texts().filter(|(_, text)| text.starts_with("#!/"));
    let mut count = 0;
    for (path, _) in scripts {
        let mode = std::fs::metadata(project_root().join(path))
            .expect("look at a script")
            .permissions()
            .mode();
        assert!(mode & 0o111 != 0, "{path} starts with #! and is not executable");
        count += 1;
    }
    assert!(count > 0, "there are scripts in the project");
}
