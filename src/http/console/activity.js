// What goes on: charts of the last five minutes, recall beside its target, and the statements that run.

import { run, select } from './api.js';
import { Chart } from './chart.js';
import { bytes, count, empty, fill, h, icon, isLow, poll, short, span } from './dom.js';
import { sum } from './metrics.js';

const perSecond = (number) => `${number < 10 ? Number(number.toFixed(1)) : short(number)}/s`;
const RECALL = `
  SELECT indexrelname AS name, filter, target, measured, samples FROM nearlake_stat_recall ORDER BY 1, 2 LIMIT 50`;
const RUNNING = `
  SELECT pid, usename, application_name, state, query, extract(epoch FROM clock_timestamp() - query_start) * 1000 AS ms
  FROM pg_stat_activity WHERE state <> 'idle' AND pid <> pg_backend_pid() ORDER BY query_start LIMIT 50`;

export class ActivityView {
  constructor({ history }) {
    this.history = history;
    this.tiles = h('div', { class: 'tiles' });
    // A folder is read without the range cache: there the cache of columns is what keeps things near.
    this.ranges = new Chart({ title: 'Reads by cache tier', unit: perSecond, series: [{ key: 'memory', label: 'memory', area: true }, { key: 'disk', label: 'disk' }, { key: 'store', label: 'store' }] });
    this.columns = new Chart({ title: 'Columns read', unit: perSecond, series: [{ key: 'columnsNear', label: 'from memory', area: true }, { key: 'columnsFar', label: 'from segments' }] });
    this.charts = [
      new Chart({ title: 'Statements', unit: perSecond, series: [{ key: 'statements', label: 'all', area: true }, { key: 'searches', label: 'searches' }, { key: 'errors', label: 'errors' }] }),
      new Chart({ title: 'Time of a statement', unit: span, series: [{ key: 'p50', label: 'p50' }, { key: 'p99', label: 'p99' }] }),
      new Chart({ title: 'Time of a search', unit: span, series: [{ key: 'searchP50', label: 'p50' }, { key: 'searchP99', label: 'p99' }] }),
      new Chart({ title: 'Rows', unit: perSecond, series: [{ key: 'rows', label: 'returned', area: true }, { key: 'written', label: 'written' }] }),
      new Chart({ title: 'Log: bytes', unit: (number) => `${bytes(number)}/s`, series: [{ key: 'walBytes', label: 'appended', area: true }] }),
      new Chart({ title: 'Log: time to make durable', unit: span, series: [{ key: 'walP50', label: 'p50' }, { key: 'walP99', label: 'p99' }] }),
      this.ranges, this.columns,
      new Chart({ title: 'Memory of the process', unit: bytes, series: [{ key: 'resident', label: 'resident', area: true }] }),
    ];
    this.recall = h('section', { class: 'card recall-card', 'aria-label': 'Recall' });
    this.running = h('section', { class: 'card running', 'aria-label': 'Statements that run' });
    this.problem = h('div');
    this.element = h('div', { class: 'view' }, this.problem, this.tiles, h('div', { class: 'charts' }, this.charts.map((chart) => chart.element)),
      h('div', { class: 'halves' }, this.recall, this.running));
    history.addEventListener('change', () => this.element.isConnected && this.#draw());
  }

  shown() {
    this.#draw();
    poll(this.element, 2000, () => this.#drawRunning());
    poll(this.element, 5000, () => this.#drawRecall());
  }

  #draw() {
    const { latest, points, error } = this.history;
    fill(this.problem, error && h('p', { class: 'notice warning' }, `Figures are not to be had: ${error.message}. Trying again.`));
    if (!latest) return;
    for (const chart of this.charts) chart.draw(points);
    const point = points.at(-1);
    const [used, limit] = [sum(latest, 'nearlake_memory_bytes'), sum(latest, 'nearlake_memory_limit_bytes')];
    const pending = sum(latest, 'nearlake_index_pending_rows');
    const hasRanges = latest.has('nearlake_cache_reads_total');
    this.ranges.element.hidden = !hasRanges;
    this.columns.element.hidden = hasRanges;
    const [name, far] = hasRanges ? ['nearlake_cache_reads_total', 'store'] : ['nearlake_column_reads_total', 'segment'];
    const reads = sum(latest, name);
    const near = reads - sum(latest, name, { tier: far });
    const tile = (name, value, more) => h('div', { class: 'tile' }, h('span', { class: 'tile-name' }, name), h('b', { class: 'tile-value' }, value), h('span', { class: 'muted' }, more));
    fill(this.tiles,
      tile('Statements', point ? perSecond(point.statements) : '–', `${count(sum(latest, 'nearlake_statements_running'))} running`),
      tile('p99', span(point?.p99), `p50 ${span(point?.p50)}`),
      tile('Connections', count(sum(latest, 'nearlake_connections')), `${count(sum(latest, 'nearlake_connections_accepted_total'))} since the start`),
      tile('Memory in use', bytes(used), `of ${bytes(limit)}`),
      tile('Rows to index', short(pending), pending ? 'searched exactly meanwhile' : 'indexes are up to date'),
      tile('Cache', reads ? `${Math.floor((100 * near) / reads)} %` : '–', !reads ? 'nothing was read yet' : hasRanges ? 'of reads without the store' : 'of columns from memory'));
  }

  async #drawRecall() {
    const known = await select(RECALL);
    const rows = known.map(({ name, filter, target, measured, samples }) => {
      const [bar, mark] = [h('span', { class: 'gauge-fill' }), h('span', { class: 'gauge-mark', title: `target ${target}` })];
      // From a half to one: recall below that is no recall.
      const place = (share) => `${Math.max(0, Math.min(100, (share - 0.5) * 200))}%`;
      bar.style.width = place(measured ?? 0);
      mark.style.left = place(target);
      return h('li', { class: isLow(measured, target) ? 'low' : '' },
        h('div', { class: 'gauge-head' }, h('span', {}, name, ' ', h('span', { class: 'muted' }, filter)), h('b', {}, measured === null ? 'not known yet' : measured.toFixed(3))),
        h('div', { class: 'gauge' }, bar, mark), h('span', { class: 'muted' }, `target ${target}, ${count(samples)} of the latest searches measured`));
    });
    fill(this.recall, h('h3', {}, 'Recall beside its target'), rows.length ? h('ul', { class: 'gauges' }, rows)
      : empty('No vector index yet', 'Recall is measured on searches that an index answers.'));
  }

  async #drawRunning() {
    const rows = await select(RUNNING);
    // The list is drawn anew: who is at a button stays at it.
    const held = this.running.contains(document.activeElement) && document.activeElement.dataset.pid;
    fill(this.running, h('h3', {}, 'Running now'), rows.length ? h('ul', { class: 'sessions' }, rows.map((row) => h('li', {},
      h('div', { class: 'session-head' }, h('b', {}, span(Number(row.ms))), h('span', {}, row.usename), h('span', { class: 'muted' }, `${row.application_name || 'client'} · ${row.state} · ${row.pid}`), h('span', { class: 'grow' }),
        row.state === 'active' && h('button', { type: 'button', class: 'quiet', 'data-pid': row.pid, onclick: ({ currentTarget: button }) => { button.disabled = true; run('SELECT pg_cancel_backend($1)', { params: [row.pid] }).catch(() => { button.disabled = false; }); } }, icon('stop'), 'Cancel')),
      h('code', { class: 'clamp' }, row.query)))) : empty('Nothing runs', 'Statements that take longer than a moment are listed here.'));
    if (held) this.running.querySelector(`[data-pid="${held}"]`)?.focus();
  }
}
