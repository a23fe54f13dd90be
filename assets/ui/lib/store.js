// What the page knows, as the live feed tells it.
import { Keyed, Signal } from './signals.js';

export const session = new Signal(null);
export const status = new Signal(null);
export const running = new Keyed();
export const workers = new Keyed();
export const recent = new Signal([]);
/** The line to the master: {state: 'connecting' | 'live' | 'lost', since, retryAt}. */
export const link = new Signal({ state: 'connecting', since: Date.now() });
/** Throughput since this page was opened: [{t, fps, speed}], oldest first. */
export const pulse = new Signal([]);

const ACTIVE = new Set(['leased', 'staged', 'committing', 'recovering']);
const ENDED = new Set(['completed', 'skipped', 'failed', 'cancelled', 'quarantined']);
const RECENT_MOST = 50;
const PULSE_MOST = 1800;
const FPS_MOST = 60;
// Progress comes with every report of a worker; closer points than this say nothing new.
const FPS_STEP_MS = 1500;

const fpsOf = new Map();
const jobListeners = new Set();
let skewMs = 0;

/** The master's clock, which all its times are by. */
export const masterNow = () => Date.now() + skewMs;

export const isActive = (job) => ACTIVE.has(job.state);
/** Workers have a role too, but nothing to see. */
export const mayLook = (who) => who?.role === 'admin' || who?.role === 'read';

/** Calls `listener(jobs)` for every batch of jobs that changed. */
export function onJobs(listener) {
  jobListeners.add(listener);
  return () => jobListeners.delete(listener);
}

/** The last frame rates of a running job, oldest first. */
export function fpsHistory(id) {
  const ring = fpsOf.get(id);
  if (!ring) return [];
  const length = Math.min(ring.count, FPS_MOST);
  return Array.from({ length }, (_, i) => ring.values[(ring.count - length + i) % FPS_MOST]);
}

function rememberFps(job, now) {
  if (!job.progress) return;
  let ring = fpsOf.get(job.id);
  if (!ring) fpsOf.set(job.id, (ring = { values: new Float32Array(FPS_MOST), count: 0, at: 0 }));
  if (now - ring.at < FPS_STEP_MS) return;
  ring.values[ring.count % FPS_MOST] = job.progress.fps;
  ring.count += 1;
  ring.at = now;
}

function setStatus(next) {
  skewMs = next.now - Date.now();
  status.set(next);
  const points = pulse.value;
  const last = points[points.length - 1];
  if (last && next.now - last.t < 1000) return;
  points.push({ t: next.now, fps: next.fps, speed: next.speed });
  if (points.length > PULSE_MOST) points.splice(0, points.length - PULSE_MOST);
  pulse.touch();
}

export function applySnapshot(state) {
  setStatus(state.status);
  const now = Date.now();
  for (const job of state.running) rememberFps(job, now);
  running.replaceAll(state.running.map((job) => [job.id, job]));
  for (const id of fpsOf.keys()) if (!running.has(id)) fpsOf.delete(id);
  workers.replaceAll(state.workers.map((worker) => [worker.id, worker]));
  recent.set(state.recent);
  for (const listener of jobListeners) listener(null);
}

export function applyDelta(delta) {
  if (delta.status) setStatus(delta.status);
  const now = Date.now();
  const ended = [];
  for (const job of delta.jobs ?? []) {
    if (isActive(job)) {
      rememberFps(job, now);
      running.set(job.id, job);
    } else {
      if (ENDED.has(job.state)) ended.push(job);
      running.delete(job.id);
      fpsOf.delete(job.id);
    }
  }
  if (ended.length) {
    const ids = new Set(ended.map((job) => job.id));
    const others = recent.value.filter((job) => !ids.has(job.id));
    // By when they ended: a job of last year whose priority is set has not ended again.
    recent.set([...ended, ...others].sort((a, b) => b.changed - a.changed).slice(0, RECENT_MOST));
  }
  for (const worker of delta.workers ?? []) workers.set(worker.id, worker);
  if (delta.jobs?.length) for (const listener of jobListeners) listener(delta.jobs);
}
