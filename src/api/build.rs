//! Bundles the console from the sources in `web`, and tells the crate which files there are. Where npm or its
//! registry cannot be had the build goes on, and what is embedded is a page that says how to get the console.

#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// What is embedded where there is no console.
const WITHOUT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Tidemark</title>\
    <h1>This daemon was built without its console</h1>\
    <p>npm was not there, or could not get the packages. Install Node.js 20 or later with npm, and build again; \
    `cargo build` says what was missing. The command line and the API do everything meanwhile.</p></html>\n";
/// What the console is made from, below `web`.
const SOURCES: &[&str] =
    &["src", "bundle.mjs", "package.json", "package-lock.json", "tsconfig.json", ".npmrc"];

fn main() {
    let Some(out) = env::var_os("OUT_DIR").map(PathBuf::from) else {
        panic!("cargo sets OUT_DIR for build scripts");
    };
    // Where cargo runs this program, which is not where it was compiled once the folder was moved.
    let web = Path::new("../../web");
    for source in SOURCES {
        println!("cargo:rerun-if-changed={}", web.join(source).display());
    }
    let files = out.join("console");
    if let Err(why) = install(web, &out.join("installed-lock")) {
        // A file that is not there makes cargo try again at each build, until it works.
        println!("cargo:rerun-if-changed={}", out.join("try-again").display());
        println!("cargo:warning=the console is left out: {why}");
        without(&files);
    } else {
        let script = web.join("bundle.mjs");
        if let Err(why) = run(Command::new("node").arg(script).arg(&files)) {
            panic!("bundle the console: {why}");
        }
    }
    write(&out.join("console.rs"), &table(&files));
}

/// Gets the packages that bundling takes, if that was not done for this lock already.
fn install(web: &Path, stamp: &Path) -> Result<(), String> {
    let lock = read(&web.join("package-lock.json"));
    let is_there = web.join("node_modules/esbuild").is_dir();
    if is_there && fs::read_to_string(stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    let arguments = ["ci", "--omit=dev", "--no-audit", "--no-fund"];
    run(Command::new("npm").args(arguments).current_dir(web))?;
    write(stamp, &lock);
    Ok(())
}

/// Runs a program to its end.
fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program} cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<_> = said.lines().filter(|line| !line.trim().is_empty()).take(8).collect();
    Err(format!("{program} ended with {}: {}", output.status, said.join(" | ")))
}

/// The one page in place of the console.
fn without(files: &Path) {
    if let Err(error) = fs::create_dir_all(files) {
        panic!("make {}: {error}", files.display());
    }
    write(&files.join("index.html"), WITHOUT);
    write(&files.join("files.tsv"), "index.html\ttext/html; charset=utf-8\twithout\n");
}

/// The files as a table in Rust. Small ones, and those that compression does not make smaller, are embedded plain.
fn table(files: &Path) -> String {
    let mut table = String::from("&[\n");
    for line in read(&files.join("files.tsv")).lines() {
        let [name, kind, tag] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{} has a line that is not a file: {line}", files.display());
        };
        let plain = files.join(name);
        let compressed = files.join(format!("{name}.br"));
        let smaller = fs::metadata(&compressed).is_ok_and(|small| {
            fs::metadata(&plain).is_ok_and(|large| small.len() + 64 < large.len())
        });
        let brotli =
            if smaller { format!("Some(include_bytes!({compressed:?}))") } else { "None".into() };
        let entry = format!(
            "    Asset {{ name: {name:?}, kind: {kind:?}, tag: {:?}, plain: include_bytes!({plain:?}), brotli: {brotli} }},\n",
            format!("\"{tag}\""),
        );
        table.push_str(&entry);
    }
    let _ = write!(table, "]");
    table
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

fn write(path: &Path, text: &str) {
    if let Err(error) = fs::write(path, text) {
        panic!("write {}: {error}", path.display());
    }
}
