// Where the page is: "#/library?state=failed&job=12".
import { Signal } from './signals.js';

function read() {
  const [path, search] = location.hash.replace(/^#\/?/, '').split('?');
  return { view: path || 'overview', params: new URLSearchParams(search ?? '') };
}

export const route = new Signal(read());
addEventListener('hashchange', () => route.set(read()));

/** The address of a view; parameters without a value are left out. */
export function href(view, params = {}) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== null && value !== '' && value !== false) search.set(name, value);
  }
  const text = search.toString();
  return `#/${view}${text ? `?${text}` : ''}`;
}

/** The address of this view with some parameters set, or removed where they are empty. */
export function here(changes) {
  return href(route.value.view, { ...Object.fromEntries(route.value.params), ...changes });
}

export function go(address, { replace = false } = {}) {
  if (replace) history.replaceState(null, '', address);
  else history.pushState(null, '', address);
  route.set(read());
}
addEventListener('popstate', () => route.set(read()));
