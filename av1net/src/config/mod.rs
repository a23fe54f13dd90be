//! The configuration: `config.json` with the contract's keys and ours, the environment
//! over it, flags over both. Every value knows where it came from.

mod document;
mod error;
mod hours;
mod keys;
mod load;
mod table;
mod together;
mod value;
mod work;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use self::document::{markdown, schema};
pub use self::error::{ConfigError, ConfigErrors, Origin};
pub use self::hours::{Hours, LocalMinute, Zone};
pub use self::keys::{Form, Key, Kind, Who, key};
pub use self::load::{CONFIG_FILE, Change, Loaded, Sources};
pub use self::table::KEYS;
use crate::schedule::Order;

/// Everything that can be configured, with its defaults. The JSON keys are the names
/// of the fields.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    // --- The contract's keys -------------------------------------------------------
    /// Folders that are scanned for films.
    pub media_directories: Vec<PathBuf>,
    /// Where a worker puts what it fetches and has not yet delivered.
    pub temp_directory: PathBuf,
    /// Port of the page, the API and the workers.
    pub web_port: u16,
    /// Keeps each source as `NAME.bak`.
    pub testing_mode: bool,

    // --- Which files ---------------------------------------------------------------
    /// Extensions that make a file a film, without dots, in lower case.
    pub extensions: Vec<String>,
    /// Patterns of paths below a media directory that are left alone.
    pub exclude: Vec<String>,
    /// Smaller files are left alone, in bytes.
    pub min_bytes: u64,
    /// Shorter films are left alone, in seconds.
    pub min_duration_s: u32,
    /// Thinner videos are left alone, in bits for each pixel of each frame.
    pub min_bits_per_pixel: f64,
    /// What becomes of files with several names: `skip` or `break`.
    pub hardlinks: HardLinksKey,
    /// A file has to be unchanged for so long, in seconds.
    pub settle_s: u32,
    /// Time between two scans, in seconds; 0 scans at start and when asked.
    pub rescan_s: u64,
    /// Watches the folders between scans, where the system can.
    pub watch: bool,

    // --- The encode ----------------------------------------------------------------
    /// Least saving, in percent of the source.
    pub min_saving_percent: u8,
    /// Speed of the video encoder, 0 to 13; `null`: by picture size.
    pub preset: Option<u8>,
    /// Quality of the video, 1 to 63; `null`: by picture size.
    pub crf: Option<u8>,
    /// 8 or 10 bits.
    pub bit_depth: u8,
    /// Film grain synthesis, 0 to 50.
    pub film_grain: u8,
    /// Opus bit rate of every track, in kbit/s; `null`: by layout.
    pub audio_bitrate_kbps: Option<u32>,
    /// `mkv` or `mp4`.
    pub container: ContainerKey,
    /// Films from this length on are predicted first, in seconds.
    pub predict_from_s: u32,
    /// Losses that are accepted: `av1`, `chroma`, `depth`, `alpha`, `dynamic_hdr`.
    pub allow: Vec<LossKey>,

    // --- The master ----------------------------------------------------------------
    /// Which pending job goes first.
    pub order: Order,
    /// Attempts at a job in all.
    pub max_attempts: u32,
    /// Wait after a first failure, in seconds; doubles.
    pub retry_wait_s: u64,
    /// A worker speaks so often, in seconds.
    pub heartbeat_s: u64,
    /// A worker is shown offline after so long, in seconds.
    pub offline_s: u64,
    /// A worker loses what it holds after so long, in seconds.
    pub lease_seconds: u64,
    /// Address to listen at.
    pub bind_address: IpAddr,
    /// `token` or `none`.
    pub auth: AuthKey,
    /// Names that a browser may know this master by, besides its addresses.
    pub allowed_hosts: Vec<String>,
    /// PEM file of the certificate chain; with `tls_key` the port speaks TLS.
    pub tls_certificate: Option<PathBuf>,
    /// PEM file of the private key.
    pub tls_key: Option<PathBuf>,
    /// Where the job store, tokens and identities lie; `null`: the user's state folder.
    pub state_directory: Option<PathBuf>,

    // --- The worker ----------------------------------------------------------------
    /// Name for people; `null`: the host's.
    pub worker_name: Option<String>,
    /// Encodes at once.
    pub slots: u32,
    /// Threads of each encode; `null`: the encoder's choice for one slot, the
    /// processors shared for several.
    pub threads: Option<u32>,
    /// Niceness of the encodes, 0 to 19.
    pub niceness: u8,
    /// I/O class of the encodes: `normal`, `low` or `idle`.
    pub io_class: IoClassKey,
    /// Hours in which encodes may begin, such as `22:00-06:00` or `sat,sun 00:00-24:00`,
    /// local time; empty: always.
    pub schedule: Vec<String>,
    /// The master's paths, and what they are here.
    pub path_map: BTreeMap<PathBuf, PathBuf>,
    /// Takes films over HTTP where a media directory is not mounted here.
    pub ship: bool,
    /// An encode without progress for so long is ended, in seconds.
    pub stall_s: u64,
    /// The token to join with; usually in the environment, or found in the state
    /// directory on the master's own machine.
    pub token: Option<String>,
    /// PEM file of a certificate authority that the master's certificate is held against.
    pub tls_ca: Option<PathBuf>,
}

/// As JSON, without the secrets: what is logged is read by others.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_secret = |name: &String| key(name).is_none_or(|key| key.secret);
        let shown = load::values(self)
            .into_iter()
            .filter(|(name, _)| !is_secret(name));
        f.write_str("Config ")?;
        f.debug_map().entries(shown).finish()
    }
}

macro_rules! key {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }
    };
}

key!(
    /// What becomes of files with several names.
    HardLinksKey {
        /// They are left alone.
        #[default]
        Skip,
        /// This name gets the output, the others keep the old content.
        Break,
    }
);
key!(
    /// A container.
    ContainerKey {
        /// Matroska.
        #[default]
        Mkv,
        /// MP4.
        Mp4,
    }
);
key!(
    /// Who may speak to the master.
    AuthKey {
        /// Who has a token.
        #[default]
        Token,
        /// Everybody: the contract's open mode.
        None,
    }
);
key!(
    /// I/O class of the encodes.
    IoClassKey {
        /// As any program.
        #[default]
        Normal,
        /// After others.
        Low,
        /// When nobody else wants the disk.
        Idle,
    }
);
key!(
    /// A loss that is accepted.
    LossKey {
        /// AV1 is encoded again.
        #[default]
        Av1,
        /// 4:2:2, 4:4:4 and RGB become 4:2:0.
        Chroma,
        /// More than 10 bits become 10.
        Depth,
        /// Transparency is dropped.
        Alpha,
        /// Dolby Vision and HDR10+ metadata are dropped.
        DynamicHdr,
    }
);

impl Default for Config {
    fn default() -> Self {
        let words = |words: &str| words.split(' ').map(str::to_owned).collect();
        Self {
            media_directories: Vec::new(),
            temp_directory: std::env::temp_dir().join("av1_transcoding"),
            web_port: 8090,
            testing_mode: false,
            extensions: words(
                "mkv mp4 m4v mov webm avi divx wmv asf flv f4v ts mts m2ts mpg mpeg vob mxf ogv \
                 ogm 3gp 3g2 rm rmvb",
            ),
            exclude: Vec::new(),
            min_bytes: 1_000_000,
            min_duration_s: 1,
            min_bits_per_pixel: 0.01,
            hardlinks: HardLinksKey::Skip,
            settle_s: 10,
            rescan_s: 3600,
            watch: true,
            min_saving_percent: 5,
            preset: None,
            crf: None,
            bit_depth: 10,
            film_grain: 0,
            audio_bitrate_kbps: None,
            container: ContainerKey::Mkv,
            predict_from_s: 600,
            allow: Vec::new(),
            order: Order::LargestSaving,
            max_attempts: 3,
            retry_wait_s: 60,
            heartbeat_s: 10,
            offline_s: 30,
            lease_seconds: 120,
            bind_address: IpAddr::from([0, 0, 0, 0]),
            auth: AuthKey::Token,
            allowed_hosts: Vec::new(),
            tls_certificate: None,
            tls_key: None,
            state_directory: None,
            worker_name: None,
            slots: 1,
            threads: None,
            niceness: 10,
            io_class: IoClassKey::Normal,
            schedule: Vec::new(),
            path_map: BTreeMap::new(),
            ship: true,
            stall_s: 600,
            token: None,
            tls_ca: None,
        }
    }
}
