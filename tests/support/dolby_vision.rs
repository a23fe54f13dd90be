//! Dolby Vision films, which no encoder at hand makes: HEVC of 10 bits with an RPU (the
//! dynamic metadata of a picture, a NAL unit of type 62) behind every picture, and MP4's
//! box that says so.

use std::path::PathBuf;

use dolby_vision::rpu::generate::{GenerateConfig, GenerateProfile, VideoShot};

use super::Scratch;
use super::command::make;
use super::recipe::find;

/// The peak of the mastering display as a PQ code of 12 bits: 1000 cd/m2, and a little
/// more with each frame, so that no two frames have the same metadata.
pub(crate) const FIRST_PEAK_PQ: u16 = 3079;

/// A film of that profile (5, or 8 upon HDR10) in MP4.
pub(crate) fn film(folder: &Scratch, profile: u8, frames: u16) -> PathBuf {
    film_with(folder, profile, &units(profile, FIRST_PEAK_PQ, frames))
}

/// The same pictures with these units, one a picture; a picture has none where its is
/// empty.
pub(crate) fn film_with(folder: &Scratch, profile: u8, units: &[Vec<u8>]) -> PathBuf {
    let frames = units.len();
    let colour = match profile {
        // IPT of its own kind, which H.273 has no words for.
        5 => "range=full",
        _ => {
            "hdr10=1:repeat-headers=1:range=limited:colorprim=bt2020:transfer=smpte2084:\
             colormatrix=bt2020nc:max-cll=1000,400:\
             master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
        }
    };
    let bare = folder.file("bare.hevc");
    make(
        &format!(
            "-f lavfi -i testsrc2=s=320x180:r=25 -frames:v {frames} -pix_fmt yuv420p10le \
             -c:v libx265 -preset ultrafast -x265-params log-level=none:bframes=0:{colour}"
        ),
        &bare,
    );
    let stream = std::fs::read(&bare).expect("a stream");
    let with_rpus = folder.write("rpus.hevc", with_units(&stream, units));
    let path = folder.file(format!("dolby-vision-{profile}.mp4"));
    make(
        &format!(
            "-f hevc -framerate 25 -i {} -c copy -tag:v hvc1 -bsf:v setts=ts=N/25/TB \
             -video_track_timescale 12800",
            with_rpus.display()
        ),
        &path,
    );
    let mut bytes = std::fs::read(&path).expect("a film");
    configure(&mut bytes, profile);
    std::fs::write(&path, bytes).expect("written");
    path
}

/// An RPU for each frame, as a NAL unit.
pub(crate) fn units(profile: u8, first_peak_pq: u16, frames: u16) -> Vec<Vec<u8>> {
    let unit = |frame: u16| {
        let config = GenerateConfig {
            profile: match profile {
                5 => GenerateProfile::Profile5,
                8 => GenerateProfile::Profile81,
                other => panic!("no profile {other}"),
            },
            length: 1,
            shots: vec![VideoShot {
                duration: 1,
                ..VideoShot::default()
            }],
            source_max_pq: Some(first_peak_pq + frame),
            ..GenerateConfig::default()
        };
        let rpus = config.generate_rpu_list().expect("an RPU");
        rpus[0].write_hevc_unspec62_nalu().expect("a NAL unit")
    };
    (0..frames).map(unit).collect()
}

/// Puts a unit behind each picture of a raw HEVC stream, whose pictures are one slice each.
fn with_units(stream: &[u8], units: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rpus = units.iter();
    for unit in nal_units(stream) {
        out.extend([0, 0, 0, 1]);
        out.extend(unit);
        if (unit[0] >> 1) & 0x3f < 32 {
            let rpu = rpus.next().expect("an RPU for each picture");
            if !rpu.is_empty() {
                out.extend([0, 0, 0, 1]);
                out.extend(rpu);
            }
        }
    }
    assert!(rpus.next().is_none(), "fewer pictures than RPUs");
    out
}

/// The NAL units of a stream with start codes.
fn nal_units(stream: &[u8]) -> Vec<&[u8]> {
    let mut units = Vec::new();
    let mut rest = &stream[find(stream, &[0, 0, 1]).expect("a unit") + 3..];
    while let Some(next) = find(rest, &[0, 0, 1]) {
        // A four-byte start code keeps its zero.
        let end = next - usize::from(next > 0 && rest[next - 1] == 0);
        units.push(&rest[..end]);
        rest = &rest[next + 3..];
    }
    units.push(rest);
    units
}

/// Puts a Dolby Vision configuration into the HEVC track of an MP4 file whose index
/// stands at its end, so that no offset moves.
pub(crate) fn configure(bytes: &mut Vec<u8>, profile: u8) {
    let index = find(bytes, b"moov").expect("an index");
    assert!(find(bytes, b"mdat").expect("pictures") < index);
    // Version 1.0; profile (7 bits), level 3 (6 bits), with RPU and base layer;
    // compatible with HDR10 where the profile is 8.
    let compatible = if profile == 8 { 0x10 } else { 0 };
    let mut record = vec![1, 0, profile << 1, (3 << 3) | 0b101, compatible];
    record.resize(24, 0);
    let kind = if profile > 7 { b"dvvC" } else { b"dvcC" };
    let length = u32::try_from(8 + record.len()).expect("short");
    let mut box_bytes = length.to_be_bytes().to_vec();
    box_bytes.extend(kind);
    box_bytes.extend(record);
    // Each box from the outermost to the sample entry grows by it.
    let mut at = index;
    for name in [
        b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"hvc1",
    ] {
        at += find(&bytes[at..], name).expect("a box");
        let size = &mut bytes[at - 4..at];
        let grown = u32::from_be_bytes(size.try_into().expect("four")) + length;
        size.copy_from_slice(&grown.to_be_bytes());
    }
    let entry = u32::from_be_bytes(bytes[at - 4..at].try_into().expect("four"));
    let end = at - 4 + (entry - length) as usize;
    bytes.splice(end..end, box_bytes);
}
