#!/usr/bin/env bash
# The story through psql: text format, the simple protocol, COPY in three formats, \d and its kin.
set -euo pipefail
q() { psql -X -q -v ON_ERROR_STOP=1 -At "$@"; }
# want EXPECTED ACTUAL
want() { [ "$2" = "$1" ] || { printf 'wanted\n%s\ngot\n%s\n' "$1" "$2" >&2; exit 1; }; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

q -c 'CREATE EXTENSION IF NOT EXISTS vector' -c 'DROP TABLE IF EXISTS items, twin' \
  -c 'CREATE TABLE items (id bigint PRIMARY KEY, name text NOT NULL, price numeric(10,2), embedding vector(3))'
q -c "INSERT INTO items VALUES (1, 'one', 1.5, '[1,0,0]'), (2, 'two', NULL, '[0,1,0]')"
want '1|one|1.50|[1,0,0]' "$(q -c 'SELECT * FROM items WHERE id = 1')"

# COPY, in and out, in every format.
printf '3\tthree\t3.00\t[0,0,1]\n4\tfo\\tur\t\\N\t\\N\n' | q -c 'COPY items FROM STDIN'
printf '5,"fi,ve",5,"[1,1,0]"\n6,,6,\n' | q -c "COPY items FROM STDIN (FORMAT csv, FORCE_NOT_NULL (name))"
want $'3\tthree\t3.00\t[0,0,1]\n4\tfo\\tur\t\\N\t\\N' \
  "$(q -c 'COPY (SELECT * FROM items WHERE id IN (3, 4) ORDER BY id) TO STDOUT')"
want $'id,name,price\n5,"fi,ve",5.00\n6,"",6.00' \
  "$(q -c 'COPY (SELECT id, name, price FROM items WHERE id > 4 ORDER BY id) TO STDOUT (FORMAT csv, HEADER)')"
q -c "\\copy items TO '$work/items.bin' (FORMAT binary)"
q -c 'CREATE TABLE twin (id bigint PRIMARY KEY, name text, price numeric(10,2), embedding vector(3))'
q -c "\\copy twin FROM '$work/items.bin' (FORMAT binary)"
want 0 "$(q -c 'SELECT count(*) FROM (SELECT * FROM items EXCEPT SELECT * FROM twin) AS d')"
want 6 "$(q -c 'SELECT count(*) FROM twin')"

# One bad line, and nothing of the COPY is there; the message names the line.
if printf '7\tseven\t7\t[1,2,3]\n8\teight\tx\t[1,2,3]\n' | q -c 'COPY items FROM STDIN' 2>"$work/error"; then
  echo 'a bad line was taken' >&2; exit 1
fi
grep -q 'invalid input syntax for type numeric: "x"' "$work/error"
grep -q 'COPY items, line 2, column price' "$work/error"
want 6 "$(q -c 'SELECT count(*) FROM items')"

# Change and read.
want '2|2.25' "$(q -c "UPDATE items SET price = 2.25 WHERE id = 2 RETURNING id, price")"
want '6' "$(q -c 'DELETE FROM items WHERE id = 6 RETURNING id')"
want $'1|0\n5|1\n2|1.4142135623730951' \
  "$(q -c "SELECT id, embedding <-> '[1,0,0]' FROM items WHERE id <> 3 ORDER BY embedding <-> '[1,0,0]', id LIMIT 3")"
q -c 'CREATE INDEX items_embedding ON items USING hnsw (embedding vector_l2_ops)'
want $'1\n5' "$(q -c "SELECT id FROM items ORDER BY embedding <-> '[1,0,0]' LIMIT 2")"
want $'BEGIN\nINSERT 0 1\n6\nROLLBACK\n5' "$(psql -X -At -v ON_ERROR_STOP=1 <<'SQL'
BEGIN;
INSERT INTO items (id, name) VALUES (100, 'gone');
SELECT count(*) FROM items;
ROLLBACK;
SELECT count(*) FROM items;
SQL
)"

# Errors carry code and position.
code=$(psql -X -At -v VERBOSITY=verbose -c 'SELECT embeding FROM items' 2>&1 || true)
case $code in *42703*'column "embeding" does not exist'*'LINE 1: SELECT embeding'*) ;; *) echo "$code" >&2; exit 1 ;; esac

# What the backslash commands show.
has() { case $2 in *"$1"*) ;; *) printf '%s is not in\n%s\n' "$1" "$2" >&2; exit 1 ;; esac; }
has 'public|items|table|postgres' "$(q -c '\dt')"
described=$(psql -X -A -c '\d items')
has 'id|bigint||not null|' "$described"
has 'embedding|vector(3)|||' "$described"
has '"items_pkey" PRIMARY KEY, btree (id)' "$described"
has '"items_embedding" hnsw (embedding vector_l2_ops)' "$described"
q -c 'CREATE TABLE times (a timestamp(3), b timestamptz(0)[], c interval day to second(2), d timetz)'
described=$(psql -X -A -c '\d times')
has 'a|timestamp(3) without time zone|' "$described"
has 'b|timestamp(0) with time zone[]|' "$described"
has 'c|interval day to second(2)|' "$described"
has 'd|time with time zone|' "$described"
q -c 'DROP TABLE times'
has 'public|items_embedding|index|postgres|items' "$(q -c '\di')"
has 'public|' "$(q -c '\dn')"
has 'postgres|' "$(q -c '\du')"
# psql 15 and 16 ask every server for a column that PostgreSQL 17 renamed.
if [ -z "${NEARLAKE_TEST_ORACLE:-}" ] || [ "$(psql --version | grep -oE '[0-9]+' | head -n 1)" -ge 17 ]; then
  has "$PGDATABASE|postgres|UTF8" "$(q -c '\l')"
fi
has 'vector|' "$(q -c '\dx')"

# Types that users made.
q -c "CREATE TYPE mood AS ENUM ('sad', 'ok')" -c "ALTER TYPE mood ADD VALUE 'angry' BEFORE 'sad'" \
  -c "CREATE DOMAIN shout AS text CHECK (VALUE = upper(VALUE))" -c 'GRANT USAGE ON TYPE mood TO PUBLIC' \
  -c "CREATE TABLE felt (m mood DEFAULT 'ok', many mood[], s shout)" -c "COMMENT ON TYPE mood IS 'how one feels'"
has $'public|mood|mood|4|angry\nsad\nok|postgres|' "$(q -c '\dT+ mood')"
has '|how one feels' "$(q -c '\dT+ mood')"
has 'public|shout|text||||CHECK (' "$(q -c '\dD')"
has 'VALUE = upper(VALUE)' "$(q -c '\dD')"
described=$(psql -X -A -c '\d felt')
has "m|mood|||'ok'::mood" "$described"
has 'many|mood[]|||' "$described"
has 's|shout|||' "$described"
printf 'angry\t{sad,ok}\tA\n' | q -c 'COPY felt FROM STDIN'
want $'angry|{sad,ok}|A' "$(q -c 'SELECT * FROM felt')"
q -c 'DROP TABLE felt' -c 'DROP TYPE mood' -c 'DROP DOMAIN shout'

q -c 'DROP TABLE items' -c 'DROP TABLE twin'
echo ok
