//! The inputs kept for the fuzzers, each run once through its entry point: what was found once stays
//! fixed, without a fuzzer.
//!
//! Seeds are whole structures, so that a fuzzer starts behind the checks that keep noise out. `write_seeds`
//! makes them anew where a format changed; what a fuzzer found goes beside them by hand.

mod file_system;
mod iscsi;
mod nbd;
mod scsi;
mod store;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// An entry point for a fuzzer.
type Entry = fn(&[u8]);

/// Every target and where it goes in.
const TARGETS: &[(&str, Entry)] = &[
    ("checkpoint", ::store::fuzzing::checkpoint),
    ("chunk_head", ::store::fuzzing::chunk_head),
    ("file_system", kernel_stubs::fuzzing::file_system),
    ("iscsi_login", targets::fuzzing::iscsi_login),
    ("iscsi_pdu", targets::fuzzing::iscsi_pdu),
    ("iscsi_session", targets::fuzzing::iscsi_session),
    ("journal", ::store::fuzzing::journal),
    ("map_page", ::store::fuzzing::map_page),
    ("nbd_negotiation", targets::fuzzing::negotiation),
    ("nbd_requests", targets::fuzzing::requests),
    ("pool", ::store::fuzzing::pool),
    ("scsi_cdb", targets::fuzzing::scsi_cdb),
    ("scsi_parameters", targets::fuzzing::scsi_parameters),
    ("superblock", ::store::fuzzing::superblock),
];

/// One whole structure: the target it is for, what it shows, its bytes.
struct Seed {
    target: &'static str,
    name: String,
    bytes: Vec<u8>,
}

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_kept_input_is_survived() {
    for (target, entry) in TARGETS {
        let folder = fuzz_folder().join("corpus").join(target);
        for name in names_in(&folder) {
            let bytes = fs::read(folder.join(&name)).unwrap();
            println!("{target}/{name}");
            entry(&bytes);
        }
    }
}

#[test]
fn every_target_is_built_and_has_inputs() {
    let named: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let manifest = fs::read_to_string(fuzz_folder().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let programs = manifest["bin"].as_array().unwrap().iter();
    let mut built: BTreeSet<String> =
        programs.map(|program| program["name"].as_str().unwrap().to_owned()).collect();
    assert!(built.remove("canary"), "the planted fault is built");
    assert_eq!(built, named);
    assert_eq!(names_in(&fuzz_folder().join("corpus")), named);
    for target in named {
        let inputs = names_in(&fuzz_folder().join("corpus").join(&target));
        assert!(!inputs.is_empty(), "{target} has no input");
    }
}

#[test]
#[ignore = "writes the seeds anew; start it where a format changed"]
fn write_seeds() {
    let all = [iscsi::seeds(), store::seeds(), nbd::seeds(), scsi::seeds(), file_system::seeds()];
    for Seed { target, name, bytes } in all.into_iter().flatten() {
        let folder = fuzz_folder().join("corpus").join(target);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{name}.seed")), bytes).unwrap();
    }
}
