// Webhooks and their deliveries, as the views show them.

import { run, select } from './api.js';
import { existing } from './catalog.js';
import { count, empty, fill, h, poll, short } from './dom.js';
import { grid } from './grid.js';

const VIEWS = ['nearlake_webhooks', 'nearlake_webhook_deliveries'];

/** What one looks for first comes first: on a phone the rest is a swipe away. */
const COLUMNS = 'webhook, state, type, status, attempts, error, created, attempted, duration_ms, bytes, commit, event_id';

const FIGURES = ['waiting', 'delivered', 'failed', 'dead', 'lost'];

export class WebhooksView {
  constructor() {
    this.list = h('div', {}, h('p', { class: 'loading' }, 'Loading …'));
    this.deliveries = h('div');
    this.element = h('div', { class: 'view' }, this.list, this.deliveries);
  }

  shown() {
    poll(this.element, 5000, () => this.#draw());
  }

  async #draw() {
    try {
      const there = await existing(...VIEWS);
      if (!there.has(VIEWS[0])) {
        fill(this.list, empty('This server has no webhooks', 'It has no view nearlake_webhooks.'));
        return;
      }
      const hooks = await select(`SELECT * FROM ${VIEWS[0]} ORDER BY webhook`);
      fill(this.list, hooks.length ? hooks.map((hook) => this.#card(hook))
        : empty('No webhooks yet', 'CREATE WEBHOOK name ON table WHEN (insert, update, delete) TO an address makes one.'));
      if (there.has(VIEWS[1]) && hooks.length) await this.#drawDeliveries();
      else fill(this.deliveries);
      this.isDrawn = true;
    } catch (error) {
      if (!this.isDrawn) fill(this.list, empty('Webhooks cannot be listed', error.message));
      throw error;
    }
  }

  #card(hook) {
    const on = hook.relname ? [hook.schemaname, hook.relname].filter(Boolean).join('.') : 'the database';
    const figure = (name) => h('span', { class: `figure ${hook[name] > 0 && /failed|dead|lost/.test(name) ? 'low' : ''}` }, h('span', { class: 'muted' }, name), ' ', h('b', {}, short(hook[name])));
    return h('article', { class: 'card webhook' },
      h('header', { class: 'result-head' }, h('strong', {}, hook.webhook), h('span', { class: `badge ${hook.status === 'enabled' ? '' : 'warn'}` }, hook.status),
        h('span', { class: 'muted' }, `on ${on} · ${String(hook.events).replace(/[{}]/g, '').replaceAll(',', ', ')}`)),
      h('div', { class: 'webhook-body' }, h('code', {}, hook.url),
        hook.condition && h('div', {}, h('span', { class: 'muted' }, 'when '), h('code', {}, hook.condition)),
        hook.reason && h('p', { class: 'low' }, hook.reason),
        hook.last_error && h('p', { class: 'muted' }, `last error: ${hook.last_error}`),
        h('div', { class: 'statement-figures' }, FIGURES.filter((name) => hook[name] !== undefined).map(figure), hook.last_delivered && h('span', { class: 'muted' }, `last delivered ${hook.last_delivered}`))));
  }

  async #drawDeliveries() {
    const { results: [result] } = await run(`SELECT ${COLUMNS} FROM ${VIEWS[1]} ORDER BY created DESC LIMIT 200`, { readOnly: true, maxRows: 200, timeoutMs: 20_000 });
    const key = JSON.stringify(result.rows);
    if (key === this.drawn) return;
    this.drawn = key;
    fill(this.deliveries, h('section', { class: 'result card' }, h('header', { class: 'result-head' }, h('strong', {}, 'Deliveries'), h('span', { class: 'muted' }, count(result.rows.length))),
      result.rows.length ? grid(result, { label: 'Deliveries' }) : h('p', { class: 'muted none' }, 'None waits, and none was made lately.')));
  }
}
