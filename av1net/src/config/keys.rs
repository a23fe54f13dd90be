//! What a key of the configuration is: what its value may be, and in words.

use super::hours;
use super::table::KEYS;

/// What a key's value may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Flag,
    /// A whole number within these bounds, both included.
    Whole {
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// One of these numbers.
    OneOfNumbers(&'static [u64]),
    /// A number within these bounds, both included.
    Number {
        /// The least.
        least: f64,
        /// The most.
        most: f64,
    },
    /// Text of some form.
    Text(Form),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A file or a folder. What is not absolute is below the folder of the file that
    /// says so, or below the present one.
    Path,
    /// Any number of such; at least one where `filled`.
    List {
        /// What each of them is.
        of: &'static Kind,
        /// Whether there has to be one.
        filled: bool,
    },
    /// Absolute paths, each with another.
    PathMap,
}

/// Forms of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A name for people.
    Name,
    /// What a file's name ends in, without the dot.
    Extension,
    /// A pattern of paths ([`av1core::Pattern`]).
    Pattern,
    /// A span of hours ([`super::Hours`]).
    Span,
    /// The name or address of a host, without a port.
    Host,
    /// An IP address.
    Address,
    /// A secret that goes into an HTTP header.
    Token,
}

/// Whose configuration a key is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// The master's; where it is about encodes, the master tells its workers.
    Master,
    /// Each worker's own.
    Worker,
    /// Both, each for itself.
    Both,
}

impl Who {
    /// In a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Worker => "worker",
            Self::Both => "both",
        }
    }
}

/// A key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name, that of the field of [`super::Config`].
    pub name: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// What `null` stands for, where the key takes it.
    pub null: Option<&'static str>,
    /// The unit of its number.
    pub unit: Option<&'static str>,
    /// The default in words, where it is not the same everywhere.
    pub default_words: Option<&'static str>,
    /// Whose it is.
    pub who: Who,
    /// A change takes effect only when the program starts again.
    pub restart: bool,
    /// Its value is shown to nobody.
    pub secret: bool,
    /// What it means, in a line.
    pub meaning: &'static str,
}

impl Key {
    pub(super) const fn new(
        name: &'static str,
        kind: Kind,
        who: Who,
        meaning: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            null: None,
            unit: None,
            default_words: None,
            who,
            restart: false,
            secret: false,
            meaning,
        }
    }

    pub(super) const fn or_null(mut self, stands_for: &'static str) -> Self {
        self.null = Some(stands_for);
        self
    }

    pub(super) const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = Some(unit);
        self
    }

    pub(super) const fn default_words(mut self, words: &'static str) -> Self {
        self.default_words = Some(words);
        self
    }

    pub(super) const fn at_start(mut self) -> Self {
        self.restart = true;
        self
    }

    pub(super) const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// What is allowed, in words that go on "write ...".
    #[must_use]
    pub fn allowed(&self) -> String {
        let allowed = self.kind.allowed();
        match self.null {
            Some(stands_for) => format!("{allowed}, or null ({stands_for})"),
            None => allowed,
        }
    }

    /// The name of its environment variable.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{VARIABLES}{}", self.name.to_ascii_uppercase())
    }
}

/// What the names of environment variables begin with.
pub(crate) const VARIABLES: &str = "AV1_";

impl Kind {
    /// What is allowed, in words that go on "write ...".
    #[must_use]
    pub fn allowed(&self) -> String {
        match self {
            Self::Flag => "true or false".to_owned(),
            Self::Whole { least, most } => format!("a whole number from {least} to {most}"),
            Self::OneOfNumbers(numbers) => {
                let numbers: Vec<_> = numbers.iter().map(u64::to_string).collect();
                numbers.join(" or ")
            }
            Self::Number { least, most } => format!("a number from {least} to {most}"),
            Self::Text(form) => form.allowed(),
            Self::OneOf(words) => format!("one of {}", words.join(", ")),
            Self::Path => "a path, written out (`~` and `$HOME` are not known here)".to_owned(),
            Self::List { of, filled } => {
                let least = if *filled { ", at least one" } else { "" };
                format!("a list{least}; each is {}", of.allowed())
            }
            Self::PathMap => {
                "an object of absolute paths, `{\"/the/master's\": \"/what it is here\"}`"
                    .to_owned()
            }
        }
    }
}

impl Form {
    fn allowed(self) -> String {
        match self {
            Self::Name => "a name of 1 to 100 characters".to_owned(),
            Self::Extension => "an extension in lower case without its dot, such as mkv".to_owned(),
            Self::Pattern => "a pattern such as `*-sample.*` or `Extras/**`".to_owned(),
            Self::Span => hours::GRAMMAR.to_owned(),
            Self::Host => "the name or address of a host, without a port".to_owned(),
            Self::Address => "an IP address, such as 0.0.0.0, 127.0.0.1 or ::".to_owned(),
            Self::Token => "a token: visible ASCII characters, at most 512 of them".to_owned(),
        }
    }

    /// What such text looks like, as a regular expression that is true of all that is
    /// allowed; `None` where there is none that says much.
    pub(crate) fn regex(self) -> Option<&'static str> {
        match self {
            Self::Extension => Some("^[^./A-Z\\s]{1,16}$"),
            Self::Span => Some(concat!(
                "^\\s*([A-Za-z][A-Za-z, -]*\\s)?\\s*",
                "[0-9]{1,2}:[0-5][0-9]-[0-9]{1,2}:[0-5][0-9]\\s*$"
            )),
            Self::Host => Some("^[A-Za-z0-9.:_-]{1,255}$"),
            Self::Address => Some("^[0-9A-Fa-f.:]{2,45}$"),
            Self::Token => Some("^[!-~]{1,512}$"),
            Self::Name => Some("^.{1,100}$"),
            Self::Pattern => Some("^.+$"),
        }
    }
}

/// The key of a name.
#[must_use]
pub fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The key whose name is nearest to `name`, if it is near at all.
pub(crate) fn nearest(name: &str) -> Option<&'static Key> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    // Jaro-Winkler weighs the beginning; 0.8 is what clap suggests from (0.7) and a
    // little, since the keys of one table resemble each other.
    let near = KEYS
        .iter()
        .map(|key| (strsim::jaro_winkler(&name, key.name), key))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (near.0 > 0.8).then_some(near.1)
}
