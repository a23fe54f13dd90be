// The beginning: who is there, and then the shell with the live feed, or the door.
import { html, render, useEffect } from './lib/ui.js';
import { get, post } from './lib/api.js';
import { start, stop } from './lib/live.js';
import { mayLook, session } from './lib/store.js';
import { useSignal } from './lib/signals.js';
import { Login } from './views/login.js';
import { Shell } from './views/shell.js';

const root = document.getElementById('app');
const RETRY_MS = 2000;

/** A link with "#token=..." logs in once. What follows a "#" is sent to no server. */
async function tokenFromAddress() {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (!token) return;
  history.replaceState(null, '', `${location.pathname}#/overview`);
  dispatchEvent(new Event('hashchange'));
  try {
    await post('/api/v1/login', { token });
  } catch {
    // The door asks again.
  }
}

async function whoIsThere() {
  try {
    session.set(await get('/api/v1/session'));
  } catch {
    setTimeout(whoIsThere, RETRY_MS);
  }
}

function Page() {
  const who = useSignal(session);
  useEffect(() => {
    if (mayLook(who)) start();
    else stop();
  }, [who?.role]);
  if (!who) return null;
  return mayLook(who) ? html`<${Shell} />` : html`<${Login} />`;
}

await tokenFromAddress();
await whoIsThere();
root.replaceChildren();
render(html`<${Page} />`, root);
