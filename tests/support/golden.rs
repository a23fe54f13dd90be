//! Facts held against a file that was read by eye.

use serde_json::Value;

/// Names of facts that depend on the version of an encoder by a little: where sound
/// starts and how long it is, by the delay that its encoder adds.
const ROUGH: [&str; 2] = ["sound_start_ms", "sound_length_ms"];

/// How much they may differ: one Opus frame and the rounding of Matroska's
/// milliseconds at both ends.
const ROUGH_MS: i64 = 22;

/// Collects one line for each difference, with its place.
pub(crate) fn differences(place: &str, expected: &Value, found: &Value, into: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                let (a, b) = (&expected[key], &found[key]);
                if !(ROUGH.contains(&key.as_str()) && roughly_equal(a, b)) {
                    differences(&format!("{place}.{key}"), a, b, into);
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{place}[{i}]"), a, b, into);
            }
        }
        (a, b) if a == b => {}
        (a, b) => into.push(format!("{place}: {b}, not {a}")),
    }
}

fn roughly_equal(a: &Value, b: &Value) -> bool {
    matches!((a.as_i64(), b.as_i64()), (Some(a), Some(b)) if (a - b).abs() <= ROUGH_MS)
}
