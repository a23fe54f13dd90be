// A list of which only the rows in sight are in the document.
import { html, useLayoutEffect, useMemo, useRef, useState } from './ui.js';
import { schedule } from './signals.js';

// Chromium's limit for an element is 2^25 px; Firefox's is half of that.
const TALLEST_PX = 16_000_000;

export const scroller = () => document.getElementById('main');

/**
 * `count` rows of `rowHeight` px; `row(index)` draws one. `columns` stand beside each other.
 * `onRange(first, end)` tells which ones are in sight.
 */
export function Virtual({ count, rowHeight, columns = 1, row, onRange, role = 'rowgroup', label, class: name = '', overscan = 6 }) {
  const ref = useRef(null);
  const [range, setRange] = useState([0, 0]);
  const lines = Math.min(Math.ceil(count / columns), Math.floor(TALLEST_PX / rowHeight));

  useLayoutEffect(() => {
    const main = scroller();
    const look = () => {
      if (!ref.current) return;
      const above = main.getBoundingClientRect().top - ref.current.getBoundingClientRect().top;
      const first = Math.max(0, Math.floor(above / rowHeight) - overscan);
      const end = Math.min(lines, Math.ceil((above + main.clientHeight) / rowHeight) + overscan);
      setRange((old) => (old[0] === first && old[1] === end ? old : [first, end]));
    };
    const onScroll = () => schedule(look);
    look();
    main.addEventListener('scroll', onScroll, { passive: true });
    const sizes = new ResizeObserver(onScroll);
    sizes.observe(main);
    sizes.observe(ref.current);
    return () => {
      main.removeEventListener('scroll', onScroll);
      sizes.disconnect();
    };
  }, [lines, rowHeight, columns]);

  const first = Math.min(range[0], lines) * columns;
  const end = Math.min(range[1] * columns, count);
  useLayoutEffect(() => {
    if (end > first) onRange?.(first, end);
  }, [first, end]);

  // The same place is the same object, so that a row that stays is not drawn again.
  const places = useMemo(() => new Map(), [rowHeight, columns]);
  const place = (index) => {
    let style = places.get(index);
    if (!style) {
      style = {
        position: 'absolute',
        top: `${Math.floor(index / columns) * rowHeight}px`,
        left: `${((index % columns) * 100) / columns}%`,
        width: `${100 / columns}%`,
        height: `${rowHeight}px`,
      };
      if (places.size > 2000) places.clear();
      places.set(index, style);
    }
    return style;
  };
  const rows = [];
  for (let index = first; index < end; index += 1) {
    const drawn = row(index, place(index));
    if (drawn) rows.push(drawn);
  }
  return html`<div
    ref=${ref} class=${`virtual ${name}`} role=${role} aria-label=${label}
    style=${{ height: `${lines * rowHeight}px` }} onKeyDown=${(event) => walk(event, rowHeight)}
  >${rows}</div>`;
}

/** Up and down move the focus to the same control of the next row. */
function walk(event, rowHeight) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const control = event.target.closest('[data-walk]');
  if (!step || !control || event.ctrlKey || event.altKey || event.metaKey) return;
  const list = [...event.currentTarget.querySelectorAll(`[data-walk="${control.dataset.walk}"]`)];
  list.sort((a, b) => a.closest('[data-index]').dataset.index - b.closest('[data-index]').dataset.index);
  const next = list[list.indexOf(control) + step];
  if (!next) return;
  event.preventDefault();
  next.focus({ preventScroll: true });
  const main = scroller();
  const box = next.closest('[data-index]').getBoundingClientRect();
  const frame = main.getBoundingClientRect();
  if (box.bottom > frame.bottom) main.scrollTop += box.bottom - frame.bottom + rowHeight / 2;
  // What sticks to the top of the list covers so much of it.
  else if (box.top < frame.top + 110) main.scrollTop -= frame.top + 110 - box.top;
}
