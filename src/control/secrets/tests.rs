//! What is sealed is opened by the right key and for the right purpose only.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn place() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn what_was_sealed_is_opened_again_after_a_restart_and_nothing_of_it_is_seen() {
    let dir = place();
    let vault = Vault::open_with(dir.path(), None);
    let sealed = vault.seal("chap", b"open sesame").unwrap();
    assert!(!sealed.contains(&hex(b"sesame")) && !sealed.contains("sesame"), "{sealed}");
    assert_ne!(sealed, vault.seal("chap", b"open sesame").unwrap(), "a nonce was used twice");
    let again = Vault::open_with(dir.path(), None);
    assert_eq!(again.unseal("chap", &sealed).unwrap(), b"open sesame");
    let mode = fs::metadata(dir.path().join(KEY_FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let digest = |vault: &Vault, purpose| vault.digest(purpose, b"open sesame").unwrap();
    assert_eq!(digest(&vault, "a"), digest(&again, "a"));
    assert_ne!(digest(&vault, "a"), digest(&vault, "b"));
}

#[test]
fn a_changed_text_and_another_purpose_open_nothing() {
    let dir = place();
    let vault = Vault::open_with(dir.path(), None);
    let sealed = vault.seal("chap", b"open sesame").unwrap();
    assert!(vault.unseal("mail", &sealed).is_err());
    for at in [0, PREFIX.len(), sealed.len() - 1] {
        let mut changed = sealed.clone().into_bytes();
        changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(vault.unseal("chap", &changed).is_err(), "{changed}");
    }
    for text in ["", "sealed:1:", "sealed:1:00:", &sealed[..sealed.len() - 1]] {
        assert!(vault.unseal("chap", text).is_err(), "{text}");
    }
}

#[test]
fn a_key_that_is_lost_or_another_one_is_told_and_the_right_one_opens_again() {
    let dir = place();
    let sealed = Vault::open_with(dir.path(), None).seal("chap", b"x").unwrap();
    let path = dir.path().join(KEY_FILE);
    let right = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let vault = Vault::open_with(dir.path(), None);
    let error = vault.unseal("chap", &sealed).unwrap_err();
    assert!(error.to_string().contains("is not there"), "{error}");
    assert!(error.way_out().unwrap().contains(KEY_FILE), "{error}");
    assert!(vault.seal("chap", b"y").is_err(), "a new key was made over a lost one");
    fs::write(&path, "00".repeat(32)).unwrap();
    vault.load_again();
    assert!(vault.trouble().unwrap().to_string().contains("another one"));
    fs::write(&path, "no key").unwrap();
    vault.load_again();
    assert!(vault.trouble().unwrap().to_string().contains("holds no key"));
    fs::write(&path, right).unwrap();
    vault.load_again();
    assert_eq!(vault.unseal("chap", &sealed).unwrap(), b"x");
}

#[test]
fn a_credential_goes_before_the_file_and_what_the_file_sealed_still_opens() {
    let (dir, given) = (place(), place());
    let old = Vault::open_with(dir.path(), None).seal("chap", b"x").unwrap();
    fs::write(given.path().join(CREDENTIAL), format!("{}\n", "ab".repeat(32))).unwrap();
    let both = Vault::open_with(dir.path(), Some(given.path().to_owned()));
    assert_eq!(both.unseal("chap", &old).unwrap(), b"x");
    assert!(!both.is_of_this_key(&old));
    let new = both.seal("chap", b"x").unwrap();
    assert!(both.is_of_this_key(&new));
    fs::remove_file(dir.path().join(KEY_FILE)).unwrap();
    let one = Vault::open_with(dir.path(), Some(given.path().to_owned()));
    assert_eq!(one.unseal("chap", &new).unwrap(), b"x");
    assert!(one.unseal("chap", &old).unwrap_err().to_string().contains("another key"));
}
