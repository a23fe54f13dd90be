//! Steps of recipes that no version of the `ffmpeg` command does: bytes put where
//! they make the file that is wanted.

use std::fs;

use crate::support::bits::{Bits, escaped};
use crate::support::recipe::{find, patch};
use crate::support::{Scratch, clip, dolby_vision, paff, tests_folder};

/// Runs a step such as `matrix film.mp4 0 1 -1 0`.
pub(crate) fn run(step: &str, folder: &Scratch) {
    let words: Vec<_> = step.split_whitespace().collect();
    let ([name, file], rest) = words.split_first_chunk().expect("a name and a file");
    let path = folder.file(file);
    let copied = match *name {
        "text" => Some(tests_folder().join("corpus/texts").join(file)),
        "clip" => Some(clip(file)),
        _ => None,
    };
    if let Some(from) = copied {
        fs::copy(from, &path).unwrap_or_else(|e| panic!("{step}: {e}"));
        return;
    }
    if *name == "paff" {
        let film = match path.extension().and_then(|e| e.to_str()) {
            Some("mkv") => paff::matroska(rest[0]),
            _ => paff::annex_b(rest[0]),
        };
        fs::write(&path, film).expect("written");
        return;
    }
    let mut bytes = fs::read(&path).unwrap_or_else(|e| panic!("{step}: {e}"));
    let numbers = || rest.iter().map(|word| word.parse().expect("a number"));
    match *name {
        "matrix" => matrix(&mut bytes, &numbers().collect::<Vec<i32>>()),
        "dolby_vision" => {
            let profile = rest[0].parse().expect("a profile");
            dolby_vision::configure(&mut bytes, profile);
        }
        "hdr10_plus" => bytes = hdr10_plus(&bytes),
        "append" => bytes.extend(fs::read(folder.file(rest[0])).expect("a second file")),
        "tail" => drop(bytes.drain(..numbers().next().expect("a length") as usize)),
        "replace" => {
            let (from, to) = (rest[0].as_bytes(), rest[1].as_bytes());
            assert!(patch(&mut bytes, from, to) > 0);
        }
        unknown => panic!("no craft {unknown:?}"),
    }
    fs::write(&path, bytes).expect("written");
}

/// Puts a display matrix into the first track's header of an MP4 file. The command
/// writes it one way up to FFmpeg 5 and another way from 6 on.
fn matrix(bytes: &mut [u8], abcd: &[i32]) {
    let header = find(bytes, b"tkhd").expect("a track header");
    // Version 0: 4 type, 4 version, 20 times and id, 8 reserved, 8 layer and volume.
    for (place, value) in [0, 4, 12, 16].into_iter().zip(abcd) {
        let at = header + 44 + place;
        bytes[at..at + 4].copy_from_slice(&(value * 0x1_0000).to_be_bytes());
    }
}

/// Puts an HDR10+ message (SMPTE ST 2094-40) before each picture of a raw HEVC
/// stream, whose pictures are one slice each.
fn hdr10_plus(stream: &[u8]) -> Vec<u8> {
    let message = escaped(&dynamic_metadata());
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(next) = find(&stream[at..], &[0, 0, 1]) {
        let start = at + next;
        // A four-byte start code keeps its zero.
        let zero = usize::from(start > at && stream[start - 1] == 0);
        out.extend(&stream[at..start - zero]);
        let kind = (stream[start + 3] >> 1) & 0x3f;
        if kind < 32 {
            // NAL type 39: a prefix SEI message.
            out.extend([0, 0, 0, 1, 39 << 1, 1]);
            out.extend(&message);
        }
        out.extend(&stream[start - zero..start + 3]);
        at = start + 3;
    }
    out.extend(&stream[at..]);
    out
}

/// The SEI payload: one window, no percentiles, no tone mapping.
fn dynamic_metadata() -> Vec<u8> {
    // Country 0xB5, provider 0x003C, its code 1, application 4 in version 1.
    let mut bits = Bits::default();
    for (value, length) in [
        (0xB5, 8),
        (0x003C, 16),
        (1, 16),
        (4, 8),
        (1, 8),
        (1, 2),       // windows
        (4000, 27),   // luminance of the target
        (0, 1),       // no actual peak of the target
        (10_000, 17), // maxima of red, green, blue
        (10_000, 17),
        (10_000, 17),
        (2000, 17), // average
        (0, 4),     // percentiles
        (0, 10),    // bright pixels
        (0, 1),     // no actual peak of the master
        (0, 1),     // no tone mapping
        (0, 1),     // no saturation mapping
    ] {
        bits.push(value, length);
    }
    let payload = bits.bytes();
    let length = u8::try_from(payload.len()).expect("short");
    // Message type 4: registered user data. 0x80 ends the NAL unit.
    [&[4, length], payload.as_slice(), &[0x80]].concat()
}
