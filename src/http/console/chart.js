// A line chart of the last minutes, drawn as SVG. The pointer shows the figures of a moment.

import { fill, h, s } from './dom.js';

const [WIDTH, HEIGHT, TOP] = [600, 140, 8];
/** How much time a chart shows: what there is, within these bounds. */
const [SPAN_MIN_MS, SPAN_MAX_MS] = [60_000, 300_000];

/** A round number above the greatest value. */
function ceiling(most) {
  if (!(most > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((step) => step * power).find((round) => round >= most);
}

export class Chart {
  /** `series`: `{key, label, area}`; `unit` writes a value. */
  constructor({ title, series, unit }) {
    Object.assign(this, { series, unit });
    this.svg = s('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', class: 'chart', role: 'img', 'aria-label': title });
    this.most = h('span', { class: 'chart-most' });
    this.since = h('span');
    this.legend = h('div', { class: 'legend' });
    this.element = h('figure', { class: 'card chart-card' }, h('figcaption', {}, h('strong', {}, title), this.legend),
      h('div', { class: 'chart-box' }, this.most, this.svg), h('div', { class: 'chart-axis muted' }, this.since, h('span', {}, 'now')));
    this.svg.addEventListener('pointermove', (event) => this.#point(event));
    this.svg.addEventListener('pointerleave', () => { this.chosen = null; this.#draw(); });
  }

  draw(points) {
    this.points = points;
    this.#draw();
  }

  #point(event) {
    const { left, width } = this.svg.getBoundingClientRect();
    const time = Date.now() - this.span * (1 - (event.clientX - left) / width);
    const near = (a, b) => (Math.abs(a.time - time) < Math.abs(b.time - time) ? a : b);
    this.chosen = this.points?.length ? this.points.reduce(near) : null;
    this.#draw();
  }

  #draw() {
    const { points = [], series, unit } = this;
    const now = Date.now();
    const values = points.flatMap((point) => series.map(({ key }) => point[key])).filter((value) => value !== null);
    const top = ceiling(Math.max(0, ...values));
    const age = points.length ? now - points[0].time : 0;
    this.span = Math.min(SPAN_MAX_MS, Math.max(SPAN_MIN_MS, age));
    this.since.textContent = this.span < 90_000 ? '1 min ago' : `${Math.round(this.span / 60_000)} min ago`;
    const x = (point) => WIDTH * (1 - (now - point.time) / this.span);
    const y = (value) => TOP + (HEIGHT - TOP) * (1 - value / top);
    const lines = [0.5, 1].map((part) => s('line', { x1: 0, x2: WIDTH, y1: y(top * part), y2: y(top * part), class: 'chart-line' }));
    const paths = series.flatMap(({ key, area }, at) => {
      const known = points.filter((point) => point[key] !== null && point[key] !== undefined);
      if (!known.length) return [];
      const line = known.map((point, place) => `${place ? 'L' : 'M'}${x(point).toFixed(1)} ${y(point[key]).toFixed(1)}`).join('')
        // One point alone is a dot: a line of no length with round ends.
        + (known.length === 1 ? 'h0' : '');
      const stroke = s('path', { d: line, class: `series series-${at}`, 'vector-effect': 'non-scaling-stroke' });
      if (!area) return [stroke];
      const under = `${line}L${x(known.at(-1)).toFixed(1)} ${HEIGHT}L${x(known[0]).toFixed(1)} ${HEIGHT}Z`;
      return [s('path', { d: under, class: `area series-${at}` }), stroke];
    });
    const rule = this.chosen ? [s('line', { x1: x(this.chosen), x2: x(this.chosen), y1: 0, y2: HEIGHT, class: 'chart-rule' })] : [];
    fill(this.svg, ...lines, ...paths, ...rule);
    this.most.textContent = values.length ? unit(top) : '';
    const shown = this.chosen ?? points.at(-1);
    fill(this.legend, series.map(({ key, label }, at) => {
      const value = shown?.[key];
      return h('span', { class: `key series-${at}` }, h('i', {}), `${label} `, h('b', {}, value === null || value === undefined ? '–' : unit(value)));
    }));
  }
}
