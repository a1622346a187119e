// The page: its views, who looks at it, and whether the server is ready.

import { readiness, select, token, wanted } from './api.js';
import { ActivityView } from './activity.js';
import { fill, h, icon, poll } from './dom.js';
import { History } from './metrics.js';
import { QueryView } from './query.js';
import { SearchView } from './search.js';
import { StatementsView } from './statements.js';
import { TablesView } from './tables.js';
import { WebhooksView } from './webhooks.js';

const THEME = 'nearlake.theme';
const VIEWS = [['query', 'Query'], ['search', 'Search'], ['tables', 'Tables'], ['activity', 'Activity'], ['statements', 'Statements'], ['webhooks', 'Webhooks']];

const main = document.getElementById('main');
const history = new History();
const query = new QueryView();
const openQuery = (text, andRun = false) => {
  location.hash = '#query';
  query.open(text, { andRun });
};
const views = {
  query,
  search: new SearchView({ openQuery }),
  tables: new TablesView({ openQuery }),
  activity: new ActivityView({ history }),
  statements: new StatementsView({ openQuery }),
  webhooks: new WebhooksView(),
};

function show() {
  const [, name = 'query'] = /^#(\w+)/.exec(location.hash) ?? [];
  const view = views[name] ?? views.query;
  if (view.element.isConnected) return;
  for (const link of document.querySelectorAll('#nav a')) {
    if (link.hash === `#${name}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  document.title = `${VIEWS.find(([key]) => key === name)?.[1] ?? 'Query'} · Nearlake`;
  main.replaceChildren(view.element);
  view.shown();
}

// Who looks at it.

const who = document.getElementById('who');
const dot = h('span', { class: 'dot', role: 'img', 'aria-label': 'asking' });
const role = h('span', { class: 'role' });
const out = h('button', { type: 'button', class: 'quiet', onclick: () => { token.forget(); location.reload(); } }, icon('out'), h('span', { class: 'wide-only' }, 'Log out'));
const theme = h('button', { type: 'button', class: 'quiet', onclick: () => setTheme(isDark() ? 'light' : 'dark') });

function isDark() {
  const { theme: chosen } = document.documentElement.dataset;
  return chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
}

function setTheme(chosen) {
  if (chosen) {
    document.documentElement.dataset.theme = chosen;
    localStorage.setItem(THEME, chosen);
  }
  const next = isDark() ? 'light' : 'dark';
  fill(theme, icon(next === 'light' ? 'sun' : 'moon'), h('span', { class: 'wide-only' }, `${next === 'light' ? 'Light' : 'Dark'} theme`));
  theme.setAttribute('aria-label', `Use the ${next} theme`);
}

async function showRole() {
  const [{ name, is_read_only: isReadOnly }] = await select("SELECT current_user::text AS name, current_setting('default_transaction_read_only') = 'on' AS is_read_only");
  fill(role, name, isReadOnly && h('span', { class: 'badge' }, 'read-only'));
  out.hidden = !token.get();
}

async function showReadiness() {
  let told;
  try {
    told = await readiness();
  } catch {
    told = { isReady: false, checks: [{ name: 'server', ok: false, detail: 'does not answer' }] };
  }
  const bad = (told.checks ?? []).filter((check) => !check.ok).map((check) => `${check.name}: ${check.detail}`);
  dot.className = `dot ${told.isReady ? 'good' : 'bad'}`;
  const text = told.isReady ? 'ready' : `not ready: ${bad.join('; ')}`;
  dot.setAttribute('aria-label', text);
  dot.title = text;
  if (!told.isReady) throw new Error(text);
}

/** Asks who looks at it, once however many requests were refused. */
function logIn(said) {
  if (document.querySelector('dialog.login')) return;
  const [kind, name, secret] = [
    h('select', { id: 'login-kind', onchange: () => { name.parentElement.hidden = kind.value === 'key'; } }, h('option', { value: 'password' }, 'Role and password'), h('option', { value: 'key' }, 'API key')),
    h('input', { id: 'login-name', type: 'text', value: 'postgres', autocomplete: 'username', autocapitalize: 'off', spellcheck: 'false' }),
    h('input', { id: 'login-secret', type: 'password', autocomplete: 'current-password', required: true }),
  ];
  const fault = h('p', { class: 'problem-text', role: 'alert' }, token.get() ? 'That was not right. Try again.' : '');
  token.forget();
  const enter = (event) => {
    event.preventDefault();
    token.set(kind.value === 'key' ? secret.value.trim() : `${name.value}:${secret.value}`);
    dialog.close();
    dialog.remove();
    location.reload();
  };
  const dialog = h('dialog', { class: 'login card', 'aria-labelledby': 'login-title', oncancel: (event) => event.preventDefault() },
    h('form', { onsubmit: enter },
      h('h2', { id: 'login-title' }, 'Log in to Nearlake'),
      h('div', { class: 'field' }, h('label', { for: 'login-kind' }, 'With'), kind),
      h('div', { class: 'field' }, h('label', { for: 'login-name' }, 'Role'), name),
      h('div', { class: 'field' }, h('label', { for: 'login-secret' }, 'Password or key'), secret),
      fault,
      h('p', { class: 'muted' }, 'Kept for this tab alone, until it is closed.'),
      h('button', { type: 'submit', class: 'primary' }, icon('key'), 'Log in')));
  dialog.dataset.said = said ?? '';
  document.body.append(dialog);
  dialog.showModal();
  secret.focus();
}

wanted.addEventListener('login', (event) => logIn(event.detail));
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => setTheme());
addEventListener('hashchange', show);

setTheme(localStorage.getItem(THEME));
fill(document.getElementById('nav'), VIEWS.map(([name, label]) => h('a', { href: `#${name}` }, icon(name), h('span', {}, label))));
fill(who, h('div', { class: 'me' }, dot, role), theme, out);
out.hidden = true;
show();
history.start();
poll(dot, 5000, showReadiness);
showRole().catch(() => {});
