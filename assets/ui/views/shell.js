// What stands around every view: the line to the master, the way about, pause and scan.
import { Action, Ask, Icon, Toasts, html, toast, useEffect, useReducer, useRef, useState } from '../lib/ui.js';
import { useSignal, useTick } from '../lib/signals.js';
import { link, masterNow, running, session, status, workers } from '../lib/store.js';
import { get, post } from '../lib/api.js';
import { retryNow, stop } from '../lib/live.js';
import { go, href, route } from '../lib/route.js';
import { ago, countShort, timeOfDay } from '../lib/format.js';
import { Foreign } from '../lib/names.js';
import { Overview } from './overview.js';

const VIEWS = {
  overview: { title: 'Overview', icon: 'overview', load: () => Overview },
  running: { title: 'Now running', short: 'Running', icon: 'running', load: async () => (await import('./running.js')).Running },
  workers: { title: 'Workers', icon: 'workers', load: async () => (await import('./workers.js')).Workers },
  library: { title: 'Library', icon: 'library', load: async () => (await import('./library.js')).Library },
  settings: { title: 'Settings', icon: 'settings', admin: true, load: async () => (await import('./settings.js')).Settings },
  join: { title: 'Join a worker', short: 'Join', icon: 'join', admin: true, load: async () => (await import('./join.js')).Join },
};

function counts() {
  const now = status.value;
  if (!now) return {};
  return {
    running: running.size,
    workers: [...workers.values()].filter((worker) => worker.state !== 'offline').length,
    library: now.files,
  };
}

function Rail() {
  useSignal(status);
  useSignal(running.members);
  const at = useSignal(route).view;
  const admin = useSignal(session).role === 'admin';
  const numbers = counts();
  return html`<nav class="rail" aria-label="Views">
    ${Object.entries(VIEWS).filter(([, view]) => admin || !view.admin).map(([name, view]) => html`<a
      key=${name} href=${href(name)} aria-current=${at === name ? 'page' : undefined} class="rail-link" title=${view.title}
    >
      <${Icon} name=${view.icon} size=${20} />
      <span class="rail-title">${view.title}</span>
      <span class="rail-short">${view.short ?? view.title}</span>
      ${numbers[name] != null && html` <span class="rail-count">${countShort(numbers[name])}</span>`}
    </a>`)}
    <span class="rail-foot">${status.value && html`<${Foreign} text=${`Version ${status.value.version}`} />`}</span>
  </nav>`;
}

function LinkState() {
  const line = useSignal(link);
  const words = { live: 'Live', connecting: 'Connecting', lost: 'No connection' };
  return html`<span class=${`link link-${line.state}`}><span class="lamp" aria-hidden="true" />${words[line.state]}</span>`;
}

/** Says so, for as long as the master does not answer. */
function LostBanner() {
  const line = useSignal(link);
  useTick(500);
  const was = useRef(line.state);
  useEffect(() => {
    if (was.current === 'lost' && line.state === 'live') toast('The master is back.');
    was.current = line.state;
  }, [line.state]);
  if (line.state !== 'lost') return null;
  const left = Math.ceil((line.retryAt - Date.now()) / 1000);
  return html`<div class="banner bad">
    <${Icon} name="link" />
    <p><strong role="alert">The connection to the master is lost.</strong> ${' '}
      What you see is as of ${timeOfDay(line.since)}; encodes go on without it.
      ${' '}<span class="quiet-text">${left > 0 ? `Next try in ${left}\u00a0s.` : 'Trying now…'}</span></p>
    <button type="button" class="button" onClick=${retryNow}>Try now</button>
  </div>`;
}

function PausedBanner() {
  const now = useSignal(status);
  const admin = useSignal(session).role === 'admin';
  if (!now?.paused) return null;
  return html`<div class="banner warn">
    <${Icon} name="pause" />
    <p><strong>Everything is paused.</strong> What runs is finished, nothing new begins.</p>
    ${admin && html`<${Action} icon="play" run=${() => post('/api/v1/resume')}>Go on</${Action}>`}
  </div>`;
}

function Find() {
  const field = useRef(null);
  const submit = (event) => {
    event.preventDefault();
    go(href('library', { search: field.current.value.trim(), state: 'all' }));
    field.current.value = '';
    field.current.blur();
  };
  return html`<form class="find" role="search" onSubmit=${submit}>
    <label class="unseen" for="find">Find a file</label>
    <${Icon} name="search" size=${16} />
    <input id="find" ref=${field} type="search" placeholder="Find a file" autocomplete="off" spellcheck="false" enterkeyhint="search" />
  </form>`;
}

function ScanDialog({ onClose }) {
  const now = useSignal(status);
  const [root, setRoot] = useState('');
  const [force, setForce] = useState(false);
  const run = async () => {
    await post('/api/v1/scan', { root: root || null, force });
    toast('The scan begins.');
  };
  const known = now.roots.filter((one) => one.id && one.mounted);
  return html`<${Ask} title="Look for new and changed files" verb="Scan now" run=${run} onClose=${onClose} keep="Not now">
    <fieldset class="choices">
      <legend class="unseen">Where</legend>
      <label><input type="radio" name="root" checked=${root === ''} onChange=${() => setRoot('')} /> All media directories</label>
      ${known.length > 1 && known.map((one) => html`<label key=${one.id}>
        <input type="radio" name="root" checked=${root === one.id} onChange=${() => setRoot(one.id)} /> <${Foreign} text=${one.path} />
        <span class="quiet-text"> ${one.scanned ? ago(one.scanned, masterNow()) : 'not yet scanned'}</span>
      </label>`)}
    </fieldset>
    <label class="choice"><input type="checkbox" checked=${force} onChange=${(event) => setForce(event.target.checked)} />
      <span>Believe it when many files are gone
        <span class="quiet-text block">Usually a scan that misses more files than is likely changes nothing, since
          a share may have come up empty.</span></span></label>
  </${Ask}>`;
}

function Top() {
  const now = useSignal(status);
  const who = useSignal(session);
  const [scanning, setScanning] = useState(false);
  const [, again] = useReducer((n) => n + 1, 0);
  const dark = document.documentElement.dataset.theme === 'dark';
  useEffect(() => {
    addEventListener('themechange', again);
    return () => removeEventListener('themechange', again);
  }, []);
  const admin = who.role === 'admin';
  const logout = async () => {
    await post('/api/v1/logout');
    stop();
    session.set(await get('/api/v1/session'));
  };
  return html`<header class="top">
    <a class="brand" href="#/overview" aria-label="av1 control room"><img src="icon.svg" alt="" width="24" height="24" /><span>av1 control room</span></a>
    <${LinkState} />
    <${Find} />
    <div class="top-actions">
      ${admin && now && html`
        <button type="button" class="button" onClick=${() => setScanning(true)}><${Icon} name="scan" size=${16} /><span class="wide">Scan now</span><span class="unseen narrow">Scan now</span></button>
        ${!now.paused && html`<${Action} icon="pause" run=${() => post('/api/v1/pause')}><span class="wide">Pause all</span><span class="unseen narrow">Pause all</span></${Action}>`}
        ${now.paused && html`<${Action} icon="play" run=${() => post('/api/v1/resume')}><span class="wide">Go on</span><span class="unseen narrow">Go on</span></${Action}>`}
      `}
      <button type="button" class="button icon-only" onClick=${() => window.setTheme(dark ? 'light' : 'dark')}
        aria-label=${dark ? 'Light theme' : 'Dark theme'} title=${dark ? 'Light theme' : 'Dark theme'}><${Icon} name=${dark ? 'sun' : 'moon'} size=${16} /></button>
      ${who.auth && html`<${Action} class="icon-only" icon="logout" run=${logout} label="Log out" title="Log out" />`}
    </div>
    ${scanning && html`<${ScanDialog} onClose=${() => setScanning(false)} />`}
  </header>`;
}

/** The view of the address, fetched when it is first wanted. */
function View() {
  const at = useSignal(route);
  const [loaded, setLoaded] = useState({ overview: Overview });
  const name = VIEWS[at.view] ? at.view : 'overview';
  const first = useRef(true);
  useEffect(() => {
    document.title = `${VIEWS[name].title} · av1 control room`;
    document.getElementById('main').scrollTop = 0;
    if (!first.current) document.querySelector('main h1')?.focus({ preventScroll: true });
    first.current = false;
  }, [name, loaded[name]]);
  useEffect(() => {
    if (loaded[name]) return;
    Promise.resolve(VIEWS[name].load())
      .then((view) => setLoaded((old) => ({ ...old, [name]: view })))
      .catch(() => toast('This view could not be loaded; is the master there?', 'bad'));
  }, [name]);
  const Current = loaded[name];
  return Current ? html`<${Current} />` : html`<h1 class="unseen" tabindex="-1">${VIEWS[name].title}</h1>`;
}

/** What lies over every view: "?job=" and "?worker=". */
function Drawer() {
  const { params } = useSignal(route);
  const [loaded, setLoaded] = useState({});
  const kind = params.has('job') ? 'job' : params.has('worker') ? 'worker' : null;
  useEffect(() => {
    if (!kind || loaded[kind]) return;
    const load = kind === 'job' ? import('./job.js') : import('./worker.js');
    load.then((module) => setLoaded((old) => ({ ...old, [kind]: module.JobDrawer ?? module.WorkerDrawer })))
      .catch(() => toast('This could not be loaded; is the master there?', 'bad'));
  }, [kind]);
  const Current = kind && loaded[kind];
  if (!Current) return null;
  const id = params.get(kind);
  return html`<${Current} key=${kind + id} id=${kind === 'job' ? Number(id) : id} />`;
}

function Stage() {
  const now = useSignal(status);
  const line = useSignal(link);
  return html`<main id="main" class=${`main${line.state === 'lost' ? ' main-lost' : ''}`}>
    ${now ? html`<${View} />` : html`<h1 class="unseen">Loading</h1>`}
  </main>`;
}

export function Shell() {
  return html`
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.querySelector('main h1')?.focus(); }}>To the content</a>
    <${Top} />
    <div class="banners"><${LostBanner} /><${PausedBanner} /></div>
    <${Rail} />
    <${Stage} />
    <${Drawer} />
    <${Toasts} />
  `;
}
