// What the server has: tables, columns, vectors and their metrics.

import { select } from './api.js';

/** Tables of users with a column of vectors, what identifies their rows, and the metric of the index. */
export async function vectorTables() {
  const rows = await select(`
    SELECT n.nspname AS schema, c.relname AS name, c.oid::bigint AS oid, a.attname AS "column", format_type(a.atttypid, a.atttypmod) AS type,
           (SELECT i.indexdef FROM pg_indexes i WHERE i.schemaname = n.nspname AND i.tablename = c.relname
             AND i.indexdef LIKE '%(' || quote_ident(a.attname) || ' %_ops)%' LIMIT 1) AS indexdef
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname NOT IN ('pg_catalog', 'information_schema')
      AND format_type(a.atttypid, NULL) IN ('vector', 'halfvec')
    ORDER BY 1, 2, a.attnum`);
  return rows.map((row) => ({ ...row, operator: operatorOf(row.indexdef) }));
}

/** The operator that an index answers; cosine where there is none. */
function operatorOf(indexdef) {
  const [, metric = 'cosine'] = /_(l2|ip|cosine|l1)_ops/.exec(indexdef ?? '') ?? [];
  return { l2: '<->', ip: '<#>', cosine: '<=>', l1: '<+>' }[metric];
}

/** The columns of a table, and which of them are its primary key. */
export function columns(oid) {
  return select(`
    SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS "notNull",
           EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype = 'p' AND a.attnum = ANY (k.conkey)) AS "isKey"
    FROM pg_attribute a WHERE a.attrelid = $1::bigint::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`, [oid]);
}

/** The views of the catalog that there are, of those named. */
export async function existing(...names) {
  const rows = await select("SELECT relname AS name FROM pg_class WHERE relkind = 'v' AND relname = ANY ($1::text[])", [names]);
  return new Set(rows.map((row) => row.name));
}

/** The models that make text a vector; null where the server has no such thing. */
export async function models() {
  if (!(await existing('nearlake_models')).size) return null;
  return select("SELECT name::text AS name, dims FROM nearlake_models WHERE purpose NOT LIKE 'rerank%' ORDER BY name");
}

/** The models that make columns, by `oid.column`. */
export async function columnModels() {
  if (!(await existing('nearlake_stat_embedding')).size) return new Map();
  const rows = await select('SELECT relid::text AS oid, attname::text AS name, models[1] AS model FROM nearlake_stat_embedding');
  return new Map(rows.map((row) => [`${row.oid}.${row.name}`, row.model]));
}
