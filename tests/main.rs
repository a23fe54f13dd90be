//! The integration suite: real media through the engine and the programme.
//!
//! One binary, one module a behaviour in `suite/`. Inputs are the clips of `media/`
//! and what the `ffmpeg` command makes at test time; what comes out is read by
//! `ffprobe` and `ffmpeg`, not by our own code. Run it by `./dev test`.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests fail as tests do"
)]

mod support;

mod suite {
    mod bad_input;
    mod bad_output;
    mod cancel;
    mod cli;
    mod clock_jumps;
    mod colour;
    mod dolby_vision;
    mod drive;
    mod encode_child;
    mod exact;
    mod golden;
    mod kept;
    mod missing_encoder;
    mod mp4;
    mod pictures;
    mod predict;
    mod priority;
    mod progress;
    mod replace;
    mod sabotage;
    mod segments;
    mod shrink;
    mod sound;
    mod staging;
    mod streams;
    mod timestamps;
    mod turns;
    mod worthwhile;
}
