// Numbers as people read them. Everything here takes plain numbers and returns plain text.

const NBSP = '\u00a0';
const grouped = new Intl.NumberFormat('en');
const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'];

/** Three significant digits, never more than two decimals: 4.21, 42.1, 421. */
function short(value) {
  const size = Math.abs(value);
  if (size >= 99.95) return grouped.format(Math.round(value));
  return value.toFixed(size >= 9.995 ? 1 : 2);
}

/** Bytes in decimal units (1 kB = 1000 B, as the command line tells them), as [number, unit]. */
export function bytesParts(bytes) {
  let value = bytes;
  let unit = 0;
  while (Math.abs(value) >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return [unit === 0 ? String(Math.round(value)) : short(value), UNITS[unit]];
}

export function bytes(count) {
  return count == null ? '–' : bytesParts(count).join(NBSP);
}

export function count(value) {
  return value == null ? '–' : grouped.format(value);
}

/** A count that has to fit: 950, 12.9k, 1.05M. */
export function countShort(value) {
  if (value < 10_000) return grouped.format(value);
  return value < 999_500 ? `${short(value / 1000)}k` : `${short(value / 1_000_000)}M`;
}

/** A share of one as percent: one decimal below ten, and never a rounded-up 100. */
export function percent(share) {
  if (share == null || !Number.isFinite(share)) return '–';
  const value = share * 100;
  if (value < 100 && value >= 99.5) return `${(Math.floor(value * 10) / 10).toFixed(1)}${NBSP}%`;
  return `${value.toFixed(Math.abs(value) < 9.95 ? 1 : 0)}${NBSP}%`;
}

export function fps(value) {
  if (value == null) return '–';
  return value >= 1000 ? grouped.format(Math.round(value)) : value.toFixed(value < 99.95 ? 1 : 0);
}

/** Film time by wall-clock time. */
export function speed(value) {
  return value == null ? '–' : `${value < 9.995 ? value.toFixed(2) : value < 99.95 ? value.toFixed(1) : grouped.format(Math.round(value))}×`;
}

/** The two largest units of a duration: "3 d 4 h", "12 min 5 s". */
export function duration(ms) {
  if (ms == null) return '–';
  const s = Math.max(0, Math.round(ms / 1000));
  const two = (a, ua, b, ub) => `${grouped.format(a)}${NBSP}${ua}${b ? ` ${b}${NBSP}${ub}` : ''}`;
  if (s < 60) return `${s}${NBSP}s`;
  if (s < 3600) return two(Math.floor(s / 60), 'min', s % 60, 's');
  if (s < 86_400) return two(Math.floor(s / 3600), 'h', Math.floor((s % 3600) / 60), 'min');
  const days = Math.floor(s / 86_400);
  return two(days, 'd', days < 100 ? Math.floor((s % 86_400) / 3600) : 0, 'h');
}

/** A position in a film: 1:02:05, or 2:05.4 with tenths. */
export function position(ms, tenths = false) {
  const s = Math.floor(ms / 1000);
  const two = (n) => String(n).padStart(2, '0');
  const head = s >= 3600 ? `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}` : Math.floor(s / 60);
  return `${head}:${two(s % 60)}${tenths ? `.${Math.floor((ms % 1000) / 100)}` : ''}`;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const dayClock = new Intl.DateTimeFormat(undefined, {
  year: 'numeric', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit',
});
const dayOnly = new Intl.DateTimeFormat(undefined, { year: 'numeric', month: 'short', day: 'numeric', timeZone: 'UTC' });

const dayMonth = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric', timeZone: 'UTC' });
const hours = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });

export const hourMinute = (ms) => hours.format(ms);
export const shortDay = (ms) => dayMonth.format(ms);
export const timeOfDay = (ms) => clock.format(ms);
export const moment = (ms) => (ms == null ? '–' : dayClock.format(ms));
/** The master's days begin at midnight UTC. */
export const utcDay = (ms) => dayOnly.format(ms);

/** "12 s ago", seen from `now`. */
export function ago(ms, now) {
  if (ms == null) return 'never';
  const gone = now - ms;
  if (gone < 1500) return 'just now';
  const s = Math.round(gone / 1000);
  if (s < 60) return `${s}${NBSP}s ago`;
  if (s < 3600) return `${Math.round(s / 60)}${NBSP}min ago`;
  if (s < 86_400) return `${Math.round(s / 3600)}${NBSP}h ago`;
  if (s < 86_400 * 60) return `${Math.round(s / 86_400)}${NBSP}d ago`;
  return utcDay(ms);
}

export function plural(n, one, many = `${one}s`) {
  return `${grouped.format(n)}${NBSP}${n === 1 ? one : many}`;
}
