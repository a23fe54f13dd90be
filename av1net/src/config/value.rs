//! One value against what its key allows; and values that were written as plain text, in
//! the environment or a flag.

use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};

use super::hours::Hours;
use super::keys::{Form, Key, Kind};

/// What is wrong with a value: which part of it, where it has parts, and what is allowed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// The place within the value, such as `[2]`; empty for the whole.
    pub(crate) place: String,
    /// What stands there, as JSON.
    pub(crate) value: String,
    /// What is allowed instead, in words that go on "write ...".
    pub(crate) allowed: String,
}

/// Checks the value and brings it to its final form: paths become absolute, below
/// `folder`.
pub(crate) fn check(key: &Key, value: &Value, folder: &Path) -> Result<Value, Vec<Wrong>> {
    if value.is_null() && key.null.is_some() {
        return Ok(Value::Null);
    }
    let mut wrongs = Vec::new();
    let checked = check_kind(&key.kind, value, folder, &mut wrongs);
    match wrongs.first_mut() {
        None => Ok(checked),
        Some(first) if first.place.is_empty() => {
            let said = first.allowed == key.kind.allowed();
            if said {
                first.allowed = key.allowed();
            }
            Err(wrongs)
        }
        Some(_) => Err(wrongs),
    }
}

fn check_kind(kind: &Kind, value: &Value, folder: &Path, wrongs: &mut Vec<Wrong>) -> Value {
    let fits = match (kind, value) {
        (Kind::List { of, filled }, Value::Array(items)) if !(*filled && items.is_empty()) => {
            return check_items(of, items, folder, wrongs);
        }
        (Kind::PathMap, Value::Object(entries)) => {
            return check_map(entries, wrongs);
        }
        (Kind::Flag, Value::Bool(_)) => true,
        (Kind::Whole { least, most }, value) => value
            .as_u64()
            .is_some_and(|n| (*least..=*most).contains(&n)),
        (Kind::OneOfNumbers(numbers), value) => {
            value.as_u64().is_some_and(|n| numbers.contains(&n))
        }
        (Kind::Number { least, most }, value) => value
            .as_f64()
            .is_some_and(|n| (*least..=*most).contains(&n)),
        (Kind::OneOf(words), Value::String(text)) => words.contains(&text.as_str()),
        (Kind::Text(form), Value::String(text)) => match fits_form(*form, text) {
            Ok(()) => true,
            Err(said) => {
                wrongs.push(wrong(value, said.unwrap_or_else(|| kind.allowed())));
                return Value::Null;
            }
        },
        (Kind::Path, Value::String(text)) if is_written_out(text) => {
            return absolute(folder, text);
        }
        _ => false,
    };
    if !fits {
        wrongs.push(wrong(value, kind.allowed()));
    }
    value.clone()
}

fn wrong(value: &Value, allowed: String) -> Wrong {
    /// Enough to know it by.
    const LONGEST: usize = 80;
    let mut text = value.to_string();
    if let Some((at, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(at);
        text.push('…');
    }
    Wrong {
        place: String::new(),
        value: text,
        allowed,
    }
}

fn check_items(of: &Kind, items: &[Value], folder: &Path, wrongs: &mut Vec<Wrong>) -> Value {
    let mut checked = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let mut here = Vec::new();
        let value = check_kind(of, item, folder, &mut here);
        if checked.contains(&value) && here.is_empty() {
            here.push(wrong(item, "each once".to_owned()));
        }
        checked.push(value);
        wrongs.extend(here.into_iter().map(|wrong| Wrong {
            place: format!("[{index}]{}", wrong.place),
            ..wrong
        }));
    }
    Value::Array(checked)
}

fn check_map(entries: &Map<String, Value>, wrongs: &mut Vec<Wrong>) -> Value {
    let is_absolute = |text: &str| Path::new(text).is_absolute() && !text.contains('\0');
    let mut checked = Map::new();
    for (from, to) in entries {
        let lawful = to
            .as_str()
            .filter(|to| is_absolute(to) && is_absolute(from));
        match lawful {
            // A slash at the end says nothing.
            Some(to) => {
                let plain = |text: &str| lexical(Path::new(text));
                checked.insert(plain(from), Value::String(plain(to)));
            }
            None => wrongs.push(Wrong {
                place: format!("[\"{from}\"]"),
                ..wrong(to, "an absolute path for an absolute path".to_owned())
            }),
        }
    }
    Value::Object(checked)
}

/// `Err` with words where they are better than the form's own.
fn fits_form(form: Form, text: &str) -> Result<(), Option<String>> {
    let fits = match form {
        Form::Name => (1..=100).contains(&text.chars().count()) && !text.contains(char::is_control),
        Form::Extension => {
            let is_lawful = |c: char| {
                !(matches!(c, '.' | '/') || c.is_uppercase() || c.is_whitespace() || c.is_control())
            };
            (1..=16).contains(&text.chars().count()) && text.chars().all(is_lawful)
        }
        Form::Pattern => {
            if text.is_empty() {
                return Err(None);
            }
            return match av1core::Pattern::new(text) {
                Ok(_) => Ok(()),
                Err(why) => Err(Some(format!(
                    "{} ({why})",
                    Kind::Text(Form::Pattern).allowed()
                ))),
            };
        }
        Form::Span => Hours::parse(&[text.to_owned()]).is_ok(),
        Form::Host => {
            let is_lawful = |b: u8| b.is_ascii_alphanumeric() || b".:_-".contains(&b);
            let is_host = text.parse::<IpAddr>().is_ok() || !text.contains(':');
            (1..=255).contains(&text.len()) && text.bytes().all(is_lawful) && is_host
        }
        Form::Address => text.parse::<IpAddr>().is_ok(),
        Form::Token => {
            (1..=512).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
        }
    };
    if fits { Ok(()) } else { Err(None) }
}

/// Shells know `~` and variables; whoever writes them into a file means what they say
/// there.
fn is_written_out(text: &str) -> bool {
    !(text.is_empty() || text.starts_with(['~', '$']) || text.contains('\0'))
}

fn absolute(folder: &Path, text: &str) -> Value {
    Value::String(lexical(&folder.join(text)))
}

/// Without `.`, doubled slashes and one at the end. `..` stays: what it leads to is for
/// the file system to say.
fn lexical(path: &Path) -> String {
    let parts = path.components().filter(|part| *part != Component::CurDir);
    let path: PathBuf = parts.collect();
    // Both parts were text.
    path.to_string_lossy().into_owned()
}

/// A value from plain text: numbers and flags are read, lists and maps split at commas,
/// and whatever looks like JSON of the right kind is taken as that. What does not fit
/// stays text, for [`check`] to refuse.
pub(crate) fn read(key: &Key, text: &str) -> Value {
    let text = text.trim();
    if key.null.is_some() && text == "null" {
        return Value::Null;
    }
    read_kind(&key.kind, text).unwrap_or_else(|| Value::String(text.to_owned()))
}

fn read_kind(kind: &Kind, text: &str) -> Option<Value> {
    match kind {
        Kind::Flag => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(Value::Bool(true)),
            "false" | "no" | "off" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
        Kind::Whole { .. } | Kind::OneOfNumbers(_) => text.parse::<u64>().ok().map(Value::from),
        Kind::Number { .. } => text.parse::<f64>().ok().map(Value::from),
        Kind::Text(_) | Kind::OneOf(_) | Kind::Path => None,
        Kind::List { .. } if text.starts_with('[') => serde_json::from_str(text).ok(),
        Kind::List { of, .. } => {
            let parts = split(text).into_iter().filter(|part| !part.is_empty());
            let value = |part: &str| read_kind(of, part).unwrap_or_else(|| part.into());
            Some(parts.map(value).collect())
        }
        Kind::PathMap if text.starts_with('{') => serde_json::from_str(text).ok(),
        Kind::PathMap => {
            let pairs = split(text).into_iter().filter(|part| !part.is_empty());
            let pair = |part: &str| {
                let (from, to) = part.split_once('=')?;
                Some((from.trim().to_owned(), Value::from(to.trim())))
            };
            pairs
                .map(pair)
                .collect::<Option<Map<_, _>>>()
                .map(Value::Object)
        }
    }
}

/// At commas that are not within the braces or brackets of a pattern.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    let parts = text.split(|c: char| {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    parts.map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::{KEYS, key};
    use super::*;

    fn key_of(name: &str) -> &'static Key {
        key(name).expect("a key")
    }

    fn checked(name: &str, value: &Value) -> Result<Value, Vec<Wrong>> {
        check(key_of(name), value, Path::new("/etc/av1"))
    }

    /// Values that each key takes, and that it does not.
    #[test]
    fn each_bound_is_kept() {
        let taken = [
            ("web_port", json!([0, 65535])),
            ("min_saving_percent", json!([0, 99])),
            ("crf", json!([1, 63, null])),
            ("preset", json!([0, 13, null])),
            ("bit_depth", json!([8, 10])),
            ("film_grain", json!([0, 50])),
            ("niceness", json!([0, 19])),
            ("slots", json!([1, 64])),
            ("heartbeat_s", json!([1, 3600])),
            ("min_bits_per_pixel", json!([0, 0.5, 10])),
            ("audio_bitrate_kbps", json!([6, 510, null])),
            ("bind_address", json!(["0.0.0.0", "::", "::1"])),
            ("hardlinks", json!(["skip", "break"])),
            (
                "allowed_hosts",
                json!([[], ["nas.local", "10.0.0.1", "fe80::1"]]),
            ),
            ("schedule", json!([[], ["22:00-06:00"]])),
            ("extensions", json!([["mkv", "mp4"], ["ü"]])),
            ("testing_mode", json!([true, false])),
            ("token", json!([null, "abc.DEF-1~"])),
            ("exclude", json!([["*.{a,b}"]])),
        ];
        for (name, values) in taken {
            for value in values.as_array().expect("values") {
                assert_eq!(checked(name, value).as_ref(), Ok(value), "{name}");
            }
        }
        let refused = [
            ("web_port", json!([65536, -1, 80.5, "80", true, null, [80]])),
            ("min_saving_percent", json!([100])),
            ("crf", json!([0, 64, "28", 28.5])),
            ("preset", json!([14, -1])),
            ("bit_depth", json!([9, 12, "10"])),
            ("film_grain", json!([51])),
            ("niceness", json!([20, -5])),
            ("slots", json!([0, 65])),
            ("heartbeat_s", json!([0])),
            ("min_bits_per_pixel", json!([-0.1, 10.1, "0.01"])),
            ("bind_address", json!(["localhost", "0.0.0.0:80", ""])),
            ("hardlinks", json!(["Skip", "keep", 1])),
            (
                "allowed_hosts",
                json!([["nas:8090"], ["http://nas"], [""], "nas"]),
            ),
            ("schedule", json!([["22-6"], "22:00-06:00"])),
            ("extensions", json!([[], [".mkv"], ["MKV"], [""], ["a/b"]])),
            ("testing_mode", json!([1, "true", null])),
            ("token", json!(["", "a b", "ä"])),
            ("exclude", json!([["a["], [""]])),
            (
                "media_directories",
                json!([["~/Movies"], ["$HOME/Movies"], [""], ["/a", "/a/"]]),
            ),
            (
                "path_map",
                json!([{"a": "/b"}, {"/a": "b"}, {"/a": 1}, ["/a"]]),
            ),
        ];
        for (name, values) in refused {
            for value in values.as_array().expect("values") {
                assert!(checked(name, value).is_err(), "{name}: {value}");
            }
        }
    }

    #[test]
    fn paths_become_absolute_below_the_folder_that_names_them() {
        let value = json!(["Movies", "./TV//a/", "/srv/x/", "../up"]);
        let expected = json!([
            "/etc/av1/Movies",
            "/etc/av1/TV/a",
            "/srv/x",
            "/etc/av1/../up"
        ]);
        assert_eq!(checked("media_directories", &value), Ok(expected));
        let value = json!({"/mnt/media/": "/media//films"});
        let expected = json!({"/mnt/media": "/media/films"});
        assert_eq!(checked("path_map", &value), Ok(expected));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_what_is_allowed() {
        let wrong = |name, value: Value| {
            let wrongs = checked(name, &value).expect_err("refused");
            let lines = wrongs
                .iter()
                .map(|w| format!("{}: {}: {}", w.place, w.value, w.allowed));
            lines.collect::<Vec<_>>().join("\n")
        };
        assert_eq!(
            wrong("crf", json!(99)),
            ": 99: a whole number from 1 to 63, or null (by picture size and HDR)"
        );
        assert_eq!(
            wrong("extensions", json!(["mkv", ".mp4", "AVI"])),
            "[1]: \".mp4\": an extension in lower case without its dot, such as mkv\n\
             [2]: \"AVI\": an extension in lower case without its dot, such as mkv"
        );
        let pattern = wrong("exclude", json!(["a["]));
        assert!(pattern.contains("unclosed character class"), "{pattern}");
        let long = wrong("hardlinks", json!("ä".repeat(500)));
        assert!(long.len() < 250, "{long}");
    }

    #[test]
    fn plain_text_is_read_by_the_keys_kind() {
        let cases = [
            ("web_port", "8091", json!(8091)),
            ("web_port", "many", json!("many")),
            ("crf", "null", json!(null)),
            ("testing_mode", "Yes", json!(true)),
            ("testing_mode", "0", json!(false)),
            ("min_bits_per_pixel", "0.02", json!(0.02)),
            ("hardlinks", "break", json!("break")),
            ("extensions", "mkv, mp4,", json!(["mkv", "mp4"])),
            ("extensions", "[\"mkv\"]", json!(["mkv"])),
            (
                "exclude",
                "*.{a,b},x[,]y,z",
                json!(["*.{a,b}", "x[,]y", "z"]),
            ),
            ("exclude", "[]", json!([])),
            (
                "path_map",
                "/a=/b, /c = /d",
                json!({"/a": "/b", "/c": "/d"}),
            ),
            ("path_map", "{\"/a\": \"/b\"}", json!({"/a": "/b"})),
            ("path_map", "/a", json!("/a")),
            (
                "schedule",
                "sat-sun 22:00-06:00,12:00-13:00",
                json!(["sat-sun 22:00-06:00", "12:00-13:00"]),
            ),
            ("token", "123", json!("123")),
        ];
        for (name, text, expected) in cases {
            assert_eq!(read(key_of(name), text), expected, "{name}={text}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[ -~ä~/$]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 8, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[ -~]{0,8}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_taken_is_taken_by_the_struct_too(value in any_json(), text in "[ -~]{0,20}") {
            for key in KEYS {
                for value in [&value, &read(key, &text)] {
                    if let Ok(checked) = check(key, value, Path::new("/x")) {
                        let object = Value::Object([(key.name.to_owned(), checked)].into_iter().collect());
                        let config = serde_json::from_value::<super::super::Config>(object);
                        prop_assert!(config.is_ok(), "{}: {config:?}", key.name);
                    }
                }
            }
        }
    }
}
