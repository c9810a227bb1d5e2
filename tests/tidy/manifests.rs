//! Rule: manifests are alike. Versions, lints and package facts are said once, in the workspace.

use toml::Value;

use super::cargo::{self, Manifest};
use super::tree::{Finding, Tree};
use super::{accepts, finds, holds};

/// What each package takes from the workspace.
const INHERITED: &[&str] = &["version", "edition", "rust-version", "license", "publish"];

fn manifests_are_alike(tree: &Tree) -> Vec<Finding> {
    let members = members(tree);
    let mut findings = Vec::new();
    for manifest in cargo::manifests(tree) {
        if is_fuzz(&manifest) {
            continue;
        }
        let mut complain = |what: String| findings.push(Finding::file(&manifest.path, what));
        let parent = manifest.folder.rsplit_once('/').map(|(parent, _)| format!("{parent}/*"));
        if !members.contains(&manifest.folder) && !parent.is_some_and(|it| members.contains(&it)) {
            complain("is not listed in the workspace's members".to_owned());
        }
        let package = &manifest.table["package"];
        for key in INHERITED {
            let inherits = package.get(key).and_then(|value| value.get("workspace"));
            if inherits.and_then(Value::as_bool) != Some(true) {
                complain(format!("must say `{key}.workspace = true`"));
            }
        }
        let lints = manifest.table.get("lints").and_then(|lints| lints.get("workspace"));
        if lints.and_then(Value::as_bool) != Some(true) {
            complain("must take its lints from the workspace".to_owned());
        }
        for dependency in manifest.dependencies.iter().filter(|one| !one.is_inherited) {
            let name = &dependency.name;
            complain(format!("must say `{name}.workspace = true`: versions are in one place"));
        }
    }
    findings
}

fn folders_are_named_like_their_package(tree: &Tree) -> Vec<Finding> {
    let wrong = cargo::manifests(tree).into_iter().filter(|manifest| {
        let folder = manifest.folder.rsplit('/').next();
        folder != Some(manifest.name.as_str()) && !is_fuzz(manifest)
    });
    wrong
        .map(|one| Finding::file(&one.path, format!("package {} has another folder", one.name)))
        .collect()
}

/// The fuzz targets are a workspace of their own, since they are built with other flags.
fn is_fuzz(manifest: &Manifest) -> bool {
    manifest.folder == "tests/fuzz"
}

fn members(tree: &Tree) -> Vec<String> {
    let workspace = cargo::workspace(tree);
    let members = workspace.get("workspace").and_then(|table| table.get("members"));
    let members = members.and_then(Value::as_array).cloned().unwrap_or_default();
    members.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[test]
fn the_manifests_are_alike() {
    holds(manifests_are_alike);
    holds(folders_are_named_like_their_package);
}

#[test]
fn a_manifest_that_goes_its_own_way_is_found() {
    let workspace = ("Cargo.toml", "[workspace]\nmembers = ['src/a']\n");
    let good = "[package]\nname = 'a'\nversion.workspace = true\nedition.workspace = true\n\
        rust-version.workspace = true\nlicense.workspace = true\npublish.workspace = true\n\
        [lints]\nworkspace = true\n[dependencies]\nb.workspace = true\n";
    accepts(manifests_are_alike, &[workspace, ("src/a/Cargo.toml", good)]);
    let path = "src/a/Cargo.toml";
    let cases = [
        ("edition.workspace = true", "edition = '2021'", "edition"),
        ("[lints]\nworkspace = true", "", "lints"),
        ("b.workspace = true", "b = '1'", "b.workspace"),
    ];
    for (from, to, what) in cases {
        let bad = good.replace(from, to);
        finds(manifests_are_alike, &[workspace, (path, &bad)], (path, what));
    }
    let stranger = ("src/b/Cargo.toml", good);
    finds(manifests_are_alike, &[workspace, stranger], ("src/b/Cargo.toml", "members"));
    finds(
        folders_are_named_like_their_package,
        &[stranger],
        ("src/b/Cargo.toml", "another folder"),
    );
}
