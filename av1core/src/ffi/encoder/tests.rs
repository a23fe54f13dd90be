use super::*;
use crate::ffi::capabilities;
use crate::media::DolbyVision;
use crate::units::{Crf, Preset, Ratio};

fn settings() -> VideoSettings {
    VideoSettings {
        width: 64,
        height: 64,
        sample_aspect_ratio: None,
        bit_depth: BitDepth::Ten,
        filters: Vec::new(),
        frame_rate: Ratio { num: 25, den: 1 },
        keyframe_interval_frames: 250,
        preset: Preset(10),
        crf: Crf(35),
        film_grain: 0,
        encoder_threads: None,
        decoder_threads: None,
        svtav1_params: Vec::new(),
        colour: Colour::default(),
        mastering_display: None,
        content_light: None,
        dolby_vision: None,
    }
}

/// A run that is cancelled early leaves such an encoder.
#[test]
fn an_encoder_that_was_given_no_frame_ends() {
    let base = TimeBase::new(1, 25);
    drop(VideoEncoder::open(&settings(), base).expect("an encoder"));
    if !capabilities().encoder_limits.drops_dolby_vision {
        let dolby_vision = DolbyVision {
            profile: 10,
            compatibility: 0,
        };
        let settings = VideoSettings {
            dolby_vision: Some(dolby_vision),
            ..settings()
        };
        drop(VideoEncoder::open(&settings, base).expect("an encoder"));
    }
}
