//! Loading: a file, the environment over it, flags over both.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::error::{ConfigError, ConfigErrors, Origin};
use super::keys::{self, Key, VARIABLES};
use super::{Config, KEYS, together, value};
use crate::api::{ConfigKeyView, ConfigView};
use crate::units::DiskPath;

/// The file that is read where none is named, if it is there.
pub const CONFIG_FILE: &str = "config.json";

/// A key that may stand in a file for editors: where the schema lies.
const SCHEMA_KEY: &str = "$schema";

/// Where a configuration is read from.
#[derive(Clone)]
pub struct Sources {
    file: PathBuf,
    /// Whether it is an error where the file is not there.
    file_has_to_be: bool,
    environment: BTreeMap<OsString, OsString>,
    flags: BTreeMap<String, Value>,
    /// What relative paths of the environment and of flags are below.
    folder: PathBuf,
}

/// Without the environment and the flags, which may hold secrets.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl Sources {
    /// The file `config` (else `config.json` in the present folder, if it is there), and
    /// this process's environment.
    ///
    /// # Errors
    ///
    /// There is no present folder.
    pub fn new(config: Option<PathBuf>) -> io::Result<Self> {
        let folder = std::env::current_dir()?;
        Ok(Self::within(folder, config, std::env::vars_os()))
    }

    /// The same with the present folder and the environment handed in.
    #[must_use]
    pub fn within(
        folder: PathBuf,
        config: Option<PathBuf>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        let is_ours = |name: &OsString| name.to_string_lossy().starts_with(VARIABLES);
        Self {
            file_has_to_be: config.is_some(),
            file: folder.join(config.unwrap_or_else(|| CONFIG_FILE.into())),
            environment: environment
                .into_iter()
                .filter(|(name, _)| is_ours(name))
                .collect(),
            flags: BTreeMap::new(),
            folder,
        }
    }

    /// A flag's value, by its key's name; text is read as that of an environment
    /// variable is. Replaces what was set before.
    #[must_use]
    pub fn flag(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.flags.insert(key.to_owned(), value.into());
        self
    }

    /// Reads everything.
    ///
    /// # Errors
    ///
    /// All that is wrong, at once.
    pub fn load(&self) -> Result<Loaded, ConfigErrors> {
        let mut layers = Layers::default();
        let has_file = self.read_file(&mut layers);
        self.read_environment(&mut layers);
        for (name, flag) in &self.flags {
            match keys::key(name) {
                Some(key) => layers.set(key, Origin::Flag, Given::Either(flag), &self.folder),
                None => layers.unknown(Origin::Flag, name),
            }
        }
        layers.finish(self, has_file)
    }

    /// Whether there is a file.
    fn read_file(&self, layers: &mut Layers) -> bool {
        let origin = Origin::File(self.file.clone());
        let text = match std::fs::read_to_string(&self.file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.file_has_to_be => {
                return false;
            }
            Err(error) => {
                layers.whole(origin, format!("cannot be read: {error}"));
                return false;
            }
        };
        let pairs = match serde_json::from_str::<Pairs>(&text) {
            Ok(pairs) => pairs.0,
            Err(error) => {
                layers.whole(origin, format!("is no JSON object: {error}"));
                return true;
            }
        };
        let folder = self.file.parent().unwrap_or(&self.folder);
        let mut seen = Vec::new();
        for (name, value) in &pairs {
            let Some(key) = keys::key(name) else {
                if name != SCHEMA_KEY {
                    layers.unknown(origin.clone(), name);
                }
                continue;
            };
            if seen.contains(&name) {
                layers.wrong(origin.clone(), key.name, "stands there twice".to_owned());
                continue;
            }
            seen.push(name);
            layers.set(key, origin.clone(), Given::Json(value), folder);
        }
        true
    }

    fn read_environment(&self, layers: &mut Layers) {
        for (variable, text) in &self.environment {
            let variable = variable.to_string_lossy().into_owned();
            let origin = Origin::Environment(variable.clone());
            let name = variable[VARIABLES.len()..].to_ascii_lowercase();
            let Some(key) = KEYS.iter().find(|key| key.variable() == variable) else {
                // The environment is everybody's: what resembles no key is another
                // program's.
                match keys::nearest(&name) {
                    Some(_) => layers.unknown(origin, &name),
                    None => layers.ignored.push(variable),
                }
                continue;
            };
            match text.to_str() {
                // `AV1_TOKEN=${TOKEN:-}` of a compose file says nothing.
                Some(text) if text.trim().is_empty() => {}
                Some(text) => layers.set(key, origin, Given::Text(text), &self.folder),
                None => layers.wrong(origin, key.name, "is not UTF-8".to_owned()),
            }
        }
    }
}

/// A value as it was given.
#[derive(Clone, Copy)]
enum Given<'a> {
    Json(&'a Value),
    Text(&'a str),
    Either(&'a Value),
}

/// What has been read so far, and what was wrong with it.
#[derive(Default)]
struct Layers {
    values: Map<String, Value>,
    origins: BTreeMap<&'static str, Origin>,
    errors: Vec<ConfigError>,
    /// Keys whose value is wrong in some layer.
    failed: Vec<&'static str>,
    ignored: Vec<String>,
}

impl Layers {
    fn set(&mut self, key: &'static Key, origin: Origin, given: Given<'_>, folder: &Path) {
        let given = match given {
            Given::Json(value) => value.clone(),
            Given::Text(text) => value::read(key, text),
            Given::Either(Value::String(text)) => value::read(key, text),
            Given::Either(value) => value.clone(),
        };
        match value::check(key, &given, folder) {
            Ok(value) => {
                self.values.insert(key.name.to_owned(), value);
                self.origins.insert(key.name, origin);
            }
            Err(wrongs) => {
                self.failed.push(key.name);
                for wrong in wrongs {
                    let value = if key.secret { "this" } else { &wrong.value };
                    self.errors.push(ConfigError {
                        origin: origin.clone(),
                        key: Some(format!("{}{}", key.name, wrong.place)),
                        message: format!("{value} is not allowed; write {}", wrong.allowed),
                    });
                }
            }
        }
    }

    fn whole(&mut self, origin: Origin, message: String) {
        let key = None;
        self.errors.push(ConfigError {
            origin,
            key,
            message,
        });
    }

    fn wrong(&mut self, origin: Origin, key: &'static str, message: String) {
        self.failed.push(key);
        let key = Some(key.to_owned());
        self.errors.push(ConfigError {
            origin,
            key,
            message,
        });
    }

    fn unknown(&mut self, origin: Origin, name: &str) {
        let nearest = keys::nearest(name).map(|key| match origin {
            Origin::Environment(_) => key.variable(),
            _ => key.name.to_owned(),
        });
        let message = match nearest {
            Some(near) => format!("there is no such key; did you mean {near}?"),
            None => {
                let names: Vec<_> = KEYS.iter().map(|key| key.name).collect();
                format!("there is no such key; there are {}", names.join(", "))
            }
        };
        let key = Some(name.to_owned());
        self.errors.push(ConfigError {
            origin,
            key,
            message,
        });
    }

    fn finish(mut self, sources: &Sources, has_file: bool) -> Result<Loaded, ConfigErrors> {
        let config = match serde_json::from_value::<Config>(Value::Object(self.values)) {
            Ok(config) => config,
            // What a key's kind takes its field takes; a test holds them together.
            Err(error) => {
                let (origin, key) = (Origin::Default, None);
                let message = error.to_string();
                self.errors.push(ConfigError {
                    origin,
                    key,
                    message,
                });
                return Err(ConfigErrors(self.errors));
            }
        };
        let mut origins = self.origins;
        for key in KEYS {
            origins.entry(key.name).or_insert(Origin::Default);
        }
        for clash in together::check(&config) {
            if clash.keys.iter().any(|key| self.failed.contains(key)) {
                continue;
            }
            // Whoever said most of late is asked to change it.
            let said = |key: &&&str| origins.get(**key).map(rank);
            let key = clash
                .keys
                .iter()
                .max_by_key(said)
                .copied()
                .unwrap_or_default();
            self.errors.push(ConfigError {
                origin: origins.get(key).cloned().unwrap_or(Origin::Default),
                key: Some(key.to_owned()),
                message: clash.message,
            });
        }
        if !self.errors.is_empty() {
            return Err(ConfigErrors(self.errors));
        }
        let mut sources = sources.clone();
        // A file that was there and is gone means no return to the defaults.
        sources.file_has_to_be |= has_file;
        Ok(Loaded {
            config,
            origins,
            ignored_variables: self.ignored,
            sources,
        })
    }
}

fn rank(origin: &Origin) -> u8 {
    match origin {
        Origin::Default => 0,
        Origin::File(_) => 1,
        Origin::Environment(_) => 2,
        Origin::Flag => 3,
    }
}

/// The members of a JSON object as they stand, also where one stands twice.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct AsTheyStand;
        impl<'de> Visitor<'de> for AsTheyStand {
            type Value = Pairs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of keys")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        from.deserialize_map(AsTheyStand)
    }
}

/// A configuration, and where each of its values comes from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Where they come from, every key's.
    pub origins: BTreeMap<&'static str, Origin>,
    /// Environment variables that begin like ours and are none, nor resemble one.
    pub ignored_variables: Vec<String>,
    sources: Sources,
}

/// A key whose value is another one now.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Change {
    /// The key.
    pub key: &'static str,
    /// Its value before; `null` of a secret.
    pub old: Value,
    /// Its value now; `null` of a secret.
    pub new: Value,
    /// It takes effect only when the program starts again.
    pub needs_restart: bool,
}

impl Loaded {
    /// Reads everything again: the configuration as it is now, and what is another than
    /// before. The environment and the flags are those the program began with. Changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// All that is wrong, at once; the configuration as it was goes on to hold.
    pub fn reload(&self) -> Result<(Self, Vec<Change>), ConfigErrors> {
        let next = self.sources.load()?;
        let (old, new) = (values(&self.config), values(&next.config));
        let shown = |key: &Key, values: &Map<String, Value>| match values.get(key.name) {
            Some(value) if !key.secret => value.clone(),
            _ => Value::Null,
        };
        let changed = KEYS
            .iter()
            .filter(|key| old.get(key.name) != new.get(key.name));
        let changes = changed.map(|key| Change {
            key: key.name,
            old: shown(key, &old),
            new: shown(key, &new),
            needs_restart: key.restart,
        });
        let changes = changes.collect();
        Ok((next, changes))
    }

    /// Every key as a page shows it, in the order of the documentation.
    #[must_use]
    pub fn view(&self) -> ConfigView {
        let (now, defaults) = (values(&self.config), values(&Config::default()));
        let of = |values: &Map<String, Value>, key: &Key| match values.get(key.name) {
            Some(value) if key.secret && !value.is_null() => "(set)".into(),
            value => value.cloned().unwrap_or(Value::Null),
        };
        let keys = KEYS.iter().map(|key| ConfigKeyView {
            key: key.name.to_owned(),
            value: of(&now, key),
            default: of(&defaults, key),
            origin: match self.origins.get(key.name) {
                None | Some(Origin::Default) => "default".to_owned(),
                Some(Origin::File(path)) => format!("file {}", DiskPath::from(path.as_path())),
                Some(Origin::Environment(variable)) => format!("environment {variable}"),
                Some(Origin::Flag) => "flag".to_owned(),
            },
            meaning: key.meaning.to_owned(),
            unit: key.unit.map(str::to_owned),
        });
        ConfigView {
            keys: keys.collect(),
        }
    }
}

/// The values by key. All of a configuration's text came from JSON, or is UTF-8 by type;
/// of what does not become JSON there is nothing.
pub(super) fn values(config: &Config) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(values)) => values,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests;
