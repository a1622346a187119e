// What the console asks the server: SQL, metrics, readiness. Who asks is kept for this tab alone.

const STORED = 'nearlake.token';

/** Told when the server wants to know who asks: the page shows the login. */
export const wanted = new EventTarget();

export const token = {
  get: () => sessionStorage.getItem(STORED),
  set: (value) => sessionStorage.setItem(STORED, value),
  forget: () => sessionStorage.removeItem(STORED),
};

/** A statement that failed, with all that the server says of it. */
export class SqlError extends Error {
  constructor(told, status) {
    super(told.error ?? 'the server did not answer as expected');
    Object.assign(this, told, { status });
  }

  get isCancelled() {
    return this.sqlstate === '57014';
  }
}

function headers() {
  const borne = token.get();
  return borne ? { Authorization: `Bearer ${borne}` } : {};
}

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { cache: 'no-store', ...options, headers: { ...options.headers, ...headers() } });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new SqlError({ error: 'the server cannot be reached' }, 0);
  }
  if (answer.status === 401) {
    const told = await answer.json().catch(() => ({}));
    wanted.dispatchEvent(new CustomEvent('login', { detail: told.error }));
    throw new SqlError({ error: 'log in to go on' }, 401);
  }
  return answer;
}

/** Runs statements: the answer's results and its time. `signal` cancels them. */
export async function run(sql, { params = [], maxRows, timeoutMs, readOnly, signal } = {}) {
  const body = { sql, params, max_rows: maxRows, timeout_ms: timeoutMs, read_only: readOnly };
  const answer = await ask('/v1/sql', {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body), signal,
  });
  const told = await answer.json().catch(() => ({ error: `the server answered ${answer.status}` }));
  if (!answer.ok) throw new SqlError(told, answer.status);
  return told;
}

/** The rows of one query as objects. It only reads. */
export async function select(sql, params = [], options = {}) {
  const { results: [result] } = await run(sql, { params, readOnly: true, maxRows: 10_000, timeoutMs: 20_000, ...options });
  const names = result.columns.map((column) => column.name);
  return result.rows.map((row) => Object.fromEntries(row.map((value, place) => [names[place], value])));
}

/** The server's counters as text. */
export async function metricsText() {
  const answer = await ask('/metrics');
  if (!answer.ok) throw new SqlError({ error: `/metrics answered ${answer.status}` }, answer.status);
  return answer.text();
}

/** Whether the server is ready, and what its checks say. */
export async function readiness() {
  const answer = await fetch('/readyz', { cache: 'no-store', headers: headers() });
  return { isReady: answer.ok, ...(await answer.json()) };
}
