//! The project's files as text, and what a rule says about one of them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// One breach of one rule.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Finding {
    /// The file, from the top of the project.
    pub path: String,
    /// The line, counted from 1; 0 means the file as a whole.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl Finding {
    /// A finding about a whole file.
    pub fn file(path: &str, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: 0, what: what.into() }
    }

    /// A finding about one line.
    pub fn line(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// Text files by path from the top, with `/` between folders. Files that are not UTF-8 have no text.
pub struct Tree {
    files: BTreeMap<String, Option<String>>,
}

impl Tree {
    /// The project this test was built from, read once. What `.gitignore` names is left out.
    pub fn project() -> &'static Self {
        static PROJECT: LazyLock<Tree> = LazyLock::new(|| {
            let root = project_root();
            let ignored = ignored_names(&root);
            let mut files = BTreeMap::new();
            read_folder(&root, "", &ignored, &mut files);
            Tree { files }
        });
        &PROJECT
    }

    /// A tree from text, to show a rule something bad.
    pub fn of(files: &[(&str, &str)]) -> Self {
        let entry = |(path, text): &(&str, &str)| ((*path).to_owned(), Some((*text).to_owned()));
        Self { files: files.iter().map(entry).collect() }
    }

    /// Every path, text or not.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Every text file: its path and its text.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }

    /// Every text file whose path ends with `ending`.
    pub fn ending(&self, ending: &str) -> impl Iterator<Item = (&str, &str)> {
        self.texts().filter(move |(path, _)| path.ends_with(ending))
    }

    /// The text of one file, if it is there.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    /// Whether there is a file or a folder of that path.
    pub fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        self.files.contains_key(path) || self.paths().any(|known| known.starts_with(&folder))
    }
}

/// The top folder of the project.
pub fn project_root() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder.parent().expect("the crate lies in a folder of the project").to_owned()
}

/// What `.gitignore` names: plain names, and `*.ending`.
fn ignored_names(root: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(root.join(".gitignore")).expect("read .gitignore");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut names: Vec<String> = lines.map(str::to_owned).collect();
    names.push(".git".to_owned());
    names
}

fn is_ignored(path: &str, ignored: &[String]) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    ignored.iter().any(|rule| match (rule.strip_prefix('/'), rule.strip_prefix('*')) {
        (Some(from_top), _) => path == from_top.trim_end_matches('/'),
        (None, Some(ending)) => name.ends_with(ending),
        (None, None) => name == rule.trim_end_matches('/'),
    })
}

fn read_folder(
    root: &Path,
    folder: &str,
    ignored: &[String],
    files: &mut BTreeMap<String, Option<String>>,
) {
    for entry in std::fs::read_dir(root.join(folder)).expect("list a folder of the project") {
        let entry = entry.expect("list a folder of the project");
        let name = entry.file_name().into_string().expect("file names are UTF-8");
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        if is_ignored(&path, ignored) {
            continue;
        }
        if entry.file_type().expect("look at a file").is_dir() {
            read_folder(root, &path, ignored, files);
        } else {
            let bytes = std::fs::read(entry.path()).expect("read a file of the project");
            files.insert(path, String::from_utf8(bytes).ok());
        }
    }
}

#[test]
fn the_project_tree_holds_this_very_file() {
    let text = Tree::project().text("tests/tidy/tree.rs").expect("this file");
    assert!(text.contains("fn the_project_tree_holds_this_very_file"));
    assert!(Tree::project().has("tests/tidy") && !Tree::project().has("target"));
}

#[test]
fn ignored_names_are_left_out_at_the_right_depth() {
    let rules = ["/target", "node_modules", "*.profraw"].map(str::to_owned);
    for path in ["target", "web/node_modules", "a/b.profraw"] {
        assert!(is_ignored(path, &rules), "{path}");
    }
    for path in ["src/target", "src/targets", "node_modules.rs", "profraw"] {
        assert!(!is_ignored(path, &rules), "{path}");
    }
}
