// SQL as text: quoting, words for the highlighter, places in a text.

/** A name as SQL takes it, whatever is in it. */
export const quoted = (name) => (/^[a-z_][a-z0-9_]*$/.test(name) && !KEYWORDS.has(name.toUpperCase())
  ? name : `"${name.replaceAll('"', '""')}"`);

/** A text as SQL takes it. */
export const literal = (text) => `'${text.replaceAll("'", "''")}'`;

/** A table's name with its schema, unless that is `public`. */
export const relation = (schema, name) => (schema === 'public' ? quoted(name) : `${quoted(schema)}.${quoted(name)}`);

const KEYWORDS = new Set(`ADD ALL ALTER ANALYZE AND ANY ARRAY AS ASC BEGIN BETWEEN BY CASCADE CASE CAST CHECK COLUMN COMMENT COMMIT
CONFLICT CONSTRAINT COPY CREATE CROSS DATABASE DEFAULT DELETE DESC DISTINCT DO DROP ELSE END EXISTS EXPLAIN EXTENSION FALSE FETCH
FILTER FIRST FOR FOREIGN FROM FULL GENERATED GRANT GROUP HAVING IF ILIKE IN INDEX INNER INSERT INTERSECT INTO IS JOIN KEY LAST
LATERAL LEFT LIKE LIMIT MERGE NATURAL NOT NOTHING NULL NULLS OF OFFSET ON OR ORDER OUTER OVER PARTITION PRIMARY REFERENCES
RESET RETURNING REVOKE RIGHT ROLE ROLLBACK ROW ROWS SAVEPOINT SCHEMA SELECT SEQUENCE SET SHOW STORED TABLE TABLESAMPLE TEMP
TEMPORARY THEN TO TRUE TRUNCATE TYPE UNION UNIQUE UPDATE USER USING VACUUM VALUES VERBOSE VIEW WEBHOOK WHEN WHERE WINDOW WITH`
  .split(/\s+/));

const TOKEN = new RegExp([
  '(?<comment>--[^\\n]*|/\\*[\\s\\S]*?(?:\\*/|$))',
  "(?<string>[eE]?'(?:[^'\\\\]|''|\\\\.)*(?:'|$)|\\$(\\w*)\\$[\\s\\S]*?(?:\\$\\3\\$|$))",
  '(?<name>"(?:[^"]|"")*(?:"|$))',
  '(?<number>\\b\\d+(?:\\.\\d+)?(?:[eE][+-]?\\d+)?\\b|\\$\\d+)',
  '(?<word>[A-Za-z_][\\w$]*)',
  '(?<operator><->|<=>|<#>|<\\+>|<~>|<%>|::|[<>=!]+)',
].join('|'), 'g');

/** The pieces of a text: what each is to a highlighter, `''` for what is nothing special. */
export function pieces(text) {
  const found = [];
  let end = 0;
  for (const match of text.matchAll(TOKEN)) {
    if (match.index > end) found.push(['', text.slice(end, match.index)]);
    const [kind] = Object.entries(match.groups).find(([, value]) => value !== undefined);
    const isKeyword = kind === 'word' && KEYWORDS.has(match[0].toUpperCase());
    found.push([kind === 'word' ? (isKeyword ? 'keyword' : '') : kind, match[0]]);
    end = match.index + match[0].length;
  }
  if (end < text.length) found.push(['', text.slice(end)]);
  return found;
}

/** The index in a string of the character that a server counts from 1. */
export function indexOf(text, position) {
  let index = 0;
  for (let left = position - 1; left > 0 && index < text.length; left -= 1) {
    index += text.codePointAt(index) > 0xffff ? 2 : 1;
  }
  return index;
}

/** Where the word that begins at an index ends: what an error means. */
export function wordEnd(text, index) {
  const word = /^(?:"(?:[^"]|"")*"|'(?:[^']|'')*'|[\w$]+|[^\s\w]+)/.exec(text.slice(index));
  return index + Math.max(1, word?.[0].length ?? 1);
}

/** Line and column of an index, from 1. */
export function place(text, index) {
  const before = text.slice(0, index).split('\n');
  return { line: before.length, column: before.at(-1).length + 1 };
}
