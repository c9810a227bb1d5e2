//! Rule: a file begins by saying what it is.

use super::tree::{Finding, Tree};
use super::{accepts, finds, holds};

fn every_file_says_what_it_is(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts() {
        let is_script = text.starts_with("#!") && !text.starts_with("#![");
        let first = text.lines().skip(usize::from(is_script)).find(|line| !line.trim().is_empty());
        let first = first.unwrap_or_default();
        let wanted = match (path.rsplit('.').next(), is_script) {
            (Some("rs"), _) if !first.starts_with("//! ") => "start with `//!`: what it is",
            (Some("py"), _) if !first.starts_with("\"\"\"") => "start with a docstring: what it is",
            (Some("sh"), _) if !first.starts_with("# ") => "start with a comment: what it is",
            (Some("md"), _) if !first.starts_with("# ") => "start with a title",
            (_, true) if !first.starts_with(['#', '"', '/']) => "start with a comment: what it is",
            _ => continue,
        };
        findings.push(Finding::file(path, format!("must {wanted}")));
    }
    findings
}

fn shell_scripts_stop_at_errors(tree: &Tree) -> Vec<Finding> {
    let scripts = tree.texts().filter(|(_, text)| {
        text.starts_with("#!/usr/bin/env bash") || text.starts_with("#!/bin/bash")
    });
    let bad = scripts.filter(|(_, text)| !text.lines().any(|line| line == "set -euo pipefail"));
    bad.map(|(path, _)| Finding::file(path, "must `set -euo pipefail`")).collect()
}

#[test]
fn every_file_of_the_project_says_what_it_is() {
    holds(every_file_says_what_it_is);
    holds(shell_scripts_stop_at_errors);
}

#[test]
fn a_file_that_starts_in_the_middle_is_found() {
    let good = [
        ("a.rs", "//! A thing.\n\nfn f() {}\n"),
        ("b.py", "#!/usr/bin/env python3\n\"\"\"A thing.\"\"\"\n"),
        ("run", "#!/usr/bin/env bash\n# A thing.\nset -euo pipefail\n"),
        ("c.md", "# A thing\n"),
    ];
    accepts(every_file_says_what_it_is, &good);
    accepts(shell_scripts_stop_at_errors, &good);
    let bad = [
        ("a.rs", "#![forbid(unsafe_code)]\n//! A thing.\n"),
        ("a.rs", "// A thing.\n"),
        ("b.py", "import os\n"),
        ("b.py", "#!/usr/bin/env python3\nimport os\n"),
        ("run", "#!/usr/bin/env bash\nset -e\n"),
        ("c.md", "A thing\n"),
    ];
    for (path, text) in bad {
        finds(every_file_says_what_it_is, &[(path, text)], (path, "start with"));
    }
    let careless = [("run", "#!/usr/bin/env bash\n# A thing.\nset -e\n")];
    finds(shell_scripts_stop_at_errors, &careless, ("run", "pipefail"));
}
