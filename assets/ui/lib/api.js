// The HTTP API.
import { session } from './store.js';

export class ApiError extends Error {
  constructor(status, body) {
    super(body.message);
    this.status = status;
    this.kind = body.kind;
    this.chain = body.chain ?? [];
  }
}

async function refuse(response) {
  let body;
  try {
    body = await response.json();
  } catch {
    body = {};
  }
  body.kind ??= 'http';
  body.message ??= `The master answered ${response.status} ${response.statusText}`.trim();
  const error = new ApiError(response.status, body);
  if (response.status === 401 && session.value?.role) session.set({ ...session.value, role: null });
  throw error;
}

async function send(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: 'same-origin', ...options });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError(0, { kind: 'unreachable', message: 'The master does not answer.' });
  }
  return response.ok ? response : refuse(response);
}

export async function get(path, signal) {
  return (await send(path, { signal, headers: { accept: 'application/json' } })).json();
}

export async function post(path, body) {
  const response = await send(path, {
    method: 'POST',
    headers: { accept: 'application/json', 'content-type': 'application/json' },
    body: JSON.stringify(body ?? {}),
  });
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

/** A picture, and what the master says of it. */
export async function picture(path, signal) {
  const response = await send(path, { signal });
  return { blob: await response.blob(), headers: response.headers };
}

export function query(values) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined && value !== null && value !== '' && value !== false) params.set(name, value);
  }
  const text = params.toString();
  return text ? `?${text}` : '';
}

export const jobAction = (body) => post('/api/v1/jobs/actions', body);
export const workerSettings = (id, settings) => post(`/api/v1/workers/${encodeURIComponent(id)}/settings`, settings);
