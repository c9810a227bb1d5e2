//! The data of options, decoded: names, what is asked about an export, queries for contexts.
//!
//! Pure and total: lengths inside are checked against what is there before anything is made of them.
//! Source: NBD protocol, "Option types".

use super::wire::Fields;

/// The data of `INFO` and `GO`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InfoRequest<'a> {
    /// The export, empty for the default.
    pub name: &'a str,
    /// What the client wants to be told.
    pub wants: Vec<u16>,
}

impl<'a> InfoRequest<'a> {
    /// Decodes it, or gives `None` where it is malformed.
    pub fn decode(data: &'a [u8]) -> Option<Self> {
        let mut fields = Fields::new(data);
        let name = fields.string()?;
        let count = usize::from(fields.u16()?);
        if fields.left() != 2 * count {
            return None;
        }
        let wants = std::iter::from_fn(|| fields.u16()).collect();
        Some(Self { name, wants })
    }

    /// Whether the client wants to be told this.
    pub fn wants(&self, info: u16) -> bool {
        self.wants.contains(&info)
    }
}

/// The data of `LIST_META_CONTEXT` and `SET_META_CONTEXT`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MetaRequest<'a> {
    /// The export, empty for the default.
    pub name: &'a str,
    /// Names of contexts, or beginnings of them that end in a colon.
    pub queries: Vec<&'a str>,
}

impl<'a> MetaRequest<'a> {
    /// Decodes it, or gives `None` where it is malformed.
    pub fn decode(data: &'a [u8]) -> Option<Self> {
        let mut fields = Fields::new(data);
        let name = fields.string()?;
        let count = fields.u32()?;
        let mut queries = Vec::new();
        for _ in 0..count {
            queries.push(fields.string()?);
        }
        (fields.left() == 0).then_some(Self { name, queries })
    }

    /// Whether a list must show the context of this name: without queries all are shown, and a query that
    /// ends in a colon shows what begins with it.
    pub fn shows(&self, context: &str) -> bool {
        let is_shown_by = |query: &&str| {
            *query == context || (query.ends_with(':') && context.starts_with(*query))
        };
        self.queries.is_empty() || self.queries.iter().any(is_shown_by)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn meta(name: &str, queries: &[&str]) -> Vec<u8> {
        let mut data = Vec::new();
        let mut put = |text: &str| {
            data.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
            data.extend_from_slice(text.as_bytes());
        };
        put(name);
        let mut all = std::mem::take(&mut data);
        all.extend_from_slice(&u32::try_from(queries.len()).unwrap().to_be_bytes());
        for query in queries {
            all.extend_from_slice(&u32::try_from(query.len()).unwrap().to_be_bytes());
            all.extend_from_slice(query.as_bytes());
        }
        all
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        assert_eq!(InfoRequest::decode(b""), None);
        assert_eq!(InfoRequest::decode(b"\0\0\x03\xe8abc\0\0"), None);
        assert_eq!(InfoRequest::decode(b"\0\0\0\x01a\0\x05\0\x03"), None);
        assert_eq!(InfoRequest::decode(b"\0\0\0\x01a\0\0!"), None);
        let fine = InfoRequest::decode(b"\0\0\0\x01a\0\x01\0\x03");
        assert_eq!(fine, Some(InfoRequest { name: "a", wants: vec![3] }));
        assert_eq!(MetaRequest::decode(b"\0\0\0\x01a\xff\xff\xff\xff"), None);
        let mut trailing = meta("a", &["base:"]);
        trailing.push(0);
        assert_eq!(MetaRequest::decode(&trailing), None);
    }

    #[test]
    fn a_query_that_ends_in_a_colon_shows_what_begins_with_it() {
        let shows = |queries: &[&str], context| {
            MetaRequest::decode(&meta("v", queries)).unwrap().shows(context)
        };
        assert!(shows(&[], "base:allocation"));
        assert!(shows(&["base:"], "base:allocation"));
        assert!(shows(&["tidemark:since:"], "tidemark:since:monday"));
        assert!(shows(&["x-none:a", "qemu:"], "qemu:dirty-bitmap:monday"));
        assert!(!shows(&["base:alloc"], "base:allocation"));
        assert!(!shows(&["x-none:"], "base:allocation"));
    }

    proptest! {
        #[test]
        fn option_data_may_be_anything(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(request) = InfoRequest::decode(&data) {
                prop_assert_eq!(data.len(), 4 + request.name.len() + 2 + 2 * request.wants.len());
            }
            if let Some(request) = MetaRequest::decode(&data) {
                let queries: usize = request.queries.iter().map(|query| 4 + query.len()).sum();
                prop_assert_eq!(data.len(), 8 + request.name.len() + queries);
            }
        }
    }
}
