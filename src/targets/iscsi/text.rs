//! Texts: keys and their values, as login and text requests bring them.
//!
//! Source: RFC 7143 6.1.

use super::limits::{KEY_LEN_MAX, TEXT_LEN_MAX, TEXT_PAIRS_MAX};

/// A key and its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pair {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
}

/// A text that is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a text of keys and values: {0}")]
pub struct BadText(pub &'static str);

/// The pairs of a whole text.
///
/// # Errors
/// `BadText` where there are too many, or something is no pair.
pub fn parse(bytes: &[u8]) -> Result<Vec<Pair>, BadText> {
    if bytes.len() > TEXT_LEN_MAX {
        return Err(BadText("too long"));
    }
    let mut pairs = Vec::new();
    for part in bytes.split(|byte| *byte == 0).filter(|part| !part.is_empty()) {
        if pairs.len() == TEXT_PAIRS_MAX {
            return Err(BadText("too many keys"));
        }
        let text = std::str::from_utf8(part).map_err(|_| BadText("not UTF-8"))?;
        let (key, value) = text.split_once('=').ok_or(BadText("a key without a value"))?;
        if !is_key(key) {
            return Err(BadText("a key that can be none"));
        }
        pairs.push(Pair { key: key.to_owned(), value: value.to_owned() });
    }
    Ok(pairs)
}

fn is_key(key: &str) -> bool {
    let may_be = |byte: u8| byte.is_ascii_alphanumeric() || b".-+@_".contains(&byte);
    (1..=KEY_LEN_MAX).contains(&key.len()) && key.bytes().all(may_be)
}

/// Appends a pair.
pub fn push(out: &mut Vec<u8>, key: &str, value: &str) {
    out.extend_from_slice(key.as_bytes());
    out.push(b'=');
    out.extend_from_slice(value.as_bytes());
    out.push(0);
}

/// A number as texts have them: decimal, or hexadecimal behind `0x`.
pub fn number(text: &str) -> Option<u64> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = hex.map_or((text, 10), |digits| (digits, 16));
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_plain.then(|| u64::from_str_radix(digits, radix).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pairs_are_read_as_they_were_written() {
        let mut bytes = Vec::new();
        push(&mut bytes, "InitiatorName", "iqn.2026-11.dev.tidemark:a=b");
        push(&mut bytes, "SendTargets", "");
        let pairs = parse(&bytes).unwrap();
        assert_eq!(pairs[0].value, "iqn.2026-11.dev.tidemark:a=b");
        assert_eq!((pairs[1].key.as_str(), pairs[1].value.as_str()), ("SendTargets", ""));
        bytes.pop();
        assert_eq!(parse(&bytes).unwrap(), pairs, "the last end may be missing");
    }

    #[test]
    fn what_is_no_pair_is_refused() {
        let many = b"a=b\0".repeat(TEXT_PAIRS_MAX + 1);
        let long = [b"a=".as_slice(), &[b'x'; TEXT_LEN_MAX]].concat();
        for bytes in [b"key\0".as_slice(), b"=v\0", b"k y=v\0", b"k=\xff\0", &many, &long] {
            assert!(parse(bytes).is_err());
        }
        assert_eq!(parse(b"").unwrap(), []);
    }

    #[test]
    fn numbers_are_decimal_or_hexadecimal() {
        assert_eq!(number("0x1F"), Some(31));
        assert_eq!(number("65536"), Some(65536));
        for text in ["", "0x", "-1", "+1", "1f", "99999999999999999999"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(pairs) = parse(&bytes) {
                let mut again = Vec::new();
                pairs.iter().for_each(|pair| push(&mut again, &pair.key, &pair.value));
                prop_assert_eq!(parse(&again).unwrap(), pairs);
            }
        }
    }
}
