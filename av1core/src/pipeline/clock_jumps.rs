//! Jumps of a broadcast clock, carried through before a decoder sees them.
//!
//! MPEG-TS and MPEG-PS are recorded, cut and joined as bytes: behind a join the clock
//! of all streams is another one. The `ffmpeg` command moves what follows by the first
//! stream's step (`ts_discontinuity_process`), so that the next stream, which has
//! another step, may be moved again. Here a clock is a stretch of the file, an
//! [`Epoch`], and all its packets are moved by one shift, so that sound and picture
//! stay together. Packets behind a jump wait until every stream has crossed it (two
//! seconds at the most): then the shift is the smallest that lets no stream overlap.

/// Ticks a second of MPEG's clock, and the 33 bits after which it starts anew
/// (ISO/IEC 13818-1, section 2.4.3.7). libavformat undoes one wrap at the most.
pub(crate) const CLOCK_HZ: i64 = 90_000;
const WRAP: i64 = 1 << 33;

/// A longer step is a jump: the `ffmpeg` command's `dts_delta_threshold`.
const LONGEST_STEP: i64 = 10 * CLOCK_HZ;

/// A longer step back is a jump: the tenth of a second of `ts_discontinuity_detect`.
const LONGEST_STEP_BACK: i64 = CLOCK_HZ / 10;

/// How long packets behind a jump wait for the streams that have not crossed it.
/// Multiplexers keep sound and picture less than a second apart.
const LONGEST_WAIT: i64 = 2 * CLOCK_HZ;
const MOST_HELD: usize = 4096;

/// What a stream's times tell of the file's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Frames come all the time, some earlier in the file than their turn.
    Video,
    /// Frames come all the time.
    Sound,
    /// Packets come when they come (subtitles): their own steps tell nothing.
    Sparse,
}

/// What is known of a packet; times in ticks of [`CLOCK_HZ`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) stream: usize,
    /// Place in the file; unknown where several frames came in one packet.
    pub(crate) position: Option<i64>,
    pub(crate) times: Times,
    pub(crate) duration: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) pts: Option<i64>,
    pub(crate) dts: Option<i64>,
}

/// A packet whose times are those of the whole film.
#[derive(Debug)]
pub(crate) struct Placed<T> {
    pub(crate) item: T,
    pub(crate) times: Times,
    /// The first of its stream behind a jump.
    pub(crate) opens_clock: bool,
}

/// Finds the jumps and moves what is behind them.
pub(crate) struct ClockJumps<T> {
    lanes: Vec<Lane>,
    /// One clock after the other. The last one's shift is not known while `pending`.
    epochs: Vec<Epoch>,
    pending: Option<Pending>,
    held: Vec<Held<T>>,
}

/// A stretch of the file with one clock.
#[derive(Debug)]
struct Epoch {
    start: i64,
    /// Latest time seen on it.
    clock: i64,
    shift: i64,
}

/// A clock that not every stream has reached yet.
#[derive(Debug)]
struct Pending {
    since: i64,
    old_clock: i64,
}

#[derive(Debug)]
struct Lane {
    flow: Flow,
    epoch: usize,
    position: i64,
    last: Option<i64>,
    /// First time on the pending clock, and last one on the clock before.
    first: Option<Times>,
    before: Option<(usize, i64)>,
    /// Epoch of what went out last.
    out: Option<usize>,
    /// End of what went out, moved: by decoding and by presentation time.
    next_dts: Option<i64>,
    end: Option<i64>,
}

struct Held<T> {
    stamp: Stamp,
    epoch: usize,
    item: T,
}

impl Lane {
    fn new(flow: Flow) -> Self {
        Self {
            flow,
            epoch: 0,
            position: 0,
            last: None,
            first: None,
            before: None,
            out: None,
            next_dts: None,
            end: None,
        }
    }

    /// The shift with which `first` follows what went out without an overlap. Both
    /// kinds of time count: a part without B-frames may follow one that has them.
    fn smallest_shift(&self) -> Option<i64> {
        let first = self.first?;
        let by_pts = self.end? - first.pts.or(first.dts)?;
        let by_dts = self.next_dts.zip(first.dts).map(|(next, dts)| next - dts);
        Some(by_dts.map_or(by_pts, |by_dts| by_dts.max(by_pts)))
    }
}

fn follows(time: i64, last: i64) -> bool {
    (-LONGEST_STEP_BACK..=LONGEST_STEP).contains(&(time - last))
}

/// The tick nearest to `near` that a 33-bit counter shows as `ticks`.
fn unwrap(ticks: i64, near: i64) -> i64 {
    let step = ticks.wrapping_sub(near).rem_euclid(WRAP);
    near.saturating_add(if step >= WRAP / 2 { step - WRAP } else { step })
}

impl<T> ClockJumps<T> {
    pub(crate) fn new(flows: impl IntoIterator<Item = Flow>) -> Self {
        Self {
            lanes: flows.into_iter().map(Lane::new).collect(),
            epochs: Vec::new(),
            pending: None,
            held: Vec::new(),
        }
    }

    /// Jumps carried through so far.
    pub(crate) fn jumps(&self) -> u64 {
        let uncertain = 1 + usize::from(self.pending.is_some());
        self.epochs.len().saturating_sub(uncertain) as u64
    }

    /// Takes a packet; `ready` gets those whose times are certain, in their order.
    pub(crate) fn put(&mut self, mut stamp: Stamp, item: T, ready: &mut Vec<Placed<T>>) {
        let Some(lane) = self.lanes.get_mut(stamp.stream) else {
            ready.push(Placed {
                item,
                times: stamp.times,
                opens_clock: false,
            });
            return;
        };
        lane.position = stamp.position.unwrap_or(lane.position);
        let position = lane.position;
        if let Some(raw) = stamp.times.dts.or(stamp.times.pts) {
            let near = match (lane.last, self.epochs.last()) {
                (Some(last), _) if lane.flow != Flow::Sparse => last,
                (_, Some(epoch)) => epoch.clock,
                _ => raw,
            };
            let time = unwrap(raw, near);
            stamp.times.dts = stamp.times.dts.map(|_| time);
            stamp.times.pts = stamp.times.pts.map(|pts| unwrap(pts, time));
            self.undo_glitch(stamp.stream, time, ready);
            let epoch = self
                .find(stamp.stream, position, stamp.times)
                .unwrap_or_else(|| self.open(stamp.stream, position, time, ready));
            self.enter(stamp, position, epoch, time);
        }
        let epoch = self.lanes[stamp.stream].epoch;
        let held = Held { stamp, epoch, item };
        let waits = self.held.iter().any(|h| h.stamp.stream == stamp.stream);
        if waits || (self.pending.is_some() && epoch + 1 == self.epochs.len()) {
            self.held.push(held);
        } else {
            self.emit(held, ready);
        }
        if self.is_certain() {
            self.settle(ready);
        }
    }

    /// What still waits at the end of the file.
    pub(crate) fn finish(&mut self, ready: &mut Vec<Placed<T>>) {
        self.settle(ready);
    }

    /// The epoch a packet belongs to; `None` where its clock is a new one.
    fn find(&self, stream: usize, position: i64, times: Times) -> Option<usize> {
        let time = times.dts.or(times.pts)?;
        let lane = self.lanes.get(stream)?;
        let here = self.epochs.iter().rposition(|e| e.start <= position)?;
        let fits = |e: &usize| {
            let epoch = self.epochs.get(*e);
            epoch.is_some_and(|epoch| (time - epoch.clock).abs() <= LONGEST_STEP)
        };
        let Some(last) = lane.last.filter(|_| lane.flow != Flow::Sparse) else {
            let elsewhere = || (0..self.epochs.len()).rev().find(fits);
            return Some(if fits(&here) {
                here
            } else {
                elsewhere().unwrap_or(here)
            });
        };
        let own = lane.epoch;
        // Its steps may be small by chance, but the file's clock is another one here.
        let crosses = |e: &usize| fits(e) && !self.overlaps(lane, *e, times);
        if here > own && crosses(&here) {
            return Some(here);
        }
        // The stream alone may pause for long, while the clock goes on.
        if follows(time, last) || (time > last && fits(&own)) {
            return Some(own);
        }
        (own + 1..self.epochs.len()).rev().find(crosses)
    }

    /// Whether a stream that is late to enter a clock, whose shift is known by then,
    /// would run back on it.
    fn overlaps(&self, lane: &Lane, epoch: usize, times: Times) -> bool {
        let is_pending = self.pending.is_some() && epoch + 1 == self.epochs.len();
        let starts = times
            .pts
            .or(times.dts)
            .map(|t| t + self.epochs[epoch].shift);
        let both = lane.end.zip(starts);
        !is_pending && both.is_some_and(|(end, starts)| starts + LONGEST_STEP_BACK < end)
    }

    fn open(
        &mut self,
        stream: usize,
        position: i64,
        time: i64,
        ready: &mut Vec<Placed<T>>,
    ) -> usize {
        self.settle(ready);
        if let Some(old) = self.epochs.get(self.lanes[stream].epoch) {
            self.pending = Some(Pending {
                since: time,
                old_clock: old.clock,
            });
        }
        self.epochs.push(Epoch {
            start: if self.epochs.is_empty() {
                i64::MIN
            } else {
                position
            },
            clock: time,
            shift: 0,
        });
        self.epochs.len() - 1
    }

    fn enter(&mut self, stamp: Stamp, position: i64, epoch: usize, time: i64) {
        let lane = &mut self.lanes[stamp.stream];
        if epoch != lane.epoch {
            lane.before = lane.last.map(|last| (lane.epoch, last));
            lane.first = Some(stamp.times);
            lane.epoch = epoch;
        }
        lane.last = Some(time);
        let entered = &mut self.epochs[epoch];
        if lane.flow != Flow::Sparse {
            entered.start = entered.start.min(position);
            entered.clock = entered.clock.max(time);
        }
    }

    /// A stream that is back on the clock before had a damaged time, not another
    /// clock. What it holds back goes out without times, and follows from the rest.
    fn undo_glitch(&mut self, stream: usize, time: i64, ready: &mut Vec<Placed<T>>) {
        let lane = &mut self.lanes[stream];
        let in_pending = self.pending.is_some() && lane.epoch + 1 == self.epochs.len();
        let (Some((epoch, before)), Some(last)) = (lane.before, lane.last) else {
            return;
        };
        if !in_pending || follows(time, last) || !follows(time, before) {
            return;
        }
        (lane.epoch, lane.last, lane.before, lane.first) = (epoch, Some(before), None, None);
        let alone = !self
            .lanes
            .iter()
            .any(|l| l.flow != Flow::Sparse && l.epoch + 1 == self.epochs.len());
        if alone {
            self.epochs.pop();
            self.pending = None;
        }
        for mut held in std::mem::take(&mut self.held) {
            if held.stamp.stream == stream {
                held.stamp.times = Times::default();
                held.epoch = epoch;
                self.emit(held, ready);
            } else if alone {
                held.epoch = epoch;
                self.lanes[held.stamp.stream].epoch = epoch;
                self.emit(held, ready);
            } else {
                self.held.push(held);
            }
        }
    }

    /// Whether enough is known of the pending clock to say how far it must be moved.
    fn is_certain(&self) -> bool {
        let (Some(pending), [.., old, new]) = (&self.pending, self.epochs.as_slice()) else {
            return false;
        };
        let last = self.epochs.len() - 1;
        let is_awaited = |lane: &Lane| {
            let alive = lane.last.is_some_and(|t| old.clock - t <= LONGEST_WAIT);
            lane.flow != Flow::Sparse && lane.epoch + 1 == last && alive
        };
        !self.lanes.iter().any(is_awaited)
            || new.clock - pending.since > LONGEST_WAIT
            || old.clock - pending.old_clock > LONGEST_WAIT
            || self.held.len() > MOST_HELD
    }

    /// Fixes the pending clock's shift and lets its packets go.
    fn settle(&mut self, ready: &mut Vec<Placed<T>>) {
        if self.pending.take().is_none() {
            return;
        }
        let last = self.epochs.len() - 1;
        let crossed = self.lanes.iter().filter(|lane| lane.epoch == last);
        let shift = crossed.filter_map(Lane::smallest_shift).max();
        self.epochs[last].shift = shift.unwrap_or(self.epochs[last - 1].shift);
        for lane in &mut self.lanes {
            (lane.first, lane.before) = (None, None);
        }
        for held in std::mem::take(&mut self.held) {
            self.emit(held, ready);
        }
    }

    fn emit(&mut self, held: Held<T>, ready: &mut Vec<Placed<T>>) {
        let shift = self.epochs.get(held.epoch).map_or(0, |epoch| epoch.shift);
        let moved = |t: i64| t.saturating_add(shift);
        let times = Times {
            pts: held.stamp.times.pts.map(moved),
            dts: held.stamp.times.dts.map(moved),
        };
        let lane = &mut self.lanes[held.stamp.stream];
        let duration = held.stamp.duration.max(0);
        lane.next_dts = times.dts.map(|t| t + duration).or(lane.next_dts);
        lane.end = lane.end.max(times.pts.or(times.dts).map(|t| t + duration));
        ready.push(Placed {
            item: held.item,
            times,
            opens_clock: lane.out.replace(held.epoch).is_some_and(|e| e < held.epoch),
        });
    }
}

#[cfg(test)]
mod tests;
