//! Damage of every kind, the same for the same seed.

#![expect(clippy::ptr_arg, reason = "all kinds of damage have one type")]

/// A small generator of numbers (SplitMix64), so that a seed means the same files on
/// every machine and with every version of every crate.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is 0 where there is none.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        self.next() as u8
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// A way to damage a file.
pub(crate) type Damage = fn(&mut Vec<u8>, &mut Dice);

/// All of them, by name.
pub(crate) const DAMAGES: [(&str, Damage); 9] = [
    ("bits-anywhere", bits_anywhere),
    ("bits-in-the-header", bits_in_the_header),
    ("field", field),
    ("cut", cut),
    ("zeros", zeros),
    ("swap", swap),
    ("garbage", garbage),
    ("hole", hole),
    ("repeat", repeat),
];

fn flip(bytes: &mut [u8], reach: std::ops::Range<usize>, dice: &mut Dice) {
    for _ in 0..=dice.below(20) {
        let at = reach.start + dice.below(reach.len());
        bytes[at] ^= 1 << dice.below(8);
    }
}

fn bits_anywhere(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let end = bytes.len();
    flip(bytes, 0..end, dice);
}

/// The index of an MP4 file wherever it stands, else the start.
fn bits_in_the_header(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let index = bytes.windows(4).position(|name| name == b"moov");
    let start = index.unwrap_or(0);
    let end = (start + 900).min(bytes.len());
    flip(bytes, start..end, dice);
}

/// Names and identifiers behind which sizes, counts, clocks and shapes stand.
const LANDMARKS: [&[u8]; 40] = [
    // MP4
    b"ftyp",
    b"mvhd",
    b"tkhd",
    b"mdhd",
    b"elst",
    b"stsd",
    b"stts",
    b"ctts",
    b"stsc",
    b"stsz",
    b"stco",
    b"stss",
    b"avc1",
    b"avcC",
    b"hvc1",
    b"hvcC",
    b"mp4a",
    b"esds",
    b"mdat",
    b"trun",
    b"tfhd",
    b"tfdt",
    b"trex", // Matroska: segment, info, clock, duration, tracks, cluster
    b"\x18\x53\x80\x67",
    b"\x15\x49\xa9\x66",
    b"\x2a\xd7\xb1",
    b"\x44\x89",
    b"\x16\x54\xae\x6b",
    b"\x1f\x43\xb6\x75",
    b"\x63\xa2", // codec's private data
    // AVI
    b"RIFF",
    b"avih",
    b"strh",
    b"strf",
    b"movi",
    b"idx1", // FLV, MPEG, Ogg, ASF
    b"FLV",
    b"\x00\x00\x01\xb3",
    b"OggS",
    b"\x30\x26\xb2\x75",
];

/// A field near a landmark becomes nothing, everything, or the edge of a sign.
fn field(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let places: Vec<usize> = (0..bytes.len())
        .filter(|at| LANDMARKS.iter().any(|name| bytes[*at..].starts_with(name)))
        .collect();
    for _ in 0..=dice.below(3) {
        // The size stands before an MP4 box's name, everything else behind it.
        let landmark = places.get(dice.below(places.len())).copied().unwrap_or(0);
        let at = (landmark + 4 * dice.below(12)).saturating_sub(4);
        let length = dice.one_of(&[1, 2, 4, 8]);
        let (first, rest) = dice.one_of(&[(0, 0), (0xff, 0xff), (0x7f, 0xff), (0x80, 0), (0, 1)]);
        for (place, byte) in bytes.iter_mut().skip(at).take(length).enumerate() {
            *byte = if place == 0 { first } else { rest };
        }
    }
}

fn cut(bytes: &mut Vec<u8>, dice: &mut Dice) {
    bytes.truncate(1 + dice.below(bytes.len()));
}

/// A stretch of at most an eighth of the file.
fn stretch(bytes: &[u8], dice: &mut Dice) -> std::ops::Range<usize> {
    let start = dice.below(bytes.len());
    let length = 1 + dice.below(bytes.len() / 8);
    start..(start + length).min(bytes.len())
}

fn zeros(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let range = stretch(bytes, dice);
    bytes[range].fill(0);
}

fn swap(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let range = stretch(bytes, dice);
    let to = dice.below(bytes.len() - range.len());
    let moved: Vec<u8> = bytes.drain(range).collect();
    bytes.splice(to..to, moved);
}

fn garbage(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.below(bytes.len());
    let length = 1 + dice.below(400);
    let noise: Vec<u8> = (0..length).map(|_| dice.byte()).collect();
    bytes.splice(at..at, noise);
}

fn hole(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let range = stretch(bytes, dice);
    if range.len() < bytes.len() {
        bytes.drain(range);
    }
}

fn repeat(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let range = stretch(bytes, dice);
    let again = bytes[range.clone()].to_vec();
    bytes.splice(range.end..range.end, again);
}
