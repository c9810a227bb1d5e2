//! The table of operations says what the router has, and every page is one of the console.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;

/// Every `.route(` in the sources of the router: the address and the methods that it takes.
fn routes_in(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for call in text.split(".route(").skip(1) {
        let mut parts = call.splitn(3, '"');
        let (_, Some(path), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
            panic!("a route without an address: {call}");
        };
        let end = end_of_call(rest);
        for method in ["get", "post", "put", "patch", "delete"] {
            let calls = [format!(" {method}("), format!(".{method}("), format!("\n{method}(")];
            if calls.iter().any(|call| rest[..end].contains(call)) {
                found.push((method.to_ascii_uppercase(), path.to_owned()));
            }
        }
    }
    found
}

/// Where the bracket that was open before this text closes.
fn end_of_call(text: &str) -> usize {
    let mut depth = 1;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    panic!("a route that does not end: {text}")
}

#[test]
fn the_table_says_what_the_router_has() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("routes");
    let mut routed = BTreeSet::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        routed.extend(routes_in(&text));
    }
    let table = OPERATIONS.iter().map(|one| (one.method.to_owned(), one.path.to_owned()));
    let table: BTreeSet<_> = table.collect();
    assert_eq!(table.len(), OPERATIONS.len(), "an operation stands in the table twice");
    assert_eq!(routed, table);
}

#[test]
fn routes_are_found_however_they_are_written() {
    let text = r#"
        .route("/a", get(list).post(make))
        .route(
            "/a/{name}",
            delete(remove),
        )"#;
    let own = |method: &str, path: &str| (method.to_owned(), path.to_owned());
    let expected = [own("GET", "/a"), own("POST", "/a"), own("DELETE", "/a/{name}")];
    assert_eq!(routes_in(text), expected);
}

#[test]
fn every_page_is_one_of_the_console() {
    for operation in OPERATIONS {
        let Operation { method, path, page, .. } = operation;
        assert!(PAGES.contains(page), "{method} {path}: there is no page {page}");
    }
}

#[test]
fn an_operation_is_found_by_its_method_and_its_address() {
    assert_eq!(find("HEAD", "/status"), find("GET", "/status"));
    assert_eq!(find("DELETE", "/views/{name}").unwrap().page, "views");
    assert_eq!(find("PUT", "/views/{name}"), None);
    assert_eq!(of_route("GET", "/api/v1/status"), find("GET", "/status"));
    assert_eq!(of_route("GET", "/status"), None);
}

#[test]
fn what_makes_something_is_carried_out_once_and_a_login_is_not() {
    let is_once = |method, path| find(method, path).unwrap().is_once();
    assert!(is_once("POST", "/marks") && is_once("POST", "/tokens"));
    assert!(!is_once("POST", "/session") && !is_once("POST", "/policy-preview"));
    assert!(!is_once("PATCH", "/volumes/{name}"));
}
