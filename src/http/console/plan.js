// A plan as a tree.

import { h, rowCount, span } from './dom.js';

/** What an operator is for: the colour of its mark. */
function kindOf(name) {
  if (/Nearest/.test(name)) return 'nearest';
  if (/Scan|Source|Values|Slot|KeyLookup/.test(name)) return 'scan';
  if (/Join/.test(name)) return 'join';
  if (/Aggregate|Window/.test(name)) return 'fold';
  if (/Sort|TopK|Limit/.test(name)) return 'order';
  return 'other';
}

function node(plan) {
  // It computes nothing: it lets other statements have their turn.
  if (plan['Node Type'] === 'CooperativeExec' && plan.Plans?.length === 1) return node(plan.Plans[0]);
  const [name, text] = [plan['Node Type'].replace(/Exec$/, ''), plan.Description ?? plan.Operation ?? ''];
  const rest = text.replace(/^\w+Exec:?\s*/, '').replace(/^\w+:\s*/, '');
  const rows = plan['Actual Rows'];
  return h('li', {}, h('div', { class: `node ${kindOf(name)}` },
    h('span', { class: 'node-name' }, name),
    rows === undefined || rows === null ? null : h('span', { class: 'node-rows' }, rowCount(rows)),
    rest ? h('code', { class: 'node-text' }, rest) : null),
  plan.Plans?.length ? h('ul', {}, plan.Plans.map(node)) : null);
}

/** The tree of what `EXPLAIN (FORMAT JSON)` answered. */
export function planTree([told]) {
  const times = [
    told['Planning Time'] !== undefined && `planned in ${span(told['Planning Time'])}`,
    told['Execution Time'] !== undefined && `ran ${span(told['Execution Time'])}`,
    told.Rows !== undefined && rowCount(told.Rows),
  ].filter(Boolean).join(' · ');
  return h('section', { class: 'plan card', 'aria-label': 'Plan' },
    h('header', { class: 'result-head' }, h('strong', {}, 'Plan'), h('span', { class: 'muted' }, times || 'not run; analyse it to see rows and times')),
    h('ul', { class: 'tree' }, node(told.Plan)));
}
