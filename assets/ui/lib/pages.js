// A long list of jobs, page by page, of which only what is near is held.
import { ApiError, get, query } from './api.js';
import { Signal } from './signals.js';
import { link, onJobs } from './store.js';

const PAGE = 200;
// About 1 kB a row. Pages further away than this are let go, and asked for again.
const HELD_ROWS = 4000;

export class Pages {
  constructor(filter) {
    this.filter = filter;
    this.rows = [];
    this.pages = [];
    this.at = new Map();
    this.changed = new Signal(0);
    this.loading = false;
    this.error = null;
    this.next = undefined;
    this.total = null;
    /** Jobs of the list that are not now as they were when it was asked for. */
    this.stale = new Set();
    this.abort = new AbortController();
    const hear = onJobs((jobs) => this.#hear(jobs));
    // What could not be had while the master was away is asked for when it is back.
    const back = link.subscribe(() => {
      if (link.value.state === 'live' && this.error) this.more();
    });
    this.stop = () => {
      hear();
      back();
    };
    this.more();
  }

  close() {
    this.abort.abort();
    this.stop();
  }

  get ended() { return this.next === null; }

  async #ask(after, limit = PAGE) {
    return get(`/api/v1/jobs${query({ ...this.filter, after, limit })}`, this.abort.signal);
  }

  async more() {
    if (this.loading || this.ended) return;
    this.loading = true;
    this.error = null;
    this.changed.touch();
    try {
      const after = this.next;
      const page = await this.#ask(after);
      this.next = page.next ?? null;
      if (page.total != null) this.total = page.total;
      if (page.jobs.length) {
        const start = this.rows.length;
        this.pages.push({ start, count: page.jobs.length, after, held: true });
        page.jobs.forEach((job, i) => this.#put(start + i, job));
      }
    } catch (error) {
      if (error.name === 'AbortError') return;
      this.error = error;
    } finally {
      this.loading = false;
    }
    this.changed.touch();
    // A search looks at a bounded number of rows: a page may be short, or empty.
    if (!this.error && !this.ended && this.rows.length < PAGE / 4) this.more();
  }

  #put(index, job) {
    this.rows[index] = job;
    this.at.set(job.id, index);
  }

  /** The list shows these rows. */
  see(first, end) {
    if (end > this.rows.length - PAGE / 2 && !this.error) this.more();
    for (const page of this.pages) {
      if (!page.held && page.start < end && page.start + page.count > first) this.#fetchAgain(page);
    }
    this.#letGo((first + end) / 2);
  }

  #letGo(middle) {
    const held = this.pages.filter((page) => page.held);
    if (held.length * PAGE <= HELD_ROWS) return;
    const distance = (page) => Math.abs(page.start + page.count / 2 - middle);
    held.sort((a, b) => distance(b) - distance(a));
    for (const page of held.slice(0, held.length - HELD_ROWS / PAGE)) {
      page.held = false;
      for (let i = page.start; i < page.start + page.count; i += 1) {
        if (this.rows[i] && this.at.get(this.rows[i].id) === i) this.at.delete(this.rows[i].id);
        this.rows[i] = undefined;
      }
    }
  }

  async #fetchAgain(page) {
    page.held = true;
    try {
      const { jobs } = await this.#ask(page.after, page.count);
      jobs.forEach((job, i) => this.#put(page.start + i, job));
    } catch (error) {
      page.held = false;
      if (!(error instanceof ApiError)) return;
      this.error = error;
    }
    this.changed.touch();
  }

  #hear(jobs) {
    if (!jobs) return;
    let seen = false;
    for (const job of jobs) {
      const index = this.at.get(job.id);
      if (index === undefined || !this.rows[index]) continue;
      if (this.rows[index].state !== job.state) this.stale.add(job.id);
      this.rows[index] = job;
      seen = true;
    }
    if (seen) this.changed.touch();
  }
}
