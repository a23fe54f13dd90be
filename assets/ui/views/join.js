// How another machine becomes a worker.
import { Icon, html, toast, useEffect, useRef, useState } from '../lib/ui.js';
import { useSignal } from '../lib/signals.js';
import { workers } from '../lib/store.js';
import { get } from '../lib/api.js';
import { here } from '../lib/route.js';
import { plural } from '../lib/format.js';
import { Foreign } from '../lib/names.js';
import { workerState } from '../lib/words.js';

async function copy(text, field) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers give the clipboard to pages over TLS alone, and to this machine's own.
    const range = document.createRange();
    range.selectNodeContents(field);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    if (!document.execCommand('copy')) throw new Error('This browser did not copy; the text is marked.');
  }
}

function Command({ text, label }) {
  const field = useRef(null);
  const run = async () => {
    try {
      await copy(text, field.current);
      toast('Copied.');
    } catch (error) {
      toast(error.message, 'bad');
    }
  };
  return html`<div class="command"><pre tabindex="0" role="region" aria-label=${label}><code ref=${field}>${text}</code></pre>
    <button type="button" class="button primary" onClick=${run}><${Icon} name="copy" size=${16} />Copy</button></div>`;
}

/** Workers that were not there when this view was opened. */
function Newcomers() {
  useSignal(workers.members);
  const known = useRef(null);
  known.current ??= new Set(workers.keys());
  const fresh = [...workers.values()].filter((worker) => !known.current.has(worker.id));
  return html`<p class="join-wait" role="status">${fresh.length
    ? html`<${Icon} name="check" size=${18} /> ${plural(fresh.length, 'worker')} joined: ${fresh.map((worker, i) => html`${i ? ', ' : ''}<a href=${here({ worker: worker.id })}><${Foreign} text=${worker.name} /></a>`)}`
    : html`<span class="lamp-wait" aria-hidden="true" /> Waiting for a new worker; it appears here by itself.`}</p>`;
}

export function Join() {
  const [view, setView] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    const abort = new AbortController();
    get('/api/v1/join', abort.signal).then(setView).catch((failed) => {
      if (failed.name !== 'AbortError') setError(failed);
    });
    return () => abort.abort();
  }, []);
  return html`<div class="view join">
    <header class="view-head"><div><h1 tabindex="-1">Join a worker</h1><p class="view-sub">Any machine that reaches this one may help, with or without the media directories mounted.</p></div></header>
    ${error && html`<p class="tone-bad"><bdi>${error.message}</bdi></p>`}
    ${view && html`<ol class="steps">
      <li><h2>Put <code>av1cli</code> on the machine</h2><p>The same binary that runs this master. <code>av1cli doctor</code> tells whether its libraries will do.</p></li>
      <li><h2>Run this there</h2><${Command} text=${view.command} label="The command that joins a worker" />
        <p class="quiet-text">It holds a token that lets a machine work here, and nothing else. Show it to those alone whose machines you trust with the films.</p>
        ${view.addresses.length > 0 && html`<p>If that address is not reached from there: ${view.addresses.map((address, i) => html`${i ? ', ' : ''}<code key=${address}>${address}</code>`)}</p>`}</li>
      <li><h2>Watch it come</h2><${Newcomers} />
        <p class="quiet-text">Media directories mounted there under the same paths, or told with <code>path_map</code>, are worked on in place; all others are sent over HTTP.</p></li>
    </ol>`}
  </div>`;
}
