//! The one table of keys: what a value may be is checked, documented and put into words
//! from here.

use super::keys::Who::{Both, Master, Worker};
use super::keys::{Form, Key, Kind};

const fn whole(least: u64, most: u64) -> Kind {
    Kind::Whole { least, most }
}

const fn list(of: &'static Kind) -> Kind {
    Kind::List { of, filled: false }
}

/// A year: longer than anybody waits.
const YEAR_S: u64 = 366 * DAY_S;
const DAY_S: u64 = 86_400;

/// Every key, in the order of the documentation.
pub const KEYS: &[Key] = &[
    Key::new(
        "media_directories",
        list(&Kind::Path),
        Master,
        "folders that are scanned for films",
    )
    .at_start(),
    Key::new(
        "temp_directory",
        Kind::Path,
        Both,
        "where a worker puts what it fetches and has not yet delivered, and a master what is \
         being delivered",
    )
    .default_words("`av1_transcoding` in the system's folder for temporary files")
    .at_start(),
    Key::new(
        "web_port",
        whole(0, 65_535),
        Master,
        "port of the page, the API and the workers; 0 takes one that is free",
    )
    .at_start(),
    Key::new(
        "testing_mode",
        Kind::Flag,
        Both,
        "each source is kept as `NAME.bak`, if the master or the worker says so",
    ),
    Key::new(
        "extensions",
        Kind::List {
            of: &Kind::Text(Form::Extension),
            filled: true,
        },
        Master,
        "extensions that make a file a film, in whatever case the file has them",
    ),
    Key::new(
        "exclude",
        list(&Kind::Text(Form::Pattern)),
        Master,
        "patterns of paths below a media directory, or of names, that are left alone",
    ),
    Key::new(
        "min_bytes",
        whole(0, 1 << 50),
        Master,
        "smaller files are left alone",
    )
    .unit("bytes"),
    Key::new(
        "min_duration_s",
        whole(0, DAY_S),
        Master,
        "shorter films are left alone",
    )
    .unit("s"),
    Key::new(
        "min_bits_per_pixel",
        Kind::Number {
            least: 0.0,
            most: 10.0,
        },
        Master,
        "thinner videos are left alone",
    )
    .unit("bits for each pixel of each frame"),
    Key::new(
        "hardlinks",
        Kind::OneOf(&["skip", "break"]),
        Master,
        "files with several names: left alone, or this name gets the output and the others keep \
         the old content",
    ),
    Key::new(
        "settle_s",
        whole(0, DAY_S),
        Master,
        "a file has to be unchanged for so long",
    )
    .unit("s"),
    Key::new(
        "rescan_s",
        whole(0, YEAR_S),
        Master,
        "time between two scans; 0 scans at start and when asked",
    )
    .unit("s"),
    Key::new(
        "watch",
        Kind::Flag,
        Master,
        "folders are watched between scans, where the system can",
    ),
    // --- The encode --------------------------------------------------------------------
    Key::new(
        "min_saving_percent",
        whole(0, 99),
        Master,
        "the least that an output has to save for its source to be replaced",
    )
    .unit("%"),
    Key::new(
        "preset",
        whole(0, 13),
        Master,
        "speed of the video encoder, 0 slowest and smallest",
    )
    .or_null("by picture size"),
    Key::new(
        "crf",
        whole(1, 63),
        Master,
        "quality of the video, 1 best and largest",
    )
    .or_null("by picture size and HDR"),
    Key::new(
        "bit_depth",
        Kind::OneOfNumbers(&[8, 10]),
        Master,
        "bits a sample of the video",
    )
    .unit("bits"),
    Key::new(
        "film_grain",
        whole(0, 50),
        Master,
        "strength of film grain synthesis, 0 is none",
    ),
    // libopus takes 6 to 510 kbit/s (opus_encoder_ctl, OPUS_SET_BITRATE).
    Key::new(
        "audio_bitrate_kbps",
        whole(6, 510),
        Master,
        "Opus bit rate of every audio track",
    )
    .or_null("by layout")
    .unit("kbit/s"),
    Key::new(
        "container",
        Kind::OneOf(&["mkv", "mp4"]),
        Master,
        "container of the outputs",
    ),
    Key::new(
        "predict_from_s",
        whole(0, YEAR_S),
        Master,
        "films from this length on are predicted from samples before they are encoded",
    )
    .unit("s"),
    Key::new(
        "allow",
        list(&Kind::OneOf(&[
            "av1",
            "chroma",
            "depth",
            "alpha",
            "dynamic_hdr",
        ])),
        Master,
        "losses that are accepted, rather than the film being left alone",
    ),
    // --- The master --------------------------------------------------------------------
    Key::new(
        "order",
        Kind::OneOf(&["largest_saving", "smallest_first", "oldest", "newest"]),
        Master,
        "which of the pending films goes first",
    ),
    Key::new(
        "max_attempts",
        whole(1, 100),
        Master,
        "attempts at a film in all",
    ),
    Key::new(
        "retry_wait_s",
        whole(0, DAY_S),
        Master,
        "wait after the first failure; doubles with each further one, up to an hour",
    )
    .unit("s"),
    Key::new(
        "heartbeat_s",
        whole(1, 3600),
        Master,
        "a worker speaks so often",
    )
    .unit("s"),
    Key::new(
        "offline_s",
        whole(2, DAY_S),
        Master,
        "a worker is shown offline after so long; more than heartbeat_s",
    )
    .unit("s"),
    Key::new(
        "lease_seconds",
        whole(2, DAY_S),
        Master,
        "a worker loses what it holds after so long; at least offline_s",
    )
    .unit("s"),
    Key::new(
        "bind_address",
        Kind::Text(Form::Address),
        Master,
        "address to listen at",
    )
    .at_start(),
    Key::new(
        "auth",
        Kind::OneOf(&["token", "none"]),
        Master,
        "who may speak to the master: who has a token, or everybody",
    )
    .at_start(),
    Key::new(
        "allowed_hosts",
        list(&Kind::Text(Form::Host)),
        Master,
        "names that a browser may know this master by, besides its addresses",
    ),
    Key::new(
        "tls_certificate",
        Kind::Path,
        Master,
        "PEM file of the certificate chain; with tls_key the port speaks TLS",
    )
    .or_null("no TLS")
    .at_start(),
    Key::new(
        "tls_key",
        Kind::Path,
        Master,
        "PEM file of the certificate's private key",
    )
    .or_null("no TLS")
    .at_start(),
    Key::new(
        "state_directory",
        Kind::Path,
        Both,
        "where the job store, tokens and identities lie",
    )
    .or_null("the user's state folder")
    .at_start(),
    // --- The worker --------------------------------------------------------------------
    Key::new(
        "worker_name",
        Kind::Text(Form::Name),
        Worker,
        "the worker's name for people",
    )
    .or_null("the host's")
    .at_start(),
    Key::new("slots", whole(1, 64), Worker, "encodes at once"),
    // 512 is the engine's own bound (`av1cli transcode --encoder-threads`).
    Key::new(
        "threads",
        whole(1, 512),
        Worker,
        "threads of each encode, from the next one on",
    )
    .or_null("the encoder's choice for one slot, the processors shared for several"),
    Key::new(
        "niceness",
        whole(0, 19),
        Worker,
        "niceness of the encodes, 19 the most yielding",
    ),
    Key::new(
        "io_class",
        Kind::OneOf(&["normal", "low", "idle"]),
        Worker,
        "I/O class of the encodes: as any program, after others, when nobody else wants the disk",
    ),
    Key::new(
        "schedule",
        list(&Kind::Text(Form::Span)),
        Worker,
        "hours in which encodes may begin, local time; none: always",
    ),
    Key::new(
        "path_map",
        Kind::PathMap,
        Worker,
        "the master's paths, and what they are here",
    ),
    Key::new(
        "ship",
        Kind::Flag,
        Worker,
        "films are fetched over HTTP where a media directory is not mounted here",
    ),
    Key::new(
        "stall_s",
        whole(1, DAY_S),
        Worker,
        "an encode without progress for so long is ended",
    )
    .unit("s"),
    Key::new(
        "token",
        Kind::Text(Form::Token),
        Worker,
        "what to join with; best given in the environment",
    )
    .or_null("found in the state directory of a master of the same user and machine")
    .secret()
    .at_start(),
    Key::new(
        "tls_ca",
        Kind::Path,
        Worker,
        "PEM file of an authority that the master's certificate is held against",
    )
    .or_null("the system's")
    .at_start(),
];
