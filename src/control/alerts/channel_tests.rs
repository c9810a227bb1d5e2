//! What makes no sense in a channel is refused and named; what is secret is never shown.

use super::*;

fn secret(text: &str) -> Option<Secret> {
    Some(Secret::new(text.into()).unwrap())
}

fn channel(to: &str, secret: Option<Secret>) -> NewChannel {
    let to = serde_json::from_str(to).unwrap();
    let name = "ops".parse().unwrap();
    NewChannel { name, to, least: Severity::Warning, is_paused: false, secret }
}

const MAIL: &str =
    r#"{"kind":"mail","host":"mail.example.org","from":"t@example.org","to":["ops@example.org"]}"#;
const HOOK: &str = r#"{"kind":"webhook","url":"https://example.org/hook"}"#;
const KEY: &str = "opensesame-opensesame";

#[test]
fn what_makes_sense_is_taken() {
    for (to, secret) in [
        (MAIL, None),
        (&MAIL.replace(r#""from""#, r#""user":"t","tls":"tls","port":465,"from""#), secret("p")),
        (&MAIL.replace(r#""from""#, r#""tls":"none","from""#), None),
        (HOOK, secret(KEY)),
        (&HOOK.replace("https://example.org/hook", "http://[::1]:8080/a?b=c"), secret(KEY)),
        (r#"{"kind":"syslog"}"#, None),
        (r#"{"kind":"syslog","way":"udp","address":"[::1]:514"}"#, None),
        (r#"{"kind":"syslog","way":"tcp","address":"log.example.org:601"}"#, None),
    ] {
        let channel = channel(to, secret);
        channel.check().unwrap_or_else(|error| panic!("{to}: {error}"));
    }
}

#[test]
fn what_makes_no_sense_is_refused_and_named() {
    let mail = |from: &str, to: &str| MAIL.replace(from, to);
    let hook = |url: &str| HOOK.replace("https://example.org/hook", url);
    for (to, secret, named) in [
        (mail("mail.example.org", "mail.example.org/x"), None, "no name of a server"),
        (mail("ops@", "ops"), None, "opsexample.org"),
        (mail(r#"["ops@example.org"]"#, "[]"), None, "addressees"),
        (mail("ops@example.org", r"a@b.c\r\nBcc: x@y.z"), None, "no mail address"),
        (mail(r#""from""#, r#""user":"t","from""#), None, "no password"),
        (MAIL.to_owned(), secret("p"), "no user"),
        (mail(r#""from""#, r#""user":"t","tls":"none","from""#), secret("p"), "in the clear"),
        (mail(r#""from""#, r#""authority":"x","from""#), None, "no certificate"),
        (HOOK.to_owned(), None, "signed"),
        (HOOK.to_owned(), secret("fifteen-letters"), "16 bytes"),
        (hook("ftp://example.org/"), secret(KEY), "ftp"),
        (hook("file:///etc/passwd"), secret(KEY), "its URL"),
        (hook("example.org/hook"), secret(KEY), "its URL"),
        (hook("https://anna:pass@example.org/"), secret(KEY), "user or a password"),
        (hook("https://example.org:0/"), secret(KEY), "port"),
        (r#"{"kind":"syslog","way":"udp"}"#.to_owned(), None, "log server"),
        (r#"{"kind":"syslog","way":"tcp","address":"host:x"}"#.to_owned(), None, "log server"),
        (r#"{"kind":"syslog","address":"dev/log"}"#.to_owned(), None, "path of a socket"),
        (r#"{"kind":"syslog"}"#.to_owned(), secret("p"), "no secrets"),
    ] {
        let error = channel(&to, secret).check().unwrap_err().to_string();
        assert!(error.contains(named) && error.contains("channel ops"), "{to}: {error}");
        assert!(!error.contains("pass@") && !error.contains("fifteen"), "{error}");
    }
}

#[test]
fn a_secret_is_not_shown_and_goes_nowhere_but_where_it_was_given_for() {
    let hook = channel(HOOK, secret(KEY));
    assert!(!format!("{hook:?}").contains("sesame"));
    let to = |url: &str| {
        let to = serde_json::from_str(&HOOK.replace("https://example.org/hook", url)).unwrap();
        ChannelChange { to: Some(to), ..ChannelChange::default() }
    };
    let error = hook.changed_by(to("https://evil.example.org/")).unwrap_err();
    assert!(error.to_string().contains("another place"), "{error}");
    let with =
        ChannelChange { secret: secret("another-secret-key"), ..to("https://new.example.org/") };
    assert_eq!(hook.changed_by(with.clone()).unwrap().secret, with.secret);
    let mail = MAIL.replace(r#""from""#, r#""user":"t","from""#);
    let mail = channel(&mail, secret("p"));
    let Destination::Mail { host, port, tls, user, from, authority, .. } = mail.to.clone() else {
        panic!("{mail:?}")
    };
    let to = vec!["others@example.org".to_owned()];
    let others = Destination::Mail { host, port, tls, user, from, to, authority };
    let change = ChannelChange { to: Some(others.clone()), ..ChannelChange::default() };
    let changed = mail.changed_by(change).unwrap();
    assert_eq!((changed.to, changed.secret), (others, secret("p")));
}

#[test]
fn what_is_no_secret_is_refused_without_being_told() {
    for text in ["", "two\nlines", &"x".repeat(SECRET_LEN_MAX + 1)] {
        let error = Secret::new(text.to_owned()).unwrap_err().to_string();
        assert!(text.is_empty() || !error.contains(text), "{error}");
    }
    let told = serde_json::from_str::<Destination>(r#"{"kind":"syslog","secret":"x"}"#);
    assert!(told.is_err(), "a secret stands beside the destination, never in it");
}
