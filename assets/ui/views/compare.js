// The same picture before and after, with a line between them that can be moved.
import { Icon, html, useEffect, useRef, useState } from '../lib/ui.js';
import { picture, query } from '../lib/api.js';
import { position } from '../lib/format.js';
import { Foreign } from '../lib/names.js';

// Where no one says how long the film is: a moment into it that most films have.
const FIRST_AT_MS = 10_000;
const STEP_MS = 10_000;

function usePicture(id, side, at) {
  const [shown, setShown] = useState({ url: null, error: null, busy: true });
  useEffect(() => {
    const abort = new AbortController();
    let url = null;
    setShown((old) => ({ ...old, busy: true }));
    picture(`/api/v1/jobs/${id}/frame${query({ side, at_ms: String(at) })}`, abort.signal).then(({ blob, headers }) => {
      url = URL.createObjectURL(blob);
      const header = (name) => {
        const text = headers.get(name);
        return text == null ? null : Number(text);
      };
      setShown({ url, error: null, busy: false, duration: header('x-film-duration-ms'), at: header('x-frame-at-ms') });
    }).catch((error) => {
      if (error.name !== 'AbortError') setShown({ url: null, error, busy: false });
    });
    return () => {
      abort.abort();
      if (url) URL.revokeObjectURL(url);
    };
  }, [id, side, at]);
  return shown;
}

function Look({ job }) {
  const [at, setAt] = useState(FIRST_AT_MS);
  const [split, setSplit] = useState(50);
  const [typed, setTyped] = useState(null);
  const source = usePicture(job.id, 'source', at);
  const result = usePicture(job.id, 'result', at);
  const [shape, setShape] = useState(null);
  const box = useRef(null);
  const fit = (event) => {
    const { naturalWidth: width, naturalHeight: height } = event.target;
    if (width && height) setShape(`${width} / ${height}`);
  };
  const length = source.duration ?? result.duration;
  const error = source.error ?? result.error;
  useEffect(() => {
    // A film that is shorter than the first guess.
    if (length && at > length) setAt(Math.floor(length / 2));
  }, [length]);
  const drag = (event) => {
    if (event.type === 'pointermove' && event.buttons === 0) return;
    const frame = box.current.getBoundingClientRect();
    setSplit(Math.max(0, Math.min(100, ((event.clientX - frame.left) / frame.width) * 100)));
  };
  const goTo = (ms) => setAt(Math.max(0, Math.min(length ? length - 1 : Infinity, Math.round(ms))));
  const shown = typed ?? at;
  return html`
    <div class=${`compare${source.busy || result.busy ? ' compare-busy' : ''}`} ref=${box} style=${shape ? { aspectRatio: shape } : undefined}
      onPointerDown=${(event) => { event.currentTarget.setPointerCapture(event.pointerId); drag(event); }} onPointerMove=${drag}>
      ${result.url && html`<img class="compare-result" src=${result.url} onLoad=${fit} alt="The film now" draggable=${false} />`}
      ${source.url && html`<img class="compare-source" src=${source.url} alt="The film before" draggable=${false} style=${{ clipPath: `inset(0 ${100 - split}% 0 0)` }} />`}
      ${source.url && result.url && html`<div class="compare-line" style=${{ left: `${split}%` }} aria-hidden="true"><span class="compare-grip"><${Icon} name="left" size=${14} /><${Icon} name="right" size=${14} /></span></div>`}
      <span class="compare-label compare-before" aria-hidden="true">Before</span><span class="compare-label compare-after" aria-hidden="true">After</span>
      ${(source.busy || result.busy) && html`<span class="compare-wait">Fetching the picture…</span>`}
    </div>
    ${error && html`<p class="tone-warn"><${Foreign} text=${error.message} /></p>`}
    <label class="slide"><span>Before / after</span><input type="range" min="0" max="100" step="1" value=${split} onInput=${(event) => setSplit(Number(event.target.value))} aria-valuetext=${`${Math.round(split)} % before`} /></label>
    ${length
      ? html`<label class="slide"><span>Moment</span><input type="range" min="0" max=${Math.max(0, length - 1)} step=${Math.max(1, Math.round(length / 400))} value=${shown}
          onInput=${(event) => setTyped(Number(event.target.value))} onChange=${(event) => { setTyped(null); goTo(Number(event.target.value)); }} aria-valuetext=${position(shown)} /><output>${position(shown, true)}</output></label>`
      : html`<div class="slide"><span>Moment</span><button type="button" class="button" onClick=${() => goTo(at - STEP_MS)}>10 s back</button><button type="button" class="button" onClick=${() => goTo(at + STEP_MS)}>10 s on</button><output>${position(at, true)}</output></div>`}
  `;
}

export function Compare({ job }) {
  const [open, setOpen] = useState(false);
  return html`<details class="fold" onToggle=${(event) => setOpen(event.target.open)}>
    <summary><h3>Before and after</h3><span class="quiet-text">the same picture of both</span></summary>
    ${open && html`<${Look} job=${job} />`}
  </details>`;
}
