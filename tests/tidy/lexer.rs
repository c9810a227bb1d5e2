//! Rust source with everything blanked that is not code, so that a rule can search it without being
//! fooled by a comment or a string.
//!
//! Not a parser: it knows comments, string, byte, raw and character literals, and braces. Every byte
//! keeps its place, newlines stay, so offsets and line numbers hold for both texts.

/// `source` with the insides of comments and literals turned into spaces.
pub fn code_of(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => line_end(bytes, at),
            b'/' if bytes[at..].starts_with(b"/*") => block_comment_end(bytes, at),
            b'"' => string_end(bytes, at),
            b'\'' => character_end(bytes, at),
            b'r' | b'b' | b'c' if starts_word(bytes, at) => match raw_string_end(bytes, at) {
                Some(end) => end,
                None => at + 1,
            },
            _ => at + 1,
        };
        if end > at + 1 {
            blank(&mut code[at..end]);
        }
        at = end;
    }
    String::from_utf8(code).expect("blanking whole characters keeps UTF-8 whole")
}

/// The line of a byte offset, counted from 1.
pub fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Offsets in `code` where `word` stands as a whole word.
pub fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_part = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    code.match_indices(word).map(|(offset, _)| offset).filter(move |offset| {
        let bytes = code.as_bytes();
        let before = offset.checked_sub(1).and_then(|index| bytes.get(index));
        !is_part(before) && !is_part(bytes.get(offset + word.len()))
    })
}

/// The offset after the brace that closes the one at `open`; the end of the text if none does.
pub fn block_end(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return offset + 1,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

fn blank(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|byte| **byte != b'\n') {
        *byte = b' ';
    }
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |len| at + len)
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// A character literal's end; for a lifetime, only the quote itself.
fn character_end(bytes: &[u8], start: usize) -> usize {
    if bytes.get(start + 1) == Some(&b'\\') {
        let close = bytes.iter().skip(start + 3).position(|byte| *byte == b'\'');
        return close.map_or(bytes.len(), |len| start + 3 + len + 1);
    }
    let one = match bytes.get(start + 1) {
        Some(0xf0..) => 4,
        Some(0xe0..) => 3,
        Some(0xc0..) => 2,
        _ => 1,
    };
    let is_literal = bytes.get(start + 1 + one) == Some(&b'\'');
    if is_literal { start + one + 2 } else { start + 1 }
}

fn starts_word(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|index| bytes.get(index));
    !before.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

/// The end of a raw string (`r"`, `r#"`, `br#"`, ...) that starts here, if one does.
fn raw_string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mark = if matches!(bytes[start], b'b' | b'c') { start + 1 } else { start };
    if bytes.get(mark) != Some(&b'r') {
        return None;
    }
    let hashes = bytes[mark + 1..].iter().take_while(|byte| **byte == b'#').count();
    let open = mark + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let inside = &bytes[open + 1..];
    let len = inside.windows(close.len()).position(|window| window == close);
    Some(len.map_or(bytes.len(), |len| open + 1 + len + close.len()))
}

#[test]
fn comments_and_literals_are_blanked_and_code_stays_in_place() {
    let cases = [
        ("a // unsafe\nb", "a          \nb"),
        ("a /* x /* y */ z */ b", "a                   b"),
        ("f(\"un\\\"safe\") + g", "f(          ) + g"),
        ("r#\"a \" b\"# c", "           c"),
        ("br\"a\\\" c", "       c"),
        ("for<'a> x: &'a '{'", "for<'a> x: &'a    "),
        ("['\\'', '\\u{7d}', '\u{e4}']", "[    ,         ,     ]"),
        ("bar\"x\" rx", "bar    rx"),
        ("a\n\"b\nc\"\nd", "a\n  \n  \nd"),
    ];
    for (source, wanted) in cases {
        assert_eq!(code_of(source), wanted, "{source:?}");
    }
}

#[test]
fn words_are_whole_and_blocks_end_at_their_brace() {
    let code = "fn_a fn b() { { } } fn";
    assert_eq!(words(code, "fn").collect::<Vec<_>>(), [5, 20]);
    assert_eq!(&code[..block_end(code, 12)], "fn_a fn b() { { } }");
    assert_eq!(line_at("a\nb\nc", 4), 3);
}
