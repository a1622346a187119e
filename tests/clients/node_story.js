// The story through node-postgres: text results, the extended protocol, pgvector's type parser.

const assert = require('node:assert/strict');
const { Client, Pool } = require('pg');
const pgvector = require('pgvector/pg');

async function story(client) {
  await client.query('DROP TABLE IF EXISTS items');
  await client.query(`CREATE TABLE items (id bigint PRIMARY KEY, name text, price numeric(10,2),
    made timestamptz, ok bool, doc jsonb, tags text[], embedding vector(3))`);
  const made = new Date('2024-02-29T12:34:56.789Z');
  const inserted = await client.query('INSERT INTO items VALUES ($1, $2, $3, $4, $5, $6, $7, $8)', [
    1, 'one', 1.5, made, true, { a: [1, 2] }, ['x', 'y z'], pgvector.toSql([1, 0.5, -2])]);
  assert.equal(inserted.rowCount, 1);
  const { rows: [row], fields } = await client.query('SELECT * FROM items');
  assert.deepEqual(row, { id: '1', name: 'one', price: '1.50', made, ok: true, doc: { a: [1, 2] },
    tags: ['x', 'y z'], embedding: [1, 0.5, -2] });
  assert.deepEqual(fields.slice(0, 3).map((field) => field.dataTypeID), [20, 25, 1700]);

  for (let i = 2; i <= 30; i += 1) {
    await client.query({ name: 'add', text: 'INSERT INTO items (id, embedding) VALUES ($1, $2)',
      values: [i, pgvector.toSql([i, 0, 0])] });
  }
  const near = await client.query('SELECT id FROM items ORDER BY embedding <-> $1 LIMIT 3',
    [pgvector.toSql([20.2, 0, 0])]);
  assert.deepEqual(near.rows.map((each) => each.id), ['20', '21', '19']);
  await client.query('CREATE INDEX ON items USING hnsw (embedding vector_l2_ops)');
  const filtered = await client.query(
    'SELECT id FROM items WHERE id > $1 ORDER BY embedding <-> $2 LIMIT $3',
    [25, pgvector.toSql([1, 0, 0]), 10]);
  assert.deepEqual(filtered.rows.map((each) => each.id), ['26', '27', '28', '29', '30']);

  const updated = await client.query('UPDATE items SET name = $1 WHERE id <= $2 RETURNING id', ['u', 3]);
  assert.equal(updated.rowCount, 3);
  assert.equal((await client.query('DELETE FROM items WHERE id = 30')).rowCount, 1);
  const several = await client.query('SELECT 1 AS a; SELECT 2 AS b, NULL AS c');
  assert.deepEqual(several.map((result) => result.rows), [[{ a: 1 }], [{ b: 2, c: null }]]);
  const binary = await client.query({ text: 'SELECT 7::int4 AS n, true AS t', binary: true });
  assert.deepEqual(binary.rows, [{ n: 7, t: true }]);
}

async function faults(client) {
  const refused = async (sql, values, code) => {
    await assert.rejects(client.query(sql, values), (error) => {
      assert.equal(error.code, code, error.message);
      return true;
    });
  };
  await refused('INSERT INTO items (id) VALUES ($1)', [1], '23505');
  await refused('INSERT INTO items (id, embedding) VALUES ($1, $2)', [99, '[1,2]'], '22000');
  await refused('SELECT nope FROM items', [], '42703');
  await client.query('BEGIN');
  await refused('SELECT 1 / $1::int', [0], '22012');
  await refused('SELECT 1', [], '25P02');
  await client.query('ROLLBACK');
  assert.equal((await client.query('SELECT count(*)::int AS n FROM items')).rows[0].n, 29);
}

async function pooled() {
  const pool = new Pool({ max: 5 });
  const answers = await Promise.all(Array.from({ length: 40 }, (_, i) =>
    pool.query('SELECT $1::int * 2 AS n', [i])));
  assert.deepEqual(answers.map((answer) => answer.rows[0].n), Array.from({ length: 40 }, (_, i) => i * 2));
  await pool.end();
}

async function main() {
  const client = new Client();
  await client.connect();
  await client.query('CREATE EXTENSION IF NOT EXISTS vector');
  await pgvector.registerTypes(client);
  await story(client);
  await faults(client);
  await pooled();
  await client.query('DROP TABLE items');
  await client.end();
  console.log('ok');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
