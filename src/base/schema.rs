//! How texts of one form are described to programs: a JSON schema with their pattern and length.

/// Describes a type that is written as a text: its name, the pattern it follows, and how many characters it may have.
///
/// Whoever uses it imports `schemars`.
#[macro_export]
macro_rules! text_schema {
    ($type:ty, $name:literal, $pattern:literal, $chars:expr, $about:literal) => {
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let chars: std::ops::RangeInclusive<usize> = $chars;
                schemars::json_schema!({
                    "type": "string",
                    "description": $about,
                    "pattern": $pattern,
                    "minLength": chars.start(),
                    "maxLength": chars.end(),
                })
            }
        }
    };
}
