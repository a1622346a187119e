// What statements cost, by their forms.

import { run, select } from './api.js';
import { count, empty, fill, h, icon, poll, short, span } from './dom.js';

const ORDERS = [['total_exec_time', 'Total time'], ['mean_exec_time', 'Mean time'], ['max_exec_time', 'Longest'], ['calls', 'Calls'], ['rows', 'Rows'], ['errors', 'Errors'], ['last_call', 'Latest']];

export class StatementsView {
  order = 'total_exec_time';

  constructor({ openQuery }) {
    this.openQuery = openQuery;
    this.head = h('div', { class: 'toolbar' });
    this.list = h('div', { class: 'card list' }, h('p', { class: 'loading' }, 'Loading …'));
    this.element = h('div', { class: 'view' }, this.head, this.list);
  }

  shown() {
    this.#drawHead();
    // Not under the hands of somebody who reads or walks through it.
    poll(this.element, 5000, async () => this.list.contains(document.activeElement) || this.#draw());
  }

  #drawHead() {
    const order = h('select', { id: 'order', onchange: () => { this.order = order.value; this.#draw(); } }, ORDERS.map(([key, label]) => h('option', { value: key, selected: key === this.order }, label)));
    this.said = h('span', { class: 'muted', role: 'status' });
    fill(this.head, h('label', { for: 'order' }, 'By '), order, h('button', { type: 'button', class: 'quiet', onclick: () => this.#draw() }, icon('refresh'), 'Refresh'), this.said, h('span', { class: 'grow' }),
      h('button', { type: 'button', class: 'quiet', onclick: () => this.#reset() }, 'Reset'));
  }

  async #reset() {
    try {
      await run('SELECT nearlake_stat_statements_reset()');
      this.said.textContent = '';
      await this.#draw();
    } catch (error) {
      this.said.textContent = error.message;
    }
  }

  async #draw() {
    let rows;
    try {
      rows = await select(`SELECT s.*, coalesce(r.rolname, s.userid::text) AS role, sum(total_exec_time) OVER () AS all_time
        FROM nearlake_stat_statements s LEFT JOIN pg_roles r ON r.oid = s.userid ORDER BY ${this.order} DESC, query LIMIT 100`);
    } catch (error) {
      if (!this.list.querySelector('.statement')) fill(this.list, empty('Statements cannot be listed', error.message));
      throw error;
    }
    if (!rows.length) return fill(this.list, empty('No statements yet', 'Each form of statement is listed once it has run, with its constants left out.'));
    return fill(this.list, rows.map((row) => this.#row(row)));
  }

  #row(row) {
    const share = row.all_time > 0 ? row.total_exec_time / row.all_time : 0;
    const bar = h('span', { class: 'bar' }, h('span', { class: 'bar-fill' }));
    bar.firstChild.style.width = `${Math.max(1, 100 * share)}%`;
    const toggle = () => text.setAttribute('aria-expanded', String(!text.classList.toggle('clamp')));
    const text = h('code', { class: 'clamp', tabindex: '0', role: 'button', title: 'Show the whole statement', 'aria-expanded': 'false', onclick: toggle,
      onkeydown: (event) => {
        if (event.key !== 'Enter' && event.key !== ' ') return;
        event.preventDefault();
        toggle();
      } }, row.query);
    const figure = (name, value) => h('span', { class: 'figure' }, h('span', { class: 'muted' }, name), ' ', h('b', {}, value));
    return h('article', { class: 'statement' },
      h('div', { class: 'statement-text' }, text, h('button', { type: 'button', class: 'quiet', title: 'Open in the editor', onclick: () => this.openQuery(row.query) }, icon('query'), h('span', { class: 'unseen' }, 'Open in the editor'))),
      h('div', { class: 'statement-figures' },
        h('span', { class: 'figure total', title: `${(100 * share).toFixed(1)} % of the time of all statements` }, h('b', {}, span(row.total_exec_time)), bar),
        figure('calls', short(row.calls)), figure('mean', span(row.mean_exec_time)), figure('longest', span(row.max_exec_time)), figure('rows', short(row.rows)),
        row.errors > 0 && h('span', { class: 'figure low' }, `${count(row.errors)} errors`), h('span', { class: 'figure muted' }, row.role)));
  }
}
