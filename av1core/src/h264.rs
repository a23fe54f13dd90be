//! What of an H.264 stream's header libavcodec knows and does not tell.
//!
//! Section numbers are those of ITU-T H.264.

/// Whether pictures of the stream may be single fields: so says its sequence parameter
/// set, which stands in `extradata` as `avcC` or after start codes. `None` without one.
pub(crate) fn may_have_fields(extradata: &[u8]) -> Option<bool> {
    frame_mbs_only(&unescaped(sequence(extradata)?)).map(|frames_only| !frames_only)
}

const SEQUENCE_NAL: u8 = 7;

/// The first sequence parameter set, without its header byte.
fn sequence(extradata: &[u8]) -> Option<&[u8]> {
    // `avcC` (ISO/IEC 14496-15): version 1, three bytes, the size of lengths, how many
    // sets; then the first set's length.
    let unit = if extradata.first() == Some(&1) {
        let length = extradata.get(6..8)?.try_into().ok()?;
        extradata.get(8..8 + usize::from(u16::from_be_bytes(length)))?
    } else {
        let is_set = |at: &[u8]| at[..3] == [0, 0, 1] && at[3] & 0x1f == SEQUENCE_NAL;
        let start = extradata.windows(4).position(is_set)?;
        &extradata[start + 3..]
    };
    let (header, set) = unit.split_first()?;
    (header & 0x1f == SEQUENCE_NAL).then_some(set)
}

/// Without the bytes that keep a start code from appearing by chance (7.3.1).
fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut zeros = 0;
    for byte in bytes {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        out.push(*byte);
    }
    out
}

/// Profiles whose sequence parameter sets tell of chroma and scaling (7.3.2.1.1).
const HIGH_PROFILES: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// `frame_mbs_only_flag` of a sequence parameter set (7.3.2.1.1).
fn frame_mbs_only(set: &[u8]) -> Option<bool> {
    let mut bits = Bits { bytes: set, at: 0 };
    let profile = bits.take(8)?;
    bits.take(16)?; // constraints, level
    bits.ue()?;
    if HIGH_PROFILES.contains(&profile) {
        skip_chroma_and_scaling(&mut bits)?;
    }
    bits.ue()?; // length of frame numbers
    match bits.ue()? {
        0 => {
            bits.ue()?;
        }
        1 => {
            bits.take(1)?;
            bits.ue()?;
            bits.ue()?;
            for _ in 0..bits.ue()?.min(255) {
                bits.ue()?;
            }
        }
        _ => {}
    }
    bits.ue()?; // reference frames
    bits.take(1)?;
    bits.ue()?; // width, height
    bits.ue()?;
    Some(bits.take(1)? == 1)
}

fn skip_chroma_and_scaling(bits: &mut Bits<'_>) -> Option<()> {
    let chroma = bits.ue()?;
    if chroma == 3 {
        bits.take(1)?;
    }
    bits.ue()?; // bit depths
    bits.ue()?;
    bits.take(1)?;
    if bits.take(1)? == 0 {
        return Some(());
    }
    for list in 0..if chroma == 3 { 12 } else { 8 } {
        if bits.take(1)? == 0 {
            continue;
        }
        // Each entry is told by its distance to the last; at 0 there are no more (7.3.2.1.1.1).
        let mut last = 8;
        for _ in 0..if list < 6 { 16 } else { 64 } {
            last = (last + bits.se()?) & 0xff;
            if last == 0 {
                break;
            }
        }
    }
    Some(())
}

/// Bits, most significant first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, length: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..length {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    /// Exp-Golomb (9.1).
    fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.take(1)? == 0 {
            zeros += 1;
        }
        (zeros < 32).then_some(())?;
        Some((1 << zeros) - 1 + self.take(zeros)?)
    }

    fn se(&mut self) -> Option<i32> {
        let code = i32::try_from(self.ue()?).ok()?;
        Some(if code % 2 == 1 {
            code / 2 + 1
        } else {
            -(code / 2)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Made by x264 with `tff=1` (High profile, MBAFF) and without.
    const INTERLACED: &str = "01640015ffe1001867640015acd9429b6022000003000200000300643e28532c01000768fba3cb3002c0fdf8f800";
    const PROGRESSIVE: &str = "0164000bffe100186764000bacd9428db011000003000100000300320f14299601000668ebe3cb22c0fdf8f800";

    fn bytes(hex: &str) -> Vec<u8> {
        let digit = |c: u8| char::from(c).to_digit(16).expect("a digit") as u8;
        let pairs = hex.as_bytes().chunks(2);
        pairs
            .map(|two| digit(two[0]) << 4 | digit(two[1]))
            .collect()
    }

    #[test]
    fn the_header_tells_whether_fields_may_come() {
        for (hex, expected) in [(INTERLACED, true), (PROGRESSIVE, false)] {
            let header = bytes(hex);
            assert_eq!(may_have_fields(&header), Some(expected));
            // The same after a start code.
            let length = usize::from(u16::from_be_bytes([header[6], header[7]]));
            let bare = [&[0, 0, 0, 1], &header[8..8 + length]].concat();
            assert_eq!(may_have_fields(&bare), Some(expected));
        }
        assert_eq!(may_have_fields(&[]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = may_have_fields(&bytes);
            bytes.splice(0..0, [0, 0, 1, 0x67, 100]);
            let _ = may_have_fields(&bytes);
        }
    }
}
