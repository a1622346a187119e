"""The story through asyncpg: always binary, always prepared, and it asks the catalog about every
type that it does not know."""

import asyncio
import datetime as dt
import decimal
import os
import uuid

import asyncpg
import numpy as np
from pgvector import HalfVector, SparseVector, Vector
from pgvector.asyncpg import register_vector


async def types(connection: asyncpg.Connection) -> None:
    for value, kind in [
        (True, "bool"), (-5, "int2"), (7, "int4"), (2**40, "int8"), (0.5, "float4"), (1.5, "float8"),
        ("héllo", "text"), ("abc", "varchar(5)"), (b"\x00\xff", "bytea"), (dt.date(2024, 2, 29), "date"),
        (dt.time(23, 59, 59, 999999), "time"), (dt.timedelta(days=1, seconds=5), "interval"),
        (dt.datetime(1999, 12, 31, 23, 59), "timestamp"), (decimal.Decimal("-12.340"), "numeric"),
        (dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc), "timestamptz"),
        (uuid.UUID(int=7), "uuid"), ('{"a": 1}', "jsonb"), ([1, 2, None], "int4[]"),
        (["a", "b c"], "text[]"), (None, "text"),
    ]:
        got = await connection.fetchval(f"SELECT $1::{kind}", value)
        assert got == value, (kind, value, got)
    row = await connection.fetchval("SELECT ROW(1, 'a b'::text, NULL::int, 1.50)")
    assert tuple(row) == (1, "a b", None, decimal.Decimal("1.50")), row
    found = await connection.fetchval("SELECT jsonb_path_query_first($1, $2)", '{"a": [1, 2]}', "$.a[last]")
    assert found == "2", found


async def story(connection: asyncpg.Connection) -> None:
    await connection.execute("DROP TABLE IF EXISTS items")
    await connection.execute(
        "CREATE TABLE items (id bigint PRIMARY KEY, name text, price numeric(10,2), embedding vector(3))"
    )
    done = await connection.execute("INSERT INTO items VALUES ($1, $2, $3, $4)", 1, "one", decimal.Decimal("1.5"),
                                    np.array([1, 0, 0]))
    assert done == "INSERT 0 1", done
    await connection.executemany(
        "INSERT INTO items VALUES ($1, $2, $3, $4)",
        [(i, f"n{i}", None, np.array([i, 0, 0])) for i in range(2, 102)],
    )
    assert await connection.fetchval("SELECT count(*) FROM items") == 101
    row = await connection.fetchrow("SELECT * FROM items WHERE id = $1", 1)
    assert (row["id"], row["name"], row["price"]) == (1, "one", decimal.Decimal("1.50")), row
    assert row["embedding"] == Vector([1, 0, 0]), row

    records = [(i, f"copied {i}", decimal.Decimal(i), np.array([i, 1, 1])) for i in range(200, 1200)]
    done = await connection.copy_records_to_table("items", records=records)
    assert done == "COPY 1000", done
    upserted = await connection.fetch(
        "INSERT INTO items (id, name, embedding) SELECT * FROM unnest($1::bigint[], $2::text[], $3::vector[])"
        " ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING id",
        [1, 5000], ["first", "new"], [Vector([0, 0, 0]), Vector([9, 9, 9])],
    )
    assert sorted(row["id"] for row in upserted) == [1, 5000], upserted
    assert await connection.fetchval("SELECT name FROM items WHERE id = 1") == "first"
    assert await connection.execute("UPDATE items SET price = $1 WHERE id < $2", decimal.Decimal(3), 4) == "UPDATE 3"
    assert await connection.execute("DELETE FROM items WHERE id = ANY($1::bigint[])", [2, 3]) == "DELETE 2"

    await connection.execute("CREATE INDEX ON items USING hnsw (embedding vector_l2_ops)")
    nearest = "SELECT id FROM items WHERE id < $2 ORDER BY embedding <-> $1 LIMIT $3"
    rows = await connection.fetch(nearest, np.array([50.2, 0, 0]), 150, 3)
    assert [row["id"] for row in rows] == [50, 51, 49], rows
    statement = await connection.prepare(nearest)
    assert [kind.name for kind in statement.get_parameters()] == ["vector", "int8", "int8"], statement.get_parameters()
    assert statement.get_attributes()[0].type.name == "int8"


async def other_points(connection: asyncpg.Connection) -> None:
    """halfvec, sparsevec and bit: parameters, results, arrays and COPY, in binary."""
    await connection.execute("CREATE TABLE points (id int PRIMARY KEY, h halfvec(3), s sparsevec(5), b bit(5), v varbit)")
    row = (1, HalfVector([1, 0.5, -2]), SparseVector({0: 1.5, 3: -2}, 5), asyncpg.BitString("10110"),
           asyncpg.BitString("101"))
    await connection.execute("INSERT INTO points VALUES ($1, $2, $3, $4, $5)", *row)
    assert tuple(await connection.fetchrow("SELECT * FROM points")) == row
    assert await connection.fetchval("SELECT $1::halfvec[]", [row[1], row[1]]) == [row[1], row[1]]
    assert await connection.fetchval("SELECT $1::sparsevec[]", [row[2]]) == [row[2]]
    assert await connection.fetchval("SELECT $1::bit(5)[]", [row[3]]) == [row[3]]
    records = [(i, HalfVector([i, 0, 0]), SparseVector({1: i}, 5), row[3], row[4]) for i in range(10, 210)]
    assert await connection.copy_records_to_table("points", records=records) == "COPY 200"
    near = await connection.fetch("SELECT id FROM points ORDER BY h <-> $1 LIMIT 2", HalfVector([50, 0, 0]))
    assert near[0]["id"] == 50, near
    near = await connection.fetch("SELECT id FROM points ORDER BY s <+> $1 LIMIT 1", SparseVector({1: 60}, 5))
    assert near[0]["id"] == 60, near
    statement = await connection.prepare("SELECT b <~> $1 FROM points WHERE id = 1")
    assert [kind.name for kind in statement.get_parameters()] == ["bit"], statement.get_parameters()
    assert await statement.fetchval(asyncpg.BitString("00110")) == 1.0
    await connection.execute("DROP TABLE points")


async def transactions(connection: asyncpg.Connection) -> None:
    try:
        async with connection.transaction():
            await connection.execute("DELETE FROM items")
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    async with connection.transaction(isolation="repeatable_read"):
        seen = [row["id"] async for row in connection.cursor("SELECT id FROM items ORDER BY id", prefetch=100)]
    assert len(seen) == 1100 and seen == sorted(seen), len(seen)
    try:
        await connection.execute("INSERT INTO items (id) VALUES (1)")
        raise AssertionError("a key came twice")
    except asyncpg.UniqueViolationError as error:
        assert error.constraint_name == "items_pkey", error
    try:
        await connection.fetch("SELECT 1 / $1::int", 0)
        raise AssertionError("one was divided by zero")
    except asyncpg.DivisionByZeroError:
        pass


async def main() -> None:
    connection = await asyncpg.connect(host=os.environ["PGHOST"], port=int(os.environ["PGPORT"]),
                                       user=os.environ["PGUSER"], database=os.environ["PGDATABASE"])
    await connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    await register_vector(connection)
    await types(connection)
    await story(connection)
    await other_points(connection)
    await transactions(connection)
    await connection.execute("DROP TABLE items")
    await connection.reset()
    await connection.close()
    print("ok")


asyncio.run(main())
