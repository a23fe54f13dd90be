// One worker: what it is, and what is set for it.
import { Action, Ask, Bar, Dialog, Icon, Spark, html, toast, useState } from '../lib/ui.js';
import { useKey, useSignal, useTick } from '../lib/signals.js';
import { masterNow, session, status, workers } from '../lib/store.js';
import { workerSettings } from '../lib/api.js';
import { go, here } from '../lib/route.js';
import { ago, bytes, count, fps, percent, plural } from '../lib/format.js';
import { Foreign, visible } from '../lib/names.js';
import { workerState } from '../lib/words.js';
import { memoryShare, Task } from './workers.js';

/** A number that may be left to the worker's own configuration. */
function NumberSetting({ name, label, help, min, max, worker }) {
  const set = worker.settings[name];
  const [text, setText] = useState(set ?? '');
  const value = text === '' ? null : Number(text);
  const bad = value != null && (!Number.isInteger(value) || value < min || value > max);
  const same = value === (set ?? null);
  const save = async () => {
    const next = await workerSettings(worker.id, { ...worker.settings, [name]: value });
    workers.set(next.id, next);
    toast(`${label}: ${value ?? 'as the worker is configured'}.`);
  };
  return html`<div class="setting">
    <label for=${`set-${name}`}>${label}</label>
    <input id=${`set-${name}`} type="number" inputmode="numeric" min=${min} max=${max} value=${text} placeholder="its own"
      aria-describedby=${`help-${name}`} aria-invalid=${bad} onInput=${(event) => setText(event.target.value)} />
    <${Action} run=${save} disabled=${bad || same}>Set</${Action}>
    <p id=${`help-${name}`} class="quiet-text">${bad ? html`<span class="tone-bad">From ${min} to ${max}.</span>` : help}</p>
  </div>`;
}

/** Hours that may be left to the worker's own configuration; on the wire an empty list is always. */
function HoursSetting({ worker }) {
  const set = worker.settings.schedule;
  const shown = set == null ? '' : set.length ? set.join('; ') : 'always';
  const [text, setText] = useState(shown);
  const words = text.trim();
  const save = async () => {
    const spans = words.split(';').map((span) => span.trim()).filter(Boolean);
    const schedule = words === '' ? null : words === 'always' ? [] : spans;
    const next = await workerSettings(worker.id, { ...worker.settings, schedule });
    workers.set(next.id, next);
    toast(`Hours: ${words || 'as the worker is configured'}.`);
  };
  return html`<div class="setting long">
    <label for="set-schedule">Hours</label>
    <input id="set-schedule" type="text" value=${text} placeholder="its own" autocomplete="off" spellcheck=${false}
      aria-describedby="help-schedule" onInput=${(event) => setText(event.target.value)} />
    <${Action} run=${save} disabled=${words === shown}>Set</${Action}>
    <p id="help-schedule" class="quiet-text">When encodes may begin, by the worker’s own clock: <code>mon-fri 22:00-06:00; sat,sun 00:00-24:00</code>, or <code>always</code>.</p>
  </div>`;
}

function Switches({ worker }) {
  const [asked, setAsked] = useState(false);
  const set = async (changes) => {
    const next = await workerSettings(worker.id, { ...worker.settings, ...changes });
    workers.set(next.id, next);
  };
  const { paused, draining } = worker.settings;
  return html`<div class="switches">
    <${Action} icon=${paused ? 'play' : 'pause'} run=${() => set({ paused: !paused })}>${paused ? 'Go on' : 'Pause'}</${Action}>
    ${draining
      ? html`<${Action} icon="play" run=${() => set({ draining: false })}>Do not drain</${Action}>`
      : html`<button type="button" class="button" onClick=${() => setAsked(true)}><${Icon} name="drain" size=${16} />Drain</button>`}
    ${asked && html`<${Ask} title="Drain this worker?" verb="Drain" run=${() => set({ draining: true })} onClose=${() => setAsked(false)} keep="Keep it at work">
      <p><b><${Foreign} text=${worker.name} /></b> finishes what it runs (${plural(worker.jobs.length, 'job')}), takes nothing more, and then ends. It has to be started again on its machine.</p></${Ask}>`}
  </div>`;
}

function Facts({ worker }) {
  const now = useSignal(status);
  const { load } = worker;
  const roots = now.roots.filter((root) => root.id);
  const away = roots.filter((root) => !worker.mounted.includes(root.id));
  const rows = [
    ['Encoder', worker.encoder ? html`<${Foreign} text=${worker.encoder} />` : html`<span class="tone-bad">none: it can do nothing</span>`],
    ['Version', html`<${Foreign} text=${worker.version} />${worker.version !== now.version ? html` <span class="tone-warn">the master is ${now.version}</span>` : ''}`],
    ['Processors', count(load.cpus)],
    ['Memory', `${bytes(load.memory_used_bytes)} of ${bytes(load.memory_total_bytes)}`],
    ['Room for temporary files', bytes(load.temp_free_bytes)],
    ['Slots', `${count(worker.jobs.length)} of ${count(worker.slots)} busy, ${fps(worker.fps)} fps`],
    ['Failed attempts', worker.failures ? `${count(worker.failures)} since the master started` : 'none since the master started'],
    ['Reaches', away.length === 0 ? 'all media directories' : html`${count(roots.length - away.length)} of ${count(roots.length)} media directories; the rest is sent over HTTP: ${away.map((root, i) => html`${i ? ', ' : ''}<${Foreign} text=${root.path} />`)}`],
    ['Last heard of', ago(worker.last_seen, masterNow())],
    ['Identity', html`<code><${Foreign} text=${worker.id} /></code>`],
  ];
  return html`<dl class="facts">${rows.map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${value}</dd>`)}</dl>`;
}

export function WorkerDrawer({ id }) {
  const worker = useKey(workers, id);
  const admin = useSignal(session).role === 'admin';
  useTick(5000);
  const close = () => go(here({ worker: null }));
  const state = worker && workerState(worker.state);
  return html`<${Dialog} onClose=${close} label=${worker ? `Worker ${visible(worker.name)}` : 'Worker'} class="drawer">
    <header class="drawer-head">
      ${worker ? html`<div><p class=${`eyebrow tone-${state.tone}`}>${state.label}</p><h2 tabindex="-1" autofocus><${Foreign} text=${worker.name} /></h2></div>` : html`<h2>There is no such worker</h2>`}
      <button type="button" class="button icon-only" aria-label="Close" onClick=${close}><${Icon} name="close" /></button>
    </header>
    ${worker && html`<div class="drawer-body">
      ${worker.warnings.length > 0 && html`<ul class="remarks">${worker.warnings.map((text) => html`<li key=${text} class="tone-warn"><${Icon} name="alert" size=${16} /><${Foreign} text=${text} /></li>`)}</ul>`}
      ${admin && html`<${Switches} worker=${worker} />`}
      <div class="rack-meters large">
        <div class="meter"><span class="meter-name">CPU</span><b>${percent(worker.load.cpu_percent / 100)}</b><${Spark} values=${worker.history.map((pair) => pair[0])} max=${100} height=${48} /></div>
        <div class="meter"><span class="meter-name">Memory</span><b>${percent(memoryShare(worker))}</b><${Spark} values=${worker.history.map((pair) => pair[1])} max=${100} height=${48} tone="quiet" /></div>
      </div>
      <section><h3>At work</h3>${worker.jobs.length ? html`<ul class="rack-jobs all">${worker.jobs.map((job) => html`<${Task} key=${job} id=${job} />`)}</ul>` : html`<p class="quiet-text">No job.</p>`}</section>
      ${admin && html`<section><h3>Set from here</h3><p class="quiet-text">Empty leaves the worker’s own configuration.</p>
        <${NumberSetting} worker=${worker} name="slots" label="Slots" help="Encodes at once." min=${1} max=${64} />
        <${NumberSetting} worker=${worker} name="threads" label="Threads" help="Of each encode, from the next one on." min=${1} max=${256} />
        <${NumberSetting} worker=${worker} name="niceness" label="Niceness" help="0 to 19, higher gives way to others; of those that run, too." min=${0} max=${19} />
        <${HoursSetting} worker=${worker} />
      </section>`}
      <section><h3>What it is</h3><${Facts} worker=${worker} /></section>
    </div>`}
  </${Dialog}>`;
}
