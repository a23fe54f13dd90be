// Values that tell their readers when they change, at most once for each painted frame.
import { useEffect, useReducer, useRef } from '../vendor/preact-htm.module.js';

const waiting = new Set();
let armed = false;

function flush() {
  armed = false;
  const batch = [...waiting];
  waiting.clear();
  for (const run of batch) run();
}

/** Runs `run` before the next frame, once, however often it is asked for. */
export function schedule(run) {
  waiting.add(run);
  if (armed) return;
  armed = true;
  // No frames are painted while the page is hidden; readers may then be late.
  if (document.visibilityState === 'hidden') setTimeout(flush, 1000);
  else requestAnimationFrame(flush);
}

export class Signal {
  #readers = new Set();

  constructor(value) {
    this.value = value;
    this.version = 0;
  }

  set(value) {
    if (Object.is(value, this.value)) return;
    this.value = value;
    this.touch();
  }

  touch() {
    this.version += 1;
    for (const reader of this.#readers) schedule(reader);
  }

  subscribe(reader) {
    this.#readers.add(reader);
    return () => this.#readers.delete(reader);
  }
}

/** Values by key. A reader of one key hears of that one alone; `members` of keys that come and go. */
export class Keyed {
  #values = new Map();
  #readers = new Map();

  constructor() {
    this.members = new Signal(0);
    this.any = new Signal(0);
  }

  get size() { return this.#values.size; }
  get(key) { return this.#values.get(key); }
  has(key) { return this.#values.has(key); }
  values() { return this.#values.values(); }
  keys() { return this.#values.keys(); }

  set(key, value) {
    const isNew = !this.#values.has(key);
    this.#values.set(key, value);
    this.#tell(key, isNew);
  }

  delete(key) {
    if (this.#values.delete(key)) this.#tell(key, true);
  }

  replaceAll(entries) {
    const before = this.#values;
    this.#values = new Map(entries);
    for (const key of this.#readers.keys()) {
      if (before.get(key) !== this.#values.get(key)) this.#tell(key, false);
    }
    this.members.touch();
    this.any.touch();
  }

  #tell(key, membership) {
    const readers = this.#readers.get(key);
    if (readers) for (const reader of readers) schedule(reader);
    if (membership) this.members.touch();
    this.any.touch();
  }

  subscribe(key, reader) {
    let readers = this.#readers.get(key);
    if (!readers) this.#readers.set(key, (readers = new Set()));
    readers.add(reader);
    return () => {
      readers.delete(reader);
      if (readers.size === 0 && this.#readers.get(key) === readers) this.#readers.delete(key);
    };
  }
}

function useReader() {
  const [, again] = useReducer((n) => n + 1, 0);
  const reader = useRef(null);
  reader.current ??= () => again();
  return reader.current;
}

/** The signal's value; the component is drawn again when it changes. */
export function useSignal(signal) {
  const reader = useReader();
  const drawn = signal.version;
  useEffect(() => {
    const stop = signal.subscribe(reader);
    if (signal.version !== drawn) reader();
    return stop;
  }, [signal]);
  return signal.value;
}

/** The value under a key; the component is drawn again when it changes. */
export function useKey(keyed, key) {
  const reader = useReader();
  const drawn = keyed.get(key);
  useEffect(() => {
    const stop = keyed.subscribe(key, reader);
    if (keyed.get(key) !== drawn) reader();
    return stop;
  }, [keyed, key]);
  return drawn;
}

/** Draws the component again every so many milliseconds, and returns how often it has. */
export function useTick(ms) {
  const [ticks, again] = useReducer((n) => n + 1, 0);
  useEffect(() => {
    const timer = setInterval(() => schedule(again), ms);
    return () => clearInterval(timer);
  }, [ms]);
  return ticks;
}
