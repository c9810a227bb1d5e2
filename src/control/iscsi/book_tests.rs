//! What the book takes and what it refuses.

use super::*;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn target(iqn: &str) -> TargetEntry {
    TargetEntry {
        iqn: iqn.parse().unwrap(),
        alias: String::new(),
        auth: Auth::None,
        is_md5_allowed: false,
        initiators: BTreeSet::new(),
        luns: Vec::new(),
    }
}

fn lun(id: u128) -> LunEntry {
    LunEntry {
        lun: 0,
        id: Id(id),
        disk: "mail".into(),
        is_read_only: false,
        is_removable: false,
        block_size: 512,
        only: BTreeSet::new(),
    }
}

fn book() -> Book {
    let mut book = Book::default();
    book.add_target(&name("mail"), target("iqn.2026-11.a:mail")).unwrap();
    book.add_target(&name("logs"), target("iqn.2026-11.a:logs")).unwrap();
    book
}

#[test]
fn a_new_target_lets_nobody_in_and_who_is_named_comes_in_under_any_case() {
    let mut book = book();
    let target = book.target_mut(&name("mail")).unwrap();
    assert!(!target.lets_in("iqn.2026-11.b:x"));
    target.allow("iqn.2026-11.b:X".parse().unwrap()).unwrap();
    assert!(target.lets_in("iqn.2026-11.b:x") && target.lets_in("IQN.2026-11.B:X"));
    assert!(!target.lets_in("iqn.2026-11.b:xy"));
    target.allow(Initiator::Any).unwrap();
    assert!(target.lets_in("iqn.2026-11.b:xy"));
}

#[test]
fn names_are_unique_in_both_forms() {
    let mut book = book();
    assert!(book.add_target(&name("mail"), target("iqn.2026-11.a:other")).is_err());
    let refused = book.add_target(&name("other"), target("iqn.2026-11.a:mail")).unwrap_err();
    assert!(refused.why.contains("mail"), "{refused:?}");
}

#[test]
fn the_lowest_free_lun_is_taken_and_a_taken_one_is_refused() {
    let mut book = book();
    let mail = name("mail");
    for expected in 0..3 {
        assert_eq!(book.map(&mail, None, lun(1)).unwrap().lun, expected);
    }
    book.unmap(&mail, 1).unwrap();
    assert_eq!(book.map(&mail, None, lun(2)).unwrap().lun, 1);
    assert_eq!(book.map(&mail, Some(LUN_MAX), lun(2)).unwrap().lun, LUN_MAX);
    let refused = book.map(&mail, Some(2), lun(3)).unwrap_err();
    assert!(refused.way_out.contains("lun unmap mail 2"), "{refused:?}");
    assert!(book.map(&mail, Some(LUN_MAX + 1), lun(3)).is_err());
    assert_eq!(book.unmap(&mail, 9).unwrap_err().kind, BookErrorKind::NotFound);
    assert_eq!(book.mappings_of(|id| id == Id(2)).len(), 2);
}

#[test]
fn a_disk_looks_the_same_through_all_its_luns() {
    let mut book = book();
    book.map(&name("mail"), None, lun(1)).unwrap();
    let large = LunEntry { block_size: 4096, ..lun(1) };
    let refused = book.map(&name("logs"), None, large).unwrap_err();
    assert!(refused.why.contains("512") && refused.why.contains("target mail"), "{refused:?}");
    let removable = LunEntry { is_removable: true, ..lun(1) };
    assert!(book.map(&name("logs"), None, removable).is_err());
    let read_only = LunEntry { is_read_only: true, ..lun(1) };
    assert!(book.map(&name("logs"), None, read_only).is_ok());
}

#[test]
fn what_a_person_wrote_into_the_file_is_checked_and_named() {
    let good = "version = 1\n[targets.mail]\niqn = 'iqn.2026-11.a:b'\ninitiators = ['any']\n\
        [[targets.mail.luns]]\nlun = 3\nid = '00000000000000000000000000000001'\ndisk = 'mail'\nblock_size = 512\n";
    let read = |text: &str| -> Result<Book, String> {
        let book: Book = toml::from_str(text).map_err(|error| error.to_string())?;
        book.check().map(|()| book)
    };
    let book = read(good).unwrap();
    assert_eq!(read(&toml::to_string(&book).unwrap()).unwrap(), book);
    for (from, to, named) in [
        ("version = 1", "version = 9", "version"),
        ("version = 1", "", "version"),
        ("lun = 3", "lun = 16384", "targets.mail.luns, LUN 16384"),
        ("lun = 3", "lun = 'x'", "lun"),
        ("block_size = 512", "block_size = 1024", "block size"),
        ("disk = 'mail'", "disc = 'mail'", "disc"),
        ("'any'", "'all'", "all"),
        ("iqn.2026-11.a:b", "mail", "iSCSI name"),
    ] {
        let error = read(&good.replace(from, to)).unwrap_err();
        assert!(error.contains(named), "{to}: {error}");
    }
}

#[test]
fn a_group_is_optimized_until_it_is_said_otherwise() {
    let mut book = book();
    assert_eq!(book.group_state(2), AccessState::Optimized);
    book.set_group(2, AccessState::Standby);
    assert_eq!(
        (book.group_state(2), book.group_state(1)),
        (AccessState::Standby, AccessState::Optimized)
    );
    book.set_group(2, AccessState::Optimized);
    assert!(book.groups.is_empty());
}
