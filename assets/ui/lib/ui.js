// The page's own building blocks.
import {
  Component, createContext, h, html, render, useCallback, useContext, useEffect, useLayoutEffect, useMemo,
  useReducer, useRef, useState,
} from '../vendor/preact-htm.module.js';

export {
  Component, createContext, h, html, render, useCallback, useContext, useEffect, useLayoutEffect, useMemo,
  useReducer, useRef, useState,
};

/**
 * A component that its parent draws again only when one of its properties is another. Its own
 * signals still do: they belong to `draw`, which is a component beneath this one.
 */
export function memo(draw) {
  return class extends Component {
    shouldComponentUpdate(next) {
      const now = this.props;
      for (const name in next) if (next[name] !== now[name]) return true;
      for (const name in now) if (!(name in next)) return true;
      return false;
    }

    render(props) {
      return h(draw, props);
    }
  };
}

// Strokes on a grid of 24.
const ICONS = {
  overview: 'M4 19h16M6 15v-4M10 15V6M14 15v-6M18 15V4',
  running: 'M5 4l14 8-14 8z',
  workers: 'M4 4h16v6H4zM4 14h16v6H4zM8 7h.01M8 17h.01M12 7h4M12 17h4',
  library: 'M4 5h16v14H4zM8 5v14M16 5v14M4 9.7h4M4 14.3h4M16 9.7h4M16 14.3h4',
  settings: 'M4 7h9M17 7h3M4 17h3M11 17h9M13 4.500v5M7 14.500v5',
  join: 'M12 5v14M5 12h14',
  sun: 'M12 8a4 4 0 100 8 4 4 0 000-8zM12 2v2M12 20v2M2 12h2M20 12h2M4.900 4.900l1.400 1.400M17.700 17.700l1.400 1.400M4.900 19.100l1.400-1.400M17.700 6.300l1.400-1.400',
  moon: 'M20 14.500A8.500 8.500 0 119.500 4a6.800 6.800 0 0010.500 10.500z',
  pause: 'M8 5v14M16 5v14',
  play: 'M7 5l12 7-12 7z',
  scan: 'M20 12a8 8 0 11-2.600-5.900M20 3v5h-5',
  search: 'M11 4a7 7 0 100 14 7 7 0 000-14zM16.200 16.200L21 21',
  close: 'M6 6l12 12M18 6L6 18',
  check: 'M5 12.500l4.500 4.500L19 7.500',
  alert: 'M12 3.500L2.500 20h19zM12 10v4.500M12 17.300v.2',
  error: 'M12 3a9 9 0 100 18 9 9 0 000-18zM12 7.500v5.500M12 16.300v.2',
  info: 'M12 3a9 9 0 100 18 9 9 0 000-18zM12 11v5.500M12 7.700v.2',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  logout: 'M10 4H5v16h5M14 8l4 4-4 4M18 12H9',
  left: 'M14.500 5.500L8 12l6.500 6.500',
  right: 'M9.500 5.500L16 12l-6.500 6.500',
  up: 'M12 19V5M6 11l6-6 6 6',
  down: 'M12 5v14M6 13l6 6 6-6',
  more: 'M5 12h.01M12 12h.01M19 12h.01',
  drain: 'M5 4h14l-5.500 7v6L10.500 20v-9z',
  folder: 'M3 6h6.500l2 2.500H21V19H3z',
  link: 'M3 12h4l3-7 4 14 3-7h4',
};

export function Icon({ name, size = 18 }) {
  return html`<svg class="icon" width=${size} height=${size} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
    <path d=${ICONS[name]} />
  </svg>`;
}

/** A line of numbers, oldest first; nothing to hear, nothing to touch. */
export function Spark({ values, max, min = 0, width = 120, height = 28, tone = 'run' }) {
  if (values.length < 2) return html`<svg class="spark" viewBox=${`0 0 ${width} ${height}`} aria-hidden="true" />`;
  const top = max ?? Math.max(...values) * 1.15;
  const span = top - min || 1;
  const step = width / (values.length - 1);
  let line = '';
  for (let i = 0; i < values.length; i += 1) {
    const y = height - 1 - ((Math.min(values[i], top) - min) / span) * (height - 2);
    line += `${i ? 'L' : 'M'}${(i * step).toFixed(1)} ${y.toFixed(1)}`;
  }
  return html`<svg class=${`spark tone-${tone}`} viewBox=${`0 0 ${width} ${height}`} preserveAspectRatio="none" aria-hidden="true">
    <path class="spark-area" d=${`${line}L${width} ${height}L0 ${height}Z`} />
    <path class="spark-line" d=${line} />
  </svg>`;
}

/** A share of a whole, as a bar and for ears. `marks` stand above it, as shares too. */
export function Bar({ share, label, tone = 'run', text }) {
  const known = share != null && Number.isFinite(share);
  const value = known ? Math.max(0, Math.min(1, share)) : 0;
  return html`<div
    class=${`bar tone-${tone}${known ? '' : ' bar-unknown'}`}
    role="progressbar"
    aria-label=${label}
    aria-valuemin="0"
    aria-valuemax="100"
    aria-valuenow=${known ? Math.floor(value * 100) : undefined}
    aria-valuetext=${text}
  ><div class="bar-fill" style=${{ transform: `scaleX(${value})` }} /></div>`;
}

/** A button that shows that it works, and what went wrong. */
export function Action({ run, icon, children, class: name = '', title, label, disabled, pressed }) {
  const [busy, setBusy] = useState(false);
  const alive = useRef(true);
  useEffect(() => () => { alive.current = false; }, []);
  const onClick = async () => {
    if (busy) return;
    setBusy(true);
    try {
      await run();
    } catch (error) {
      toast(error.message, 'bad');
    }
    if (alive.current) setBusy(false);
  };
  return html`<button
    type="button" class=${`button ${name}`} onClick=${onClick} title=${title} aria-label=${label}
    aria-pressed=${pressed} aria-busy=${busy} disabled=${disabled}
  >${icon && html`<${Icon} name=${icon} size=${16} />`}${children}</button>`;
}

/** A dialog that holds the focus while it is open; Escape and a click beside it close it. */
export function Dialog({ onClose, label, class: name = '', children }) {
  const ref = useRef(null);
  useEffect(() => {
    const dialog = ref.current;
    const opener = document.activeElement;
    dialog.showModal();
    return () => {
      dialog.close();
      if (opener?.isConnected) opener.focus({ preventScroll: true });
    };
  }, []);
  return html`<dialog
    ref=${ref}
    class=${name}
    aria-label=${label}
    onCancel=${(event) => { event.preventDefault(); onClose(); }}
    onMouseDown=${(event) => { if (event.target === ref.current) onClose(); }}
  >${children}<${Toasts} /></dialog>`;
}

export function Ask({ title, children, verb, tone = 'primary', run, onClose, keep = 'Keep it as it is' }) {
  const go = async () => {
    await run();
    onClose();
  };
  return html`<${Dialog} onClose=${onClose} label=${title} class="ask">
    <h2>${title}</h2>
    <div class="ask-body">${children}</div>
    <div class="ask-buttons">
      <button type="button" class="button" onClick=${onClose}>${keep}</button>
      <${Action} run=${go} class=${tone}>${verb}</${Action}>
    </div>
  </${Dialog}>`;
}

// --- Short messages ---------------------------------------------------------------------

const TOAST_MS = 6000;
let toasts = [];
// A dialog lies over all else, so the messages are shown in the uppermost one.
let hosts = [];
const drawToasts = () => hosts.forEach((draw) => draw());

export function toast(text, tone = 'ok') {
  const item = { text, tone, id: performance.now() + Math.random() };
  toasts = [...toasts.slice(-3), item];
  drawToasts();
  setTimeout(() => {
    toasts = toasts.filter((other) => other !== item);
    drawToasts();
  }, tone === 'bad' ? TOAST_MS * 2 : TOAST_MS);
}

export function Toasts() {
  const [, again] = useReducer((n) => n + 1, 0);
  useEffect(() => {
    hosts = [...hosts, again];
    drawToasts();
    return () => {
      hosts = hosts.filter((host) => host !== again);
      drawToasts();
    };
  }, []);
  const shown = hosts[hosts.length - 1] === again ? toasts : [];
  return html`<div class="toasts" role="status" aria-live="polite">
    ${shown.map((item) => html`<p key=${item.id} class=${`toast ${item.tone}`}>
      <${Icon} name=${item.tone === 'bad' ? 'error' : 'check'} size=${16} /><bdi>${item.text}</bdi>
    </p>`)}
  </div>`;
}
