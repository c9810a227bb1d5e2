//! Policies in the catalogue, what a version before left in files, and what stands in for a catalogue that is not there.

use std::fs;

use super::*;
use crate::policy::runs::{Cause, RunOutcome};

const OLD: &str = "version = 1\n[[policies]]\nname = 'a'\nvolumes = ['mail']\nevery = '5m'\nzone = 'UTC'\n\
    id = '00000000000000000000000000000007'\nsince_ms = 5\nkeep = {last = 3}\n";
const OLD_RUNS: &str = r#"{"00000000000000000000000000000007":[{"cause":"schedule","due_ms":3,"began_ms":3,
    "ended_ms":4,"missed":0,"outcome":"unchanged","removed":[],"left":[]}]}"#;

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("pool")).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn open(&self) -> Kept {
        let catalogue = Catalogue::open(self.dir.path(), &self.path("pool"));
        Kept::new(self.dir.path(), Arc::new(catalogue))
    }

    fn write_old(&self) {
        fs::write(self.path("policies.toml"), OLD).unwrap();
        fs::write(self.path("policy-runs.json"), OLD_RUNS).unwrap();
    }
}

fn policy(name: &str, id: u128) -> Policy {
    let text = format!("name = '{name}'\nvolumes = ['mail']\nevery = '5m'\nkeep = {{last = 3}}");
    Policy { rules: toml::from_str(&text).unwrap(), id: Id(id), since_ms: 5 }
}

fn run(at: u64) -> RunStatus {
    RunStatus {
        cause: Cause::Schedule,
        due_ms: at,
        began_ms: at,
        ended_ms: at,
        missed: 0,
        outcome: RunOutcome::Unchanged,
        removed: Vec::new(),
        left: Vec::new(),
    }
}

fn names(loaded: &Loaded) -> Vec<&str> {
    loaded.policies.keys().map(Name::as_str).collect()
}

#[test]
fn what_is_kept_is_there_again_and_runs_go_with_their_policy() {
    let place = Place::new();
    let kept = place.open();
    kept.save(&policy("a", 7)).unwrap();
    kept.save(&policy("b", 8)).unwrap();
    let changed = Policy { since_ms: 9, ..policy("a", 7) };
    kept.save(&changed).unwrap();
    let runs = (0..RUNS_MAX as u64 + 7).map(run).collect::<Vec<_>>();
    kept.add_runs(&[(Id(7), runs), (Id(8), vec![run(1)]), (Id(9), vec![run(2)])]).unwrap();
    kept.add_runs(&[(Id(7), vec![run(1000)])]).unwrap();
    drop(kept);
    let kept = place.open();
    let loaded = kept.load().unwrap();
    assert_eq!(loaded.policies.values().collect::<Vec<_>>(), [&changed, &policy("b", 8)]);
    assert_eq!(loaded.runs.keys().collect::<Vec<_>>(), [&Id(7), &Id(8)], "one has no policy");
    let times: Vec<_> = loaded.runs[&Id(7)].iter().map(|run| run.due_ms).collect();
    assert_eq!((times.len(), times[0], times[RUNS_MAX - 1]), (RUNS_MAX, 8, 1000));
    assert!(loaded.stands_in.is_none() && loaded.told.is_none());
    kept.remove("a").unwrap();
    let loaded = kept.load().unwrap();
    assert_eq!((names(&loaded), loaded.runs.len()), (vec!["b"], 1));
}

#[test]
fn a_policy_that_cannot_be_read_is_named_and_the_others_run() {
    let place = Place::new();
    let kept = place.open();
    kept.save(&policy("a", 7)).unwrap();
    kept.save(&policy("b", 8)).unwrap();
    let damage = |change: &Transaction<'_>| {
        change.execute("UPDATE policy SET rules = '{}' WHERE name = 'a'", [])?;
        Ok(())
    };
    kept.catalogue.change(damage).unwrap();
    let loaded = kept.load().unwrap();
    assert_eq!(names(&loaded), ["b"]);
    assert!(loaded.unreadable["a"].contains("name"), "{loaded:?}");
    kept.remove("a").unwrap();
    assert!(kept.load().unwrap().unreadable.is_empty());
}

#[test]
fn files_of_an_earlier_version_are_taken_in_once_and_put_aside() {
    let place = Place::new();
    place.write_old();
    let kept = place.open();
    let loaded = kept.load().unwrap();
    assert_eq!((names(&loaded), loaded.runs[&Id(7)].len()), (vec!["a"], 1));
    for name in ["policies.toml", "policy-runs.json"] {
        assert!(!place.path(name).exists() && place.path(&format!("{name}.taken")).exists());
    }
    // Back there, as where it could not be put aside, it does not undo what was changed since.
    kept.remove("a").unwrap();
    kept.save(&policy("b", 8)).unwrap();
    place.write_old();
    let loaded = kept.load().unwrap();
    assert_eq!((names(&loaded), loaded.told.is_none()), (vec!["b"], true));
    assert!(!place.path("policies.toml").exists());
    // Another one is told of, and left alone.
    fs::write(place.path("policies.toml"), OLD.replace("5m", "6m")).unwrap();
    let loaded = kept.load().unwrap();
    assert_eq!(names(&loaded), ["b"]);
    assert!(loaded.told.unwrap().contains("policies.toml"));
    assert!(place.path("policies.toml").exists());
}

#[test]
fn what_was_taken_in_is_in_the_copy_before_the_files_are_put_aside() {
    let place = Place::new();
    place.write_old();
    place.open().load().unwrap();
    fs::remove_file(place.path("catalogue.sqlite")).unwrap();
    let kept = place.open();
    assert_eq!(names(&kept.load().unwrap()), ["a"]);
    fs::remove_dir_all(place.path("pool")).unwrap();
    let place = Place::new();
    place.write_old();
    let kept = place.open();
    fs::remove_dir(place.path("pool")).unwrap();
    let loaded = kept.load().unwrap();
    assert_eq!(names(&loaded), ["a"]);
    assert!(loaded.told.unwrap().contains("still there"));
    assert!(place.path("policies.toml").exists());
}

#[test]
fn damaged_files_are_named_and_nothing_of_them_is_taken_in() {
    let place = Place::new();
    let kept = place.open();
    let second = OLD.replace("version = 1\n", "").replace("'a'", "'b'");
    let twice = format!("{OLD}{}", OLD.replace("version = 1\n", "").replace("7'", "8'"));
    let same_id = format!("{OLD}{second}");
    let damaged = [
        "version = 2",
        "version = 1\n[[policies]]\nname = 1",
        "=",
        twice.as_str(),
        same_id.as_str(),
    ];
    for text in damaged {
        fs::write(place.path("policies.toml"), text).unwrap();
        let error = kept.load().unwrap_err();
        assert!(error.to_string().contains("policies.toml"), "{error}");
        assert!(error.way_out().unwrap().contains("restart"));
        assert!(place.path("policies.toml").exists());
    }
    let count = |database: &Connection| {
        Ok(database.query_row("SELECT count(*) FROM policy", [], |row| row.get::<_, u64>(0))?)
    };
    assert_eq!(kept.catalogue.read(count).unwrap(), 0);
    fs::write(place.path("policies.toml"), OLD).unwrap();
    fs::write(place.path("policy-runs.json"), "{").unwrap();
    let loaded = kept.load().unwrap();
    assert_eq!((names(&loaded), loaded.runs.len()), (vec!["a"], 0), "history alone stops nothing");
}

#[test]
fn the_copy_or_old_files_stand_in_for_a_catalogue_that_cannot_be_used() {
    let place = Place::new();
    let newer = || {
        let other = Connection::open(place.path("catalogue.sqlite")).unwrap();
        other.pragma_update(None, "user_version", 99).unwrap();
    };
    newer();
    assert!(matches!(place.open().load(), Err(ControlError::Catalogue { .. })));
    place.write_old();
    let loaded = place.open().load().unwrap();
    assert_eq!(names(&loaded), ["a"]);
    assert!(loaded.stands_in.unwrap().contains("newer") && place.path("policies.toml").exists());
    fs::remove_file(place.path("catalogue.sqlite")).unwrap();
    let kept = place.open();
    kept.load().unwrap();
    kept.save(&policy("b", 8)).unwrap();
    kept.catalogue.keep_copy().unwrap();
    drop(kept);
    newer();
    let kept = place.open();
    let loaded = kept.load().unwrap();
    assert_eq!(names(&loaded), ["a", "b"]);
    assert!(loaded.stands_in.is_some());
    assert!(kept.save(&policy("c", 9)).is_err());
}
