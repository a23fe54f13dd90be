// Every job at work, as its worker reports it.
import { Action, Ask, Bar, Icon, Spark, html, memo, toast, useEffect, useMemo, useRef, useState } from '../lib/ui.js';
import { useKey, useSignal, useTick } from '../lib/signals.js';
import { fpsHistory, running, session, status } from '../lib/store.js';
import { jobAction } from '../lib/api.js';
import { here } from '../lib/route.js';
import { bytes, count, duration, fps, percent, plural, speed } from '../lib/format.js';
import { FileName, Foreign, visible } from '../lib/names.js';
import { jobState, phase } from '../lib/words.js';
import { Virtual } from '../lib/virtual.js';

const left = (job) => job.progress?.eta_ms ?? Infinity;
const ORDERS = {
  oldest: ['Longest at work', (a, b) => a.changed - b.changed || a.id - b.id],
  soonest: ['Soonest done', (a, b) => left(a) - left(b) || a.id - b.id],
  slowest: ['Slowest', (a, b) => (a.progress?.fps ?? 0) - (b.progress?.fps ?? 0) || a.id - b.id],
  worker: ['Worker', (a, b) => (a.worker_name ?? '').localeCompare(b.worker_name ?? '') || a.id - b.id],
  file: ['File', (a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0)],
};

/** What a person may still end: past its permit the output may have its name already. */
export const cancellable = (job) => ['pending', 'retry_wait', 'leased', 'staged'].includes(job.state);

export function CancelDialog({ job, onClose }) {
  const p = job.progress;
  const run = async () => {
    const result = await jobAction({ action: 'cancel', ids: [job.id] });
    if (result.refused.length) throw new Error(result.refused[0].message);
    toast('Cancelled. The source stays as it is.');
  };
  return html`<${Ask} title="Cancel this encode?" verb="Cancel the encode" tone="danger" run=${run} onClose=${onClose} keep="Let it run">
    <p><${FileName} path=${job.path} stacked /></p>
    <p>${p?.frames_total ? `${percent(p.frames_done / p.frames_total)} is done and will be lost. ` : ''}The source stays as it is.</p>
  </${Ask}>`;
}

function Sizes({ job, p }) {
  if (!p) return html`<span class="quiet-text">${bytes(job.bytes)}</span>`;
  const projected = p.projected_bytes;
  return html`<span class="sizes">
    <span class="weigh" aria-hidden="true">
      ${projected != null && html`<span class="weigh-projected" style=${{ width: `${Math.min(100, (projected / job.bytes) * 100)}%` }} />`}
      <span class="weigh-written" style=${{ width: `${Math.min(100, (p.bytes_written / job.bytes) * 100)}%` }} />
    </span>
    <span class="sizes-words">${bytes(p.bytes_written)}${projected != null && html` <span class="quiet-text">→ ${bytes(projected)}</span>`}</span>
    <span class="quiet-text">of ${bytes(job.bytes)}</span>
  </span>`;
}

function Saves({ job, p }) {
  if (p?.projected_bytes == null) return html`<span class="quiet-text">–</span>`;
  const saving = 1 - p.projected_bytes / job.bytes;
  return html`<span class=${saving > 0 ? 'good' : 'tone-warn'}>${percent(saving)}</span>`;
}

const Row = memo(({ id, index, style, admin, onCancel }) => {
  // A job that has ended stays until the list is made anew, as it was last.
  const last = useRef(null);
  const job = useKey(running, id) ?? last.current;
  last.current = job;
  if (!job) return null;
  const p = job.progress;
  const share = p?.frames_total ? p.frames_done / p.frames_total : null;
  return html`<div class=${`run${running.has(id) ? '' : ' run-over'}`} role="row" aria-rowindex=${index + 2} data-index=${index} style=${style}>
    <span role="cell" class="run-file"><a data-walk="file" href=${here({ job: id })}><${FileName} path=${job.path} stacked /></a></span>
    <span role="cell" class="run-worker"><${Foreign} text=${job.worker_name ?? '–'} /><span class=${`run-phase tone-${jobState(job.state).tone}`}>${job.state === 'leased' ? phase(job) : jobState(job.state).label}</span></span>
    <span role="cell" class="run-done">
      <${Bar} share=${share} label=${`Progress of ${visible(job.path)}`} text=${share == null ? phase(job) : percent(share)} />
      <b>${share == null ? '' : percent(share)}</b>
      <span class="run-frames">${!p ? phase(job) : p.frames_total ? `${count(p.frames_done)} of ${p.frames_exact ? '' : '≈\u00a0'}${count(p.frames_total)}` : `${count(p.frames_done)} so far`}</span>
    </span>
    <span role="cell" class="run-fps"><span><b>${p ? fps(p.fps) : '–'}</b> <span class="quiet-text">fps</span></span><${Spark} values=${fpsHistory(id)} /></span>
    <span role="cell" class="run-speed">${p ? speed(p.speed) : '–'}</span>
    <span role="cell" class="run-eta">${duration(p?.eta_ms)}</span>
    <span role="cell" class="run-size"><${Sizes} job=${job} p=${p} /></span>
    <span role="cell" class="run-saves"><${Saves} job=${job} p=${p} /></span>
    <span role="cell" class="run-act">${admin && html`<button type="button" class="button icon-only" data-walk="cancel" disabled=${!cancellable(job)}
      aria-label=${`Cancel ${visible(job.path)}`} title="Cancel" onClick=${() => onCancel(job)}><${Icon} name="close" size=${16} /></button>`}</span>
  </div>`;
});

// So many are sorted with every job that comes or goes; more of them with the beat alone.
const FEW = 300;
const NARROW = matchMedia('(max-width: 900px)');

export function Running() {
  useSignal(running.members);
  const now = useSignal(status);
  const admin = useSignal(session).role === 'admin';
  const [order, setOrder] = useState('oldest');
  const [search, setSearch] = useState('');
  const [asked, setAsked] = useState(null);
  const [narrow, setNarrow] = useState(NARROW.matches);
  // Orders by what changes all the time are looked at anew every other second, not with
  // every change: rows that jump cannot be read.
  const beat = useTick(2000);
  useEffect(() => {
    const look = () => setNarrow(NARROW.matches);
    NARROW.addEventListener('change', look);
    return () => NARROW.removeEventListener('change', look);
  }, []);
  const ids = useMemo(() => {
    const wanted = search.trim().toLowerCase();
    const jobs = [...running.values()].filter((job) => !wanted
      || job.path.toLowerCase().includes(wanted) || (job.worker_name ?? '').toLowerCase().includes(wanted));
    return jobs.sort(ORDERS[order][1]).map((job) => job.id);
  }, [running.size < FEW ? running.members.version : 0, beat, order, search]);
  const onCancel = useMemo(() => (job) => setAsked(job), []);
  return html`<div class="view">
    <header class="view-head">
      <div><h1 tabindex="-1">Now running</h1>
        <p class="view-sub">${plural(running.size, 'job')}, <b>${fps(now.fps)}</b> frames/s together, ${speed(now.speed)} real time, ${count(now.busy_slots)} of ${count(now.slots)} slots busy</p></div>
      <div class="tools">
        <label class="field"><span class="unseen">Filter by file or worker</span><input type="search" placeholder="File or worker" value=${search} onInput=${(event) => setSearch(event.target.value)} /></label>
        <label class="field"><span>Order</span><select value=${order} onChange=${(event) => setOrder(event.target.value)}>
          ${Object.entries(ORDERS).map(([name, [label]]) => html`<option key=${name} value=${name}>${label}</option>`)}</select></label>
      </div>
    </header>
    ${ids.length === 0 ? html`<p class="nothing large">${running.size ? 'Nothing fits.' : 'Nothing runs.'}</p>` : html`
    <div role="table" aria-label="Jobs at work" aria-rowcount=${ids.length + 1} class="table">
      <div role="rowgroup" class="table-head"><div role="row" class="run run-head" aria-rowindex="1">
        ${['File', 'Worker', 'Frames', 'Frame rate', 'Speed', 'Time left', 'Size so far', 'Saves'].map((title) => html`<span role="columnheader" key=${title}>${title}</span>`)}
        <span role="columnheader"><span class="unseen">Cancel</span></span>
      </div></div>
      <${Virtual} count=${ids.length} rowHeight=${narrow ? 148 : 68} row=${(index, style) => html`<${Row} key=${ids[index]} id=${ids[index]} index=${index} style=${style} admin=${admin} onCancel=${onCancel} />`} />
    </div>`}
    ${asked && html`<${CancelDialog} job=${running.get(asked.id) ?? asked} onClose=${() => setAsked(null)} />`}
  </div>`;
}
