//! Workers and masters of different releases understand each other: `protocol-1.json`
//! holds what those of version 0.1.0 say, every phase, end and order of it. It is never
//! edited; a message that cannot be told so any more gets a new protocol number.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::*;

fn stored(which: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("protocol-1.json")).expect("JSON");
    all[which].as_array().expect("messages").clone()
}

/// Where `ours` lacks something of `theirs`.
fn lacks(ours: &Value, theirs: &Value, at: &str) -> Vec<String> {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => theirs
            .iter()
            .flat_map(|(key, theirs)| lacks(&ours[key.as_str()], theirs, &format!("{at}.{key}")))
            .collect(),
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => (0..)
            .zip(ours.iter().zip(theirs))
            .flat_map(|(n, (ours, theirs))| lacks(ours, theirs, &format!("{at}[{n}]")))
            .collect(),
        _ if ours == theirs => Vec::new(),
        _ => vec![format!("{at}: {ours}, where it was {theirs}")],
    }
}

/// What a later release might add, in every object.
fn with_news(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter();
            let mut fields: serde_json::Map<_, _> = fields
                .map(|(key, value)| (key.clone(), with_news(value)))
                .collect();
            fields.insert("of_a_later_release".to_owned(), true.into());
            fields.into()
        }
        Value::Array(values) => values.iter().map(with_news).collect(),
        other => other.clone(),
    }
}

fn assert_stays<T>(which: &str)
where
    T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug,
{
    for theirs in stored(which) {
        let read: T = serde_json::from_value(theirs.clone()).expect("understood");
        let ours = serde_json::to_value(&read).expect("JSON");
        let lacks = lacks(&ours, &theirs, which);
        assert!(lacks.is_empty(), "{}", lacks.join("\n"));
        let newer: T = serde_json::from_value(with_news(&theirs)).expect("understood");
        assert_eq!(newer, read);
    }
}

#[test]
fn workers_of_the_first_release_are_understood_and_understand() {
    assert_stays::<WorkerReport>("reports");
}

#[test]
fn masters_of_the_first_release_are_understood_and_understand() {
    assert_stays::<MasterReply>("replies");
}
