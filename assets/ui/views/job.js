// One file: where it stands, why, what would become of it, and what was tried.
import { Action, Ask, Bar, Dialog, Icon, Spark, html, toast, useEffect, useState } from '../lib/ui.js';
import { useKey, useSignal, useTick } from '../lib/signals.js';
import { fpsHistory, isActive, masterNow, onJobs, running, session, workers } from '../lib/store.js';
import { get, jobAction } from '../lib/api.js';
import { go, here, href } from '../lib/route.js';
import { ago, bytes, count, duration, fps, moment, percent, plural, speed } from '../lib/format.js';
import { FileName, Foreign, splitPath, visible } from '../lib/names.js';
import { jobState, phase } from '../lib/words.js';
import { CancelDialog, cancellable } from './running.js';
import { PriorityDialog } from './library.js';
import { Compare } from './compare.js';

const RETRIES = ['retry_wait', 'skipped', 'failed', 'cancelled', 'quarantined'];
const SKIPS = ['pending', 'retry_wait', 'failed', 'cancelled', 'quarantined'];

/** All of one job, asked for again when the feed says that its state has changed. */
function useDetail(id) {
  const [detail, setDetail] = useState(null);
  const [error, setError] = useState(null);
  const [round, setRound] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    setError(null);
    get(`/api/v1/jobs/${id}`, abort.signal).then(setDetail).catch((failed) => {
      if (failed.name !== 'AbortError') setError(failed);
    });
    return () => abort.abort();
  }, [id, round]);
  useEffect(() => onJobs((jobs) => {
    const job = jobs?.find((one) => one.id === id);
    if (!job) return;
    setDetail((old) => {
      if (old && old.job.state !== job.state) setRound((n) => n + 1);
      return old && { ...old, job };
    });
  }), [id]);
  return { detail, error, again: () => setRound((n) => n + 1) };
}

function Buttons({ job, again }) {
  const [asked, setAsked] = useState(null);
  const act = (action, done, extra) => async () => {
    const result = await jobAction({ action, ids: [job.id], ...extra });
    if (result.refused.length) throw new Error(result.refused[0].message);
    toast(done);
    again();
  };
  return html`<div class="switches">
    ${RETRIES.includes(job.state) && html`<${Action} icon="scan" run=${act('retry', 'Queued again.')}>Try again</${Action}>`}
    ${SKIPS.includes(job.state) && html`<${Action} icon="check" run=${act('skip', 'The file is left alone.')}>Leave alone</${Action}>`}
    ${cancellable(job) && html`<button type="button" class="button" onClick=${() => setAsked('cancel')}><${Icon} name="close" size=${16} />Cancel</button>`}
    <button type="button" class="button" onClick=${() => setAsked('priority')}><${Icon} name="up" size=${16} />Priority${job.priority ? ` ${job.priority}` : ''}</button>
    ${asked === 'cancel' && html`<${CancelDialog} job=${job} onClose=${() => { setAsked(null); again(); }} />`}
    ${asked === 'priority' && html`<${PriorityDialog} title="Priority of this file" now=${job.priority} run=${(priority) => act('prioritise', 'Its priority is set.', { priority })()} onClose=${() => setAsked(null)} />`}
  </div>`;
}

function Progress({ id }) {
  const job = useKey(running, id);
  const p = job?.progress;
  if (!job) return null;
  const share = p?.frames_total ? p.frames_done / p.frames_total : null;
  return html`<section class="at-work" aria-label="At work">
    <p class="at-work-line"><b class="number">${share == null ? phase(job) : percent(share)}</b> <span class="quiet-text">${share == null ? '' : phase(job)}</span></p>
    <${Bar} share=${share} label=${`Progress of ${visible(job.path)}`} text=${share == null ? phase(job) : percent(share)} />
    ${p && html`<dl class="mini">
      <div><dt>Frames</dt><dd>${count(p.frames_done)}${p.frames_total ? ` of ${p.frames_exact ? '' : 'about '}${count(p.frames_total)}` : ''}</dd></div>
      <div><dt>Frame rate</dt><dd>${fps(p.fps)} fps, ${speed(p.speed)}</dd></div>
      <div><dt>Time left</dt><dd>${duration(p.eta_ms)}</dd></div>
      <div><dt>Size so far</dt><dd>${bytes(p.bytes_written)}</dd></div>
      <div><dt>Will weigh</dt><dd>${p.projected_bytes == null ? '–' : `${bytes(p.projected_bytes)} of ${bytes(job.bytes)}`}</dd></div>
      <div><dt>At work for</dt><dd>${duration(p.elapsed_ms)}</dd></div>
    </dl><${Spark} values=${fpsHistory(id)} height=${44} width=${400} />`}
  </section>`;
}

function Facts({ detail }) {
  const { job } = detail;
  const state = jobState(job.state);
  const rows = [
    ['Folder', detail.root_path && html`<${Foreign} text=${detail.root_path} />`],
    ['Size', job.source_bytes != null ? html`${bytes(job.bytes)} <span class="quiet-text">was ${bytes(job.source_bytes)}</span>` : bytes(job.bytes)],
    ['Saved', job.saved_bytes != null && html`<span class="good">${bytes(job.saved_bytes)}</span> ${job.source_bytes ? html`<span class="quiet-text">${percent(job.saved_bytes / job.source_bytes)}</span>` : ''}`],
    ['Frames', job.frames != null && count(job.frames)],
    ['Encoder', job.encoder && html`<${Foreign} text=${job.encoder} />`],
    ['Worker', job.worker && html`<a href=${here({ job: null, worker: job.worker })}><${Foreign} text=${job.worker_name ?? job.worker} /></a>`],
    ['Failed attempts', job.attempts > 0 && count(job.attempts)],
    ['Next attempt', job.retry_at && moment(job.retry_at)],
    ['Status', job.status === state.label ? job.status : `${job.status} (${state.label.toLowerCase()})`],
    ['Since', html`${moment(job.changed)} <span class="quiet-text">${ago(job.changed, masterNow())}</span>`],
    ['Queued', moment(job.queued)],
    ['Job', count(job.id)],
  ];
  return html`<dl class="facts">${rows.filter(([, value]) => value).map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${value}</dd>`)}</dl>`;
}

const ACTIONS = {
  encode_video: ['Encoded', 'run'], encode_audio: ['Encoded', 'run'], encode: ['Encoded', 'run'],
  copy: ['Kept', 'saved'], convert: ['Converted', 'run'], drop: ['Dropped', 'warn'],
};

function actionOf(name) {
  const known = Object.keys(ACTIONS).find((key) => name === key || name?.startsWith(`${key}_`));
  return ACTIONS[known] ?? [String(name ?? '').replaceAll('_', ' '), 'quiet'];
}

/** What would become of each stream, and why; asked for when it is opened, since a file is read for it. */
function Plan({ id }) {
  const [open, setOpen] = useState(false);
  const [plan, setPlan] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    if (!open || plan) return undefined;
    const abort = new AbortController();
    setError(null);
    get(`/api/v1/jobs/${id}/plan`, abort.signal).then(setPlan).catch((failed) => {
      if (failed.name !== 'AbortError') setError(failed);
    });
    return () => abort.abort();
  }, [id, open]);
  const streams = plan?.streams ?? [];
  return html`<details class="fold" onToggle=${(event) => setOpen(event.target.open)}>
    <summary><h3>Plan</h3><span class="quiet-text">what becomes of each stream, and why</span></summary>
    ${error && html`<p class="tone-bad"><${Foreign} text=${error.message} /></p>`}
    ${!error && !plan && open && html`<p class="quiet-text">Reading the file…</p>`}
    ${plan && html`
      <p class="quiet-text">${plan.message
        ? html`<${Foreign} text=${plan.verdict ?? ''} />: <${Foreign} text=${plan.message} />`
        : html`<${Foreign} text=${plan.verdict ?? ''} />${plan.container ? html`, into <${Foreign} text=${plan.container} />` : ''}${plan.estimated_frames ? `, about ${count(plan.estimated_frames)} frames` : ''}`}</p>
      <ol class="plan">${streams.map((stream) => {
        const [label, tone] = actionOf(stream.action);
        return html`<li key=${stream.index}><span class="plan-index">${stream.index}</span><span class=${`chip tone-${tone}`}>${label}</span><${Foreign} text=${stream.reason ?? ''} /></li>`;
      })}</ol>`}
  </details>`;
}

function Attempts({ attempts }) {
  useSignal(workers.members);
  if (!attempts.length) return html`<p class="quiet-text">None yet.</p>`;
  return html`<ol class="attempts">${attempts.map((attempt) => {
    const state = attempt.outcome ? jobState(attempt.outcome) : { label: 'Runs', tone: 'run' };
    const worker = workers.get(attempt.worker);
    const saved = attempt.output_bytes != null && attempt.source_bytes ? 1 - attempt.output_bytes / attempt.source_bytes : null;
    return html`<li key=${attempt.epoch}>
      <span class=${`dot fill-${state.tone}`} aria-hidden="true" />
      <div><p><b class=${`tone-${state.tone}`}>${state.label}</b> <span class="quiet-text">${moment(attempt.started)}, ${attempt.ended ? `took ${duration(attempt.ended - attempt.started)}` : 'now'}</span></p>
        ${attempt.reason && html`<p><${Foreign} text=${attempt.reason.message} /> <a class="reason-link" href=${href('library', { reason: attempt.reason.kind })}><${Foreign} text=${attempt.reason.kind} /></a></p>`}
        <p class="quiet-text">by <${Foreign} text=${worker?.name ?? attempt.worker} />${attempt.encoder ? html`, <${Foreign} text=${attempt.encoder} />` : ''}${attempt.output_bytes != null ? `, ${bytes(attempt.source_bytes)} → ${bytes(attempt.output_bytes)}` : ''}${saved != null ? ` (${percent(saved)} smaller)` : ''}</p></div>
    </li>`;
  })}</ol>`;
}

export function JobDrawer({ id }) {
  const { detail, error, again } = useDetail(id);
  const admin = useSignal(session).role === 'admin';
  useTick(10_000);
  const close = () => go(here({ job: null }));
  const job = detail?.job;
  const state = job && jobState(job.state);
  const [folder, base] = job ? splitPath(job.path) : ['', ''];
  return html`<${Dialog} onClose=${close} label=${job ? base : 'File'} class="drawer">
    <header class="drawer-head">
      <div>${job && html`<p class=${`eyebrow tone-${state.tone}`}>${state.label}</p>`}
        <h2 tabindex="-1" autofocus><bdi>${job ? base : error ? 'There is no such file' : 'Loading…'}</bdi></h2>
        ${folder && html`<p class="quiet-text"><bdi>${folder}</bdi></p>`}</div>
      <button type="button" class="button icon-only" aria-label="Close" onClick=${close}><${Icon} name="close" /></button>
    </header>
    <div class="drawer-body">
      ${error && html`<p class="tone-bad"><${Foreign} text=${error.message} /></p>`}
      ${job && html`
        <p class="because">${job.reason
          ? html`<${Foreign} text=${job.reason.message} /> <a class="reason-link" title="All files with this reason" href=${href('library', { reason: job.reason.kind })}><${Foreign} text=${job.reason.kind} /></a>`
          : `${state.says}.`}</p>
        ${admin && html`<${Buttons} job=${job} again=${again} />`}
        ${isActive(job) && html`<${Progress} id=${id} />`}
        ${detail.warnings.length > 0 && html`<section><h3>What one might notice</h3><ul class="remarks">${detail.warnings.map((text) => html`<li key=${text} class="tone-warn"><${Icon} name="alert" size=${16} /><${Foreign} text=${text} /></li>`)}</ul></section>`}
        ${job.state === 'completed' && html`<${Compare} job=${job} key=${`${job.id}`} />`}
        <section><h3>Attempts</h3><${Attempts} attempts=${detail.attempts} /></section>
        <${Plan} id=${id} key=${`plan${job.state}`} />
        <section><h3>Facts</h3><${Facts} detail=${detail} /></section>
      `}
    </div>
  </${Dialog}>`;
}
