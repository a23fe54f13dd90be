//! The configuration's keys as flags: every key of the one table has one, so that none is
//! forgotten and all are told in the same words.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::LazyLock;

use av1net::config::{Config, ConfigErrors, KEYS, Key, Kind, Loaded, Sources, Who};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, ValueHint};
use serde_json::{Map, Value};

/// Whose flags they are.
pub(crate) trait Audience: fmt::Debug {
    /// Whether the command obeys the key.
    fn obeys(key: &Key) -> bool;
}

/// `av1cli master`, whose local worker obeys the worker's keys.
#[derive(Debug)]
pub(crate) struct Masters;

impl Audience for Masters {
    fn obeys(key: &Key) -> bool {
        // They are the positional arguments.
        key.name != "media_directories"
    }
}

/// `av1cli worker`.
#[derive(Debug)]
pub(crate) struct Workers;

impl Audience for Workers {
    fn obeys(key: &Key) -> bool {
        key.who != Who::Master
    }
}

/// `av1cli shrink`: all but what has to do with a network, and with time after the end.
#[derive(Debug)]
pub(crate) struct Shrinks;

impl Audience for Shrinks {
    fn obeys(key: &Key) -> bool {
        const NOT: [&str; 19] = [
            "media_directories",
            "web_port",
            "rescan_s",
            "watch",
            "heartbeat_s",
            "offline_s",
            "lease_seconds",
            "bind_address",
            "auth",
            "allowed_hosts",
            "tls_certificate",
            "tls_key",
            "state_directory",
            "worker_name",
            "path_map",
            "ship",
            "token",
            "tls_ca",
            "temp_directory",
        ];
        !NOT.contains(&key.name)
    }
}

/// Keys that `-h` shows; `--help` shows them all.
const MAIN: [&str; 13] = [
    "web_port",
    "testing_mode",
    "exclude",
    "min_saving_percent",
    "preset",
    "crf",
    "order",
    "bind_address",
    "auth",
    "state_directory",
    "slots",
    "schedule",
    "token",
];

/// The configuration's file and flags.
#[derive(Debug)]
pub(crate) struct ConfigArgs<A> {
    file: Option<PathBuf>,
    flags: BTreeMap<&'static str, Value>,
    audience: PhantomData<A>,
}

impl<A: Audience> ConfigArgs<A> {
    /// A flag's value that this command sets by itself, unless it was given.
    pub(crate) fn unless_given(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.flags.entry(key).or_insert_with(|| value.into());
        self
    }

    /// Sets a key, as a flag would.
    pub(crate) fn set(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.flags.insert(key, value.into());
        self
    }

    /// Reads file, environment and flags.
    ///
    /// # Errors
    ///
    /// [`ConfigErrors`], and where there is no present folder.
    pub(crate) fn load(self) -> anyhow::Result<Result<Loaded, ConfigErrors>> {
        let mut sources = Sources::new(self.file)?;
        for (key, value) in self.flags {
            sources = sources.flag(key, value);
        }
        Ok(sources.load())
    }
}

/// The keys' flags, in the order of the table: `--min-saving` of `min_saving_percent`.
/// The unit is shown as the value's name.
static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let units = ["_percent", "_kbps", "_seconds", "_s"];
    let flag = |key: &Key| {
        let bare = units.iter().find_map(|unit| key.name.strip_suffix(unit));
        bare.unwrap_or(key.name).replace('_', "-")
    };
    KEYS.iter().map(flag).collect()
});

/// Keys that are obeyed, with their flags' names.
fn keys<A: Audience>() -> impl Iterator<Item = (&'static Key, &'static str)> {
    let named = KEYS.iter().zip(NAMES.iter().map(String::as_str));
    named.filter(|(key, _)| A::obeys(key))
}

impl<A: Audience> Args for ConfigArgs<A> {
    fn augment_args(command: clap::Command) -> clap::Command {
        let defaults = match serde_json::to_value(Config::default()) {
            Ok(Value::Object(defaults)) => defaults,
            _ => Map::new(),
        };
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_hint(ValueHint::FilePath)
            .value_parser(clap::value_parser!(PathBuf))
            .help("The configuration [default: config.json, where there is one]");
        let flags = keys::<A>().map(|(key, name)| flag(key, name, defaults.get(key.name)));
        command
            .arg(config)
            .next_help_heading(
                "Configuration (over the file's keys and AV1_... of the environment)",
            )
            .args(flags)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

fn flag(key: &'static Key, name: &'static str, default: Option<&Value>) -> Arg {
    let default = match (key.default_words, default, key.null) {
        (Some(words), ..) => words.to_owned(),
        (None, None | Some(Value::Null), Some(null)) => null.to_owned(),
        (None, Some(Value::String(text)), _) => text.clone(),
        (None, Some(Value::Array(items)), _) if items.is_empty() => "none".to_owned(),
        (None, Some(Value::Object(items)), _) if items.is_empty() => "none".to_owned(),
        (None, Some(Value::Array(_)), _) => "those of films".to_owned(),
        (None, Some(other), _) => other.to_string(),
        (None, None, None) => "none".to_owned(),
    };
    let arg = Arg::new(key.name)
        .long(name)
        .help(format!("{} [default: {default}]", capital(key.meaning)))
        .long_help(format!(
            "{}; {} [key: {}; environment: {}; default: {default}]",
            capital(key.meaning),
            key.allowed(),
            key.name,
            key.variable()
        ))
        .hide_short_help(!MAIN.contains(&key.name))
        .value_name(value_name(key));
    match key.kind {
        Kind::List { .. } => arg.action(ArgAction::Append),
        Kind::Flag => arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
        _ => arg.allow_negative_numbers(true),
    }
}

fn value_name(key: &Key) -> &'static str {
    match (key.unit, &key.kind) {
        (Some("s"), _) => "SECONDS",
        (Some("bytes"), _) => "BYTES",
        (Some("%"), _) => "PERCENT",
        (Some("kbit/s"), _) => "KBPS",
        (_, Kind::Flag) => "BOOL",
        (_, Kind::Whole { .. } | Kind::OneOfNumbers(_) | Kind::Number { .. }) => "N",
        (_, Kind::OneOf(_)) => "WORD",
        (_, Kind::Path) => "PATH",
        (_, Kind::PathMap) => "JSON",
        _ => "TEXT",
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string());
    first
        .into_iter()
        .chain([chars.as_str().to_owned()])
        .collect()
}

impl<A: Audience> FromArgMatches for ConfigArgs<A> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self {
            file: None,
            flags: BTreeMap::new(),
            audience: PhantomData,
        };
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.file = matches.get_one("config").cloned();
        for (key, _) in keys::<A>() {
            if matches.value_source(key.name) != Some(ValueSource::CommandLine) {
                continue;
            }
            let given = matches.get_many::<String>(key.name);
            let mut given: Vec<Value> = given
                .into_iter()
                .flatten()
                .cloned()
                .map(Value::from)
                .collect();
            let value = match (key.kind, given.pop()) {
                (Kind::List { .. }, last) => {
                    given.extend(last);
                    Value::Array(given)
                }
                (_, Some(last)) => last,
                (_, None) => continue,
            };
            self.flags.insert(key.name, value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Probe<A: Audience + Send + Sync + 'static> {
        #[command(flatten)]
        config: ConfigArgs<A>,
    }

    fn loaded(words: &[&str]) -> Result<Loaded, ConfigErrors> {
        let words = ["probe"].iter().chain(words);
        let probe = Probe::<Masters>::try_parse_from(words).expect("well formed");
        let folder = tempfile::tempdir().expect("a folder");
        let mut sources = Sources::within(folder.path().to_owned(), None, []);
        for (key, value) in probe.config.flags {
            sources = sources.flag(key, value);
        }
        sources.load()
    }

    #[test]
    fn flags_are_read_as_what_their_keys_are() {
        let words = "--preset 4 --min-saving 10 --testing-mode --watch=false --settle 0 \
                     --exclude *-sample.* --exclude Extras/** --bind-address ::1 \
                     --order smallest_first";
        let words: Vec<_> = words.split_whitespace().collect();
        let config = loaded(&words).expect("right").config;
        assert_eq!(config.preset, Some(4));
        assert_eq!(config.min_saving_percent, 10);
        assert!(config.testing_mode && !config.watch);
        assert_eq!(config.settle_s, 0);
        assert_eq!(config.exclude, ["*-sample.*", "Extras/**"]);
        assert_eq!(config.bind_address.to_string(), "::1");
        assert_eq!(loaded(&[]).expect("right").config, Config::default());
    }

    #[test]
    fn wrong_values_are_told_all_at_once() {
        let errors = loaded(&["--preset", "99", "--order", "best"]).expect_err("wrong");
        let text = errors.to_string();
        for part in ["preset: ", "from 0 to 13", "order: ", "largest_saving"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn every_key_is_a_masters_or_a_folder_and_names_do_not_clash() {
        let names: std::collections::BTreeSet<_> = NAMES.iter().collect();
        assert_eq!(names.len(), KEYS.len());
        assert_eq!(keys::<Masters>().count(), KEYS.len() - 1);
        assert!(keys::<Workers>().all(|(key, _)| Masters::obeys(key)));
        for (_, name) in keys::<Shrinks>() {
            assert!(!name.contains("tls"), "{name}");
        }
        // What a key there is called is no typing error here.
        let real = KEYS.iter().filter(|key| !Shrinks::obeys(key)).count();
        assert_eq!(real, 19);
        for name in MAIN {
            assert!(KEYS.iter().any(|key| key.name == name), "{name}");
        }
    }
}
