// The view of statements: editor, results, plans, what went wrong and where.

import { run, SqlError } from './api.js';
import { announce, count, empty, fill, h, icon, span } from './dom.js';
import { Editor, history } from './editor.js';
import { grid } from './grid.js';
import { planTree } from './plan.js';
import { indexOf, place } from './sql.js';

const FIRST = `-- Ctrl+Enter runs, Esc cancels, ↑ and ↓ at the edges bring back what was run before.
SELECT name, setting FROM pg_settings WHERE name LIKE 'nearlake%' ORDER BY name;`;

const ROWS = [100, 500, 1000, 10_000, 100_000];

/** The text around an error, with a mark below its place. */
function excerpt(text, position) {
  const index = indexOf(text, position);
  const { line, column } = place(text, index);
  const whole = text.split('\n')[line - 1] ?? '';
  const from = Math.max(0, column - 60);
  const shown = `${from ? '…' : ''}${whole.slice(from, column + 60)}`;
  return [`line ${line}, column ${column}`, `${shown}\n${' '.repeat(column - 1 - from + (from ? 1 : 0))}^`];
}

function problem(error, chosen, onPlace) {
  const lines = [h('p', { class: 'problem-text' }, error.message)];
  if (error.position) {
    const [where, text] = excerpt(chosen.text, error.position);
    lines.push(h('button', { type: 'button', class: 'link', onclick: onPlace }, where), h('pre', { class: 'excerpt' }, text));
  }
  for (const name of ['detail', 'hint', 'context']) {
    if (error[name]) lines.push(h('p', { class: name }, h('strong', {}, `${name[0].toUpperCase()}${name.slice(1)}: `), error[name]));
  }
  return h('section', { class: 'problem', role: 'alert' },
    h('header', {}, h('strong', {}, error.isCancelled ? 'Stopped' : 'Error'), error.sqlstate && h('code', { class: 'state' }, error.sqlstate)), ...lines);
}

function notices(list = []) {
  return list.map((one) => h('p', { class: `notice ${one.severity === 'WARNING' ? 'warning' : ''}` },
    h('strong', {}, one.severity === 'WARNING' ? 'Warning' : 'Notice'), ` ${one.message}`, one.hint && h('span', { class: 'muted' }, ` ${one.hint}`)));
}

/** One result: what a statement said, and its rows. */
function outcome(result) {
  const tag = result.tag ?? 'no statement';
  const head = h('header', { class: 'result-head' }, h('strong', {}, tag), h('span', { class: 'muted' }, span(result.elapsed_ms)),
    result.truncated && h('span', { class: 'badge warn' }, `first ${count(result.row_count)} rows; there are more`));
  const body = result.columns && (result.rows.length ? grid(result) : h('p', { class: 'muted none' }, 'No rows.'));
  return h('section', { class: 'result card' }, head, notices(result.notices), body);
}

export class QueryView {
  #running = null;

  constructor() {
    this.editor = new Editor({ text: history.all()[0] ?? FIRST, onRun: () => this.run(), onCancel: () => this.cancel() });
    this.results = h('div', { class: 'results', id: 'results', 'aria-live': 'off' },
      empty('Nothing was run yet', 'Write SQL above and press Ctrl+Enter. A selection runs alone.'));
    this.limit = h('select', { 'aria-label': 'Most rows of a result' }, ROWS.map((rows) => h('option', { value: rows, selected: rows === 500 }, `${count(rows)} rows`)));
    this.limit.value = '500';
    this.runButton = h('button', { type: 'button', class: 'primary', onclick: () => this.run() }, icon('play'), 'Run', h('kbd', {}, 'Ctrl ↵'));
    this.stopButton = h('button', { type: 'button', class: 'danger', onclick: () => this.cancel() }, icon('stop'), 'Cancel', h('kbd', {}, 'Esc'));
    this.stopButton.hidden = true;
    this.clock = h('span', { class: 'muted clock', role: 'status' });
    this.past = h('details', { class: 'past', ontoggle: () => this.#drawPast() },
      h('summary', {}, icon('clock'), h('span', { class: 'wide-only' }, 'History')), h('div', { class: 'past-list' }));
    this.element = h('div', { class: 'view query', onkeydown: (event) => event.key === 'Escape' && this.cancel() },
      h('div', { class: 'editor-card card' }, this.editor.element,
        h('div', { class: 'toolbar' }, this.runButton, this.stopButton,
          h('button', { type: 'button', onclick: () => this.explain(false) }, icon('plan'), 'Explain'),
          h('button', { type: 'button', onclick: () => this.explain(true), title: 'Runs the query and counts its rows' }, 'Analyze'),
          this.clock, h('span', { class: 'grow' }), this.past, this.limit)),
      h('p', { class: 'unseen', id: 'editor-keys' }, 'Control Enter runs, Escape cancels, arrows at the edges bring back earlier statements.'),
      this.results);
  }

  /** Called when the view is shown. */
  shown() {
    this.editor.unmark();
    if (matchMedia('(pointer: fine)').matches) this.editor.area.focus();
  }

  open(text, { andRun = false } = {}) {
    this.editor.text = text;
    if (andRun) this.run();
  }

  async run() {
    const chosen = this.editor.chosen;
    if (!chosen.text.trim()) return;
    history.add(chosen.text.trim());
    await this.#during(chosen, (signal) => run(chosen.text, { maxRows: Number(this.limit.value), signal }), (told) => {
      announce(told.results.map((result) => result.tag).join(', '));
      return told.results.map(outcome);
    });
  }

  async explain(analyze) {
    const chosen = this.editor.chosen;
    if (!chosen.text.trim()) return;
    const prefix = `EXPLAIN (FORMAT JSON${analyze ? ', ANALYZE' : ''}) `;
    const text = chosen.text.replace(/;\s*$/, '');
    await this.#during(chosen, (signal) => run(prefix + text, { signal }), ({ results: [result] }) => planTree(result.rows[0][0]), prefix.length);
  }

  cancel() {
    this.#running?.abort();
  }

  /** Runs something, shows how long it takes, then what it gave or why not. */
  async #during(chosen, work, show, prefix = 0) {
    this.cancel();
    const controller = new AbortController();
    this.#running = controller;
    this.editor.unmark();
    const began = performance.now();
    const tick = setInterval(() => { this.clock.textContent = span(performance.now() - began); }, 100);
    this.runButton.hidden = true;
    this.stopButton.hidden = false;
    this.results.classList.add('busy');
    this.results.setAttribute('aria-busy', 'true');
    try {
      const told = await work(controller.signal);
      fill(this.results, show(told));
    } catch (error) {
      if (this.#running !== controller) return;
      this.#fail(error, chosen, prefix);
    } finally {
      clearInterval(tick);
      if (this.#running === controller) {
        this.#running = null;
        this.clock.textContent = '';
        this.runButton.hidden = false;
        this.stopButton.hidden = true;
        this.results.classList.remove('busy');
        this.results.removeAttribute('aria-busy');
      }
    }
  }

  #fail(error, chosen, prefix) {
    if (error.name === 'AbortError') {
      fill(this.results, problem(new SqlError({ error: 'You stopped the statement; the server was told to cancel it.', sqlstate: '57014' }, 0), chosen));
      announce('Stopped');
      return;
    }
    if (error.position) error.position = Math.max(1, error.position - prefix);
    const mark = () => this.editor.markError(chosen, error.position);
    fill(this.results, (error.results ?? []).map(outcome), problem(error, chosen, mark));
    if (error.position) mark();
  }

  #drawPast() {
    if (!this.past.open) return;
    const list = this.past.querySelector('.past-list');
    const kept = history.all();
    const close = () => { this.past.open = false; this.editor.area.focus(); };
    fill(list, kept.length ? kept.map((text) => h('button', { type: 'button', class: 'past-one', onclick: () => { this.editor.text = text; close(); } }, h('code', {}, text)))
      : h('p', { class: 'muted' }, 'Nothing was run yet.'),
    kept.length > 0 && h('button', { type: 'button', class: 'quiet', onclick: () => { history.clear(); close(); } }, 'Clear history'));
  }
}
