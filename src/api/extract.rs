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
            .map_err(|error| Problem::bad_request(error.status(), error.body_text()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query
            .map(|Query(value)| Self(value))
            .map_err(|error| Problem::bad_request(error.status(), error.body_text()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let json = Json::<Object<T>>::from_request(request, state).await;
        json.map(|Json(Object(value))| Self(value))
            .map_err(|error| Problem::bad_request(error.status(), error.body_text()))
    }
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
