// Charts with axes, by uPlot, which is fetched when the first one is drawn.
import { html, useEffect, useRef } from './ui.js';

let library = null;

function load() {
  library ??= new Promise((resolve, reject) => {
    const style = document.createElement('link');
    style.rel = 'stylesheet';
    style.href = 'vendor/uplot.min.css';
    document.head.append(style);
    // It is built as a classic script.
    const script = document.createElement('script');
    script.src = 'vendor/uplot.iife.min.js';
    script.onload = () => resolve(window.uPlot);
    script.onerror = () => reject(new Error('The charts could not be loaded.'));
    document.head.append(script);
  });
  return library;
}

/** A colour of the theme, for a canvas. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function axisFont() {
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  return `${Math.round(rem * 0.72)}px ${getComputedStyle(document.body).fontFamily}`;
}

/** Over a short time ticks share a day, which is named once. */
const once = (labels) => labels.map((label, i) => (label === labels[i - 1] ? '' : label));

/** Axes as all charts here have them: times along the one, in milliseconds for `x`, numbers along the other. */
export function axes({ x, y, xRoom = 70 }) {
  const font = axisFont();
  const common = {
    stroke: colour('faint'), font,
    grid: { stroke: colour('hair'), width: 1 },
    ticks: { show: false },
  };
  return [
    { ...common, grid: { show: false }, space: xRoom, size: 26, gap: 4, values: (_, ticks) => once(ticks.map((s) => x(s * 1000))) },
    { ...common, values: (_, ticks) => ticks.map(y), size: 62, gap: 6, space: 34 },
  ];
}

/**
 * `options(width, height)` makes uPlot's options when the chart is made, and again when the
 * theme changes; `data` may change as often as it likes.
 */
export function Chart({ options, data, height, label, remake }) {
  const ref = useRef(null);
  const plot = useRef(null);
  const latest = useRef(data);
  latest.current = data;

  useEffect(() => {
    let gone = false;
    const box = ref.current;
    const make = async () => {
      let uPlot;
      try {
        uPlot = await load();
      } catch {
        return;
      }
      if (gone) return;
      plot.current?.destroy();
      plot.current = new uPlot(
        { width: box.clientWidth, height: box.clientHeight, ...options(uPlot) }, latest.current, box,
      );
    };
    make();
    const sizes = new ResizeObserver(() => {
      plot.current?.setSize({ width: box.clientWidth, height: box.clientHeight });
    });
    sizes.observe(box);
    addEventListener('themechange', make);
    return () => {
      gone = true;
      sizes.disconnect();
      removeEventListener('themechange', make);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [remake]);

  useEffect(() => { plot.current?.setData(data); }, [data]);
  return html`<div class="chart" ref=${ref} role="img" aria-label=${label} style=${{ height }} />`;
}
