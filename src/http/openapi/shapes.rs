//! What schemas are made of.

use serde_json::json;
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};

/// An object that always has all of these.
pub(super) fn object<const N: usize>(
    description: &str,
    properties: [(&str, RefOr<Schema>); N],
) -> Object {
    let mut object = ObjectBuilder::new().description(Some(description));
    for (name, schema) in properties {
        object = object.property(name, schema).required(name);
    }
    object.build()
}

/// Any text.
pub(super) fn string(description: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .build()
}

/// Any text, or `null`.
pub(super) fn nullable_string(description: &str) -> Object {
    ObjectBuilder::from(string(description))
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .build()
}

/// One of a few words.
pub(super) fn one_of(description: &str, words: &[&str]) -> Object {
    ObjectBuilder::from(string(description))
        .enum_values(Some(words.iter().map(|word| json!(word))))
        .build()
}
