//! Users, sessions and tokens against a catalogue on disk and a clock of the test's own.

use std::time::Duration;

use base::clock::ManualClock;
use base::name::Name;
use tempfile::TempDir;

use super::*;

struct Place {
    dir: TempDir,
    clock: Arc<ManualClock>,
    access: Access,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("pool")).unwrap();
    let clock = Arc::new(ManualClock::default());
    clock.advance(Duration::from_hours(1_000_000));
    let catalogue = Arc::new(Catalogue::open(dir.path(), &dir.path().join("pool")));
    let access = Access::new(catalogue, Arc::clone(&clock) as Arc<dyn Clock>);
    Place { dir, clock, access }
}

fn password(text: &str) -> Password {
    Password::new(text.into()).unwrap()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn new(user: &str, role: Role) -> NewUser {
    NewUser { name: name(user), role, password: password("correct horse battery") }
}

fn with_anna(role: Role) -> (Place, Session) {
    let place = place();
    place.access.add_user(new("root", Role::Admin)).unwrap();
    place.access.add_user(new("anna", role)).unwrap();
    let session =
        place.access.log_in("anna", &password("correct horse battery"), "192.0.2.1").unwrap();
    (place, session)
}

fn code(error: &ControlError) -> String {
    crate::status::Failure::of(error).code
}

#[test]
fn the_first_admin_is_made_with_the_code_and_it_is_good_once() {
    let Place { access, .. } = place();
    assert!(access.is_fresh().unwrap());
    let right = access.setup_code().unwrap().unwrap();
    assert_eq!(access.setup_code().unwrap().as_ref(), Some(&right));
    assert_eq!(
        code(&access.set_up("0000", new("eve", Role::Viewer)).unwrap_err()),
        "unauthenticated"
    );
    let made = access.set_up(&right, new("root", Role::Viewer)).unwrap();
    assert_eq!(made.role, Role::Admin);
    assert!(access.set_up(&right, new("eve", Role::Admin)).is_err());
    assert_eq!(access.setup_code().unwrap(), None);
}

#[test]
fn the_code_makes_no_second_admin_where_the_first_was_made_another_way() {
    let Place { access, .. } = place();
    let code_shown = access.setup_code().unwrap().unwrap();
    access.add_user(new("root", Role::Admin)).unwrap();
    let refused = access.set_up(&code_shown, new("eve", Role::Admin)).unwrap_err();
    assert_eq!(code(&refused), "conflict");
    assert_eq!(access.users().unwrap().len(), 1);
}

#[test]
fn whoever_is_in_stays_in_while_the_catalogue_takes_no_changes() {
    let (Place { dir, clock, access }, session) = with_anna(Role::Operator);
    let new = NewToken { label: "report".into(), role: Role::Viewer, days: 1 };
    let token = access.make_token(&session.caller, &new).unwrap();
    let other = rusqlite::Connection::open(dir.path().join("catalogue.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    clock.advance(Duration::from_mins(5));
    for _ in 0..5 {
        assert_eq!(access.of_session(&session.id).unwrap().who, "anna");
        assert_eq!(access.of_token(&token.token).unwrap().who, "anna");
    }
    other.execute_batch("ROLLBACK").unwrap();
    clock.advance(Duration::from_mins(2));
    access.of_token(&token.token).unwrap();
    assert!(access.tokens().unwrap()[0].used_ms.is_some());
}

#[test]
fn whoever_is_let_in_for_longer_hears_that_somebody_was_put_out() {
    let (Place { clock, access, .. }, session) = with_anna(Role::Operator);
    let used = |access: &Access| access.still_of_session(&session.id).map(|caller| caller.who);
    let before = access.put_out_count();
    clock.advance(Duration::from_hours(11));
    assert_eq!(used(&access).unwrap(), "anna");
    clock.advance(Duration::from_hours(2));
    assert!(used(&access).is_err(), "to look is no use");
    access.log_out(&session.id).unwrap();
    assert_ne!(access.put_out_count(), before);
}

#[test]
fn a_person_is_in_with_the_right_password_until_the_session_ends() {
    let (Place { clock, access, .. }, session) = with_anna(Role::Operator);
    let caller = access.of_session(&session.id).unwrap();
    assert_eq!((caller.who.as_str(), caller.role), ("anna", Role::Operator));
    assert_eq!(caller.csrf, session.caller.csrf);
    assert!(access.users().unwrap()[0].login_ms.is_some());
    for _ in 0..13 {
        clock.advance(Duration::from_hours(11));
        access.of_session(&session.id).unwrap();
    }
    clock.advance(Duration::from_hours(13));
    assert_eq!(code(&access.of_session(&session.id).unwrap_err()), "unauthenticated");
    let again = access.log_in("anna", &password("correct horse battery"), "192.0.2.1").unwrap();
    for _ in 0..33 {
        clock.advance(Duration::from_hours(5));
        access.of_session(&again.id).unwrap();
    }
    clock.advance(Duration::from_hours(5));
    assert!(access.of_session(&again.id).is_err(), "used or not, it ends after a week");
}

#[test]
fn who_logs_out_or_gets_another_password_is_out_everywhere() {
    let (Place { access, .. }, session) = with_anna(Role::Operator);
    let other = access.log_in("anna", &password("correct horse battery"), "192.0.2.2").unwrap();
    access.log_out(&session.id).unwrap();
    assert!(access.of_session(&session.id).is_err());
    access.of_session(&other.id).unwrap();
    let change =
        UserChange { password: Some(password("another battery")), ..UserChange::default() };
    access.change_user(&name("anna"), &change).unwrap();
    assert!(access.of_session(&other.id).is_err());
    assert!(access.log_in("anna", &password("correct horse battery"), "192.0.2.1").is_err());
    access.log_in("anna", &password("another battery"), "192.0.2.1").unwrap();
}

#[test]
fn a_locked_user_is_out_with_sessions_and_tokens_and_told_no_more_than_a_stranger() {
    let (Place { access, .. }, session) = with_anna(Role::Operator);
    let new = NewToken { label: "report".into(), role: Role::Viewer, days: 1 };
    let token = access.make_token(&session.caller, &new).unwrap();
    let lock = UserChange { is_locked: Some(true), ..UserChange::default() };
    access.change_user(&name("anna"), &lock).unwrap();
    assert!(access.of_session(&session.id).is_err());
    assert!(access.of_token(&token.token).is_err());
    let say = |user, text: &str| match access.log_in(user, &password(text), "192.0.2.1") {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{user} is in"),
    };
    let told = say("anna", "correct horse battery");
    assert_eq!(told, say("nobody", "correct horse battery"));
    assert_eq!(told, say("root", "wrong wrong wrong"));
}

#[test]
fn the_last_admin_stays() {
    let (Place { access, .. }, _) = with_anna(Role::Operator);
    let root = name("root");
    for change in [
        UserChange { role: Some(Role::Operator), ..UserChange::default() },
        UserChange { is_locked: Some(true), ..UserChange::default() },
    ] {
        assert_eq!(code(&access.change_user(&root, &change).unwrap_err()), "conflict");
    }
    assert_eq!(code(&access.remove_user(&root).unwrap_err()), "conflict");
    access.add_user(new("ben", Role::Admin)).unwrap();
    access.remove_user(&root).unwrap();
    assert_eq!(code(&access.remove_user(&root).unwrap_err()), "not-found");
    for taken in ["ben", LOCAL] {
        assert_eq!(code(&access.add_user(new(taken, Role::Viewer)).unwrap_err()), "conflict");
    }
}

#[test]
fn a_token_may_no_more_than_its_maker_and_ends() {
    let (Place { clock, access, .. }, session) = with_anna(Role::Operator);
    let new = |role, days| NewToken { label: "report".into(), role, days };
    let make = |new: &NewToken| access.make_token(&session.caller, new);
    assert_eq!(code(&make(&new(Role::Admin, 1)).unwrap_err()), "invalid");
    assert_eq!(code(&make(&new(Role::Viewer, 0)).unwrap_err()), "invalid");
    assert!(make(&NewToken { label: " ".into(), ..new(Role::Viewer, 1) }).is_err());
    let made = make(&new(Role::Operator, 2)).unwrap();
    assert!(made.token.starts_with(TOKEN_PREFIX) && !format!("{made:?}").contains(&made.token));
    let caller = access.of_token(&made.token).unwrap();
    assert_eq!((caller.who.as_str(), caller.role, caller.csrf), ("anna", Role::Operator, None));
    let lower = UserChange { role: Some(Role::Viewer), ..UserChange::default() };
    access.change_user(&name("anna"), &lower).unwrap();
    assert_eq!(access.of_token(&made.token).unwrap().role, Role::Viewer);
    assert!(access.tokens().unwrap()[0].used_ms.is_some());
    clock.advance(Duration::from_hours(48));
    assert_eq!(code(&access.of_token(&made.token).unwrap_err()), "unauthenticated");
    access.remove_token(made.about.id).unwrap();
    assert_eq!(code(&access.remove_token(made.about.id).unwrap_err()), "not-found");
}

#[test]
fn a_removed_user_leaves_nothing_that_opens_a_door() {
    let (Place { access, .. }, session) = with_anna(Role::Admin);
    let new = NewToken { label: "report".into(), role: Role::Viewer, days: 1 };
    let token = access.make_token(&session.caller, &new).unwrap();
    access.remove_user(&name("anna")).unwrap();
    access.add_user(super::NewUser { name: name("anna"), ..self::new("x", Role::Viewer) }).unwrap();
    assert!(access.of_session(&session.id).is_err());
    assert!(access.of_token(&token.token).is_err());
}

#[test]
fn a_user_has_so_many_sessions_and_no_more() {
    let (Place { clock, access, .. }, first) = with_anna(Role::Viewer);
    for _ in 0..32 {
        clock.advance(Duration::from_secs(1));
        access.log_in("anna", &password("correct horse battery"), "192.0.2.1").unwrap();
    }
    assert!(access.of_session(&first.id).is_err());
}

#[test]
fn nothing_in_the_catalogue_opens_a_door() {
    let (place, session) = with_anna(Role::Admin);
    let new = NewToken { label: "report".into(), role: Role::Viewer, days: 1 };
    let token = place.access.make_token(&session.caller, &new).unwrap();
    place.access.catalogue.keep_copy().unwrap();
    let bytes = std::fs::read(place.dir.path().join("pool/catalogue.sqlite")).unwrap();
    let holds =
        |secret: &str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    assert!(holds("anna"));
    for secret in [session.id.reveal(), &token.token, "correct horse battery"] {
        assert!(!holds(secret));
    }
}
