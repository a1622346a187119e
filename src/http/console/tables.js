// Tables and indexes: rows, sizes, recall, and the builds that run.

import { select } from './api.js';
import { columns } from './catalog.js';
import { bytes, count, empty, fill, h, icon, isLow, poll, rowCount, short } from './dom.js';
import { quoted, relation } from './sql.js';

const TABLES = `
  SELECT c.oid::bigint AS oid, n.nspname AS schema, c.relname AS name, s.n_live_tup AS rows, pg_relation_size(c.oid) AS bytes, pg_indexes_size(c.oid) AS index_bytes,
         obj_description(c.oid, 'pg_class') AS comment
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
  WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  ORDER BY n.nspname <> 'public', 2, 3`;
const INDEXES = `
  SELECT x.indrelid::bigint AS "table", c.oid::bigint AS oid, c.relname AS name, m.amname AS method, pg_relation_size(c.oid) AS bytes,
         x.indisunique AS "isUnique", x.indisprimary AS "isPrimary", pg_get_indexdef(c.oid) AS definition
  FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_am m ON m.oid = c.relam ORDER BY c.relname`;
const RECALL = `SELECT indexrelid::bigint AS oid, filter, target, measured, samples FROM nearlake_stat_recall`;
const BUILDS = `
  SELECT pid, relid::regclass::text AS "table", phase, blocks_done, blocks_total, tuples_done, tuples_total FROM pg_stat_progress_create_index`;

/** How often a build is looked at while it runs. */
const BUILD_EVERY_MS = 250;

/** Where each phase of a build begins and how much of the whole it is, roughly: rows are counted while they are loaded. */
const PHASES = { performing: [0.05, 0.3], loading: [0.35, 0.5], settling: [0.85, 0.15] };

export class TablesView {
  #open = new Set();

  constructor({ openQuery }) {
    this.openQuery = openQuery;
    this.builds = h('section', { class: 'builds', 'aria-label': 'Builds of indexes' });
    this.list = h('div', { class: 'tables' }, h('p', { class: 'loading' }, 'Loading …'));
    this.element = h('div', { class: 'view' }, this.builds, this.list);
  }

  shown() {
    poll(this.element, 1000, () => this.#drawBuilds());
    poll(this.element, 5000, () => this.#drawTables());
  }

  async #drawBuilds() {
    const builds = await select(BUILDS);
    if (this.hadBuilds && !builds.length) this.#drawTables();
    this.hadBuilds = builds.length > 0;
    fill(this.builds, builds.map((build) => {
      const [, phase] = /: (\w+)/.exec(build.phase) ?? [null, 'initializing'];
      const [from, share] = PHASES[phase] ?? [0, 0];
      const loaded = phase === 'loading' ? build.tuples_done / Math.max(1, build.tuples_total) : 0;
      const done = Math.round(100 * (from + share * loaded));
      const fillBar = h('span', { class: 'progress-fill' });
      fillBar.style.width = `${done}%`;
      return h('div', { class: 'build card' },
        h('div', { class: 'build-head' }, h('strong', {}, `Building an index on ${build.table}`), h('span', { class: 'muted' }, `${done} %`)),
        h('div', { class: 'progress', role: 'progressbar', 'aria-label': `Index on ${build.table}`, 'aria-valuemin': '0', 'aria-valuemax': '100', 'aria-valuenow': String(done) }, fillBar),
        h('div', { class: 'build-foot muted' }, h('span', {}, build.phase.replace('building index: ', '')),
          h('span', {}, `${count(build.tuples_done)} of ${count(build.tuples_total)} rows`)));
    }));
    return builds.length ? BUILD_EVERY_MS : undefined;
  }

  async #drawTables() {
    let tables;
    let indexes;
    let recall;
    try {
      [tables, indexes, recall] = await Promise.all([select(TABLES), select(INDEXES), select(RECALL)]);
    } catch (error) {
      if (!this.hasTables) fill(this.list, empty('Tables cannot be listed', error.message));
      throw error;
    }
    this.hasTables = true;
    if (!tables.length) {
      fill(this.list, empty('There are no tables yet', 'CREATE TABLE makes one; so does the first write to a namespace over HTTP.'));
      return;
    }
    const key = JSON.stringify([tables, indexes, recall]);
    if (key === this.drawn) return;
    this.drawn = key;
    const most = Math.max(1, ...tables.map((table) => table.bytes + table.index_bytes));
    fill(this.list, h('div', { class: 'card list', role: 'list' }, tables.map((table) => {
      const own = indexes.filter((index) => index.table === table.oid);
      return this.#row(table, own, recall, most);
    })));
  }

  #row(table, indexes, recall, most) {
    const sizes = h('span', { class: 'bar two' }, h('span', { class: 'bar-fill' }), h('span', { class: 'bar-fill second' }));
    sizes.children[0].style.width = `${(100 * table.bytes) / most}%`;
    sizes.children[1].style.width = `${(100 * table.index_bytes) / most}%`;
    const body = h('div', { class: 'table-body' });
    const details = h('details', { class: 'table', role: 'listitem', open: this.#open.has(table.oid), ontoggle: () => {
      if (details.open) this.#open.add(table.oid); else this.#open.delete(table.oid);
      if (details.open) this.#fillBody(body, table, indexes, recall);
    } },
    h('summary', {}, icon('chevron'),
      h('span', { class: 'table-name' }, table.schema !== 'public' && h('span', { class: 'muted' }, `${table.schema}.`), h('strong', {}, table.name),
        indexes.some((index) => !['btree'].includes(index.method)) && h('span', { class: 'badge' }, 'vector index')),
      h('span', { class: 'figure' }, h('b', {}, short(table.rows ?? 0)), table.rows === 1 ? ' row' : ' rows'),
      h('span', { class: 'figure', title: 'table + indexes' }, bytes(table.bytes + table.index_bytes), sizes)),
    body);
    return details;
  }

  async #fillBody(body, table, indexes, recall) {
    const name = relation(table.schema, table.name);
    const actions = h('div', { class: 'toolbar' },
      h('button', { type: 'button', onclick: () => this.openQuery(`SELECT * FROM ${name} LIMIT 100;`, true) }, icon('query'), 'Browse rows'),
      h('span', { class: 'muted' }, `${rowCount(table.rows ?? 0)}, ${bytes(table.bytes)} of data, ${bytes(table.index_bytes)} of indexes`));
    const known = await columns(table.oid).catch((error) => error);
    if (known instanceof Error) return fill(body, actions, h('p', { class: 'problem-text' }, known.message));
    const columnList = h('ul', { class: 'columns' }, known.map((column) => h('li', {}, h('code', {}, quoted(column.name)), h('span', { class: 'type' }, column.type),
      column.isKey && h('span', { class: 'badge' }, 'key'), column.notNull && !column.isKey && h('span', { class: 'muted' }, 'not null'))));
    const indexList = indexes.length ? h('ul', { class: 'indexes' }, indexes.map((index) => {
      const measured = recall.filter((row) => row.oid === index.oid);
      return h('li', {}, h('div', {}, h('code', {}, index.name), h('span', { class: 'type' }, index.method), h('span', { class: 'muted' }, bytes(index.bytes))),
        measured.map((row) => h('span', { class: `recall ${isLow(row.measured, row.target) ? 'low' : ''}` },
          `${row.filter}: recall ${row.measured === null ? 'not known yet' : row.measured.toFixed(3)}, target ${row.target}`)),
        h('code', { class: 'muted definition' }, index.definition));
    })) : h('p', { class: 'muted' }, 'No indexes.');
    return fill(body, table.comment && h('p', {}, table.comment), actions,
      h('div', { class: 'halves' }, h('section', {}, h('h3', {}, 'Columns'), columnList), h('section', {}, h('h3', {}, 'Indexes'), indexList)));
  }
}
