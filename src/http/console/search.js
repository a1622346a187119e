// Search: what lies near a row, a vector, or a text where a model can read it.

import { columnModels, columns, models, vectorTables } from './catalog.js';
import { run, select } from './api.js';
import { announce, count, empty, fill, h, icon, span } from './dom.js';
import { shown } from './grid.js';
import { literal, quoted, relation } from './sql.js';

/** How long a look for example rows may take. */
const LOOK_MS = 3000;
const TEXTUAL = /^(text|character|name|varchar)/;
const POINT = /^(vector|halfvec|sparsevec|bit)/;

export class SearchView {
  #running = null;

  #looking = null;

  constructor({ openQuery }) {
    this.openQuery = openQuery;
    this.form = h('div', { class: 'search-form card' });
    this.found = h('div', { class: 'results' });
    this.element = h('div', { class: 'view search' }, this.form, this.found);
  }

  async shown() {
    const was = this.table;
    try {
      [this.tables, this.models, this.made] = [await vectorTables(), await models(), await columnModels()];
    } catch (error) {
      this.form.hidden = true;
      fill(this.found, empty('Tables cannot be listed', error.message));
      return;
    }
    this.form.hidden = !this.tables.length;
    if (!this.tables.length) {
      fill(this.found, empty('No table has a vector yet',
        'Search works over tables with a column of type vector or halfvec.'),
      h('p', { class: 'centred' }, h('button', { type: 'button', onclick: () => this.openQuery(EXAMPLE) }, 'Open an example')));
      return;
    }
    const same = was && this.tables.find((table) => table.oid === was.oid && table.column === was.column);
    if (!same) await this.#choose(this.tables[0]);
  }

  async #choose(table) {
    this.table = table;
    this.columns = await columns(table.oid);
    this.keys = this.columns.filter((column) => column.isKey);
    this.plain = this.columns.filter((column) => !POINT.test(column.type));
    this.label = this.plain.find((column) => /name|title|label/.test(column.name) && TEXTUAL.test(column.type))
      ?? this.plain.find((column) => TEXTUAL.test(column.type)) ?? this.keys[0] ?? this.plain[0];
    this.mode = this.keys.length ? 'row' : 'vector';
    this.example = null;
    this.#drawForm();
    fill(this.found, empty(`Search ${table.name}`, this.mode === 'row' ? 'Choose a row as an example to see what lies near it.' : 'Paste a vector to see what lies near it.'));
  }

  #drawForm() {
    const { tables, table } = this;
    const name = (one) => `${one.schema === 'public' ? '' : `${one.schema}.`}${one.name} · ${one.column}`;
    const choice = h('select', { id: 'search-table', onchange: () => this.#choose(tables[choice.selectedIndex]) },
      tables.map((one) => h('option', { selected: one === table }, name(one))));
    const modes = [['row', 'Like a row'], ['vector', 'By a vector'], ['text', 'By text']];
    const tabs = h('div', { class: 'segments', role: 'radiogroup', 'aria-label': 'Search by' }, modes.map(([mode, label]) => h('label', {},
      h('input', { type: 'radio', name: 'search-mode', value: mode, checked: mode === this.mode, disabled: mode === 'row' && !this.keys.length,
        onchange: () => { this.mode = mode; this.#drawForm(); } }), h('span', {}, label))));
    this.limit = h('input', { type: 'number', id: 'search-limit', min: '1', max: '1000', value: this.limit?.value ?? '10' });
    this.filter = h('input', { type: 'text', id: 'search-filter', value: this.filter?.value ?? '', placeholder: "section = 'python'", spellcheck: 'false', autocapitalize: 'off',
      onkeydown: (event) => event.key === 'Enter' && this.search() });
    fill(this.form,
      h('div', { class: 'fields' },
        h('div', { class: 'field' }, h('label', { for: 'search-table' }, 'Table'), choice),
        h('div', { class: 'field fixed' }, h('span', { class: 'label' }, 'Search by'), tabs)),
      h('div', { class: 'fields' }, this.#drawInput()),
      h('div', { class: 'fields' },
        h('div', { class: 'field grow' }, h('label', { for: 'search-filter' }, 'Filter ', h('span', { class: 'muted' }, '(SQL, optional)')), this.filter),
        h('div', { class: 'field narrow' }, h('label', { for: 'search-limit' }, 'Rows'), this.limit),
        h('button', { type: 'button', class: 'primary', onclick: () => this.search() }, icon('search'), 'Search')));
  }

  #drawInput() {
    if (this.mode === 'row') return this.#drawRowInput();
    if (this.mode === 'vector') {
      this.vector = h('textarea', { id: 'search-vector', rows: '2', class: 'mono', spellcheck: 'false', placeholder: '[0.12, -0.5, …]', value: this.vector?.value ?? '' });
      return h('div', { class: 'field grow' }, h('label', { for: 'search-vector' }, `Vector, as ${this.table.type} takes it`), this.vector);
    }
    const dims = Number(/\((\d+)\)/.exec(this.table.type)?.[1]);
    const names = (this.models ?? []).filter((model) => !model.dims || !dims || model.dims === dims).map((model) => model.name);
    if (!names.length) {
      return h('p', { class: 'note' }, this.models ? `No model of this server makes vectors of ${this.table.type}. CREATE EMBEDDING MODEL makes one known.`
        : 'This server has no models, so it cannot read text. Search by a row or a vector.');
    }
    this.text = h('input', { type: 'text', id: 'search-text', placeholder: 'a program to edit photos', value: this.text?.value ?? '', onkeydown: (event) => event.key === 'Enter' && this.search() });
    // Distances from another model's vectors mean nothing, even where the dimensions are the same.
    const own = this.made?.get(`${this.table.oid}.${this.table.column}`);
    this.model = h('select', { id: 'search-model' }, names.map((one) => h('option', { value: one, selected: one === own }, one)));
    return [h('div', { class: 'field grow' }, h('label', { for: 'search-text' }, 'Text'), this.text),
      h('div', { class: 'field' }, h('label', { for: 'search-model' }, 'Model'), this.model)];
  }

  /** A box that finds rows by a column while one types. */
  #drawRowInput() {
    const list = h('ul', { class: 'suggestions', id: 'suggestions', role: 'listbox', 'aria-label': 'Rows' });
    list.hidden = true;
    const input = h('input', { type: 'text', id: 'search-row', role: 'combobox', 'aria-autocomplete': 'list', 'aria-controls': 'suggestions', 'aria-expanded': 'false',
      autocomplete: 'off', spellcheck: 'false', autocapitalize: 'off', placeholder: `Type some of ${this.label.name}`, value: this.example ? this.#nameOf(this.example) : '',
      oninput: () => this.#look(input, list), onkeydown: (event) => this.#arrows(event, input, list), onblur: () => setTimeout(() => this.#close(input, list), 150) });
    this.rowInput = input;
    const by = h('select', { id: 'search-label', onchange: () => { this.label = this.plain[by.selectedIndex]; this.example = null; this.#drawForm(); } },
      this.plain.map((column) => h('option', { selected: column === this.label }, column.name)));
    return [h('div', { class: 'field grow combo' }, h('label', { for: 'search-row' }, 'Rows like'), input, list),
      h('div', { class: 'field' }, h('label', { for: 'search-label' }, 'Found by'), by)];
  }

  #nameOf(row) {
    return String(row[this.label.name] ?? this.keys.map((key) => row[key.name]).join(', '));
  }

  async #look(input, list) {
    this.example = null;
    this.#looking?.abort();
    const typed = input.value.trim();
    if (!typed) return this.#close(input, list);
    this.#looking = new AbortController();
    const { signal } = this.#looking;
    const label = quoted(this.label.name);
    const wanted = [...new Set([...this.keys, this.label].map((column) => quoted(column.name)))].join(', ');
    try {
      const rows = await select(`SELECT ${wanted} FROM ${this.#from()} WHERE ${label}::text ILIKE '%' || $1::text || '%'
        ORDER BY ${label}::text <> $1, length(${label}::text), ${label} LIMIT 8`, [typed], { signal, timeoutMs: LOOK_MS });
      const options = rows.map((row, at) => h('li', { role: 'option', id: `suggestion-${at}`, onmousedown: (event) => { event.preventDefault(); this.#take(row, input, list); } },
        h('span', {}, this.#nameOf(row)), h('span', { class: 'muted' }, this.keys.map((key) => row[key.name]).join(', '))));
      options.forEach((option, at) => { option.row = rows[at]; });
      fill(list, options.length ? options : h('li', { class: 'muted none' }, 'No such row'));
    } catch (error) {
      if (error.name === 'AbortError') return;
      fill(list, h('li', { class: 'muted none' }, error.message));
    }
    list.hidden = false;
    input.setAttribute('aria-expanded', 'true');
  }

  #close(input, list) {
    list.hidden = true;
    input.setAttribute('aria-expanded', 'false');
    input.removeAttribute('aria-activedescendant');
  }

  #arrows(event, input, list) {
    const options = [...list.querySelectorAll('[role=option]')];
    const at = options.findIndex((option) => option.getAttribute('aria-selected') === 'true');
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      if (!options.length) return;
      event.preventDefault();
      const next = (at + (event.key === 'ArrowDown' ? 1 : -1) + options.length) % options.length;
      options.forEach((option, place) => option.setAttribute('aria-selected', String(place === next)));
      input.setAttribute('aria-activedescendant', options[next].id);
    } else if (event.key === 'Enter') {
      if (!list.hidden && options.length) this.#take((options[at] ?? options[0]).row, input, list);
      else this.search();
    } else if (event.key === 'Escape') {
      this.#close(input, list);
    }
  }

  #take(row, input, list) {
    this.example = row;
    input.value = this.#nameOf(row);
    this.#close(input, list);
    this.search();
  }

  #from() {
    return relation(this.table.schema, this.table.name);
  }

  /** The query's vector in SQL, its parameters, and which rows are the example itself. */
  #asked() {
    const vector = quoted(this.table.column);
    if (this.mode === 'row') {
      if (!this.example) throw new Error('Choose a row first: type some of it and pick it from the list.');
      const same = this.keys.map((key, at) => `${quoted(key.name)} = $${at + 1}::text::${key.type}`).join(' AND ');
      return { query: `(SELECT ${vector} FROM ${this.#from()} WHERE ${same})`, params: this.keys.map((key) => String(this.example[key.name])), besides: same };
    }
    if (this.mode === 'vector') {
      const typed = this.vector.value.trim();
      if (!typed) throw new Error('Paste a vector first.');
      return { query: `$1::${this.table.type}`, params: [typed.startsWith('[') ? typed : `[${typed}]`] };
    }
    if (!this.model?.isConnected) throw new Error('This server cannot read text.');
    if (!this.text.value.trim()) throw new Error('Write a text first.');
    return { query: `embed($1::text, ${literal(this.model.value)})`, params: [this.text.value.trim()] };
  }

  #statement({ query, besides }) {
    const rows = Math.min(1000, Math.max(1, Number(this.limit.value) || 10));
    const wanted = this.plain.map((column) => quoted(column.name));
    const distance = `${quoted(this.table.column)} ${this.table.operator} ${query}`;
    const where = [besides && `NOT (${besides})`, this.filter.value.trim() && `(${this.filter.value.trim()})`].filter(Boolean);
    return [`SELECT ${[...wanted, `${distance} AS distance`].join(', ')}`, `FROM ${this.#from()}`,
      where.length && `WHERE ${where.join(' AND ')}`, `ORDER BY ${distance}`, `LIMIT ${rows}`].filter(Boolean).join('\n');
  }

  async search() {
    let asked;
    try {
      asked = this.#asked();
    } catch (error) {
      fill(this.found, h('section', { class: 'problem', role: 'alert' }, h('p', { class: 'problem-text' }, error.message)));
      return;
    }
    const text = this.#statement(asked);
    this.#running?.abort();
    const controller = new AbortController();
    this.#running = controller;
    this.found.classList.add('busy');
    try {
      const { results: [result] } = await run(text, { params: asked.params, readOnly: true, maxRows: 1000, signal: controller.signal });
      fill(this.found, this.#drawFound(result, text, asked.params));
      announce(`${result.rows.length} rows found`);
    } catch (error) {
      if (error.name === 'AbortError') return;
      fill(this.found, h('section', { class: 'problem', role: 'alert' }, h('header', {}, h('strong', {}, 'Error'), error.sqlstate && h('code', { class: 'state' }, error.sqlstate)),
        h('p', { class: 'problem-text' }, error.message), error.detail && h('p', { class: 'detail' }, error.detail), error.hint && h('p', { class: 'hint' }, error.hint)));
    } finally {
      if (this.#running === controller) this.found.classList.remove('busy');
    }
  }

  #drawFound(result, text, params) {
    // What a value itself says, `$1::` or `$&`, stands for nothing.
    const inlined = text.replace(/\$(\d+)::(?:text::)?/g, (_, number) => `${literal(params[number - 1])}::`);
    const head = h('header', { class: 'result-head' }, h('strong', {}, `${count(result.rows.length)} nearest`), h('span', { class: 'muted' }, span(result.elapsed_ms)),
      h('span', { class: 'grow' }), h('button', { type: 'button', class: 'quiet', onclick: () => this.openQuery(inlined) }, icon('query'), 'Open as SQL'));
    if (!result.rows.length) return h('section', { class: 'result card' }, head, h('p', { class: 'muted none' }, 'No row matches.'));
    const distances = result.rows.map((row) => row.at(-1));
    const [least, most] = [Math.min(...distances), Math.max(...distances)];
    const at = (name) => result.columns.findIndex((column) => column.name === name);
    const [label] = [at(this.label.name)];
    const others = result.columns.map((column, place) => ({ ...column, place })).slice(0, -1).filter((column) => column.place !== label);
    const hits = result.rows.map((row, place) => {
      const bar = h('span', { class: 'bar' }, h('span', { class: 'bar-fill' }));
      bar.firstChild.style.width = `${most > least ? 100 - (85 * (row.at(-1) - least)) / (most - least) : 100}%`;
      const example = Object.fromEntries(result.columns.map((column, i) => [column.name, row[i]]));
      return h('li', { class: 'hit' },
        h('span', { class: 'rank' }, String(place + 1)),
        h('div', { class: 'hit-body' },
          h('div', { class: 'hit-head' }, h('strong', { class: 'hit-label' }, shown(row[label], result.columns[label].type)),
            this.keys.length > 0 && h('button', { type: 'button', class: 'quiet like', title: 'Search for rows like this one', onclick: () => this.#like(example) }, icon('like'), 'like this')),
          h('dl', { class: 'hit-fields' }, others.filter((column) => row[column.place] !== null).map((column) => h('div', {}, h('dt', {}, column.name), h('dd', {}, shown(row[column.place], column.type)))))),
        h('div', { class: 'hit-distance' }, h('span', { class: 'distance' }, Number(row.at(-1)).toPrecision(4)), bar));
    });
    return h('section', { class: 'result card' }, head, h('ol', { class: 'hits' }, hits));
  }

  #like(row) {
    this.mode = 'row';
    this.example = row;
    this.#drawForm();
    this.search();
    window.scrollTo({ top: 0 });
  }
}

const EXAMPLE = `CREATE EXTENSION IF NOT EXISTS vector;
CREATE TABLE items (id bigint PRIMARY KEY, name text, embedding vector(3));
INSERT INTO items VALUES (1, 'one', '[1,0,0]'), (2, 'two', '[0,1,0]'), (3, 'three', '[0.9,0.1,0]');
CREATE INDEX ON items USING spfresh (embedding vector_cosine_ops);`;
