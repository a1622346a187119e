"""The story through asyncpg: always binary, always prepared, and it asks the catalog about every
type that it does not know."""

import asyncio
import datetime as dt
import decimal
import os
import uuid

import asyncpg
import numpy as np
from pgvector import Vector
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
    await transactions(connection)
    await connection.execute("DROP TABLE items")
    await connection.reset()
    await connection.close()
    print("ok")


asyncio.run(main())
