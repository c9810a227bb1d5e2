//! The document itself, put together.

use std::collections::BTreeSet;

use base::name::Name;
use control::status::{ChapUser, DiskRef, Initiator};
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::told::{Describe, Told, all};
use crate::once::{KEY_LEN_MAX, REPLAYED_HEADER};
use crate::operations;
use crate::problem::{PROBLEM_TYPE, Problem};

/// The version of OpenAPI that is spoken.
const OPENAPI: &str = "3.1.0";

/// Where types are described.
const SCHEMAS: &str = "#/components/schemas/";
/// What the name of a type ends with that is another when it is read.
const WHEN_READ: &str = "Asked";

/// Types as they are read, and as they are written: the same type may have fields that must be written
/// and may be left out when read.
struct Generators {
    read: SchemaGenerator,
    written: SchemaGenerator,
}

/// The whole document.
pub fn document() -> Value {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
    };
    let mut generators = Generators {
        read: settings().for_deserialize().into_generator(),
        written: settings().for_serialize().into_generator(),
    };
    let problem = generators.written.subschema_for::<Problem>();
    let mut paths = Map::new();
    for told in all() {
        let item = paths.entry(told.path).or_insert_with(|| json!({}));
        item[told.method.to_ascii_lowercase()] = operation(&told, &mut generators);
    }
    let mut schemas = generators.written.take_definitions(true);
    let mut read = Value::Object(generators.read.take_definitions(true));
    let mut paths = Value::Object(paths);
    for name in differing(&read, &schemas) {
        rename(&mut read, &name);
        for operation in paths.as_object_mut().into_iter().flat_map(Map::values_mut) {
            for asked in operation.as_object_mut().into_iter().flat_map(Map::values_mut) {
                for part in ["requestBody", "parameters"] {
                    if let Some(part) = asked.get_mut(part) {
                        rename(part, &name);
                    }
                }
            }
        }
    }
    if let Value::Object(read) = read {
        for (name, schema) in read {
            schemas.entry(name).or_insert(schema);
        }
    }
    json!({
        "openapi": OPENAPI,
        "info": {
            "title": "Tidemark",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Volumes whose every past moment can be looked at. Errors are problem details (RFC 9457).",
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": "/api/v1" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": { "problem": {
                "description": "It was not done; what is wrong and what to do about it",
                "content": { PROBLEM_TYPE: { "schema": problem } },
            } },
        },
    })
}

/// Types that are another when they are read: what may be left out then is always there when they are written.
fn differing(read: &Value, written: &Map<String, Value>) -> Vec<String> {
    let read = read.as_object().into_iter().flatten();
    let both =
        read.filter(|(name, schema)| written.get(*name).is_some_and(|other| other != *schema));
    both.map(|(name, _)| name.clone()).collect()
}

/// Gives a type another name, where it is described and where it is referred to.
fn rename(value: &mut Value, name: &str) {
    match value {
        Value::Object(fields) => {
            if let Some(schema) = fields.get(name).filter(|schema| schema.is_object()).cloned()
                && fields.values().all(Value::is_object)
            {
                fields.remove(name);
                fields.insert(format!("{name}{WHEN_READ}"), schema);
            }
            if fields.get("$ref").and_then(Value::as_str) == Some(&format!("{SCHEMAS}{name}")) {
                fields["$ref"] = json!(format!("{SCHEMAS}{name}{WHEN_READ}"));
            }
            fields.values_mut().for_each(|field| rename(field, name));
        }
        Value::Array(all) => all.iter_mut().for_each(|one| rename(one, name)),
        _ => {}
    }
}

fn operation(told: &Told, generators: &mut Generators) -> Value {
    let (status, content, answer) = told.answer;
    let mut responses = Map::new();
    let schema = answer(&mut generators.written);
    let mut done =
        json!({ "description": told.summary, "content": { content: { "schema": schema } } });
    let headers = headers_of(told);
    if !headers.is_empty() {
        done["headers"] = Value::Object(headers);
    }
    responses.insert(status.to_string(), done);
    if has_tag(told) {
        responses.insert("304".into(), json!({ "description": "It is as If-None-Match says" }));
    }
    for status in refusals(told) {
        let problem = json!({ "$ref": "#/components/responses/problem" });
        responses.insert(status.to_string(), problem);
    }
    let mut operation = json!({
        "operationId": told.id,
        "summary": told.summary,
        "tags": [told.path.split('/').nth(1)],
        "parameters": parameters(told, generators),
        "responses": responses,
    });
    if let Some(body) = told.body {
        let schema = body(&mut generators.read);
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    if let Some(known) = operations::find(told.method, told.path) {
        operation["x-tidemark-role"] = json!(known.role);
        operation["x-tidemark-command"] = json!(known.command);
    }
    operation
}

/// The statuses of problems that it may answer with.
fn refusals(told: &Told) -> BTreeSet<u16> {
    // Not known, not allowed, too slow, too long, and what went wrong here, with the catalogue above all.
    let mut all = BTreeSet::from([401, 403, 408, 413, 500, 503]);
    if told.path.contains('{') {
        all.extend([400, 404]);
    }
    if told.query.is_some() {
        all.insert(400);
    }
    if told.body.is_some() {
        // No JSON, not called JSON, not what is meant; and names in it that are not there.
        all.extend([400, 404, 415, 422]);
    }
    if matches!(told.path, "/session" | "/setup") {
        all.insert(429);
    }
    if told.path == "/events" {
        all.insert(409);
    }
    if told.method == "DELETE" {
        // What is not there cannot be taken away.
        all.insert(404);
    }
    if told.method != "GET" {
        all.extend([409, 507]);
    }
    if takes_tag(told) {
        all.insert(412);
    }
    if is_once(told) {
        // No key, and one that came with another request.
        all.extend([400, 422]);
    }
    all
}

/// Whether its answer has an ETag.
fn has_tag(told: &Told) -> bool {
    told.method == "GET" && told.answer.1 == "application/json"
}

/// Whether it takes the ETag of what it changes.
fn takes_tag(told: &Told) -> bool {
    matches!(told.method, "PATCH" | "PUT" | "DELETE")
}

fn is_once(told: &Told) -> bool {
    operations::find(told.method, told.path).is_some_and(operations::Operation::is_once)
}

/// The headers of its answer.
fn headers_of(told: &Told) -> Map<String, Value> {
    let header = |about: &str| json!({ "description": about, "schema": { "type": "string" } });
    let mut all = Map::new();
    if has_tag(told) {
        all.insert(
            "ETag".into(),
            header("What is read, in a word; for If-None-Match and If-Match"),
        );
    }
    if told.method == "GET" && told.query.is_some() {
        let about =
            "Where there is more of a list, the address of the next page, as `rel=\"next\"`";
        all.insert("Link".into(), header(about));
    }
    if is_once(told) {
        let about = "`true` where the same request was answered before, and this is that answer";
        all.insert(REPLAYED_HEADER.into(), header(about));
    }
    all
}

/// The headers that it takes.
fn asked_headers(told: &Told) -> Vec<Value> {
    let header = |name: &str, about: &str, schema: Value| {
        json!({
            "name": name, "in": "header", "required": false, "description": about, "schema": schema,
        })
    };
    let text = json!({ "type": "string" });
    let mut all = Vec::new();
    if has_tag(told) {
        let about = "ETags that were seen: where one is still right, the answer is 304 and empty";
        all.push(header("If-None-Match", about, text.clone()));
    }
    if takes_tag(told) {
        let about = "The ETag of what is meant: where it has been changed since, nothing is done. Figures that move \
                     by themselves are not compared";
        all.push(header("If-Match", about, text));
    }
    if is_once(told) {
        let about = "A random key of this request: sent again within a day, it is not carried out again but answered \
                     as before";
        let schema = json!({ "type": "string", "minLength": 1, "maxLength": KEY_LEN_MAX });
        all.push(header("Idempotency-Key", about, schema));
    }
    all
}

fn parameters(told: &Told, generators: &mut Generators) -> Vec<Value> {
    let named = told.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut all: Vec<Value> = named
        .map(|name| {
            let schema = describe_of(name)(&mut generators.read);
            json!({ "name": name, "in": "path", "required": true, "schema": schema })
        })
        .collect();
    if let Some(query) = told.query {
        let schema = query(&mut generators.read);
        all.extend(fields(&schema, generators));
    }
    all.extend(asked_headers(told));
    all
}

/// What a name in an address stands for.
fn describe_of(name: &str) -> Describe {
    match name {
        "name" | "mark" => SchemaGenerator::subschema_for::<Name>,
        "of" => SchemaGenerator::subschema_for::<DiskRef>,
        "user" => SchemaGenerator::subschema_for::<ChapUser>,
        "who" => SchemaGenerator::subschema_for::<Initiator>,
        "lun" | "group" => SchemaGenerator::subschema_for::<u16>,
        "id" => SchemaGenerator::subschema_for::<u64>,
        other => unreachable!("{{{other}}} of an address has no type here"),
    }
}

/// The fields of what stands after the question mark, a parameter each.
fn fields(schema: &Schema, generators: &Generators) -> Vec<Value> {
    let value = schema.as_value();
    let name = value["$ref"].as_str().and_then(|text| text.rsplit('/').next());
    let whole = match name {
        Some(name) => generators.read.definitions().get(name).unwrap_or(value),
        None => value,
    };
    let required = whole["required"].as_array();
    let is_required = |name: &str| required.is_some_and(|all| all.iter().any(|one| one == name));
    let fields = whole["properties"].as_object().into_iter().flatten();
    fields
        .map(|(name, schema)| {
            json!({
                "name": name,
                "in": "query",
                "required": is_required(name),
                "schema": schema,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::OPERATIONS;

    #[test]
    fn every_operation_is_told_and_nothing_else() {
        let told: BTreeSet<_> = all().iter().map(|told| (told.path, told.method)).collect();
        let known: BTreeSet<_> = OPERATIONS.iter().map(|one| (one.path, one.method)).collect();
        assert_eq!(told, known);
        let ids: BTreeSet<_> = all().iter().map(|told| told.id).collect();
        assert_eq!(ids.len(), told.len(), "two operations have one id");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let text = document.to_string();
        let references = text.split("\"$ref\":\"#/").skip(1);
        let references: BTreeSet<&str> =
            references.filter_map(|rest| rest.split('"').next()).collect();
        assert!(references.len() > 20, "{references:?}");
        for reference in references {
            assert!(document.pointer(&format!("/{reference}")).is_some(), "{reference}");
        }
    }

    #[test]
    fn a_body_says_what_must_be_in_it_and_an_answer_what_always_is() {
        let document = document();
        let mark = &document["components"]["schemas"]["NewMark"];
        assert_eq!(mark["required"], json!(["volumes"]));
        assert_eq!(mark["additionalProperties"], json!(false));
        let status = &document["components"]["schemas"]["MarkStatus"];
        assert!(status["required"].as_array().unwrap().contains(&json!("is_held")));
        let role = &document["paths"]["/volumes/{name}"]["delete"]["x-tidemark-role"];
        assert_eq!(role, "operator");
    }

    #[test]
    fn keys_tags_and_pages_are_told_where_they_are_taken() {
        let document = document();
        let named = |path: &str, method: &str| -> Vec<String> {
            let all = document["paths"][path][method]["parameters"].as_array().unwrap();
            all.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(named("/marks", "post"), ["Idempotency-Key"]);
        assert_eq!(named("/session", "post"), [""; 0]);
        assert_eq!(named("/volumes/{name}", "patch"), ["name", "If-Match"]);
        assert_eq!(named("/volumes", "get"), ["cursor", "limit", "If-None-Match"]);
        let answers = &document["paths"]["/volumes/{name}"];
        assert!(answers["get"]["responses"].get("304").is_some());
        assert!(answers["patch"]["responses"].get("412").is_some());
        assert!(answers["patch"]["responses"].get("304").is_none());
    }

    #[test]
    fn a_type_that_is_another_when_it_is_read_has_two_descriptions() {
        let document = document();
        let schemas = &document["components"]["schemas"];
        let keep = &schemas["Rules"]["properties"]["keep"];
        assert_eq!(keep["$ref"], json!("#/components/schemas/KeepAsked"), "{keep}");
        assert_eq!(schemas["KeepAsked"].get("required"), None);
        let always = schemas["Keep"]["required"].as_array().unwrap();
        assert!(always.contains(&json!("daily")), "{always:?}");
    }
}
