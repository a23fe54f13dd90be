//! The configuration as the rest of the program takes it.

use av1core::{Allow, BitDepth, Container, Crf, Options, Preset, Saving};

use super::{Config, ContainerKey, HardLinksKey, Hours, LossKey};
use crate::job::RetryPolicy;
use crate::proto::WorkSettings;

impl Config {
    /// What is wanted of every encode. Threads are the worker's own matter.
    #[must_use]
    pub fn work_settings(&self) -> WorkSettings {
        WorkSettings {
            options: self.options(),
            testing_mode: self.testing_mode,
            break_hard_links: self.hardlinks == HardLinksKey::Break,
            min_bytes: Some(self.min_bytes),
            min_duration_s: Some(self.min_duration_s),
            min_millibits_per_pixel: Some((self.min_bits_per_pixel * 1000.0).round() as u64),
            exclude: self.exclude.clone(),
            predict_from_s: Some(self.predict_from_s),
            settle_s: Some(self.settle_s),
        }
    }

    /// The engine's options. A number out of range, which loading refuses, is as if it
    /// were not there.
    fn options(&self) -> Options {
        let mut allow = Allow::default();
        for loss in &self.allow {
            match loss {
                LossKey::Av1 => allow.av1 = true,
                LossKey::Chroma => allow.chroma_loss = true,
                LossKey::Depth => allow.depth_loss = true,
                LossKey::Alpha => allow.alpha_loss = true,
                LossKey::DynamicHdr => allow.dynamic_hdr_loss = true,
            }
        }
        let mut options = Options::default();
        options.container = match self.container {
            ContainerKey::Mkv => Container::Matroska,
            ContainerKey::Mp4 => Container::Mp4,
        };
        options.preset = self.preset.and_then(|preset| Preset::new(preset).ok());
        options.crf = self.crf.and_then(|crf| Crf::new(crf).ok());
        options.bit_depth = if self.bit_depth == 8 {
            BitDepth::Eight
        } else {
            BitDepth::Ten
        };
        options.film_grain = self.film_grain;
        options.audio_bitrate_kbps = self.audio_bitrate_kbps;
        options.min_saving_percent = Saving::new(self.min_saving_percent).ok();
        options.allow = allow;
        options
    }

    /// How often, and how soon, a film is tried again.
    #[must_use]
    pub fn retry_policy(&self) -> RetryPolicy {
        let first_wait_ms = i64::try_from(self.retry_wait_s)
            .unwrap_or(i64::MAX)
            .saturating_mul(1000);
        RetryPolicy {
            max_attempts: self.max_attempts,
            first_wait_ms,
            longest_wait_ms: RetryPolicy::default().longest_wait_ms.max(first_wait_ms),
        }
    }

    /// The hours in which encodes may begin.
    ///
    /// # Errors
    ///
    /// A span that loading refuses, in words.
    pub fn hours(&self) -> Result<Hours, String> {
        Hours::parse(&self.schedule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_engines() {
        let work = Config::default().work_settings();
        let rules = av1core::Rules::default();
        let shrink = av1core::Shrink::default();
        let mut expected = Options::default();
        expected.min_saving_percent = Some(Saving::FIVE_PERCENT);
        assert_eq!(work.options, expected);
        assert_eq!(work.min_bytes, Some(rules.least_bytes));
        let us = work.min_duration_s.map(|s| i64::from(s) * 1_000_000);
        assert_eq!(us, Some(rules.least_film_us));
        assert_eq!(
            work.min_millibits_per_pixel,
            Some(rules.least_millibits_per_pixel)
        );
        let us = work.predict_from_s.map(|s| i64::from(s) * 1_000_000);
        assert_eq!(us, shrink.predict_from_us);
        assert_eq!(
            i64::from(Config::default().settle_s) * 1_000_000,
            rules.settling_us
        );
        assert!(!work.testing_mode && !work.break_hard_links);
        assert_eq!(Config::default().retry_policy(), RetryPolicy::default());
        assert_eq!(Config::default().hours(), Ok(Hours::always()));
    }

    #[test]
    fn every_key_of_the_encode_reaches_the_engine() {
        let config = Config {
            preset: Some(4),
            crf: Some(25),
            bit_depth: 8,
            film_grain: 12,
            audio_bitrate_kbps: Some(96),
            container: ContainerKey::Mp4,
            min_saving_percent: 20,
            min_bytes: 7,
            min_duration_s: 9,
            min_bits_per_pixel: 0.0294,
            predict_from_s: 1200,
            exclude: vec!["*.sample.*".to_owned()],
            hardlinks: HardLinksKey::Break,
            testing_mode: true,
            allow: vec![
                LossKey::Av1,
                LossKey::Chroma,
                LossKey::Depth,
                LossKey::Alpha,
                LossKey::DynamicHdr,
            ],
            max_attempts: 1,
            retry_wait_s: 7200,
            ..Config::default()
        };
        let mut options = Options::default();
        options.preset = Preset::new(4).ok();
        options.crf = Crf::new(25).ok();
        options.bit_depth = BitDepth::Eight;
        options.film_grain = 12;
        options.audio_bitrate_kbps = Some(96);
        options.container = Container::Mp4;
        options.min_saving_percent = Saving::new(20).ok();
        options.allow.av1 = true;
        options.allow.chroma_loss = true;
        options.allow.depth_loss = true;
        options.allow.alpha_loss = true;
        options.allow.dynamic_hdr_loss = true;
        let expected = WorkSettings {
            options,
            testing_mode: true,
            break_hard_links: true,
            min_bytes: Some(7),
            min_duration_s: Some(9),
            min_millibits_per_pixel: Some(29),
            exclude: vec!["*.sample.*".to_owned()],
            predict_from_s: Some(1200),
            settle_s: Some(10),
        };
        assert_eq!(config.work_settings(), expected);
        let policy = RetryPolicy {
            max_attempts: 1,
            first_wait_ms: 7_200_000,
            longest_wait_ms: 7_200_000,
        };
        assert_eq!(config.retry_policy(), policy);
    }
}
