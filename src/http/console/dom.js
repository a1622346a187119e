// Elements without a library: h('button', {onclick}, 'Run'), icons, and how numbers are written.

/** An element; attributes that are functions listen, those that are false are left out. */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (typeof value === 'function') element.addEventListener(key.slice(2), value);
    else if (key === 'value' || key === 'checked' || key === 'selected') element[key] = value;
    else element.setAttribute(key, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An element of SVG. */
export function s(name, attributes = {}, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const ICONS = {
  query: 'M4 6l5 5-5 5M11 17h9',
  search: 'M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM20 20l-4.6-4.6',
  tables: 'M4 5h16v14H4zM4 10h16M10 10v9',
  activity: 'M3 13h4l3-8 4 14 3-6h4',
  statements: 'M5 7h14M5 12h10M5 17h6',
  webhooks: 'M9 8a3.5 3.5 0 1 1 5 3.200L17 16M7 18a3 3 0 1 1 2.6-4.500L13 8M17 19a3 3 0 1 0-2-5M10 18h5',
  sun: 'M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.600l1.4 1.400M17 17l1.4 1.400M5.6 18.400L7 17M17 7l1.4-1.4',
  moon: 'M20 14.500A8 8 0 0 1 9.5 4 8 8 0 1 0 20 14.500z',
  play: 'M8 5l11 7-11 7z',
  stop: 'M7 7h10v10H7z',
  plan: 'M6 4v5M6 9h6v4M12 13h6v4M18 17v3',
  clock: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7v5l3.5 2',
  key: 'M14 10a4 4 0 1 0-3.5 4L12 15.500V18h2.500v-2.500H17V13h2l1-1',
  out: 'M10 5H5v14h5M14 8l4 4-4 4M18 12H9',
  refresh: 'M20 11a8 8 0 1 0-2 6M20 5v6h-6',
  chevron: 'M9 6l6 6-6 6',
  like: 'M12 4v16M4 12h16M6.5 6.500l11 11M17.5 6.500l-11 11',
};

/** An icon; it says nothing to a screen reader. */
export function icon(name) {
  const svg = s('svg', { viewBox: '0 0 24 24', class: 'icon', 'aria-hidden': 'true', focusable: 'false' });
  svg.append(s('path', { d: ICONS[name] }));
  return svg;
}

/** Puts other children into an element. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Tells screen readers. */
export function announce(text) {
  document.getElementById('live').textContent = text;
}

/** What to show where there is nothing. */
export function empty(title, ...text) {
  return h('div', { class: 'empty' }, h('p', { class: 'empty-title' }, title), ...text.map((line) => h('p', {}, line)));
}

const GROUPED = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat('en', { maximumSignificantDigits: 3, notation: 'compact' });

/** 1,234,567 */
export const count = (number) => GROUPED.format(number);

/** 1.23M */
export const short = (number) => SHORT.format(number);

/** 1 row, 3,040 rows */
export const rowCount = (number) => `${count(number)} ${number === 1 ? 'row' : 'rows'}`;

/** 3.4 MB */
export function bytes(number) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let [size, unit] = [Number(number), 0];
  while (size >= 1000 && unit < units.length - 1) [size, unit] = [size / 1000, unit + 1];
  return `${size >= 100 || unit === 0 ? Math.round(size) : size.toPrecision(2)} ${units[unit]}`;
}

/** 1.2 ms, 3.4 s, 5 min */
export function span(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return '–';
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.round(ms / 60_000)} min`;
}

/** Whether recall is clearly below its target. */
export const isLow = (measured, target) => measured !== null && measured < target - 0.005;

/** Runs `work` now and every so often while `element` can be seen; longer apart after failures, sooner where
 *  `work` gives the number of milliseconds. */
export function poll(element, every, work) {
  let wait = every;
  const turn = async () => {
    if (!element.isConnected) return;
    if (!document.hidden) {
      wait = await work().then((sooner) => (typeof sooner === 'number' ? sooner : every), () => Math.min(wait * 2, 30_000));
    }
    setTimeout(turn, wait);
  };
  // The element is put into the page after it is made.
  queueMicrotask(turn);
}
