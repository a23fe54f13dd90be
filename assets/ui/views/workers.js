// The machines that do the work.
import { Bar, Icon, Spark, html, memo, useEffect, useMemo, useState } from '../lib/ui.js';
import { useKey, useSignal, useTick } from '../lib/signals.js';
import { masterNow, running, workers } from '../lib/store.js';
import { here } from '../lib/route.js';
import { ago, bytes, count, fps, percent, plural } from '../lib/format.js';
import { FileName, Foreign, visible } from '../lib/names.js';
import { phase, workerState } from '../lib/words.js';
import { Virtual, scroller } from '../lib/virtual.js';

const RANK = { processing: 0, idle: 1, draining: 2, paused: 3, outside_hours: 4, offline: 5 };
const byName = (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }) || (a.id < b.id ? -1 : 1);
const troubled = (worker) => (worker.state === 'offline' ? 2 : 0) + (worker.warnings.length || worker.failures ? 1 : 0);
const ORDERS = {
  name: ['Name', byName],
  state: ['State', (a, b) => RANK[a.state] - RANK[b.state] || byName(a, b)],
  trouble: ['Trouble first', (a, b) => troubled(b) - troubled(a) || byName(a, b)],
  fastest: ['Fastest', (a, b) => b.fps - a.fps || byName(a, b)],
};

export function memoryShare(worker) {
  const { memory_used_bytes: used, memory_total_bytes: total } = worker.load;
  return total ? used / total : null;
}

export function Task({ id }) {
  const job = useKey(running, id);
  if (!job) return null;
  const p = job.progress;
  const share = p?.frames_total ? p.frames_done / p.frames_total : null;
  return html`<li class="rack-job"><a class="rack-job-name" href=${here({ job: id })}><${FileName} path=${job.path} /></a>
    <span class="rack-job-number">${share == null ? phase(job) : percent(share)}</span>
    <${Bar} share=${share} label=${`Progress of ${visible(job.path)}`} /></li>`;
}

const TASKS_SHOWN = 2;

const Unit = memo(({ id, index, style, role = 'listitem' }) => {
  const worker = useKey(workers, id);
  if (!worker) return null;
  const state = workerState(worker.state);
  const memory = memoryShare(worker);
  const off = worker.state === 'offline';
  const more = worker.jobs.length - TASKS_SHOWN;
  const warnings = worker.warnings.length + (worker.failures ? 1 : 0);
  return html`<div class="rack-place" role=${role} data-index=${index} style=${style}><article class=${`rack${off ? ' rack-off' : ''}`} aria-label=${visible(worker.name)}>
    <header class="rack-head">
      <span class=${`lamp-dot fill-${state.tone}`} aria-hidden="true" />
      <h2><a data-walk="rack" href=${here({ worker: id })}><${Foreign} text=${worker.name} /></a></h2>
      <span class=${`rack-state tone-${state.tone}`}>${state.label}</span>
    </header>
    <div class="rack-meters">
      <div class="meter"><span class="meter-name">CPU</span><b>${off ? '–' : percent(worker.load.cpu_percent / 100)}</b><${Spark} values=${worker.history.map((pair) => pair[0])} max=${100} /></div>
      <div class="meter"><span class="meter-name">Memory</span><b>${off ? '–' : percent(memory)}</b><${Spark} values=${worker.history.map((pair) => pair[1])} max=${100} tone="quiet" /></div>
    </div>
    <ul class="rack-jobs">${worker.jobs.slice(0, TASKS_SHOWN).map((job) => html`<${Task} key=${job} id=${job} />`)}
      ${worker.jobs.length === 0 && html`<li class="quiet-text">${off ? `Last heard of ${ago(worker.last_seen, masterNow())}` : 'No job'}</li>`}</ul>
    <footer class="rack-foot">
      <span title="Encodes that run, of those that could">${count(worker.jobs.length)}/${count(worker.slots)} ${worker.slots === 1 ? 'slot' : 'slots'}</span>
      <span>${more > 0 ? `and ${plural(more, 'more job', 'more jobs')}` : `${fps(worker.fps)} fps`}</span>
      <span class="rack-encoder">${worker.encoder ? html`<${Foreign} text=${worker.encoder} />` : html`<span class="tone-bad">No encoder</span>`}</span>
      ${warnings > 0 && html`<a class="rack-warn tone-warn" href=${here({ worker: id })}><${Icon} name="alert" size=${14} />${plural(warnings, 'remark')}</a>`}
    </footer>
  </article></div>`;
});

const UNIT_WIDTH = 330;

export function Workers() {
  useSignal(workers.members);
  const beat = useTick(3000);
  const [order, setOrder] = useState('name');
  const [search, setSearch] = useState('');
  const [shown, setShown] = useState('all');
  const [columns, setColumns] = useState(1);
  useEffect(() => {
    const look = () => setColumns(Math.max(1, Math.floor((scroller().clientWidth - 32) / UNIT_WIDTH)));
    const sizes = new ResizeObserver(look);
    sizes.observe(scroller());
    look();
    return () => sizes.disconnect();
  }, []);
  const all = [...workers.values()];
  const tally = {};
  for (const worker of all) tally[worker.state] = (tally[worker.state] ?? 0) + 1;
  const ids = useMemo(() => {
    const wanted = search.trim().toLowerCase();
    return all.filter((worker) => (shown === 'all' || worker.state === shown)
      && (!wanted || worker.name.toLowerCase().includes(wanted) || (worker.encoder ?? '').toLowerCase().includes(wanted)))
      .sort(ORDERS[order][1]).map((worker) => worker.id);
  }, [workers.members.version, beat, order, search, shown]);
  const states = Object.keys(RANK).filter((state) => tally[state]);
  return html`<div class="view">
    <header class="view-head">
      <div><h1 tabindex="-1">Workers</h1>
        <div class="segments" role="group" aria-label="Which workers">
          <button type="button" aria-pressed=${shown === 'all'} onClick=${() => setShown('all')}>All <b>${count(all.length)}</b></button>
          ${states.map((state) => html`<button type="button" key=${state} aria-pressed=${shown === state} onClick=${() => setShown(shown === state ? 'all' : state)}>
            <span class=${`swatch fill-${workerState(state).tone}`} aria-hidden="true" />${workerState(state).label} <b>${count(tally[state])}</b></button>`)}
        </div></div>
      <div class="tools">
        <label class="field"><span class="unseen">Filter by name or encoder</span><input type="search" placeholder="Name or encoder" value=${search} onInput=${(event) => setSearch(event.target.value)} /></label>
        <label class="field"><span>Order</span><select value=${order} onChange=${(event) => setOrder(event.target.value)}>
          ${Object.entries(ORDERS).map(([name, [label]]) => html`<option key=${name} value=${name}>${label}</option>`)}</select></label>
      </div>
    </header>
    ${ids.length === 0 ? html`<p class="nothing large">${all.length ? 'Nothing fits.' : html`No worker has joined yet. <a href="#/join">Join one</a>.`}</p>`
      : html`<${Virtual} class="racks" role="list" label="Workers" count=${ids.length} rowHeight=${214} columns=${columns} overscan=${2}
          row=${(index, style) => html`<${Unit} key=${ids[index]} id=${ids[index]} index=${index} style=${style} />`} />`}
  </div>`;
}
