//! The table of keys as a JSON schema and as a table for people.

use serde_json::{Map, Value, json};

use super::keys::{Form, Key, Kind};
use super::{Config, KEYS, load};

/// The JSON schema of `config.json`, for editors.
#[must_use]
pub fn schema() -> Value {
    let defaults = load::values(&Config::default());
    let mut properties: Map<String, Value> = Map::new();
    properties.insert(
        "$schema".to_owned(),
        json!({"type": "string", "description": "where this schema lies, for editors"}),
    );
    for key in KEYS {
        let default = defaults
            .get(key.name)
            .filter(|_| key.default_words.is_none());
        properties.insert(key.name.to_owned(), property(key, default));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "config.json of av1cli master and av1cli worker",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

fn property(key: &Key, default: Option<&Value>) -> Value {
    let mut schema = of_kind(&key.kind);
    let mut description = key.meaning.to_owned();
    if let Some(unit) = key.unit {
        description.push_str(&format!("; in {unit}"));
    }
    if let Some(stands_for) = key.null {
        description.push_str(&format!("; null: {stands_for}"));
        if let Some(kind) = schema.get_mut("type") {
            *kind = json!([kind, "null"]);
        }
    }
    if let Some(words) = key.default_words {
        description.push_str(&format!("; default: {words}"));
    }
    description.push_str(&format!(" ({})", key.who.name()));
    if let Value::Object(schema) = &mut schema {
        schema.insert("description".to_owned(), description.into());
        if let Some(default) = default {
            schema.insert("default".to_owned(), default.clone());
        }
    }
    schema
}

fn of_kind(kind: &Kind) -> Value {
    match kind {
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Whole { least, most } => {
            json!({"type": "integer", "minimum": least, "maximum": most})
        }
        Kind::OneOfNumbers(numbers) => json!({"type": "integer", "enum": numbers}),
        Kind::Number { least, most } => {
            json!({"type": "number", "minimum": least, "maximum": most})
        }
        Kind::Text(form) => json!({"type": "string", "pattern": form.regex()}),
        Kind::OneOf(words) => json!({"type": "string", "enum": words}),
        Kind::Path => json!({"type": "string", "pattern": "^[^~$]"}),
        Kind::List { of, filled } => json!({
            "type": "array",
            "items": of_kind(of),
            "uniqueItems": true,
            "minItems": u8::from(*filled),
        }),
        Kind::PathMap => json!({
            "type": "object",
            "propertyNames": {"pattern": "^/"},
            "additionalProperties": {"type": "string", "pattern": "^/"},
        }),
    }
}

/// The keys as a table in Markdown.
#[must_use]
pub fn markdown() -> String {
    let defaults = load::values(&Config::default());
    let mut table =
        String::from("| key | default | allowed | whose | meaning |\n|---|---|---|---|---|\n");
    for key in KEYS {
        let default = match (key.default_words, defaults.get(key.name)) {
            (Some(words), _) => words.to_owned(),
            (None, Some(value)) => default_text(value, key),
            (None, None) => String::new(),
        };
        let again = if key.restart { "; read at start" } else { "" };
        table.push_str(&format!(
            "| `{}` | {default} | {} | {} | {}{again} |\n",
            key.name,
            allowed(key),
            key.who.name(),
            key.meaning,
        ));
    }
    table
}

fn default_text(value: &Value, key: &Key) -> String {
    let unit = key
        .unit
        .filter(|_| !value.is_null())
        .map(|unit| format!(" {unit}"));
    match value {
        Value::Null => key.null.unwrap_or_default().to_owned(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Object(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => {
            let items = items.iter().map(|item| item.as_str().unwrap_or_default());
            items.collect::<Vec<_>>().join(" ")
        }
        Value::String(text) => format!("`{text}`"),
        other => format!("{other}{}", unit.unwrap_or_default()),
    }
}

/// Shorter than the words of a message: a table has little room.
fn allowed(key: &Key) -> String {
    let words = match &key.kind {
        Kind::Flag => "true, false".to_owned(),
        Kind::Whole { least, most } => format!("{least} to {most}"),
        Kind::Number { least, most } => format!("{least} to {most}"),
        Kind::OneOf(words) => words.join(", "),
        Kind::Path => "a path".to_owned(),
        Kind::PathMap => "an object of absolute paths".to_owned(),
        Kind::List {
            of: Kind::OneOf(words),
            ..
        } => format!("a list of {}", words.join(", ")),
        Kind::List { of, .. } => format!("a list of {}", plural(of)),
        Kind::OneOfNumbers(_) | Kind::Text(_) => key.kind.allowed(),
    };
    match key.null {
        Some(_) => format!("{words}, null"),
        None => words,
    }
}

fn plural(kind: &Kind) -> &'static str {
    match kind {
        Kind::Path => "paths",
        Kind::Text(Form::Extension) => "extensions without dots, in lower case",
        Kind::Text(Form::Pattern) => "patterns",
        Kind::Text(Form::Span) => "`[days] HH:MM-HH:MM`",
        Kind::Text(Form::Host) => "host names",
        _ => "values",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use super::*;

    fn names(object: &Map<String, Value>) -> BTreeSet<&str> {
        object.keys().map(String::as_str).collect()
    }

    #[test]
    fn the_table_the_struct_and_the_schema_have_the_same_keys() {
        let table: BTreeSet<_> = KEYS.iter().map(|key| key.name).collect();
        assert_eq!(table.len(), KEYS.len(), "one is there twice");
        assert_eq!(names(&load::values(&Config::default())), table);
        let schema = schema();
        let properties = schema["properties"].as_object().expect("properties");
        let mut expected = table.clone();
        expected.insert("$schema");
        assert_eq!(names(properties), expected);
    }

    #[test]
    fn every_default_is_allowed_by_the_table_and_takes_null_where_it_may() {
        for key in KEYS {
            let default = &load::values(&Config::default())[key.name];
            let checked = super::super::value::check(key, default, "/".as_ref());
            assert_eq!(checked.as_ref(), Ok(default), "{}", key.name);
            let with_null = json!({ key.name: null });
            let takes_null = serde_json::from_value::<Config>(with_null).is_ok();
            assert_eq!(takes_null, key.null.is_some(), "{}", key.name);
        }
    }

    fn words(kind: &Kind) -> Option<&'static [&'static str]> {
        match kind {
            Kind::OneOf(words) => Some(words),
            Kind::List { of, .. } => words(of),
            _ => None,
        }
    }

    /// A variant that the table does not name could not be chosen.
    #[test]
    fn the_tables_words_are_the_variants_of_the_struct() {
        for key in KEYS {
            let Some(words) = words(&key.kind) else {
                continue;
            };
            let is_list = matches!(key.kind, Kind::List { .. });
            let parse = |word: &str| {
                let value = if is_list { json!([word]) } else { json!(word) };
                serde_json::from_value::<Config>(json!({ key.name: value }))
            };
            for word in words {
                assert!(parse(word).is_ok(), "{}: {word}", key.name);
            }
            // serde names all variants when it refuses one.
            let error = parse("?").expect_err("no word").to_string();
            let known = error.matches('`').count() / 2 - 1;
            assert_eq!(known, words.len(), "{}: {error}", key.name);
        }
    }

    /// What the regular expressions of the schema refuse, loading refuses: an editor
    /// never marks a value that would be taken. The schema's bounds are the table's.
    #[test]
    fn the_schema_says_what_the_table_says() {
        let schema = schema();
        let of = |name: &str| &schema["properties"][name];
        assert_eq!(of("web_port")["minimum"], 0);
        assert_eq!(of("web_port")["maximum"], 65_535);
        assert_eq!(of("web_port")["default"], 8090);
        assert_eq!(of("crf")["type"], json!(["integer", "null"]));
        assert_eq!(of("bit_depth")["enum"], json!([8, 10]));
        assert_eq!(of("extensions")["minItems"], 1);
        assert_eq!(of("temp_directory").get("default"), None);
        for key in KEYS {
            let description = of(key.name)["description"].as_str().expect("text");
            assert!(description.starts_with(key.meaning));
        }
    }

    fn held_against(path: &str, expected: &str, current: impl Fn(&str) -> String) {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(path);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if current(&text) == expected {
            return;
        }
        assert!(
            std::env::var_os("UPDATE_GOLDEN").is_some(),
            "{} is not what the table of keys says; UPDATE_GOLDEN=1 writes it",
            path.display()
        );
        let new = match text.split_once(BEGIN) {
            Some((before, rest)) => {
                let (_, after) = rest.split_once(END).expect("the end is marked");
                format!("{before}{BEGIN}{expected}{END}{after}")
            }
            None => expected.to_owned(),
        };
        std::fs::write(&path, new).expect("written");
    }

    const BEGIN: &str = "<!-- keys: written by a test from av1net/src/config/table.rs -->\n";
    const END: &str = "<!-- end of keys -->\n";

    #[test]
    fn the_schema_in_assets_is_the_tables() {
        let expected = format!("{:#}\n", schema());
        held_against("assets/config.schema.json", &expected, str::to_owned);
    }

    #[test]
    fn the_readmes_table_is_the_tables() {
        let current = |text: &str| {
            let rest = text.split_once(BEGIN).expect("the beginning is marked").1;
            rest.split_once(END)
                .expect("the end is marked")
                .0
                .to_owned()
        };
        held_against("README.md", &markdown(), current);
    }
}
