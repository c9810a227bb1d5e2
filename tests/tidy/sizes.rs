//! Rule: a file has at most 600 lines, a function at most 70.
//!
//! clippy counts functions too; here the count also covers code that clippy does not compile.

use super::lexer::{block_end, code_of, line_at, words};
use super::tree::{Finding, Tree};
use super::{accepts, finds, holds};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
/// Files that people write, and that grow.
const COUNTED: &[&str] = &[".rs", ".py", ".sh", ".ts", ".tsx", ".css", ".md"];

fn files_are_short(tree: &Tree) -> Vec<Finding> {
    let counted = |path: &str| COUNTED.iter().any(|ending| path.ends_with(ending));
    let long = tree.texts().filter(|(path, _)| counted(path)).filter_map(|(path, text)| {
        let lines = text.lines().count();
        let what =
            format!("{lines} lines; at most {FILE_LINES_MAX}, so it holds more than one concept");
        (lines > FILE_LINES_MAX).then(|| Finding::file(path, what))
    });
    long.collect()
}

fn functions_are_short(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".rs") {
        let code = code_of(text);
        for start in words(&code, "fn") {
            let Some(open) = body_start(&code, start) else { continue };
            let body = &code[open..block_end(&code, open)];
            let lines =
                body.lines().filter(|line| !line.trim().is_empty()).count().saturating_sub(2);
            if lines > FUNCTION_LINES_MAX {
                let what = format!("a function of {lines} lines; at most {FUNCTION_LINES_MAX}");
                findings.push(Finding::line(path, line_at(&code, start), what));
            }
        }
    }
    for (path, text) in tree.ending(".py") {
        findings.extend(long_python_functions(path, text));
    }
    findings
}

/// Where the body of the function at `start` opens; a declaration or a pointer type has none.
fn body_start(code: &str, start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.checked_sub(1)?,
            b'{' if depth == 0 => return Some(offset),
            b';' | b'=' | b',' | b'}' if depth == 0 => {
                let is_bound = code[..offset].ends_with(['<', '>', '!', '=']) || byte == b',';
                if !is_bound && byte != b'=' {
                    return None;
                }
            }
            _ => {}
        }
    }
    None
}

/// A Python function ends where a line of code is indented no deeper than its `def`.
fn long_python_functions(path: &str, text: &str) -> Vec<Finding> {
    let lines: Vec<&str> = text.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut findings = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let word = line.trim_start();
        if !word.starts_with("def ") && !word.starts_with("async def ") {
            continue;
        }
        let closes = |next: &&str| {
            let opening = next.trim_start();
            !opening.is_empty() && indent(next) <= indent(line) && !opening.starts_with([')', ']'])
        };
        let body = lines[index + 1..].iter().take_while(|next| !closes(next));
        let count = body.filter(|next| !next.trim().is_empty()).count();
        if count > FUNCTION_LINES_MAX {
            let what = format!("a function of {count} lines; at most {FUNCTION_LINES_MAX}");
            findings.push(Finding::line(path, index + 1, what));
        }
    }
    findings
}

#[test]
fn every_file_and_every_function_is_short() {
    holds(files_are_short);
    holds(functions_are_short);
}

#[test]
fn a_long_file_is_found() {
    accepts(
        files_are_short,
        &[("src/a/lib.rs", &"x\n".repeat(600)), ("Cargo.lock", &"x\n".repeat(900))],
    );
    finds(files_are_short, &[("src/a/lib.rs", &"x\n".repeat(601))], ("src/a/lib.rs", "601 lines"));
}

#[test]
fn a_long_function_is_found_whatever_stands_in_its_head() {
    let heads = [
        "fn f()",
        "pub async fn f<const N: usize>(a: [u8; 4]) -> impl Fn(u8) -> u8",
        "fn f<T, U>(t: T) -> U where T: Iterator<Item = U>, U: Copy",
    ];
    for head in heads {
        let with = |lines: usize| {
            format!("fn g() {{}}\n{head} {{\n{}}}\n", "    x(\"}\");\n".repeat(lines))
        };
        accepts(functions_are_short, &[("a.rs", &with(70))]);
        finds(functions_are_short, &[("a.rs", &with(71))], ("a.rs", "71 lines"));
    }
    let blank = format!("fn f() {{\n{}}}\n", "    // why\n\n".repeat(80));
    accepts(functions_are_short, &[("a.rs", &blank)]);
    let declared = format!(
        "trait A {{ fn f(&self);\nfn g(x: fn(u8) -> u8);\n{} }}",
        "const A: u8;\n".repeat(90)
    );
    accepts(functions_are_short, &[("a.rs", &declared)]);
}

#[test]
fn a_long_python_function_is_found() {
    let with = |lines: usize| {
        format!(
            "class A:\n    def f(\n        self,\n    ):\n{}\n    def g(self):\n        pass\n",
            "        x()\n".repeat(lines)
        )
    };
    accepts(functions_are_short, &[("a.py", &with(68))]);
    finds(functions_are_short, &[("a.py", &with(69))], ("a.py", "71 lines"));
}
