//! The parts of a request, with problems where they cannot be understood.

use std::fmt;
use std::marker::PhantomData;

use axum::extract::{FromRequest, FromRequestParts, Json, Path, Query, Request};
use axum::http::request::Parts;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::problem::Problem;

/// What the address names: `/volumes/{name}`.
pub struct Named<T>(pub T);

/// What stands after the question mark.
pub struct Asked<T>(pub T);

/// A JSON body. Unknown fields are refused by the types themselves; longer ones than the server's limit
/// before they are read.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(value)| Self(value))
            .map_err(|error| Problem::bad_request(error.status(), plain(&error.body_text())))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query
            .map(|Query(value)| Self(value))
            .map_err(|error| Problem::bad_request(error.status(), plain(&error.body_text())))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let json = Json::<Object<T>>::from_request(request, state).await;
        json.map(|Json(Object(value))| Self(value))
            .map_err(|error| Problem::bad_request(error.status(), plain(&error.body_text())))
    }
}

/// How libraries begin what they say of a request, and what that means for whoever sent it.
const BEGINNINGS: &[(&str, &str)] = &[
    ("Invalid URL: ", "the address: "),
    ("Failed to deserialize query string: ", "after the question mark: "),
    ("Failed to parse the request body as JSON: ", "the body is no JSON: "),
    ("Failed to deserialize the JSON body into the target type: ", "the body: "),
    ("Expected request with `Content-Type: application/json`", "the body is not called JSON"),
    ("Failed to buffer the request body: length limit exceeded", "the body is too long"),
];
/// The whole numbers of programs.
const NUMBERS: &[&str] = &["u8", "u16", "u32", "u64", "usize", "i64"];

/// What a library says of a request, without the names that programs have for things.
pub(crate) fn plain(text: &str) -> String {
    let begun = BEGINNINGS.iter().find_map(|(begin, meant)| {
        let rest = text.strip_prefix(begin)?;
        Some(format!("{meant}{rest}"))
    });
    let mut text = begun.unwrap_or_else(|| text.to_owned());
    for number in NUMBERS {
        text = text
            .replace(&format!(" to a `{number}`"), " as a whole number")
            .replace(&format!("expected {number}"), "expected a whole number");
    }
    text
}

/// A value that is written as an object. Structs alone would also be read from an array of their fields, in an order
/// that nobody was told.
struct Object<T>(T);

struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with named fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{NewMark, VolumeChange};

    #[test]
    fn what_libraries_say_is_told_in_words_of_the_request() {
        for (said, told) in [
            (
                "Invalid URL: Cannot parse `x` to a `u64`",
                "the address: Cannot parse `x` as a whole number",
            ),
            (
                "Failed to deserialize the JSON body into the target type: size: invalid type: string \"1G\", expected u64 at line 1 column 9",
                "the body: size: invalid type: string \"1G\", expected a whole number at line 1 column 9",
            ),
            (
                "Expected request with `Content-Type: application/json`",
                "the body is not called JSON",
            ),
            ("as it is", "as it is"),
        ] {
            assert_eq!(plain(said), told);
        }
    }

    #[test]
    fn a_body_is_an_object_and_not_an_array_of_its_fields() {
        let read = serde_json::from_str::<Object<NewMark>>;
        assert_eq!(read(r#"{"volumes": ["mail"]}"#).unwrap().0.volumes.len(), 1);
        for text in [r#"[["mail"], null, "crash"]"#, "null", "\"mail\"", r#"{"volume": []}"#] {
            assert!(read(text).is_err(), "{text}");
        }
        let twice = serde_json::from_str::<Object<VolumeChange>>(r#"{"size": 1, "size": 2}"#);
        assert!(twice.is_err_and(|error| error.to_string().contains("duplicate")));
    }
}
