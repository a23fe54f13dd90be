// Three seconds: is all well, and how much was saved.
import { Bar, Icon, Spark, html, memo, useEffect, useMemo, useRef, useState } from '../lib/ui.js';
import { schedule, useKey, useSignal, useTick } from '../lib/signals.js';
import { link, masterNow, pulse, recent, running, status, workers } from '../lib/store.js';
import { get } from '../lib/api.js';
import { go, here, href } from '../lib/route.js';
import { ago, bytes, bytesParts, count, countShort, duration, fps, hourMinute, percent, plural, shortDay, speed, timeOfDay, utcDay } from '../lib/format.js';
import { Because, FileName, Foreign, visible } from '../lib/names.js';
import { WORKER_STATES, jobState, phase, workerState } from '../lib/words.js';
import { Chart, axes, colour } from '../lib/chart.js';

const DAY_MS = 86_400_000;

/** One sentence on how everything stands, and how grave it is. */
function verdict(now, line) {
  const online = Object.entries(now.workers).reduce((sum, [state, n]) => sum + (state === 'offline' ? 0 : n), 0);
  const busy = now.busy_slots;
  const works = busy ? `${plural(busy, 'encode runs', 'encodes run')} on ${plural(online, 'worker')}.` : '';
  const worst = now.notices.find((n) => n.level === 'error');
  const queue = (now.jobs.pending ?? 0) + (now.jobs.retry_wait ?? 0);
  if (line.state === 'lost') return { tone: 'bad', icon: 'link', head: 'Out of touch.', text: `As of ${timeOfDay(line.since)}.` };
  if (worst) return { tone: 'bad', icon: 'error', head: 'Something does not work.', text: works };
  if (now.attention) {
    return {
      tone: 'warn', icon: 'alert', head: `${plural(now.attention, 'file needs', 'files need')} a person.`, text: works,
    };
  }
  if (now.paused) return { tone: 'warn', icon: 'pause', head: 'Paused.', text: works || 'Nothing runs.' };
  if (!online && queue) return { tone: 'warn', icon: 'alert', head: 'No worker is there.', text: `${plural(queue, 'file waits', 'files wait')}.` };
  if (now.notices.some((n) => n.level === 'warning')) return { tone: 'warn', icon: 'alert', head: 'Works, with a remark.', text: works };
  return { tone: 'ok', icon: 'check', head: 'All is well.', text: works || (queue ? 'The next encodes are about to begin.' : 'Nothing is left to do.') };
}

function Hero() {
  const now = useSignal(status);
  const line = useSignal(link);
  const all = verdict(now, line);
  const saved = Math.max(0, now.saved_bytes);
  const [number, unit] = bytesParts(now.saved_bytes);
  const were = now.replaced_source_bytes;
  const share = were ? saved / were : 0;
  return html`<section class="hero" aria-label="How it stands">
    <p class=${`verdict ${all.tone}`}><${Icon} name=${all.icon} size=${22} /><span><strong>${all.head}</strong> ${all.text}</span></p>
    <p class="saved"><span class="saved-number">${number}</span><span class="saved-unit">${unit}</span><span class="saved-word">saved</span></p>
    ${were > 0 && html`
      <div class="ribbon" aria-hidden="true"><div class="ribbon-now" style=${{ width: `${(1 - share) * 100}%` }} /><div class="ribbon-saved" /></div>
      <p class="ribbon-words"><span><b>${bytes(were - now.saved_bytes)}</b> now</span><span>${percent(now.saved_bytes / were)} smaller</span><span>were <b>${bytes(were)}</b></span></p>
    `}
  </section>`;
}

// --- Saved over time ---------------------------------------------------------------------

const RANGES = [['30', '30 days'], ['90', '90 days'], ['all', 'All']];

/** Days without a gap, from the one before the first to today: [seconds], [saved], [in all]. */
export function savedSeries(days, now, range, total) {
  if (!days.length) return null;
  const today = Math.floor(now / DAY_MS) * DAY_MS;
  const byDay = new Map(days.map((day) => [day.day, day.saved_bytes]));
  const first = Math.min(days[0].day, today) - DAY_MS;
  const begin = range === 'all' ? first : Math.max(first, today - Number(range) * DAY_MS);
  // The master may forget old days; what it saved in all it does not.
  const known = days.reduce((sum, day) => sum + day.saved_bytes, 0);
  let sum = Math.max(0, total - known);
  for (const day of days) if (day.day < begin) sum += day.saved_bytes;
  const series = [[], [], []];
  for (let day = begin; day <= today; day += DAY_MS) {
    const saved = byDay.get(day) ?? 0;
    sum += saved;
    series[0].push(day / 1000);
    series[1].push(saved);
    series[2].push(sum);
  }
  return series;
}

function savedOptions(uPlot) {
  const line = colour('saved');
  return {
    legend: { show: false },
    cursor: { points: { size: 7 }, y: false, drag: { x: false, y: false } },
    tzDate: (s) => uPlot.tzDate(new Date(s * 1000), 'UTC'),
    scales: {
      y: { range: (_, low, high) => [0, Math.max(1, high) * 1.08] },
      day: { range: (_, low, high) => [0, Math.max(1, high) * 2.6] },
    },
    axes: axes({ y: bytes, x: shortDay }),
    series: [
      {},
      { scale: 'day', stroke: null, width: 0, fill: `${line}55`, points: { show: false }, paths: uPlot.paths.bars({ size: [0.7, 22], align: 0 }) },
      { stroke: line, width: 2, fill: `${line}1f`, points: { show: false } },
    ],
  };
}

function Savings() {
  const now = useSignal(status);
  const [range, setRange] = useState('90');
  const [days, setDays] = useState(null);
  const done = now.jobs.completed ?? 0;
  useEffect(() => {
    const abort = new AbortController();
    const ask = () => get('/api/v1/saved', abort.signal).then((view) => setDays(view.days)).catch(() => {});
    // With every few replacements, but not with each of a hundred a second.
    const timer = setTimeout(ask, days ? 5000 : 0);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [done]);
  const series = useMemo(
    () => days && savedSeries(days, masterNow(), range, now.saved_bytes),
    [days, range, now.saved_bytes > 0],
  );
  const last = series && series[1][series[1].length - 1];
  return html`<section class="savings panel" aria-label="Saved over time">
    <header class="panel-head">
      <h2>Saved over time</h2>
      <div class="segments" role="group" aria-label="How far back">
        ${RANGES.map(([name, label]) => html`<button type="button" key=${name} aria-pressed=${range === name} onClick=${() => setRange(name)}>${label}</button>`)}
      </div>
    </header>
    ${series
      ? html`<${Chart} options=${savedOptions} data=${series} label=${`Bytes saved, by day and in all, since ${utcDay(series[0][0] * 1000)}. Today ${bytes(last)}, in all ${bytes(now.saved_bytes)}.`} />
        <p class="chart-words"><span class="key key-line">in all</span><span class="key key-bar">by day</span><span>Today <b>${bytes(last)}</b></span></p>`
      : html`<p class="nothing">${days ? 'The line begins with the first film that is replaced.' : ''}</p>`}
  </section>`;
}

// --- Numbers -----------------------------------------------------------------------------

const SHARES = [
  ['completed', 'Completed', 'saved', ['completed']],
  ['skipped', 'Left alone', 'quiet', ['skipped', 'cancelled']],
  ['failed', 'Failed', 'bad', ['failed', 'quarantined']],
  ['running', 'Processing', 'run', ['leased', 'staged', 'committing', 'recovering']],
  ['pending', 'Pending', 'wait', ['pending', 'retry_wait']],
];

function Library() {
  const now = useSignal(status);
  const parts = SHARES.map(([name, label, tone, states]) => ({
    name, label, tone, states, n: states.reduce((sum, state) => sum + (now.jobs[state] ?? 0), 0),
  }));
  const total = parts.reduce((sum, part) => sum + part.n, 0);
  const decided = parts.slice(0, 3).reduce((sum, part) => sum + part.n, 0);
  return html`<section class="progress panel" aria-label="Library progress">
    <header class="panel-head"><h2>Library</h2><p class="quiet-text">${plural(now.files, 'file')}, ${bytes(now.library_bytes)}</p></header>
    <p class="progress-number"><span class="number">${total ? percent(decided / total) : '–'}</span> <span class="quiet-text">${count(decided)} of ${count(total)} decided</span></p>
    <div class="stack" aria-hidden="true">
      ${parts.filter((part) => part.n).map((part) => html`<div key=${part.name} class=${`stack-part fill-${part.tone}`} style=${{ flexGrow: part.n }} />`)}
    </div>
    <ul class="legend">
      ${parts.map((part) => html`<li key=${part.name}><a href=${href('library', { state: part.states.join(',') })}>
        <span class=${`swatch fill-${part.tone}`} aria-hidden="true" /><span>${part.label}</span> <b>${count(part.n)}</b></a></li>`)}
    </ul>
  </section>`;
}

function Gauge({ label, number, unit, note, link: to, children }) {
  return html`<div class="gauge"><dt>${to ? html`<a href=${to}>${label}</a>` : label}</dt>
    <dd><span class="number">${number}</span>${unit && html`<span class="unit">${unit}</span>`}${note && html`<span class="gauge-note">${note}</span>`}${children}</dd></div>`;
}

function Gauges() {
  const now = useSignal(status);
  const waiting = (now.jobs.pending ?? 0) + (now.jobs.retry_wait ?? 0);
  const retries = now.jobs.retry_wait ?? 0;
  const online = Object.entries(now.workers).reduce((sum, [state, n]) => sum + (state === 'offline' ? 0 : n), 0);
  const offline = now.workers.offline ?? 0;
  const [left, ...more] = duration(now.eta_ms).split(' ');
  return html`<dl class="gauges">
    <${Gauge} label="Time left" number=${left.replace('\u00a0', ' ')} unit=${more.join(' ')} note=${waiting ? 'until the queue is empty' : 'the queue is empty'} />
    <${Gauge} label="Throughput" number=${fps(now.fps)} unit="frames/s" note=${`${speed(now.speed)} real time`} link=${href('running')} />
    <${Gauge} label="Queue" number=${countShort(waiting)} unit=${waiting === 1 ? 'file' : 'files'} note=${retries ? `${count(retries)} of them to retry` : waiting ? 'wait for a worker' : 'nothing waits'} link=${href('library', { state: 'pending,retry_wait', sort: 'queue' })} />
    <${Gauge} label="Workers" number=${`${count(now.busy_slots)}/${count(now.slots)}`} unit="slots" note=${offline ? `${count(online)} online, ${count(offline)} offline` : `${count(online)} online`} link=${href('workers')} />
  </dl>`;
}

// --- Throughput --------------------------------------------------------------------------

function pulseOptions() {
  const line = colour('run');
  return {
    legend: { show: false },
    cursor: { points: { size: 7 }, y: false, drag: { x: false, y: false } },
    scales: { y: { range: (_, low, high) => [0, Math.max(1, high) * 1.15] } },
    axes: axes({ y: fps, x: hourMinute }),
    series: [{}, { stroke: line, width: 1.5, fill: `${line}1f`, points: { show: false }, spanGaps: false }],
  };
}

function Throughput() {
  useSignal(pulse);
  const now = useSignal(status);
  const [day, setDay] = useState(null);
  useEffect(() => {
    const abort = new AbortController();
    const ask = () => get('/api/v1/throughput', abort.signal).then(setDay).catch(() => {});
    ask();
    const timer = setInterval(ask, 60_000);
    return () => {
      clearInterval(timer);
      abort.abort();
    };
  }, []);
  const points = pulse.value;
  const old = day?.points ?? [];
  const series = [[], []];
  const add = (t, value) => {
    series[0].push(t / 1000);
    series[1].push(value);
  };
  for (const point of old) add(point.at, point.fps);
  const from = old.length ? old[old.length - 1].at : 0;
  for (const point of points) if (point.t > from) add(point.t, point.fps);
  const mean = old.length ? old.reduce((sum, point) => sum + point.fps, 0) / old.length : null;
  return html`<section class="throughput panel" aria-label="Throughput">
    <header class="panel-head"><h2>Throughput</h2><p class="quiet-text">${old.length ? html`the last day, on average <b>${fps(mean)}</b> frames/s` : 'since this page was opened'}</p></header>
    ${series[0].length > 1
      ? html`<${Chart} options=${pulseOptions} data=${series} label=${`Frames a second, now ${fps(now.fps)}.`} />`
      : html`<p class="nothing">Collecting…</p>`}
  </section>`;
}

// --- Lists -------------------------------------------------------------------------------

const RunningLine = memo(({ id }) => {
  const job = useKey(running, id);
  if (!job) return null;
  const p = job.progress;
  const share = p?.frames_total ? p.frames_done / p.frames_total : null;
  return html`<li class="line">
    <a class="line-name" href=${here({ job: id })}><${FileName} path=${job.path} /></a>
    <span class="line-note"><${Foreign} text=${job.worker_name ?? ''} /></span>
    <span class="line-bar"><${Bar} share=${share} label=${`Progress of ${visible(job.path)}`} text=${share == null ? phase(job) : percent(share)} /></span>
    <span class="line-number">${p ? `${fps(p.fps)} fps` : phase(job)}</span>
    <span class="line-number">${p?.eta_ms != null ? `${duration(p.eta_ms)} left` : ''}</span>
  </li>`;
});

const SHOWN = 6;

function RunningNow() {
  useSignal(running.members);
  const ids = [];
  for (const id of running.keys()) {
    ids.push(id);
    if (ids.length === SHOWN) break;
  }
  return html`<section class="panel now" aria-label="Now running">
    <header class="panel-head"><h2>Now running</h2><a href=${href('running')}>All ${count(running.size)}</a></header>
    ${ids.length ? html`<ul class="lines">${ids.map((id) => html`<${RunningLine} key=${id} id=${id} />`)}</ul>` : html`<p class="nothing">Nothing runs.</p>`}
  </section>`;
}

// --- Workers -----------------------------------------------------------------------------

const LISTED = 7;

const CrewLine = memo(({ id }) => {
  const worker = useKey(workers, id);
  if (!worker) return null;
  const state = workerState(worker.state);
  const off = worker.state === 'offline';
  return html`<li class="line crew-line">
    <span class=${`dot fill-${state.tone}`} aria-hidden="true" />
    <a class="line-name" href=${here({ worker: id })}><${Foreign} text=${worker.name} /></a>
    <span class="line-note">${state.label}</span>
    <${Spark} values=${worker.history.map((pair) => pair[0])} max=${100} />
    <span class="line-percent">${off ? '–' : percent(worker.load.cpu_percent / 100)}<span class="unseen"> processors</span></span>
  </li>`;
});

/** A cell for each worker: its colour says its state, how full it is how busy its processors are. */
function Wall() {
  const canvas = useRef(null);
  const cells = useRef([]);
  useEffect(() => {
    const element = canvas.current;
    const draw = () => {
      const crew = [...workers.values()].sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
      const width = element.clientWidth;
      if (!width) return;
      // Between 10 and 26 px, so that a thousand fit into a panel.
      const size = Math.max(10, Math.min(26, Math.floor(Math.sqrt((width * 190) / crew.length))));
      const across = Math.floor(width / size);
      const height = Math.ceil(crew.length / across) * size;
      const scale = devicePixelRatio;
      element.style.height = `${height}px`;
      if (element.width !== width * scale || element.height !== height * scale) {
        element.width = width * scale;
        element.height = height * scale;
      }
      const paint = element.getContext('2d');
      paint.setTransform(scale, 0, 0, scale, 0, 0);
      paint.clearRect(0, 0, width, height);
      const colours = {};
      for (const [name, { tone }] of Object.entries(WORKER_STATES)) colours[name] = colour(`${tone}-fill`);
      cells.current = { crew, size, across };
      crew.forEach((worker, i) => {
        const x = (i % across) * size;
        const y = Math.floor(i / across) * size;
        const side = size - 2;
        const full = worker.state === 'offline' ? 1 : Math.max(0.12, worker.load.cpu_percent / 100);
        paint.fillStyle = colours[worker.state] ?? colours.idle;
        paint.globalAlpha = 0.22;
        paint.fillRect(x, y, side, side);
        paint.globalAlpha = 1;
        paint.fillRect(x, y + side * (1 - full), side, side * full);
      });
    };
    const again = () => schedule(draw);
    const stop = workers.any.subscribe(again);
    const sizes = new ResizeObserver(again);
    sizes.observe(element.parentElement);
    addEventListener('themechange', again);
    draw();
    return () => {
      stop();
      sizes.disconnect();
      removeEventListener('themechange', again);
    };
  }, []);
  const at = (event) => {
    const { crew, size, across } = cells.current;
    const column = Math.floor(event.offsetX / size);
    return column < across ? crew[Math.floor(event.offsetY / size) * across + column] : undefined;
  };
  return html`<canvas class="wall" ref=${canvas} aria-hidden="true"
    onMouseMove=${(event) => {
      const worker = at(event);
      event.currentTarget.title = worker ? `${visible(worker.name)}: ${workerState(worker.state).label}, ${percent(worker.load.cpu_percent / 100)} CPU` : '';
    }}
    onClick=${(event) => {
      const worker = at(event);
      if (worker) go(here({ worker: worker.id }));
    }} />`;
}

function Crew() {
  useSignal(workers.members);
  const now = useSignal(status);
  const ids = [...workers.values()].sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true })).map((worker) => worker.id);
  const many = ids.length > LISTED;
  return html`<section class="panel crew" aria-label="Workers">
    <header class="panel-head"><h2>Workers</h2><a href=${href('workers')}>All ${count(ids.length)}</a></header>
    ${ids.length === 0 && html`<p class="nothing">No worker has joined yet. <a href=${href('join')}>Join one</a></p>`}
    ${!many && ids.length > 0 && html`<ul class="lines">${ids.map((id) => html`<${CrewLine} key=${id} id=${id} />`)}</ul>`}
    ${many && html`<${Wall} /><ul class="legend">${Object.entries(WORKER_STATES).filter(([name]) => now.workers[name]).map(([name, { label, tone }]) => html`<li key=${name}><a href=${href('workers')}>
      <span class=${`swatch fill-${tone}`} aria-hidden="true" /><span>${label}</span> <b>${count(now.workers[name])}</b></a></li>`)}</ul>`}
  </section>`;
}

function Recent() {
  const jobs = useSignal(recent);
  useTick(10_000);
  const now = masterNow();
  return html`<section class="panel ended" aria-label="Lately">
    <header class="panel-head"><h2>Lately</h2><a href=${href('library', { state: 'completed,skipped,failed,quarantined,cancelled' })}>Library</a></header>
    ${jobs.length ? html`<ul class="lines">${jobs.slice(0, 8).map((job) => {
      const state = jobState(job.state);
      const saved = job.saved_bytes != null && job.source_bytes ? `${percent(job.saved_bytes / job.source_bytes)} smaller` : null;
      return html`<li class="line line-ended" key=${job.id}>
        <span class=${`dot fill-${state.tone}`} title=${state.label} aria-hidden="true" />
        <a class="line-name" href=${here({ job: job.id })}><${FileName} path=${job.path} /></a>
        <span class="line-note">${saved ? html`<span class="good">${saved}</span>` : html`${state.label}${job.reason ? html`: <${Because} job=${job} />` : ''}`}</span>
        <span class="line-number">${ago(job.changed, now)}</span>
      </li>`;
    })}</ul>` : html`<p class="nothing">Nothing has ended yet.</p>`}
  </section>`;
}

const NOTICE_ICON = { info: 'info', warning: 'alert', error: 'error' };
const NOTICE_TONE = { info: 'quiet', warning: 'warn', error: 'bad' };

function Attention() {
  const now = useSignal(status);
  const [jobs, setJobs] = useState([]);
  useEffect(() => {
    if (!now.attention) {
      setJobs([]);
      return undefined;
    }
    const abort = new AbortController();
    get('/api/v1/jobs?state=failed,quarantined&sort=changed&desc=true&limit=3', abort.signal)
      .then((page) => setJobs(page.jobs)).catch(() => {});
    return () => abort.abort();
  }, [now.attention]);
  if (!now.attention && !now.notices.length) return null;
  return html`<section class="panel attention" aria-label="Needs a person">
    <header class="panel-head"><h2>${now.attention ? 'Needs a person' : 'Good to know'}</h2>
      ${now.attention > 0 && html`<a href=${href('library', { state: 'failed,quarantined' })}>All ${count(now.attention)}</a>`}</header>
    <ul class="lines">
      ${now.notices.map((notice) => html`<li class=${`notice tone-${NOTICE_TONE[notice.level]}`} key=${notice.kind + notice.message}>
        <${Icon} name=${NOTICE_ICON[notice.level]} size=${16} /><${Foreign} text=${notice.message} /></li>`)}
      ${jobs.map((job) => html`<li class="line line-failed" key=${job.id}>
        <span class="dot fill-bad" aria-hidden="true" />
        <a class="line-name" href=${here({ job: job.id })}><${FileName} path=${job.path} /></a>
        <span class="line-why">${job.reason ? html`<${Because} job=${job} />` : jobState(job.state).label}</span>
      </li>`)}
    </ul>
  </section>`;
}

function Roots() {
  const now = useSignal(status);
  useTick(10_000);
  if (!now.roots.length) return null;
  return html`<section class="panel roots" aria-label="Media directories">
    <header class="panel-head"><h2>Media directories</h2></header>
    <ul class="lines">${now.roots.map((root) => html`<li class="line line-root" key=${root.path}>
      <${Icon} name="folder" size=${16} />
      <${Foreign} class="line-name" text=${root.path} />
      <span class=${`line-note${root.mounted && !root.problem ? '' : ' tone-bad'}`}>
        ${root.problem ? html`<${Foreign} text=${root.problem} />` : root.mounted ? '' : 'Not mounted'}
        ${root.scanning_files != null && `Scanning: ${plural(root.scanning_files, 'file')} so far`}</span>
      <span class="line-number">${root.scanning_files == null && (root.scanned ? `scanned ${ago(root.scanned, masterNow())}` : 'not yet scanned')}</span>
    </li>`)}</ul>
  </section>`;
}

export function Overview() {
  return html`<div class="overview">
    <h1 class="unseen" tabindex="-1">Overview</h1>
    <${Hero} /><${Savings} />
    <${Gauges} />
    <${Attention} />
    <${RunningNow} /><${Crew} />
    <${Library} /><${Throughput} />
    <${Recent} />
    <${Roots} />
  </div>`;
}
