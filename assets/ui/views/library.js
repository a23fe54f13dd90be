// Every file there is, where it stands and why.
import { Action, Ask, Dialog, Icon, html, memo, toast, useEffect, useMemo, useRef, useState } from '../lib/ui.js';
import { useSignal, useTick } from '../lib/signals.js';
import { masterNow, session, status } from '../lib/store.js';
import { jobAction } from '../lib/api.js';
import { go, here, route } from '../lib/route.js';
import { Pages } from '../lib/pages.js';
import { ago, bytes, count, percent, plural } from '../lib/format.js';
import { Because, FileName, Foreign, visible } from '../lib/names.js';
import { jobState, phase } from '../lib/words.js';
import { Virtual, scroller } from '../lib/virtual.js';

const GROUPS = [
  ['all', 'All', ''],
  ['attention', 'Need a person', 'failed,quarantined'],
  ['pending', 'Pending', 'pending,retry_wait'],
  ['processing', 'Processing', 'leased,staged,committing,recovering'],
  ['completed', 'Completed', 'completed'],
  ['skipped', 'Left alone', 'skipped'],
  ['cancelled', 'Cancelled', 'cancelled'],
  ['vanished', 'Gone', 'vanished'],
];

function filterOf(params) {
  const state = params.get('state');
  return {
    state: state && state !== 'all' ? state : '',
    search: params.get('search') ?? '',
    reason: params.get('reason') ?? '',
    root: params.get('root') ?? '',
    sort: params.get('sort') ?? 'changed',
    desc: params.get('desc') ?? (params.get('sort') ? 'false' : 'true'),
  };
}

const asBody = (filter) => ({
  states: filter.state ? filter.state.split(',') : [],
  root: filter.root || null,
  search: filter.search || null,
  reason: filter.reason || null,
});

/** How many fit, where the sums say. */
function known(filter, now) {
  if (filter.search || filter.reason || filter.root) return null;
  if (!filter.state) return now.files;
  return filter.state.split(',').reduce((sum, state) => sum + (now.jobs[state] ?? 0), 0);
}

/** One action on many: as often as the master says that there are more. */
export async function act(action, target, extra = {}) {
  let done = 0;
  const refused = [];
  for (let round = 0; round < 1000; round += 1) {
    const result = await jobAction({ action, ...target, ...extra });
    done += result.done;
    refused.push(...result.refused);
    // Without progress it would go on for ever.
    if (!result.more || result.done === 0) break;
  }
  const verbs = { retry: 'queued again', skip: 'left alone', cancel: 'cancelled', prioritise: 'moved' };
  if (done) toast(`${plural(done, 'file')} ${verbs[action]}.`);
  if (refused.length) toast(`${plural(refused.length, 'file')} not: ${refused[0].message}.`, 'bad');
}

export function PriorityDialog({ title, now = 0, run, onClose }) {
  const [value, setValue] = useState(String(now));
  const number = Number(value);
  const bad = value === '' || !Number.isInteger(number) || number < -100 || number > 100;
  const save = async () => {
    if (bad) throw new Error('A priority is a whole number from -100 to 100.');
    await run(number);
  };
  return html`<${Ask} title=${title} verb="Set" run=${save} onClose=${onClose}>
    <label class="field"><span>Priority</span><input type="number" min="-100" max="100" value=${value} aria-invalid=${bad} onInput=${(event) => setValue(event.target.value)} /></label>
    <p class="quiet-text">Higher goes first; 0 is usual, from -100 to 100. What has waited long moves up by itself.</p>
  </${Ask}>`;
}

function Saving({ job }) {
  if (job.saved_bytes == null) return null;
  const share = job.source_bytes ? job.saved_bytes / job.source_bytes : null;
  return html`<span class=${job.saved_bytes >= 0 ? 'good' : 'tone-warn'}>${bytes(job.saved_bytes)}</span>${share != null && html`<span class="quiet-text">${percent(share)}</span>`}`;
}

function why(job) {
  if (job.reason) return html`<${Because} job=${job} />`;
  if (job.phase) return phase(job);
  if (job.state === 'completed') return html`<${Foreign} text=${job.encoder ?? ''} />`;
  return jobState(job.state).says;
}

const Row = memo(({ job, index, style, chosen, stale, admin, onChoose, minute }) => {
  const state = jobState(job.state);
  const name = visible(job.path);
  return html`<div class=${`row${chosen ? ' chosen' : ''}${stale ? ' stale' : ''}`} role="row" aria-rowindex=${index + 2} data-index=${index} style=${style}>
    ${admin && html`<span role="cell" class="row-pick"><input type="checkbox" data-walk="pick" checked=${chosen} aria-label=${`Choose ${name}`} onClick=${(event) => onChoose(index, event)} /></span>`}
    <span role="cell" class="row-file"><a data-walk="file" href=${here({ job: job.id })}><${FileName} path=${job.path} stacked /></a></span>
    <span role="cell" class="row-state"><span class=${`chip tone-${state.tone}`} title=${state.says}><span class=${`dot fill-${state.tone}`} aria-hidden="true" />${state.label}</span>${job.priority !== 0 && html`<span class="prio" title="Priority">${job.priority > 0 ? '+' : ''}${job.priority}</span>`}</span>
    <span role="cell" class="row-why">${why(job)}</span>
    <span role="cell" class="row-size">${job.source_bytes != null ? html`<span>${bytes(job.bytes)}</span><span class="quiet-text">was ${bytes(job.source_bytes)}</span>` : bytes(job.bytes)}</span>
    <span role="cell" class="row-saved"><${Saving} job=${job} /></span>
    <span role="cell" class="row-when" data-minute=${minute}>${ago(job.changed, masterNow())}</span>
  </div>`;
});

function SortHead({ name, label, filter, class: extra = '' }) {
  const on = filter.sort === name;
  const desc = filter.desc === 'true';
  const sort = () => go(here({ sort: name, desc: String(on ? !desc : name !== 'path' && name !== 'queue') }), { replace: true });
  return html`<span role="columnheader" class=${extra} aria-sort=${on ? (desc ? 'descending' : 'ascending') : undefined}>
    <button type="button" class="sort" onClick=${sort}>${label}${on && html`<${Icon} name=${desc ? 'down' : 'up'} size=${14} />`}</button></span>`;
}

/** What is chosen: some by number, or all that fit. */
function useChoice(list) {
  const [ids, setIds] = useState(new Set());
  const [all, setAll] = useState(false);
  const last = useRef(null);
  useEffect(() => {
    setIds(new Set());
    setAll(false);
    last.current = null;
  }, [list]);
  const choose = useMemo(() => (index, event) => {
    const on = event.target.checked;
    const from = event.shiftKey && last.current != null ? last.current : index;
    last.current = index;
    setAll(false);
    setIds((old) => {
      const next = new Set(old);
      for (let i = Math.min(from, index); i <= Math.max(from, index); i += 1) {
        const job = list.rows[i];
        if (job) next[on ? 'add' : 'delete'](job.id);
      }
      return next;
    });
  }, [list]);
  const clear = () => {
    setIds(new Set());
    setAll(false);
  };
  return { ids, all, setAll, choose, clear, setIds };
}

function Chosen({ choice, filter, total, onDone }) {
  const [asked, setAsked] = useState(null);
  const target = choice.all ? { filter: asBody(filter) } : { ids: [...choice.ids] };
  const n = choice.all ? total : choice.ids.size;
  const what = choice.all && total == null ? 'all files that fit' : plural(n, 'file');
  const run = async (action, extra) => {
    await act(action, target, extra);
    choice.clear();
    onDone();
  };
  const ask = (action) => setAsked(action);
  const titles = { retry: `Try ${what} again?`, skip: `Leave ${what} alone?`, cancel: `Cancel ${what}?` };
  const verbs = { retry: 'Try again', skip: 'Leave alone', cancel: 'Cancel them' };
  return html`<div class="chosen" role="region" aria-label="Chosen files">
    <b>${choice.all ? `All ${total == null ? 'that fit' : count(total)}` : count(choice.ids.size)} chosen</b>
    <button type="button" class="button" onClick=${() => ask('retry')}>Try again</button>
    <button type="button" class="button" onClick=${() => ask('skip')}>Leave alone</button>
    <button type="button" class="button" onClick=${() => ask('prioritise')}>Priority</button>
    <button type="button" class="button" onClick=${() => ask('cancel')}>Cancel</button>
    ${!choice.all && html`<button type="button" class="button plain" onClick=${() => choice.setAll(true)}>Choose all${total == null ? ' that fit' : ` ${count(total)}`}</button>`}
    <button type="button" class="button plain" onClick=${choice.clear}>None</button>
    ${asked === 'prioritise' && html`<${PriorityDialog} title=${`Priority of ${what}`} run=${(priority) => run('prioritise', { priority })} onClose=${() => setAsked(null)} />`}
    ${titles[asked] && html`<${Ask} title=${titles[asked]} verb=${verbs[asked]} tone=${asked === 'cancel' ? 'danger' : 'primary'} run=${() => run(asked)} onClose=${() => setAsked(null)}>
      <p>Files that do not take this where they stand stay as they are, and you are told.</p></${Ask}>`}
  </div>`;
}

const NARROW = matchMedia('(max-width: 900px)');

export function Library() {
  const params = useSignal(route).params;
  const now = useSignal(status);
  const admin = useSignal(session).role === 'admin';
  const filter = filterOf(params);
  const key = JSON.stringify(filter);
  const [round, setRound] = useState(0);
  const [list, setList] = useState(null);
  const [narrow, setNarrow] = useState(NARROW.matches);
  const minute = useTick(30_000);
  useEffect(() => {
    const look = () => setNarrow(NARROW.matches);
    NARROW.addEventListener('change', look);
    return () => NARROW.removeEventListener('change', look);
  }, []);
  useEffect(() => {
    const pages = new Pages(filter);
    setList(pages);
    scroller().scrollTop = 0;
    return () => pages.close();
  }, [key, round]);
  return html`<div class="view">
    <${Head} filter=${filter} now=${now} narrow=${narrow} />
    ${list && html`<${List} key=${`${key}${round}`} ...${{ list, filter, now, admin, narrow, minute }} again=${() => setRound(round + 1)} />`}
  </div>`;
}

function Head({ filter, now, narrow }) {
  const [search, setSearch] = useState(filter.search);
  const wanted = useRef(filter.search);
  useEffect(() => {
    // The address says another one: a link was followed, or the way back.
    if (filter.search !== wanted.current) {
      wanted.current = filter.search;
      setSearch(filter.search);
    }
  }, [filter.search]);
  useEffect(() => {
    const timer = setTimeout(() => {
      if (search.trim() === wanted.current) return;
      wanted.current = search.trim();
      go(here({ search: wanted.current }), { replace: true });
    }, 300);
    return () => clearTimeout(timer);
  }, [search]);
  const order = (event) => {
    const [sort, desc] = event.target.value.split(' ');
    go(here({ sort, desc }), { replace: true });
  };
  return html`<header class="view-head">
    <div><h1 tabindex="-1">Library</h1>
      <div class="segments" role="group" aria-label="Which files">
        ${GROUPS.map(([name, label, states]) => html`<button type="button" key=${name} aria-pressed=${filter.state === states} onClick=${() => go(here({ state: states, reason: null }))}>${label} <b>${count(known({ state: states }, now))}</b></button>`)}
      </div></div>
    <div class="tools">
      <label class="field"><span class="unseen">Search in paths</span><input type="search" placeholder="Search in paths" value=${search} onInput=${(event) => setSearch(event.target.value)} spellcheck="false" /></label>
      ${narrow && html`<label class="field"><span>Order</span><select value=${`${filter.sort} ${filter.desc}`} onChange=${order}>
        <option value="changed true">Newest change</option><option value="path false">Path</option><option value="bytes true">Largest</option><option value="saved true">Most saved</option><option value="queue false">Queue</option></select></label>`}
    </div>
  </header>`;
}

const FACETS = 8;

/** The reasons of the rows that are here: one more step to the file that one looks for. */
function Reasons({ list, filter }) {
  if (filter.reason) {
    return html`<p class="facets">Reason: <button type="button" class="facet" aria-pressed="true" title="Any reason" onClick=${() => go(here({ reason: null }))}><${Foreign} text=${filter.reason.replaceAll('_', ' ')} /><${Icon} name="close" size=${12} /></button></p>`;
  }
  const tally = new Map();
  for (const job of list.rows) if (job?.reason) tally.set(job.reason.kind, (tally.get(job.reason.kind) ?? 0) + 1);
  if (tally.size < 2) return null;
  const most = [...tally].sort((a, b) => b[1] - a[1]).slice(0, FACETS);
  return html`<p class="facets">Reasons here:
    ${most.map(([kind, n]) => html`<button type="button" class="facet" key=${kind} aria-pressed="false" onClick=${() => go(here({ reason: kind }))}><${Foreign} text=${kind.replaceAll('_', ' ')} /> <b>${count(n)}</b></button>`)}</p>`;
}

function List({ list, filter, now, admin, narrow, minute, again }) {
  useSignal(list.changed);
  const choice = useChoice(list);
  const total = list.total ?? known(filter, now);
  const found = list.rows.length;
  const shownAll = list.ended ? plural(found, 'file') : total != null ? `${count(found)} of ${plural(total, 'file')} loaded` : `${plural(found, 'file')} so far`;
  return html`
    <${Reasons} list=${list} filter=${filter} />
    ${list.stale.size > 0 && html`<p class="hint">${plural(list.stale.size, 'file has', 'files have')} moved on since this list was made. <button type="button" class="textlink" onClick=${again}>List anew</button></p>`}
    ${found === 0 && list.ended ? html`<p class="nothing large">No file fits.</p>` : html`
    <div role="table" aria-label="Files" aria-rowcount=${total == null ? -1 : total + 1} class=${`table${admin ? '' : ' no-pick'}`}>
      <div role="rowgroup" class="table-head"><div role="row" class="row row-head" aria-rowindex="1">
        ${admin && html`<span role="columnheader" class="row-pick"><span class="unseen">Choose</span></span>`}
        <${SortHead} name="path" label="File" filter=${filter} />
        <${SortHead} name="queue" label="State" filter=${filter} class="row-state" />
        <span role="columnheader">Reason</span>
        <${SortHead} name="bytes" label="Size" filter=${filter} class="right" />
        <${SortHead} name="saved" label="Saved" filter=${filter} class="right" />
        <${SortHead} name="changed" label="Changed" filter=${filter} class="right" />
      </div></div>
      <${Virtual} count=${found} rowHeight=${narrow ? 98 : 52} overscan=${10} onRange=${(first, end) => list.see(first, end)}
        row=${(index, style) => {
          const job = list.rows[index];
          if (!job) return html`<div class="row row-away" role="row" aria-rowindex=${index + 2} key=${`at${index}`} data-index=${index} style=${style}><span role="cell">…</span></div>`;
          return html`<${Row} key=${job.id} job=${job} index=${index} style=${style} chosen=${choice.all || choice.ids.has(job.id)} stale=${list.stale.has(job.id)} admin=${admin} onChoose=${choice.choose} minute=${minute} />`;
        }} />
    </div>`}
    <footer class="list-foot">
      ${list.error ? html`<span class="tone-bad"><bdi>${list.error.message}</bdi></span> <button type="button" class="textlink" onClick=${() => { list.error = null; list.more(); }}>Try again</button>`
        : list.loading ? 'Loading…' : shownAll}
    </footer>
    ${(choice.ids.size > 0 || choice.all) && html`<${Chosen} choice=${choice} filter=${filter} total=${total} onDone=${again} />`}
  `;
}
