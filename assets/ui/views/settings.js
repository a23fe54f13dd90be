// The configuration, each value with where it comes from.
import { html, useEffect, useState } from '../lib/ui.js';
import { get } from '../lib/api.js';
import { bytes, count, duration } from '../lib/format.js';
import { Foreign } from '../lib/names.js';

function shown(value, unit) {
  if (value === null || value === undefined) return html`<span class="quiet-text">not set</span>`;
  if (value === true) return 'on';
  if (value === false) return 'off';
  if (Array.isArray(value)) {
    return value.length ? html`<span class="values">${value.map((one, i) => html`<code key=${i}><${Foreign} text=${one} /></code>`)}</span>` : html`<span class="quiet-text">none</span>`;
  }
  if (typeof value === 'object') {
    const pairs = Object.entries(value);
    return pairs.length ? html`<span class="values">${pairs.map(([from, to]) => html`<code key=${from}><${Foreign} text=${from} /> → <${Foreign} text=${to} /></code>`)}</span>` : html`<span class="quiet-text">none</span>`;
  }
  if (typeof value === 'number') {
    // A number without a unit may be a name, such as a port's.
    const number = unit && Number.isInteger(value) ? count(value) : String(value);
    if (/^(bytes?|B)$/.test(unit ?? '') && value >= 10_000) return html`${number} ${unit} <span class="quiet-text">${bytes(value)}</span>`;
    if (/^(s|seconds?)$/.test(unit ?? '') && value >= 120) return html`${number} ${unit} <span class="quiet-text">${duration(value * 1000)}</span>`;
    return unit ? `${number} ${unit}` : number;
  }
  return html`<code><${Foreign} text=${value} /></code>`;
}

export function Settings() {
  const [keys, setKeys] = useState(null);
  const [error, setError] = useState(null);
  const [search, setSearch] = useState('');
  const [own, setOwn] = useState(false);
  useEffect(() => {
    const abort = new AbortController();
    get('/api/v1/config', abort.signal).then((view) => setKeys(view.keys)).catch((failed) => {
      if (failed.name !== 'AbortError') setError(failed);
    });
    return () => abort.abort();
  }, []);
  const wanted = search.trim().toLowerCase();
  const rows = (keys ?? []).filter((key) => (!own || key.origin !== 'default')
    && (!wanted || key.key.toLowerCase().includes(wanted) || key.meaning.toLowerCase().includes(wanted)));
  const set = (keys ?? []).filter((key) => key.origin !== 'default').length;
  return html`<div class="view">
    <header class="view-head">
      <div><h1 tabindex="-1">Settings</h1><p class="view-sub">As the master read them when it started: from <code>config.json</code>, the environment over it, flags over both.</p></div>
      <div class="tools">
        <div class="segments" role="group" aria-label="Which keys">
          <button type="button" aria-pressed=${!own} onClick=${() => setOwn(false)}>All <b>${count(keys?.length ?? 0)}</b></button>
          <button type="button" aria-pressed=${own} onClick=${() => setOwn(true)}>Set <b>${count(set)}</b></button>
        </div>
        <label class="field"><span class="unseen">Filter by key or meaning</span><input type="search" placeholder="Key or meaning" value=${search} onInput=${(event) => setSearch(event.target.value)} /></label>
      </div>
    </header>
    ${error && html`<p class="tone-bad"><bdi>${error.message}</bdi></p>`}
    ${keys && html`<div class="table-scroll" tabindex="0" role="region" aria-label="Configuration keys"><table class="config">
      <thead><tr><th scope="col">Key</th><th scope="col">Value</th><th scope="col">From</th><th scope="col">Meaning</th></tr></thead>
      <tbody>${rows.map((key) => html`<tr key=${key.key} class=${key.origin === 'default' ? '' : 'own'}>
        <th scope="row"><code>${key.key}</code></th>
        <td>${shown(key.value, key.unit)}${key.origin !== 'default' && html`<span class="default">default: ${shown(key.default, key.unit)}</span>`}</td>
        <td><span class=${`chip${key.origin === 'default' ? ' tone-quiet' : ' tone-run'}`}><${Foreign} text=${key.origin} /></span></td>
        <td class="meaning">${key.meaning}</td>
      </tr>`)}</tbody>
    </table></div>${rows.length === 0 && html`<p class="nothing large">No key fits.</p>`}`}
  </div>`;
}
