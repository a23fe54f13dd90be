// The states' names for people, and how grave they are.

export const JOB_STATES = {
  pending: { label: 'Pending', tone: 'wait', says: 'Waits for a worker' },
  retry_wait: { label: 'Waits to retry', tone: 'warn', says: 'Waits for its next attempt' },
  leased: { label: 'Processing', tone: 'run', says: 'A worker encodes and verifies it' },
  staged: { label: 'Verified', tone: 'run', says: 'The verified output waits to take the source’s place' },
  committing: { label: 'Replacing', tone: 'run', says: 'The output takes the source’s place' },
  recovering: { label: 'Recovering', tone: 'warn', says: 'Its worker went away; what became of the file is being found out' },
  completed: { label: 'Completed', tone: 'saved', says: 'The smaller, verified film is in place' },
  skipped: { label: 'Left alone', tone: 'quiet', says: 'The file stays as it is, for the reason given' },
  failed: { label: 'Failed', tone: 'bad', says: 'Every attempt failed; the source is as it was' },
  cancelled: { label: 'Cancelled', tone: 'quiet', says: 'Ended by a person; the source is as it was' },
  quarantined: { label: 'Quarantined', tone: 'bad', says: 'It took its workers down; the source is as it was' },
  vanished: { label: 'Gone', tone: 'quiet', says: 'The file is no longer there' },
};

export const WORKER_STATES = {
  processing: { label: 'Processing', tone: 'run' },
  idle: { label: 'Idle', tone: 'saved' },
  draining: { label: 'Draining', tone: 'warn' },
  paused: { label: 'Paused', tone: 'warn' },
  outside_hours: { label: 'Outside its hours', tone: 'quiet' },
  offline: { label: 'Offline', tone: 'bad' },
};

export const PHASES = {
  starting: 'Starting',
  fetching: 'Fetching the source',
  predicting: 'Predicting the size',
  encoding: 'Encoding',
  verifying: 'Verifying',
  replacing: 'Replacing',
  delivering: 'Delivering the result',
};

export const jobState = (name) => JOB_STATES[name] ?? { label: name, tone: 'quiet', says: '' };
export const workerState = (name) => WORKER_STATES[name] ?? { label: name, tone: 'quiet' };
export const phase = (job) => PHASES[job.phase] ?? job.phase ?? jobState(job.state).label;
