//! H.264 whose pictures are whole frames and single fields in turn (PAFF: "picture
//! adaptive frame field"), as broadcasters and cameras make it and no encoder at hand does.
//!
//! Macroblocks hold their samples as they are (I_PCM), so there is nothing to it but
//! headers. Section numbers are those of ITU-T H.264.

use super::bits::{Bits, escaped};

pub(crate) const WIDTH: u32 = 96;
pub(crate) const HEIGHT: u32 = 64;

/// 25 frames a second.
const FRAME_MILLIS: u32 = 40;

const SEQUENCE_NAL: u8 = 7;
const PICTURE_NAL: u8 = 8;
const KEY_NAL: u8 = 5;
const OTHER_NAL: u8 = 1;

/// How a frame is coded.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// One picture, all rows of one moment.
    Whole,
    /// Two pictures, the top field's first.
    TopFirst,
    /// Two pictures, the bottom field's first.
    BottomFirst,
}

/// A frame of the film, which has a letter in the pattern: `F` a whole one, `T` two
/// fields, `B` two with the bottom one first. A small letter is coded behind the frame
/// that it is shown before, and nothing refers to it, as is the way of B-frames.
#[derive(Clone, Copy, Debug)]
struct Frame {
    kind: Kind,
    /// Place in the film as it is shown.
    shown: u32,
    is_reference: bool,
}

/// What a picture holds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rows {
    All,
    Top,
    Bottom,
}

/// NAL units of the pictures of a frame, in coding order.
struct Coded {
    shown: u32,
    is_key: bool,
    units: Vec<Vec<u8>>,
}

/// The film as a bare stream, where each field follows a start code of its own.
pub(crate) fn annex_b(pattern: &str) -> Vec<u8> {
    let coded = coded(pattern);
    let pictures = coded.into_iter().flat_map(|frame| frame.units);
    [sequence(), parameters()]
        .into_iter()
        .chain(pictures)
        .flat_map(|unit| [vec![0, 0, 0, 1], unit].concat())
        .collect()
}

/// The film in Matroska, a frame a block, with both of its fields where it has two.
pub(crate) fn matroska(pattern: &str) -> Vec<u8> {
    let coded = coded(pattern);
    let video = [
        element(&[0xB0], &number(WIDTH)),
        element(&[0xBA], &number(HEIGHT)),
    ];
    let track = [
        element(&[0xD7], &number(1)),
        element(&[0x73, 0xC5], &number(1)),
        element(&[0x83], &number(1)),
        element(&[0x86], b"V_MPEG4/ISO/AVC"),
        element(&[0x63, 0xA2], &configuration()),
        element(&[0x23, 0xE3, 0x83], &number(FRAME_MILLIS * 1_000_000)),
        element(&[0xE0], &video.concat()),
    ];
    let track = element(&[0xAE], &track.concat());
    // A tick is a millisecond.
    let info = element(&[0x2A, 0xD7, 0xB1], &number(1_000_000));
    let blocks = coded.iter().map(|frame| {
        let time = i16::try_from(frame.shown * FRAME_MILLIS).expect("a short film");
        let mut block = vec![0x81];
        block.extend(time.to_be_bytes());
        block.push(if frame.is_key { 0x80 } else { 0 });
        for unit in &frame.units {
            block.extend(number(u32::try_from(unit.len()).expect("short")));
            block.extend(unit);
        }
        element(&[0xA3], &block)
    });
    let cluster: Vec<_> = std::iter::once(element(&[0xE7], &number(0)))
        .chain(blocks)
        .collect();
    let segment = [
        element(&[0x15, 0x49, 0xA9, 0x66], &info),
        element(&[0x16, 0x54, 0xAE, 0x6B], &track),
        element(&[0x1F, 0x43, 0xB6, 0x75], &cluster.concat()),
    ];
    let header = [
        element(&[0x42, 0x82], b"matroska"),
        element(&[0x42, 0x87], &number(4)),
        element(&[0x42, 0x85], &number(2)),
    ];
    [
        element(&[0x1A, 0x45, 0xDF, 0xA3], &header.concat()),
        element(&[0x18, 0x53, 0x80, 0x67], &segment.concat()),
    ]
    .concat()
}

/// An EBML element, its length in four bytes.
fn element(id: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short") | 0x1000_0000;
    [id, &length.to_be_bytes(), payload].concat()
}

fn number(value: u32) -> [u8; 4] {
    value.to_be_bytes()
}

/// `avcC`: profile, compatibility and level of the sequence header, lengths of four bytes.
fn configuration() -> Vec<u8> {
    let (sequence, parameters) = (sequence(), parameters());
    let mut out = [&[1], &sequence[1..4], &[0xFF, 0xE1]].concat();
    for (count, unit) in [(None, sequence), (Some(1), parameters)] {
        out.extend(count);
        out.extend(u16::try_from(unit.len()).expect("short").to_be_bytes());
        out.extend(unit);
    }
    out
}

/// The sequence parameter set (7.3.2.1.1).
fn sequence() -> Vec<u8> {
    let mut bits = Bits::default();
    // Main profile, level 3.
    for value in [77, 0, 30] {
        bits.push(value, 8);
    }
    bits.push_ue(0);
    bits.push_ue(0); // frame numbers of 4 bits
    bits.push_ue(0); // picture order counts are told
    bits.push_ue(4); // in 8 bits
    bits.push_ue(2); // reference frames
    bits.push(0, 1); // no gaps in frame numbers
    bits.push_ue(WIDTH / 16 - 1);
    bits.push_ue(HEIGHT / 32 - 1); // of a field
    // Fields may be pictures; macroblocks of a frame do not choose; 8x8 inference.
    bits.push(0b001, 3);
    bits.push(0, 1); // no cropping
    bits.push(1, 1); // what follows is usability information (E.1.1)
    bits.push(0b0000, 4); // no aspect, overscan, signal type, chroma location
    bits.push(1, 1);
    bits.push(1, 32); // a tick
    bits.push(1000 / FRAME_MILLIS * 2, 32); // fields a second
    bits.push(1, 1); // at a fixed rate
    bits.push(0b000, 3); // no HRD parameters, no picture structure messages
    bits.push(1, 1);
    bits.push(1, 1);
    // Limits on bytes, bits and motion vectors; a frame is held back, of two.
    for value in [0, 0, 10, 10, 1, 2] {
        bits.push_ue(value);
    }
    nal_unit(3, SEQUENCE_NAL, bits)
}

/// The picture parameter set (7.3.2.2).
fn parameters() -> Vec<u8> {
    let mut bits = Bits::default();
    bits.push_ue(0);
    bits.push_ue(0);
    bits.push(0, 1); // CAVLC
    bits.push(1, 1); // a whole frame tells the order count of its bottom field
    for _ in 0..3 {
        bits.push_ue(0); // slice groups, references
    }
    bits.push(0, 3); // no weighted prediction
    for _ in 0..3 {
        bits.push_ue(0); // quantisers, as se(v)
    }
    bits.push(0, 3); // no control of deblocking, which I_PCM at quantiser 0 has none of
    nal_unit(3, PICTURE_NAL, bits)
}

fn nal_unit(reference: u8, kind: u8, mut bits: Bits) -> Vec<u8> {
    bits.stop();
    let mut unit = vec![reference << 5 | kind];
    unit.extend(escaped(&bits.bytes()));
    unit
}

/// The frames of a pattern, in coding order.
fn frames(pattern: &str) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut held = Vec::new();
    for (letter, shown) in pattern.chars().zip(0..) {
        let frame = Frame {
            kind: match letter.to_ascii_uppercase() {
                'F' => Kind::Whole,
                'T' => Kind::TopFirst,
                'B' => Kind::BottomFirst,
                other => panic!("no frame {other:?}"),
            },
            shown,
            is_reference: letter.is_ascii_uppercase(),
        };
        if frame.is_reference {
            frames.push(frame);
            frames.append(&mut held);
        } else {
            held.push(frame);
        }
    }
    assert!(held.is_empty(), "nothing follows the last frame");
    frames
}

fn coded(pattern: &str) -> Vec<Coded> {
    let mut number = 0;
    frames(pattern)
        .into_iter()
        .map(|frame| {
            let rows: &[Rows] = match frame.kind {
                Kind::Whole => &[Rows::All],
                Kind::TopFirst => &[Rows::Top, Rows::Bottom],
                Kind::BottomFirst => &[Rows::Bottom, Rows::Top],
            };
            let is_key = frame.shown == 0;
            let units = (0u32..).zip(rows);
            let units = units
                // The second field of a key frame is none (7.4.1.2.4).
                .map(|(place, rows)| picture(frame, (number, place), *rows, is_key && place == 0))
                .collect();
            number += u32::from(frame.is_reference);
            Coded {
                shown: frame.shown,
                is_key,
                units,
            }
        })
        .collect()
}

/// A picture in one slice (7.3.3): the frame's `number`, and its place in the frame.
fn picture(frame: Frame, (number, place): (u32, u32), rows: Rows, is_key: bool) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.push_ue(0); // the first macroblock
    bits.push_ue(7); // intra, as all of the picture
    bits.push_ue(0);
    bits.push(number % 16, 4);
    bits.push(u32::from(rows != Rows::All), 1);
    if rows != Rows::All {
        bits.push(u32::from(rows == Rows::Bottom), 1);
    }
    if is_key {
        bits.push_ue(0);
    }
    bits.push((2 * frame.shown + place) % 256, 8);
    if rows == Rows::All {
        bits.push_ue(0); // both fields have the same order count
    }
    if frame.is_reference {
        // Nothing special becomes of it: two flags of a key picture, one of others.
        bits.push(0, if is_key { 2 } else { 1 });
    }
    bits.push_ue(0); // the quantiser
    let samples = Samples { frame, rows };
    let down = if rows == Rows::All { 16 } else { 32 };
    for y in 0..HEIGHT / down {
        for x in 0..WIDTH / 16 {
            bits.push_ue(25); // I_PCM
            bits.align();
            samples.write(&mut bits, x, y);
        }
    }
    let kind = if is_key { KEY_NAL } else { OTHER_NAL };
    nal_unit(if frame.is_reference { 2 } else { 0 }, kind, bits)
}

struct Samples {
    frame: Frame,
    rows: Rows,
}

impl Samples {
    /// The macroblock of that place in the picture: its luma and its two chroma blocks.
    fn write(&self, bits: &mut Bits, x: u32, y: u32) {
        for (side, plane) in [(16, 0), (8, 1), (8, 2)] {
            for row in y * side..(y + 1) * side {
                let row = match self.rows {
                    Rows::All => row,
                    Rows::Top => 2 * row,
                    Rows::Bottom => 2 * row + 1,
                };
                for column in x * side..(x + 1) * side {
                    let sample = sample(plane, (column, row), self.moment(row));
                    bits.push(sample, 8);
                }
            }
        }
    }

    /// When a row is shown, in fields from the film's start.
    fn moment(&self, row: u32) -> u32 {
        let second = match self.frame.kind {
            Kind::Whole => 0,
            Kind::TopFirst => row % 2,
            Kind::BottomFirst => 1 - row % 2,
        };
        2 * self.frame.shown + second
    }
}

/// Slanted waves that run to the left, 5 luma samples a field: no two moments are alike,
/// and fields of two moments comb.
fn sample(plane: u32, (column, row): (u32, u32), moment: u32) -> u32 {
    let (across, down) = if plane == 0 {
        (column, row)
    } else {
        (2 * column, 2 * row)
    };
    let phase = (5 * across + 3 * down + 25 * moment + 100 * plane) % 380;
    let height = phase.min(380 - phase);
    match plane {
        0 => 30 + height,
        _ => 80 + height / 2,
    }
}
