// A result as a table: typed columns, NULL shown, long values cut, and more rows on demand.

import { h, count, fill } from './dom.js';

/** So many rows are drawn at once. */
const PAGE = 200;
/** Longer texts are cut until they are opened. */
const TEXT_MAX = 160;
/** So many numbers of a vector are shown until it is opened. */
const VECTOR_SHOWN = 3;

const NUMERIC = /^(smallint|integer|bigint|numeric|real|double precision|oid)/;
const VECTOR = /^(vector|halfvec)\b/;

const rounded = (number) => (Number.isInteger(number) ? String(number) : Number(number).toPrecision(4).replace(/0+$/, ''));

/** A value that can be opened, short at first. */
function folded(short, whole, label) {
  const cell = h('span', { class: 'folded' });
  const show = (isOpen) => fill(cell,
    h('button', { type: 'button', class: 'fold', 'aria-expanded': String(isOpen), 'aria-label': label, title: isOpen ? 'Shorten' : 'Show all',
      onclick: () => show(!isOpen) }, isOpen ? whole : short));
  show(false);
  return cell;
}

/** What a cell shows. */
export function shown(value, type) {
  if (value === null) return h('span', { class: 'null' }, 'NULL');
  if (VECTOR.test(type) && Array.isArray(value)) {
    if (value.length <= VECTOR_SHOWN) return `[${value.map(rounded).join(', ')}]`;
    const some = value.slice(0, VECTOR_SHOWN).map(rounded).join(', ');
    return folded(`[${some}, … ${value.length}]`, `[${value.join(', ')}]`, `vector of ${value.length} dimensions`);
  }
  if (typeof value === 'number') return String(value);
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value);
  if (text.length <= TEXT_MAX) return text;
  return folded(`${text.slice(0, TEXT_MAX)}…`, text, `text of ${text.length} characters`);
}

/** The table of a result. `extra` adds a cell to each row. */
export function grid({ columns, rows }, { label = 'Result', extra } = {}) {
  const head = h('tr', {}, extra && h('th', { class: 'extra' }, h('span', { class: 'unseen' }, 'Actions')),
    columns.map((column) => h('th', { scope: 'col', class: NUMERIC.test(column.type) ? 'number' : false },
      h('span', { class: 'column' }, column.name), h('span', { class: 'type' }, column.type))));
  const body = h('tbody');
  const more = h('div', { class: 'more' });
  let drawn = 0;
  const draw = () => {
    const next = rows.slice(drawn, drawn + PAGE).map((row) => h('tr', {}, extra && h('td', { class: 'extra' }, extra(row)),
      row.map((value, at) => h('td', { class: NUMERIC.test(columns[at].type) ? 'number' : false }, shown(value, columns[at].type)))));
    body.append(...next);
    drawn += next.length;
    if (drawn >= rows.length) return more.remove();
    return fill(more, h('span', {}, `${count(drawn)} of ${count(rows.length)} rows are drawn`),
      h('button', { type: 'button', class: 'quiet', onclick: draw }, `Show ${count(Math.min(PAGE, rows.length - drawn))} more`));
  };
  const table = h('div', { class: 'grid', tabindex: '0', role: 'region', 'aria-label': label },
    h('table', {}, h('thead', {}, head), body));
  const whole = h('div', { class: 'grid-whole' }, table, more);
  draw();
  return whole;
}
