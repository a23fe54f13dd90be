// The live feed: one WebSocket, a snapshot, then numbered deltas. A line that breaks is
// taken up again where it broke; the page says so while it lasts.
import { applyDelta, applySnapshot, link, session } from './store.js';
import { get, query } from './api.js';

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;
// A browser does not show pings. Where nothing is heard for so long, the master is asked.
const QUIET_MS = 20_000;

let socket = null;
let feed = null;
let seq = 0;
let waitMs = FIRST_WAIT_MS;
let retryTimer = 0;
let heardAt = 0;
let wanted = false;

function open() {
  clearTimeout(retryTimer);
  const url = new URL(`/api/v1/live${query({ feed, after: feed ? String(seq) : null })}`, location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  const mine = new WebSocket(url);
  socket = mine;
  heardAt = Date.now();
  mine.onmessage = (event) => {
    if (socket === mine) hear(JSON.parse(event.data));
  };
  mine.onclose = () => {
    if (socket === mine) lost();
  };
  // Resuming where nothing happened since brings no message: an open line is a live one.
  mine.onopen = () => {
    if (socket === mine && feed) live();
  };
}

function live() {
  waitMs = FIRST_WAIT_MS;
  if (link.value.state !== 'live') link.set({ state: 'live', since: Date.now() });
}

function hear(message) {
  heardAt = Date.now();
  if (message.kind === 'snapshot') {
    feed = message.feed;
    seq = message.seq;
    applySnapshot(message);
    live();
  } else if (message.kind === 'delta') {
    if (message.seq <= seq) return;
    if (message.seq !== seq + 1) {
      // Something was missed: begin anew rather than show what is not so.
      feed = null;
      restart();
      return;
    }
    seq = message.seq;
    applyDelta(message);
    live();
  }
}

function restart() {
  const old = socket;
  socket = null;
  old?.close();
  open();
}

async function lost() {
  socket = null;
  if (!wanted) return;
  const since = link.value.state === 'lost' ? link.value.since : heardAt;
  // Half as long up to the whole, so that many pages do not all come back at once.
  const wait = waitMs * (0.5 + Math.random() / 2);
  waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS);
  link.set({ state: 'lost', since, retryAt: Date.now() + wait });
  retryTimer = setTimeout(open, wait);
  // A socket does not say why it was refused; a session that ended is no lost line.
  try {
    const now = await get('/api/v1/session');
    if (!now.role) {
      stop();
      session.set(now);
    }
  } catch {
    // Not there: the timer goes on.
  }
}

export function retryNow() {
  if (!wanted || socket) return;
  waitMs = FIRST_WAIT_MS;
  open();
}

async function lookAfterQuiet() {
  if (!wanted || !socket || Date.now() - heardAt < QUIET_MS) return;
  const mine = socket;
  try {
    const answer = await fetch('/healthz', { signal: AbortSignal.timeout(5000), cache: 'no-store' });
    if (answer.ok) {
      heardAt = Date.now();
      return;
    }
  } catch {
    // Falls through to a new line.
  }
  if (socket === mine) {
    socket = null;
    mine.close();
    lost();
  }
}

export function start() {
  if (wanted) return;
  wanted = true;
  link.set({ state: 'connecting', since: Date.now() });
  open();
}

export function stop() {
  wanted = false;
  clearTimeout(retryTimer);
  const old = socket;
  socket = null;
  old?.close();
}

setInterval(lookAfterQuiet, 5000);
addEventListener('online', retryNow);
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') retryNow();
});
