//! What the finished file will weigh at the least, while it is being written: an
//! encode that can no longer save what is asked of it need not go on.
//!
//! Only lower bounds are added up, so that no encode is ended whose file would have
//! been small enough: a muxer makes no file shorter, and everything handed to it
//! stays in it. What is not certain (containers' overhead, the frames to come)
//! counts for nothing until it is written.

use ffmpeg_next::codec;

/// A lower bound of the finished file, in bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Bound {
    /// Content that the muxer has; the file may not show it yet.
    written_bytes: u64,
    /// Content that waits for packets of other tracks.
    waiting_bytes: u64,
    /// Content that each track is still certain to bring.
    to_come_bytes: Vec<u64>,
}

impl Bound {
    /// A bound before the first packet: `attached_bytes` of attached files are in the
    /// muxer, and each track is certain to bring some bytes (0 where nobody knows).
    pub(super) fn new(attached_bytes: u64, to_come_bytes: Vec<u64>) -> Self {
        Self {
            written_bytes: attached_bytes,
            waiting_bytes: 0,
            to_come_bytes,
        }
    }

    /// A packet of `track` came, which will put `bytes` into the file.
    pub(super) fn came(&mut self, track: usize, bytes: u64) {
        self.waiting_bytes += bytes;
        if let Some(to_come) = self.to_come_bytes.get_mut(track) {
            *to_come = to_come.saturating_sub(bytes);
        }
    }

    /// A packet that came with `bytes` was handed to the muxer.
    pub(super) fn written(&mut self, bytes: u64) {
        self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
        self.written_bytes += bytes;
    }

    /// What the file will weigh at the least, now that it weighs `file_bytes`. Muxer
    /// and file system lag behind what was handed on, by a cluster and a buffer.
    pub(super) fn least_bytes(&self, file_bytes: u64) -> u64 {
        let to_come = self.to_come_bytes.iter().sum::<u64>();
        file_bytes.max(self.written_bytes) + self.waiting_bytes + to_come
    }
}

/// How much of a packet's content is certain to be in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// All of it.
    Whole,
    /// All but the units that both muxers leave out of AV1 (libavformat's
    /// `ff_av1_filter_obus`).
    Av1,
    /// Nobody knows: the muxer frames it anew, and some framings are shorter.
    Unknown,
}

impl Kept {
    /// Of a stream that is copied. Of what plans copy, the muxers write these as they
    /// are; the list is short so that it is right.
    pub(super) fn of_copied(codec: codec::Id) -> Self {
        use codec::Id;
        match codec {
            Id::OPUS | Id::SUBRIP | Id::ASS | Id::DVD_SUBTITLE | Id::HDMV_PGS_SUBTITLE => {
                Self::Whole
            }
            _ => Self::Unknown,
        }
    }

    /// What `content` puts into the file at the least, in bytes.
    pub(super) fn bytes(self, content: &[u8]) -> u64 {
        match self {
            Self::Whole => content.len() as u64,
            Self::Av1 => kept_of_av1(content) as u64,
            Self::Unknown => 0,
        }
    }
}

// Types of AV1's open bitstream units (AV1 specification, section 6.2.2).
const OBU_TEMPORAL_DELIMITER: u8 = 2;
const OBU_REDUNDANT_FRAME_HEADER: u8 = 7;
const OBU_TILE_LIST: u8 = 8;
const OBU_PADDING: u8 = 15;

/// Bytes of the units that are kept. What cannot be read as units counts for nothing.
fn kept_of_av1(mut content: &[u8]) -> usize {
    let mut kept = 0;
    while let Some((obu_type, length)) = first_unit(content) {
        let left_out = matches!(
            obu_type,
            OBU_TEMPORAL_DELIMITER | OBU_REDUNDANT_FRAME_HEADER | OBU_TILE_LIST | OBU_PADDING
        );
        if !left_out {
            kept += length;
        }
        content = &content[length..];
    }
    kept
}

/// Type and whole length of the first unit (AV1 specification, section 5.3).
fn first_unit(content: &[u8]) -> Option<(u8, usize)> {
    let header = *content.first()?;
    let (has_extension, has_size) = (header & 4 != 0, header & 2 != 0);
    let mut length = 1 + usize::from(has_extension);
    let mut payload = content.len().checked_sub(length)?;
    if has_size {
        payload = 0;
        // leb128, section 4.10.5: eight bytes at the most.
        for i in 0..8 {
            let byte = *content.get(length)?;
            length += 1;
            payload |= usize::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    let length = length.checked_add(payload)?;
    (length <= content.len()).then_some((header >> 3 & 15, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn of_av1_the_temporal_delimiter_is_left_out() {
        // A delimiter, a frame of three bytes, two bytes of padding.
        let packet = [0x12, 0, 0x32, 3, 1, 2, 3, 0x7a, 2, 0, 0];
        assert_eq!(Kept::Av1.bytes(&packet), 5);
        assert_eq!(Kept::Whole.bytes(&packet), 11);
        assert_eq!(Kept::Unknown.bytes(&packet), 0);
        assert_eq!(Kept::Av1.bytes(&[0x32, 200, 1]), 0, "longer than it is");
        assert_eq!(Kept::Av1.bytes(&[]), 0);
    }

    #[test]
    fn what_is_certain_to_come_counts_once() {
        let mut bound = Bound::new(10, vec![0, 100]);
        assert_eq!(bound.least_bytes(0), 110);
        bound.came(1, 60);
        assert_eq!(bound.least_bytes(0), 110);
        bound.written(60);
        assert_eq!(bound.least_bytes(0), 110);
        assert_eq!(bound.least_bytes(75), 115, "with the container's own");
        // More than was foretold is more.
        bound.came(1, 60);
        assert_eq!(bound.least_bytes(75), 135);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_of_units_panic_or_overcount(
            content in prop::collection::vec(any::<u8>(), 0..200)
        ) {
            prop_assert!(Kept::Av1.bytes(&content) <= content.len() as u64);
        }

        /// A muxer that adds its own bytes, and writes when it likes: at no moment is the
        /// bound above the finished file. So an encode that is ended would have been too
        /// large.
        #[test]
        fn the_bound_is_never_above_the_finished_file(
            packets in prop::collection::vec((0usize..3, 0u64..1000, 0u64..30, 0usize..8), 0..100),
            foretold in prop::array::uniform3(any::<bool>()),
            (attached, header) in (0u64..5000, 0u64..500),
        ) {
            let sum = |track| -> u64 {
                packets.iter().filter(|(t, ..)| *t == track).map(|(_, bytes, ..)| bytes).sum()
            };
            let to_come = (0..3).map(|track| if foretold[track] { sum(track) } else { 0 });
            let content: u64 = packets.iter().map(|(_, bytes, overhead, _)| bytes + overhead).sum();
            let finished = attached + header + content;

            let mut bound = Bound::new(attached, to_come.collect());
            let (mut handed, mut file) = (attached + header, 0);
            let mut waiting = std::collections::VecDeque::new();
            for (track, bytes, overhead, goes_on) in packets {
                bound.came(track, bytes);
                waiting.push_back((bytes, overhead));
                for _ in 0..goes_on {
                    let Some((bytes, overhead)) = waiting.pop_front() else { break };
                    bound.written(bytes);
                    handed += bytes + overhead;
                }
                // What the file shows lags behind what was handed on.
                if goes_on % 2 == 0 {
                    file = handed;
                }
                let least = bound.least_bytes(file);
                prop_assert!(least <= finished, "{least} of {finished}");
            }
        }
    }
}
