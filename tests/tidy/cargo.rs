//! What the manifests of the workspace say.

use toml::{Table, Value};

use super::tree::Tree;

/// One package of the workspace.
pub struct Manifest {
    /// The path of its `Cargo.toml`.
    pub path: String,
    /// Its folder.
    pub folder: String,
    /// The package's name.
    pub name: String,
    /// What it depends on, of every kind and for every platform.
    pub dependencies: Vec<Dependency>,
    /// The whole manifest.
    pub table: Table,
}

/// One line of one table of dependencies.
pub struct Dependency {
    /// The name the code uses.
    pub name: String,
    /// Whether only tests and benches use it.
    pub is_dev: bool,
    /// Whether version and source come from the workspace.
    pub is_inherited: bool,
}

/// The manifests of all packages, by path.
pub fn manifests(tree: &Tree) -> Vec<Manifest> {
    let found = tree.ending("Cargo.toml").filter_map(|(path, text)| {
        let folder = path.strip_suffix("/Cargo.toml")?;
        let table: Table = text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
        let name = table.get("package")?.get("name")?.as_str()?.to_owned();
        let dependencies = dependencies(&table);
        Some(Manifest {
            path: path.to_owned(),
            folder: folder.to_owned(),
            name,
            dependencies,
            table,
        })
    });
    found.collect()
}

/// The manifest of the workspace itself.
pub fn workspace(tree: &Tree) -> Table {
    let text = tree.text("Cargo.toml").unwrap_or_default();
    text.parse().unwrap_or_else(|error| panic!("Cargo.toml: {error}"))
}

fn dependencies(manifest: &Table) -> Vec<Dependency> {
    let mut found = of_one_platform(manifest);
    let platforms = manifest.get("target").and_then(Value::as_table);
    for platform in platforms.into_iter().flat_map(Table::values).filter_map(Value::as_table) {
        found.extend(of_one_platform(platform));
    }
    found
}

fn of_one_platform(table: &Table) -> Vec<Dependency> {
    let kinds =
        [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)];
    let mut found = Vec::new();
    for (kind, is_dev) in kinds {
        let Some(entries) = table.get(kind).and_then(Value::as_table) else { continue };
        for (name, value) in entries {
            let is_inherited = value.get("workspace").and_then(Value::as_bool) == Some(true);
            found.push(Dependency { name: name.clone(), is_dev, is_inherited });
        }
    }
    found
}
