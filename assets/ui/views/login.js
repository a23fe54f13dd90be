import { html, useEffect, useRef, useState } from '../lib/ui.js';
import { get, post } from '../lib/api.js';
import { mayLook, session } from '../lib/store.js';

export function Login() {
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const field = useRef(null);
  useEffect(() => {
    document.title = 'Log in · av1 control room';
    field.current.focus();
  }, []);

  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await post('/api/v1/login', { token: field.current.value.trim() });
      const who = await get('/api/v1/session');
      if (!mayLook(who)) throw new Error('This is the token that workers join with. Looking needs the read token or the admin token.');
      session.set(who);
    } catch (refused) {
      setError(refused.status === 401 ? 'This token is not one of the master’s.' : refused.message);
      setBusy(false);
      field.current.select();
    }
  };

  return html`<main id="main" class="door">
    <form class="door-card" onSubmit=${submit}>
      <img src="icon.svg" alt="" width="44" height="44" />
      <h1>av1 control room</h1>
      <p id="door-help">The master’s tokens lie in <code>tokens.json</code> in its state directory: <code>admin</code>
        may do everything, <code>read</code> may look.</p>
      <label for="token">Token</label>
      <input
        id="token" ref=${field} type="password" autocomplete="current-password" spellcheck="false" required
        aria-describedby=${error ? 'door-error' : 'door-help'} aria-invalid=${error != null}
      />
      <p id="door-error" class="door-error" role="alert">${error}</p>
      <button class="button primary" type="submit" aria-busy=${busy}>Log in</button>
    </form>
  </main>`;
}
