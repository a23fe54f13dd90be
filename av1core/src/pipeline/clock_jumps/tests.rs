use super::*;
use proptest::prelude::*;

const FRAME: i64 = 3600;
const SOUND: i64 = 2160;

fn stamp(stream: usize, position: i64, dts: i64, pts: i64, duration: i64) -> Stamp {
    let show = |t: i64| Some(t.rem_euclid(WRAP));
    Stamp {
        stream,
        position: Some(position),
        times: Times {
            pts: show(pts),
            dts: show(dts),
        },
        duration,
    }
}

/// A recording: its clock's start, video frames, how far its sound starts and ends
/// behind its video, and by how many frames its B-frames delay it.
#[derive(Clone, Debug)]
struct Part {
    start: i64,
    frames: i64,
    sound_starts: i64,
    sound_ends: i64,
    delay: i64,
}

/// A packet, with the part it is of and its time within it.
type Labelled = (Stamp, usize, i64);

/// The packets of parts that are joined as bytes, in the order libavformat gives
/// them: a video packet comes out when the next one begins.
fn joined(parts: &[Part]) -> Vec<Labelled> {
    let (mut packets, mut late, mut position): (Vec<Labelled>, _, _) = (Vec::new(), None, 0);
    for (number, part) in parts.iter().enumerate() {
        let mut own = Vec::new();
        for n in 0..part.frames {
            let (dts, pts) = ((n - part.delay) * FRAME, reordered(n, part) * FRAME);
            own.push((dts, 0, pts, FRAME));
        }
        let end = part.frames * FRAME + part.sound_ends;
        let mut time = part.sound_starts;
        while time < end {
            own.push((time, 1, time, SOUND));
            time += SOUND;
        }
        own.sort_unstable();
        for (dts, stream, pts, duration) in own {
            position += 188;
            let made = stamp(
                stream,
                position,
                part.start + dts,
                part.start + pts,
                duration,
            );
            let labelled = (made, number, pts);
            match stream {
                0 => packets.extend(late.replace(labelled)),
                _ => packets.push(labelled),
            }
        }
    }
    packets.extend(late);
    packets
}

/// Presentation order of the n-th packet: groups of one anchor and `delay` B-frames.
fn reordered(n: i64, part: &Part) -> i64 {
    if part.delay == 0 || n == 0 {
        return n;
    }
    match (n - 1) % 2 {
        0 => (n + 1).min(part.frames - 1),
        _ => n - 1,
    }
}

fn run(packets: &[Labelled]) -> (Vec<(Labelled, Times)>, u64) {
    let mut jumps = ClockJumps::new([Flow::Video, Flow::Sound]);
    let mut ready = Vec::new();
    for packet in packets {
        jumps.put(packet.0, *packet, &mut ready);
    }
    jumps.finish(&mut ready);
    let count = jumps.jumps();
    let opened = ready
        .iter()
        .filter(|p| p.opens_clock && p.item.0.stream == 0);
    assert_eq!(opened.count() as u64, count, "the picture tells each jump");
    let ready = ready.into_iter().map(|p| (p.item, p.times));
    (ready.collect(), count)
}

/// What one shift a part, and no overlap, come down to.
fn assert_carried(parts: &[Part]) {
    let packets = joined(parts);
    let (ready, jumps) = run(&packets);
    assert_eq!(ready.len(), packets.len(), "nothing is lost");
    assert_eq!(jumps, parts.len() as u64 - 1);
    for stream in 0..2 {
        let of = |(label, _): &&(Labelled, Times)| label.0.stream == stream;
        let order: Vec<_> = ready.iter().filter(of).map(|(l, _)| l.0.position).collect();
        assert!(order.is_sorted(), "each stream keeps its order");
        let mut end = None;
        for number in 0..parts.len() {
            let part = ready.iter().filter(of).filter(|(l, _)| l.1 == number);
            let pts: Vec<_> = part.filter_map(|(_, times)| times.pts).collect();
            let (first, last) = (pts.iter().min().copied(), pts.iter().max().copied());
            assert!(first >= end, "part {number} of stream {stream} overlaps");
            end = last.map(|t| t + if stream == 0 { FRAME } else { SOUND });
        }
    }
    for number in 0..parts.len() {
        let part = ready.iter().filter(|(label, _)| label.1 == number);
        let mut shifts: Vec<_> = part.filter_map(|(l, t)| Some(t.pts? - l.2)).collect();
        shifts.dedup();
        assert_eq!(shifts.len(), 1, "one shift for all of part {number}");
    }
}

fn part(start: i64) -> Part {
    Part {
        start,
        frames: 50,
        sound_starts: 0,
        sound_ends: 0,
        delay: 1,
    }
}

#[test]
fn a_recording_joined_to_itself_goes_on_where_it_ended() {
    let recording = Part {
        sound_ends: -SOUND,
        ..part(126_000)
    };
    let parts = [recording.clone(), recording];
    assert_carried(&parts);
    let (ready, _) = run(&joined(&parts));
    let mut video: Vec<_> = ready
        .iter()
        .filter(|(label, _)| label.0.stream == 0)
        .filter_map(|(_, times)| times.pts)
        .collect();
    video.sort_unstable();
    video.dedup();
    assert_eq!(video.len(), 100);
    assert!(video.windows(2).all(|pair| pair[1] - pair[0] == FRAME));
}

#[test]
fn a_wrap_is_no_jump() {
    let packets = joined(&[part(WRAP - 25 * FRAME)]);
    let (ready, jumps) = run(&packets);
    assert_eq!(jumps, 0);
    let shift = |(label, times): &(Labelled, Times)| times.pts.map(|t| t - label.2);
    let first = ready.first().and_then(shift);
    assert!(ready.iter().all(|packet| shift(packet) == first));
}

#[test]
fn one_damaged_time_is_no_jump() {
    for stream in 0..2 {
        let mut packets = joined(&[part(900_000)]);
        let hit = packets
            .iter()
            .position(|p| p.0.stream == stream && p.2 > 20 * FRAME);
        let hit = hit.expect("a packet");
        packets[hit].0.times = Times {
            pts: Some(1 << 31),
            dts: Some(1 << 31),
        };
        let (ready, jumps) = run(&packets);
        assert_eq!((jumps, ready.len()), (0, packets.len()));
        let untimed = ready.iter().filter(|(_, times)| times.dts.is_none());
        assert_eq!(untimed.count(), 1);
        let moved = |(l, t): &(Labelled, Times)| t.pts.is_some_and(|t| t - l.2 != 900_000);
        assert!(!ready.iter().any(moved), "nothing else moves");
    }
}

/// Sound that is off for a while (another language) does not stop the clock.
#[test]
fn a_stream_that_pauses_is_no_jump() {
    let mut packets = joined(&[Part {
        frames: 1500,
        ..part(0)
    }]);
    packets.retain(|p| p.0.stream == 0 || !(FRAME * 100..FRAME * 1000).contains(&p.2));
    assert_eq!(run(&packets).1, 0);
}

/// A subtitle is silent for minutes; behind a join it is moved with the rest.
#[test]
fn what_comes_rarely_is_moved_with_the_clock_it_came_on() {
    let mut jumps = ClockJumps::new([Flow::Video, Flow::Sparse]);
    let mut ready = Vec::new();
    for (number, start) in [0, 5_000_000].into_iter().enumerate() {
        for n in 0..1000 {
            let position = (number as i64 * 1000 + n) * 188;
            let time = start + n * FRAME;
            jumps.put(stamp(0, position, time, time, FRAME), 0, &mut ready);
            if n == 500 {
                jumps.put(stamp(1, position + 1, time, time, 0), 1, &mut ready);
            }
        }
    }
    jumps.finish(&mut ready);
    let subtitles = ready.iter().filter(|packet| packet.item == 1);
    let times: Vec<_> = subtitles.filter_map(|packet| packet.times.pts).collect();
    assert_eq!(times, [500 * FRAME, 1500 * FRAME]);
    assert_eq!(jumps.jumps(), 1);
}

#[test]
fn packets_without_times_or_of_unknown_streams_pass() {
    let mut jumps = ClockJumps::new([Flow::Video]);
    let mut ready = Vec::new();
    let blank = Stamp {
        stream: 0,
        position: None,
        times: Times::default(),
        duration: 0,
    };
    jumps.put(blank, 0, &mut ready);
    jumps.put(Stamp { stream: 7, ..blank }, 7, &mut ready);
    assert_eq!(ready.len(), 2);
}

fn any_part() -> impl Strategy<Value = (bool, i64, Part)> {
    let skew = -45_000i64..45_000;
    (
        any::<bool>(),
        15 * CLOCK_HZ..WRAP / 2 - 100 * CLOCK_HZ,
        (30i64..200, skew.clone(), skew, 0i64..2),
    )
        .prop_map(|(back, step, (frames, sound_starts, sound_ends, delay))| {
            let part = Part {
                start: 0,
                frames,
                sound_starts,
                sound_ends,
                delay,
            };
            (back, step, part)
        })
}

proptest! {
    /// Recordings of all kinds joined, on any clocks, wraps among them: every packet
    /// comes out, each part is moved by one shift, and none overlaps the one before.
    #[test]
    fn joined_recordings_keep_their_streams_together(
        start in 0..WRAP,
        parts in prop::collection::vec(any_part(), 1..5),
    ) {
        let mut clock = start;
        let mut made: Vec<Part> = Vec::new();
        for (back, step, part) in parts {
            if let Some(before) = made.last() {
                clock = before.start + before.frames * FRAME + if back { -step } else { step };
            }
            made.push(Part { start: clock, ..part });
        }
        assert_carried(&made);
    }

    /// Whatever the times: every packet comes out once, in its stream's order.
    #[test]
    fn no_packet_is_lost(
        packets in prop::collection::vec(
            (0usize..3, prop::option::of(0..WRAP), prop::option::of(0..WRAP), 0i64..10_000),
            0..200,
        ),
    ) {
        let mut jumps = ClockJumps::new([Flow::Video, Flow::Sound, Flow::Sparse]);
        let mut ready = Vec::new();
        for (n, (stream, dts, pts, duration)) in packets.iter().enumerate() {
            let stamp = Stamp {
                stream: *stream,
                position: Some(n as i64 * 188),
                times: Times { pts: *pts, dts: *dts },
                duration: *duration,
            };
            jumps.put(stamp, (*stream, n), &mut ready);
        }
        jumps.finish(&mut ready);
        prop_assert_eq!(ready.len(), packets.len());
        for stream in 0..3 {
            let order: Vec<_> = ready.iter().map(|p| p.item).filter(|i| i.0 == stream).map(|i| i.1).collect();
            prop_assert!(order.is_sorted());
        }
    }
}
