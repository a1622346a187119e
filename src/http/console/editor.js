// The SQL editor: a text area over a highlighted copy of its text, with a mark where an error lies,
// and with what was run before.

import { h } from './dom.js';
import { indexOf, pieces, wordEnd } from './sql.js';

const HISTORY = 'nearlake.history';
const HISTORY_MAX = 100;

export const history = {
  all() {
    try {
      return JSON.parse(localStorage.getItem(HISTORY)) ?? [];
    } catch {
      return [];
    }
  },
  add(text) {
    const kept = [text, ...this.all().filter((one) => one !== text)].slice(0, HISTORY_MAX);
    localStorage.setItem(HISTORY, JSON.stringify(kept));
  },
  clear: () => localStorage.removeItem(HISTORY),
};

export class Editor {
  #mark = null;

  #past = -1;

  #draft = '';

  constructor({ text = '', onRun, onCancel }) {
    this.copy = h('pre', { class: 'editor-copy', 'aria-hidden': 'true' });
    this.area = h('textarea', {
      class: 'editor-area', id: 'sql', spellcheck: 'false', autocapitalize: 'off', autocomplete: 'off', wrap: 'soft',
      'aria-label': 'SQL', 'aria-describedby': 'editor-keys', placeholder: 'SELECT …', value: text,
      oninput: () => this.#changed(), onscroll: () => this.#follow(),
      onkeydown: (event) => this.#key(event, onRun, onCancel),
    });
    this.element = h('div', { class: 'editor' }, this.copy, this.area);
    this.#draw();
  }

  get text() {
    return this.area.value;
  }

  set text(text) {
    this.area.value = text;
    this.#changed();
  }

  /** The selected statements, or all: what is run, and where it begins. */
  get chosen() {
    const { selectionStart: start, selectionEnd: end, value } = this.area;
    return end > start && value.slice(start, end).trim() ? { text: value.slice(start, end), start } : { text: value, start: 0 };
  }

  /** Marks the word at a position of what was run, and goes there. */
  markError(chosen, position) {
    const start = chosen.start + indexOf(chosen.text, position);
    this.#mark = { start, end: wordEnd(this.text, start) };
    this.#draw();
    this.area.focus();
    this.area.setSelectionRange(start, start);
    this.copy.querySelector('mark')?.scrollIntoView({ block: 'nearest' });
  }

  unmark() {
    this.#mark = null;
    this.#draw();
  }

  #changed() {
    this.#mark = null;
    this.#past = -1;
    this.#draw();
  }

  #draw() {
    const { text } = this;
    const mark = this.#mark;
    const parts = [];
    let at = 0;
    for (const [kind, piece] of pieces(text)) {
      const bounds = [0, piece.length];
      if (mark) for (const edge of [mark.start - at, mark.end - at]) if (edge > 0 && edge < piece.length) bounds.push(edge);
      bounds.sort((a, b) => a - b);
      for (let i = 0; i + 1 < bounds.length; i += 1) {
        const [from, to] = [bounds[i], bounds[i + 1]];
        const isMarked = mark && at + from >= mark.start && at + to <= mark.end && to > from;
        if (kind || isMarked) parts.push(h(isMarked ? 'mark' : 'span', { class: kind ? `sql-${kind}` : false }, piece.slice(from, to)));
        else parts.push(piece.slice(from, to));
      }
      at += piece.length;
    }
    if (mark && mark.start >= text.length) parts.push(h('mark', {}, ' '));
    // A last empty line has a height.
    this.copy.replaceChildren(...parts, '\n');
    this.area.setAttribute('aria-invalid', String(Boolean(mark)));
    this.#grow();
    this.#follow();
  }

  /** As high as its text, within bounds that the style sets. */
  #grow() {
    this.area.style.height = 'auto';
    this.area.style.height = `${this.area.scrollHeight + 2}px`;
  }

  #follow() {
    this.copy.scrollTop = this.area.scrollTop;
    this.copy.scrollLeft = this.area.scrollLeft;
  }

  #key(event, onRun, onCancel) {
    const { key, ctrlKey, metaKey, altKey, shiftKey } = event;
    if (key === 'Enter' && (ctrlKey || metaKey)) {
      event.preventDefault();
      onRun();
    } else if (key === 'Escape') {
      onCancel();
    } else if ((key === 'ArrowUp' || key === 'ArrowDown') && !shiftKey && !altKey) {
      const step = key === 'ArrowUp' ? 1 : -1;
      if ((ctrlKey || this.#atEdge(step)) && this.#recall(step)) event.preventDefault();
    }
  }

  /** Whether the caret is where an arrow would leave the text. */
  #atEdge(step) {
    const { selectionStart: start, selectionEnd: end, value } = this.area;
    if (start !== end) return false;
    return step > 0 ? !value.slice(0, start).includes('\n') && start === 0 : !value.slice(end).includes('\n') && end === value.length;
  }

  /** Puts an older or newer statement there; whether there is one. */
  #recall(step) {
    const kept = history.all();
    const next = this.#past + step;
    if (next < -1 || next >= kept.length) return false;
    if (this.#past === -1) this.#draft = this.text;
    const past = next;
    this.text = past === -1 ? this.#draft : kept[past];
    this.#past = past;
    const edge = step > 0 ? 0 : this.text.length;
    this.area.setSelectionRange(edge, edge);
    return true;
  }
}
