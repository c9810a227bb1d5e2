//! Rule: a link inside the project leads somewhere, and the map in the README is the territory.

use super::tree::{Finding, Tree};
use super::{accepts, finds, holds};

/// A link in Markdown: its line and where it leads.
struct Link<'a> {
    line: usize,
    target: &'a str,
}

fn links_lead_somewhere(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".md") {
        for link in links(text) {
            let is_elsewhere =
                ["https://", "http://", "mailto:"].iter().any(|s| link.target.starts_with(s));
            if is_elsewhere {
                continue;
            }
            let (file, anchor) = link.target.split_once('#').unwrap_or((link.target, ""));
            let file = if file.is_empty() { path.to_owned() } else { resolve(path, file) };
            if !tree.has(&file) {
                findings.push(Finding::line(
                    path,
                    link.line,
                    format!("{} is not there", link.target),
                ));
            } else if !anchor.is_empty()
                && !has_anchor(tree.text(&file).unwrap_or_default(), anchor)
            {
                findings.push(Finding::line(
                    path,
                    link.line,
                    format!("{} has no such part", link.target),
                ));
            }
        }
    }
    findings
}

/// Links and pictures in prose: code between backticks or fences has none.
fn links(text: &str) -> Vec<Link<'_>> {
    let mut found = Vec::new();
    let mut is_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        if is_code {
            continue;
        }
        for (at, _) in line.match_indices("](") {
            let is_quoted = line[..at].matches('`').count() % 2 == 1;
            let target = line[at + 2..].split(')').next().unwrap_or_default();
            if !is_quoted {
                found.push(Link {
                    line: index + 1,
                    target: target.split(' ').next().unwrap_or_default(),
                });
            }
        }
    }
    found
}

fn resolve(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Whether a heading has that anchor: lower case, spaces to hyphens, other signs dropped.
fn has_anchor(text: &str, anchor: &str) -> bool {
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    let anchors = headings.map(|heading| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>()
    });
    anchors.into_iter().any(|known| known == anchor)
}

/// The README's map: lines of a table `| [`folder`](folder) | ... |` under the heading `## Map`.
fn the_map_is_the_territory(tree: &Tree) -> Vec<Finding> {
    let text = tree.text("README.md").unwrap_or_default();
    let map = text.split("\n## Map\n").nth(1).unwrap_or_default();
    let map = map.split("\n## ").next().unwrap_or_default();
    let drawn: Vec<String> = map
        .lines()
        .filter_map(|line| line.strip_prefix("| [`")?.split('`').next())
        .map(|folder| folder.trim_end_matches('/').to_owned())
        .collect();
    let mut findings = Vec::new();
    for folder in drawn.iter().filter(|folder| !tree.has(folder)) {
        findings.push(Finding::file(
            "README.md",
            format!("the map draws {folder}, which is not there"),
        ));
    }
    for folder in folders(tree).iter().filter(|folder| !drawn.contains(folder)) {
        findings.push(Finding::file("README.md", format!("the map does not draw {folder}")));
    }
    findings
}

/// The folders that a map must draw: those at the top, and one level into `src` and `tests`.
fn folders(tree: &Tree) -> Vec<String> {
    let mut folders: Vec<String> = Vec::new();
    for path in tree.paths().filter(|path| !path.starts_with('.')) {
        let parts: Vec<&str> = path.split('/').collect();
        let is_open = matches!(parts[0], "src" | "tests");
        let depth = if is_open { 2 } else { 1 };
        if parts.len() > depth {
            folders.push(parts[..depth].join("/"));
        }
    }
    folders.sort();
    folders.dedup();
    folders
}

#[test]
fn every_link_leads_somewhere() {
    holds(links_lead_somewhere);
}

#[test]
fn the_readme_draws_every_folder() {
    holds(the_map_is_the_territory);
}

#[test]
fn a_dead_link_is_found() {
    let good =
        "# A b\n[x](c.md#its-part) [y](#a-b) [z](https://x.y) `[q](no)`\n```\n[r](no)\n```\n";
    let other = ("d/c.md", "# C\n## Its part!\n[up](../d/a.md) [folder](../d)\n");
    accepts(links_lead_somewhere, &[("d/a.md", good), other]);
    for (target, what) in
        [("gone.md", "not there"), ("c.md#gone", "no such part"), ("#gone", "no such part")]
    {
        let text = format!("# A\n[x]({target})\n");
        finds(links_lead_somewhere, &[("d/a.md", &text), other], ("d/a.md", what));
    }
}

#[test]
fn a_map_that_is_not_the_territory_is_found() {
    let readme = "# T\n\n## Map\n\n| [`src/a`](src/a) | A |\n| [`web`](web) | W |\n\n## More\n\n| [`b`](b) |\n";
    let files = [("README.md", readme), ("src/a/lib.rs", ""), ("web/x", "")];
    accepts(the_map_is_the_territory, &files);
    finds(the_map_is_the_territory, &files[..2], ("README.md", "draws web"));
    let more = [files[0], files[1], files[2], ("src/b/lib.rs", "")];
    finds(the_map_is_the_territory, &more, ("README.md", "does not draw src/b"));
}
