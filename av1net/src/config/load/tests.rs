use std::fs;

use serde_json::json;

use super::*;
use crate::config::{AuthKey, HardLinksKey};

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, text: &str) -> &Self {
        fs::write(self.path(CONFIG_FILE), text).expect("written");
        self
    }

    fn sources(&self, variables: &[(&str, &str)]) -> Sources {
        let variables = variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        Sources::within(self.0.path().to_owned(), None, variables)
    }

    fn load(&self) -> Result<Loaded, ConfigErrors> {
        self.sources(&[]).load()
    }

    fn errors(&self) -> Vec<String> {
        lines(&self.load().expect_err("refused"), self)
    }
}

fn lines(errors: &ConfigErrors, place: &Place) -> Vec<String> {
    let folder = format!("{}/", place.0.path().display());
    errors
        .0
        .iter()
        .map(|error| error.to_string().replace(&folder, ""))
        .collect()
}

#[test]
fn nothing_said_is_the_default() {
    let loaded = Place::new().load().expect("loads");
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.origins.len(), KEYS.len());
    assert!(
        loaded
            .origins
            .values()
            .all(|origin| *origin == Origin::Default)
    );
}

#[test]
fn the_contracts_file_loads() {
    let place = Place::new();
    place.write(
        r#"{
          "media_directories": ["/path/to/Movies", "/path/to/TV"],
          "temp_directory": "/tmp/av1_transcoding",
          "web_port": 8090,
          "testing_mode": false
        }"#,
    );
    let config = place.load().expect("loads").config;
    assert_eq!(
        config.media_directories,
        ["/path/to/Movies", "/path/to/TV"].map(PathBuf::from)
    );
    assert_eq!(config.temp_directory, PathBuf::from("/tmp/av1_transcoding"));
    assert_eq!((config.web_port, config.testing_mode), (8090, false));
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let place = Place::new();
    place.write(
        r#"{"$schema": "x.json", "web_port": 1, "slots": 2, "crf": 20, "media_directories": ["Films"]}"#,
    );
    let environment = [
        ("AV1_SLOTS", "3"),
        ("AV1_CRF", "null"),
        ("AV1_NICENESS", "7"),
        ("AV1_AUTH", ""),
        ("AV1_EXTENSIONS", "mkv,mp4"),
        ("AV1_HARDLINKS", "break"),
        ("AV1_STATE_DIRECTORY", "state"),
        ("AV1_TEST_FFMPEG_9", "1"),
        ("OTHER", "1"),
    ];
    let sources = place
        .sources(&environment)
        .flag("slots", 4)
        .flag("preset", "8");
    let Loaded {
        config,
        origins,
        ignored_variables,
        ..
    } = sources.load().expect("loads");
    assert_eq!((config.web_port, config.slots, config.crf), (1, 4, None));
    assert_eq!((config.niceness, config.preset), (7, Some(8)));
    assert_eq!(
        config.auth,
        AuthKey::Token,
        "an empty variable says nothing"
    );
    assert_eq!(config.extensions, ["mkv", "mp4"]);
    assert_eq!(config.hardlinks, HardLinksKey::Break);
    assert_eq!(config.media_directories, [place.path("Films")]);
    assert_eq!(config.state_directory, Some(place.path("state")));
    assert_eq!(ignored_variables, ["AV1_TEST_FFMPEG_9"]);
    let origin = |name: &str| origins[name].clone();
    assert_eq!(origin("web_port"), Origin::File(place.path(CONFIG_FILE)));
    assert_eq!(origin("crf"), Origin::Environment("AV1_CRF".to_owned()));
    assert_eq!(origin("slots"), Origin::Flag);
    assert_eq!(origin("preset"), Origin::Flag);
    assert_eq!(origin("auth"), Origin::Default);
}

#[test]
fn every_key_can_come_from_each_place() {
    for key in KEYS {
        let value = values(&Config::default())[key.name].clone();
        let text = match &value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let place = Place::new();
        place.write(&json!({ key.name: value }).to_string());
        let loaded = place.load().expect(key.name);
        assert!(matches!(loaded.origins[key.name], Origin::File(_)));
        let loaded = place
            .sources(&[(&key.variable(), &text)])
            .load()
            .expect(key.name);
        assert!(matches!(loaded.origins[key.name], Origin::Environment(_)));
        let loaded = place
            .sources(&[])
            .flag(key.name, value)
            .load()
            .expect(key.name);
        assert_eq!(loaded.origins[key.name], Origin::Flag);
        assert_eq!(loaded.config, Config::default(), "{}", key.name);
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let place = Place::new();
    place.write(
        r#"{"web_prot": 80, "crf": 99, "exclude": ["ok", "a["], "zzz": 1, "slots": 1, "slots": 2,
            "heartbeat_s": 40, "tls_key": "/k", "token": "a b"}"#,
    );
    let environment = [("AV1_PRESETS", "1"), ("AV1_PRESET", "fast")];
    let sources = place
        .sources(&environment)
        .flag("lease_seconds", 10)
        .flag("web-port", 1);
    let errors = sources.load().expect_err("refused");
    let lines = lines(&errors, &place);
    let pattern = lines
        .iter()
        .find(|line| line.contains("exclude"))
        .expect("told");
    assert!(
        pattern.starts_with("config.json: exclude[1]: \"a[\" is not allowed"),
        "{pattern}"
    );
    let zzz = lines
        .iter()
        .find(|line| line.contains("zzz"))
        .expect("told");
    assert!(
        zzz.contains("there are media_directories, temp_directory, "),
        "{zzz}"
    );
    let rest: Vec<_> = lines
        .iter()
        .filter(|line| *line != pattern && *line != zzz)
        .collect();
    assert_eq!(
        rest,
        [
            "config.json: web_prot: there is no such key; did you mean web_port?",
            "config.json: crf: 99 is not allowed; write a whole number from 1 to 63, or null (by \
             picture size and HDR)",
            "config.json: slots: stands there twice",
            "config.json: token: this is not allowed; write a token: visible ASCII characters, at \
             most 512 of them, or null (found in the state directory of a master of the same user \
             and machine)",
            "AV1_PRESET: preset: \"fast\" is not allowed; write a whole number from 0 to 13, or \
             null (by picture size)",
            "AV1_PRESETS: presets: there is no such key; did you mean AV1_PRESET?",
            "the command line: web-port: there is no such key; did you mean web_port?",
            "config.json: heartbeat_s: offline_s (30) has to be more than heartbeat_s (40), or \
             every worker is offline between two beats",
            "the command line: lease_seconds: lease_seconds (10) has to be at least offline_s \
             (30), or a worker loses its films while it is shown online",
            "config.json: tls_key: tls_key is set and tls_certificate is not; set both, or neither",
        ]
    );
    assert!(
        errors
            .to_string()
            .starts_with("12 things are wrong in the configuration:\n  ")
    );
}

#[test]
fn values_that_were_refused_are_not_held_against_others() {
    let place = Place::new();
    place.write(r#"{"heartbeat_s": 0, "offline_s": 5, "lease_seconds": 5}"#);
    let errors = place.errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
}

#[test]
fn folders_within_each_other_are_told() {
    let place = Place::new();
    place.write(r#"{"media_directories": ["/m", "/m/tv", "/mm"], "temp_directory": "/m/tmp"}"#);
    let errors = place.errors();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].contains("/m/tv lies within /m,"), "{errors:?}");
    assert!(
        errors[1].contains("temp_directory (/m/tmp) lies within"),
        "{errors:?}"
    );
}

#[test]
fn a_file_that_is_named_has_to_be_there_and_to_be_an_object() {
    let place = Place::new();
    let named = Sources::within(place.path(""), Some("other.json".into()), []);
    let errors = named.load().expect_err("refused").to_string();
    assert!(
        errors.contains("other.json: cannot be read: No such file"),
        "{errors}"
    );
    for (text, said) in [
        ("", "EOF"),
        ("[]", "expected an object of keys"),
        ("{\"web_port\": 1,}", "trailing comma at line 1 column 16"),
        ("{} x", "trailing characters"),
    ] {
        let errors = place.write(text).errors();
        assert!(errors.len() == 1 && errors[0].contains(said), "{errors:?}");
    }
}

#[test]
fn a_reload_tells_what_changed_and_what_waits_for_a_restart() {
    let place = Place::new();
    place.write(r#"{"web_port": 8090, "slots": 1, "token": "old"}"#);
    let first = place.sources(&[("AV1_CRF", "20")]).load().expect("loads");
    assert_eq!(first.reload().expect("loads").1, []);

    place.write(r#"{"web_port": 8091, "slots": 2, "token": "new", "crf": 30}"#);
    let (second, changes) = first.reload().expect("loads");
    let change = |key, old: Value, new: Value, needs_restart| Change {
        key,
        old,
        new,
        needs_restart,
    };
    assert_eq!(
        changes,
        [
            change("web_port", json!(8090), json!(8091), true),
            change("slots", json!(1), json!(2), false),
            change("token", Value::Null, Value::Null, true),
        ]
    );
    assert_eq!(second.config.crf, Some(20), "the environment still wins");

    place.write(r#"{"slots": 0}"#);
    assert!(second.reload().is_err());
    fs::remove_file(place.path(CONFIG_FILE)).expect("removed");
    let errors = second.reload().expect_err("it was there");
    assert!(errors.to_string().contains("cannot be read"), "{errors}");
}

#[test]
fn a_file_that_comes_later_is_read_by_a_reload() {
    let place = Place::new();
    let first = place.load().expect("loads");
    place.write(r#"{"slots": 2}"#);
    let (second, changes) = first.reload().expect("loads");
    assert_eq!((second.config.slots, changes.len()), (2, 1));
}

#[test]
fn a_secret_is_shown_to_nobody() {
    let place = Place::new();
    place.write(r#"{"token": "s3cret", "crf": 30}"#);
    let loaded = place.load().expect("loads");
    let view = serde_json::to_string(&loaded.view()).expect("JSON");
    assert!(!view.contains("s3cret"), "{view}");
    let logged = format!("{:?}", place.sources(&[("AV1_TOKEN", "s3cret")]).load());
    assert!(
        !logged.contains("s3cret") && logged.contains("\"crf\": Number(30)"),
        "{logged}"
    );
    let of = |key: &str| {
        let mut keys = loaded.view().keys.into_iter();
        keys.find(|view| view.key == key).expect("a key")
    };
    assert_eq!(of("token").value, json!("(set)"));
    assert_eq!(
        (of("crf").value, of("crf").default),
        (json!(30), Value::Null)
    );
    assert_eq!(
        of("crf").origin,
        format!("file {}", place.path(CONFIG_FILE).display())
    );
    assert_eq!(of("slots").origin, "default");
    assert_eq!(loaded.view().keys.len(), KEYS.len());
}
