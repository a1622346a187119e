// The server's counters, read every two seconds: text into families, and a history of what follows from them.

import { metricsText } from './api.js';

const EVERY_MS = 2000;
/** Five minutes. */
const POINTS = 150;

/** Prometheus' text: for each name its samples, `{labels, value}`. */
export function parse(text) {
  const families = new Map();
  for (const line of text.split('\n')) {
    const found = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!found) continue;
    const [, name, labels = '', value] = found;
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, text]) => [key, text.replace(/\\(.)/g, (_, char) => (char === 'n' ? '\n' : char))]);
    if (!families.has(name)) families.set(name, []);
    families.get(name).push({ labels: Object.fromEntries(pairs), value: value === '+Inf' ? Infinity : Number(value) });
  }
  return families;
}

/** The sum of a family's samples. */
export function sum(families, name, wanted = {}) {
  const samples = families.get(name) ?? [];
  return samples.filter(({ labels }) => Object.entries(wanted).every(([key, value]) => labels[key] === value))
    .reduce((total, sample) => total + sample.value, 0);
}

/** A histogram's cumulated counts by upper bound, over all labels. */
function buckets(families, name) {
  const counts = new Map();
  for (const { labels, value } of families.get(`${name}_bucket`) ?? []) {
    const bound = labels.le === '+Inf' ? Infinity : Number(labels.le);
    counts.set(bound, (counts.get(bound) ?? 0) + value);
  }
  return counts;
}

/** A quantile of what a histogram counted between two readings, in milliseconds; null where that is nothing. */
export function quantile(before, after, name, q) {
  const [old, now] = [buckets(before, name), buckets(after, name)];
  const bounds = [...now.keys()].sort((a, b) => a - b);
  const counts = bounds.map((bound) => now.get(bound) - (old.get(bound) ?? 0));
  const total = counts.at(-1) ?? 0;
  if (!(total > 0)) return null;
  const rank = q * total;
  const at = counts.findIndex((count) => count >= rank);
  const [low, high] = [at > 0 ? bounds[at - 1] : 0, bounds[at]];
  if (high === Infinity) return low * 1000;
  const below = at > 0 ? counts[at - 1] : 0;
  return 1000 * (low + (high - low) * ((rank - below) / Math.max(1e-9, counts[at] - below)));
}

/** Five minutes of points; `change` is told of each new one. */
export class History extends EventTarget {
  points = [];

  latest = null;

  error = null;

  #before = null;

  start() {
    let wait = EVERY_MS;
    const turn = async () => {
      if (!document.hidden) {
        try {
          this.#take(parse(await metricsText()), performance.now());
          [wait, this.error] = [EVERY_MS, null];
        } catch (error) {
          [wait, this.error] = [Math.min(wait * 2, 30_000), error];
        }
        this.dispatchEvent(new Event('change'));
      } else {
        // A rate over the time that nobody looked would be a mean of it all.
        this.#before = null;
      }
      setTimeout(turn, wait);
    };
    turn();
  }

  #take(families, time) {
    const before = this.#before;
    this.#before = { families, time };
    this.latest = families;
    if (!before) return;
    const seconds = (time - before.time) / 1000;
    const rate = (name, wanted) => Math.max(0, sum(families, name, wanted) - sum(before.families, name, wanted)) / seconds;
    const at = (name, q) => quantile(before.families, families, name, q);
    this.points.push({
      time: Date.now(),
      statements: rate('nearlake_statement_seconds_count'),
      searches: rate('nearlake_searches_total'),
      errors: rate('nearlake_errors_total'),
      p50: at('nearlake_statement_seconds', 0.5),
      p99: at('nearlake_statement_seconds', 0.99),
      searchP50: at('nearlake_search_seconds', 0.5),
      searchP99: at('nearlake_search_seconds', 0.99),
      rows: rate('nearlake_rows_returned_total'),
      written: rate('nearlake_rows_written_total'),
      walBytes: rate('nearlake_wal_bytes_total'),
      walP50: at('nearlake_wal_append_seconds', 0.5),
      walP99: at('nearlake_wal_append_seconds', 0.99),
      memory: rate('nearlake_cache_reads_total', { tier: 'memory' }),
      disk: rate('nearlake_cache_reads_total', { tier: 'disk' }),
      store: rate('nearlake_cache_reads_total', { tier: 'store' }),
      columnsNear: rate('nearlake_column_reads_total', { tier: 'memory' }),
      columnsFar: rate('nearlake_column_reads_total', { tier: 'segment' }),
      resident: sum(families, 'process_resident_memory_bytes'),
      running: sum(families, 'nearlake_statements_running'),
    });
    if (this.points.length > POINTS) this.points.shift();
  }
}
