//! Lists, whole or a page at a time. A cursor says after which entry the next page begins, so that entries which come
//! and go in between shift nothing.

use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use control::ControlError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Entries of a page at most.
pub const LIMIT_MAX: u64 = 1000;
/// Characters of a cursor: twice the longest key of an entry.
const CURSOR_LEN_MAX: usize = 512;

/// What may stand after the question mark of a list.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Paging {
    /// How many entries; where it is left out all, and of exports 1000. `Link` names the next page, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<u64>,
    /// Where the page begins, as `Link` said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A list, or a page of it.
#[derive(Debug)]
pub struct Paged<T> {
    entries: Vec<T>,
    link: Option<String>,
}

impl Paging {
    /// How many entries a page has at most, and the key of the entry that it begins after.
    ///
    /// # Errors
    /// `Invalid`: a limit or cursor that makes no sense.
    pub fn page(&self) -> Result<(usize, Option<String>), ControlError> {
        let limit = self.limit.unwrap_or(LIMIT_MAX);
        if limit == 0 || limit > LIMIT_MAX {
            let why = format!("a page has 1 to {LIMIT_MAX} entries, not {limit}");
            return Err(refused(why, "leave the limit out"));
        }
        let after = match &self.cursor {
            Some(cursor) => Some(unhex(cursor).ok_or_else(|| {
                refused("this is no cursor".into(), "take the address that Link names as it is")
            })?),
            None => None,
        };
        Ok((usize::try_from(limit).unwrap_or(usize::MAX), after))
    }
}

impl<T> Paged<T> {
    /// The page that is asked for. `key` gives what entries are in the order of; no two share one.
    ///
    /// # Errors
    /// `Invalid`: a limit or cursor that makes no sense.
    pub fn of(
        entries: Vec<T>,
        paging: &Paging,
        key: impl Fn(&T) -> String,
    ) -> Result<Self, ControlError> {
        if paging == &Paging::default() {
            return Ok(Self { entries, link: None });
        }
        let (limit, after) = paging.page()?;
        let mut keyed: Vec<_> = entries.into_iter().map(|one| (key(&one), one)).collect();
        keyed.retain(|(key, _)| after.as_ref().is_none_or(|after| key > after));
        keyed.sort_by(|(one, _), (other, _)| one.cmp(other));
        let entries = keyed.into_iter().map(|(_, one)| one).take(limit + 1).collect();
        Ok(Self::cut(entries, limit, key))
    }

    /// A page of at most `limit` of these entries. That there is one more says that there is a next page.
    pub fn cut(mut entries: Vec<T>, limit: usize, key: impl Fn(&T) -> String) -> Self {
        let has_more = entries.len() > limit;
        entries.truncate(limit);
        let last = entries.last().filter(|_| has_more);
        let link = last.map(|last| next(&format!("limit={limit}&cursor={}", hex(&key(last)))));
        Self { entries, link }
    }

    /// A page that knows by itself how the next one is asked for.
    pub fn with_next(entries: Vec<T>, query: Option<String>) -> Self {
        Self { entries, link: query.map(|query| next(&query)) }
    }
}

/// The key of an entry with a number, in its order.
pub fn rising(number: impl Into<u128>) -> String {
    format!("{:039}", number.into())
}

/// The key of an entry with a number, the greatest first.
pub fn falling(number: u64) -> String {
    rising(u64::MAX - number)
}

impl<T: Serialize> IntoResponse for Paged<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.entries).into_response();
        if let Some(Ok(link)) = self.link.map(|link| HeaderValue::from_str(&link)) {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}

fn next(query: &str) -> String {
    format!("<?{query}>; rel=\"next\"")
}

fn refused(why: String, way_out: &str) -> ControlError {
    ControlError::Invalid { why, way_out: way_out.into() }
}

fn hex(key: &str) -> String {
    key.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(cursor: &str) -> Option<String> {
    if cursor.len() > CURSOR_LEN_MAX || !cursor.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = cursor.as_bytes().chunks(2).map(|pair| {
        let text = str::from_utf8(pair).ok().filter(|text| text.len() == 2)?;
        u8::from_str_radix(text, 16).ok()
    });
    String::from_utf8(pairs.collect::<Option<_>>()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(all: &[u64], limit: u64, cursor: Option<&str>) -> (Vec<u64>, Option<String>) {
        let paging = Paging { limit: Some(limit), cursor: cursor.map(Into::into) };
        let paged = Paged::of(all.to_vec(), &paging, |one| rising(*one)).unwrap();
        let cursor = paged.link.map(|link| {
            let rest = link.split_once("cursor=").unwrap().1;
            rest.split_once('>').unwrap().0.to_owned()
        });
        (paged.entries, cursor)
    }

    #[test]
    fn pages_together_are_the_list_whatever_comes_and_goes_in_between() {
        let (first, cursor) = page(&[9, 10, 100, 101], 2, None);
        assert_eq!(first, [9, 10]);
        let (second, end) = page(&[5, 9, 11, 100, 101], 3, cursor.as_deref());
        assert_eq!((second, end), (vec![11, 100, 101], None));
        let all = Paged::of(vec![3, 1], &Paging::default(), |one: &u64| rising(*one)).unwrap();
        assert_eq!((all.entries, all.link), (vec![3, 1], None));
    }

    #[test]
    fn the_greatest_first_is_an_order_too() {
        let paging = Paging { limit: Some(2), cursor: None };
        let paged = Paged::of(vec![30, 20, 10], &paging, |one| falling(*one)).unwrap();
        assert_eq!(paged.entries, [30, 20]);
        assert!(paged.link.is_some());
    }

    #[test]
    fn a_limit_or_cursor_that_makes_no_sense_is_refused() {
        for (limit, cursor) in
            [(Some(0), None), (Some(1001), None), (None, Some("x")), (None, Some("abc"))]
        {
            let paging = Paging { limit, cursor: cursor.map(Into::into) };
            let refused = Paged::of(vec![1], &paging, |one: &u64| rising(*one)).unwrap_err();
            assert_eq!(refused.kind(), control::ErrorKind::Invalid, "{paging:?}");
        }
    }
}
