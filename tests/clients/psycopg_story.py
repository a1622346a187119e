"""The story through psycopg 3: text and binary, COPY, pipeline, server-side cursor, vectors."""

import datetime as dt
import decimal
import uuid

import numpy as np
import psycopg
from pgvector import Bit, HalfVector, SparseVector, Vector
from pgvector.psycopg import register_vector
from psycopg import errors

INSERT = "INSERT INTO items (id, name, price, made, u, tags, embedding) VALUES (%s, %s, %s, %s, %s, %s, %s)"


def crud(connection: psycopg.Connection, binary: bool) -> None:
    cursor = connection.cursor(binary=binary)
    made = dt.datetime(2024, 2, 29, 12, 34, 56, 789000, tzinfo=dt.timezone.utc)
    key = uuid.uuid5(uuid.NAMESPACE_URL, "x")
    row = (1, "one", decimal.Decimal("1.50"), made, key, ["a", None, 'b "c"'], np.array([1.0, 0.5, -2.0]))
    cursor.execute(INSERT, row)
    assert cursor.rowcount == 1
    got = cursor.execute("SELECT id, name, price, made, u, tags, embedding FROM items").fetchone()
    assert got[:6] == row[:6], got
    assert got[6] == Vector([1, 0.5, -2]), got[6]

    rows = [(i, f"n{i}", None, None, None, None, np.array([i, 0, 0])) for i in range(2, 12)]
    cursor.executemany(INSERT, rows)
    assert cursor.rowcount == 10
    with connection.cursor(binary=binary) as plain:
        # Values of many types, as parameters and as results.
        for value, kind in [
            (True, "bool"), (-5, "int2"), (2**40, "int8"), (1.5, "float8"), (float("inf"), "float8"),
            ("héllo", "text"), (b"\x00\xff", "bytea"), (dt.date(2024, 2, 29), "date"),
            (dt.time(23, 59, 59, 999999), "time"), (dt.timedelta(days=1, seconds=5), "interval"),
            (dt.datetime(1999, 12, 31, 23, 59), "timestamp"), (decimal.Decimal("-12.340"), "numeric"),
            ([1, 2, None], "int4[]"), ([1.5, -2.5], "float8[]"), (None, "text"),
        ]:
            got = plain.execute(f"SELECT %b::{kind}" if binary else f"SELECT %t::{kind}", (value,)).fetchone()[0]
            assert got == value and type(got) is type(value), (kind, value, got)

    cursor.execute("UPDATE items SET name = name || %s WHERE id = ANY(%s)", ("!", [2, 3]))
    assert cursor.rowcount == 2
    assert cursor.execute("DELETE FROM items WHERE id = %s RETURNING name", (2,)).fetchall() == [("n2!",)]
    near = cursor.execute(
        "SELECT id, embedding <-> %s AS d FROM items WHERE id > %s ORDER BY d LIMIT %s", (np.array([5.2, 0, 0]), 1, 3)
    ).fetchall()
    assert [row[0] for row in near] == [5, 6, 4], near
    assert abs(near[0][1] - 0.2) < 1e-6
    # A statement that runs often is prepared on the server.
    for i in range(8):
        assert cursor.execute("SELECT name FROM items WHERE id = %s", (4,), prepare=i > 3).fetchone() == ("n4",)
    cursor.execute("DELETE FROM items")
    connection.commit()


def copying(connection: psycopg.Connection) -> None:
    cursor = connection.cursor()
    with cursor.copy("COPY items (id, name, price, embedding) FROM STDIN") as copy:
        for i in range(1000):
            copy.write_row((i, f"tab\there {i}", decimal.Decimal(i) / 4, f"[{i},{i % 7},0]"))
    assert cursor.rowcount == 1000
    with cursor.copy("COPY items (id, name, embedding) FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(["int8", "text", "vector"])
        for i in range(1000, 2000):
            copy.write_row((i, None if i % 10 == 0 else f"bin {i}", np.array([i, 0, 0])))
    assert cursor.execute("SELECT count(*), count(name), sum(price) FROM items").fetchone() == (
        2000, 1900, decimal.Decimal("124875.00"))
    with cursor.copy("COPY (SELECT id, name, embedding FROM items ORDER BY id LIMIT 2) TO STDOUT") as copy:
        assert list(copy.rows()) == [("0", "tab\there 0", "[0,0,0]"), ("1", "tab\there 1", "[1,1,0]")]
    with cursor.copy("COPY (SELECT id, embedding FROM items WHERE id = 1500) TO STDOUT (FORMAT binary)") as copy:
        copy.set_types(["int8", "vector"])
        rows = list(copy.rows())
    assert rows == [(1500, Vector([1500, 0, 0]))], rows
    connection.commit()
    try:
        with cursor.copy("COPY items (id, embedding) FROM STDIN") as copy:
            copy.write_row((5000, "[1,2,3]"))
            copy.write_row((5001, "[1,2]"))
        raise AssertionError("a vector of two dimensions was taken")
    except errors.DataException as error:
        assert error.sqlstate == "22000" and "line 2" in error.diag.context, (error.sqlstate, error.diag.context)
    connection.rollback()
    assert cursor.execute("SELECT count(*) FROM items WHERE id >= 5000").fetchone() == (0,)
    connection.commit()


def digits_of_seconds(connection: psycopg.Connection) -> None:
    """timestamp(3) and kin: what a driver is told of them, and values that come in with more digits."""
    connection.execute(
        "CREATE TABLE moments (id int PRIMARY KEY, a timestamp(3), b timestamptz(0), c time(1), d interval(2),"
        " e interval day to minute, f timetz(2), g timestamp)"
    )
    zone = dt.timezone(dt.timedelta(hours=2))
    plain = dt.datetime(2024, 1, 2, 3, 4, 5, 678900)
    given = (plain, plain.replace(tzinfo=zone), plain.time(), dt.timedelta(seconds=1.236),
             dt.timedelta(days=1, seconds=125), plain.timetz().replace(tzinfo=zone), plain)
    kept = (plain.replace(microsecond=679000), dt.datetime(2024, 1, 2, 3, 4, 6, tzinfo=zone),
            dt.time(3, 4, 5, 700000), dt.timedelta(seconds=1.24), dt.timedelta(days=1, seconds=120),
            dt.time(3, 4, 5, 680000, tzinfo=zone), plain)
    kinds = ["int4", "timestamp", "timestamptz", "time", "interval", "interval", "timetz", "timestamp"]
    for at, binary in enumerate((False, True)):
        cursor = connection.cursor(binary=binary)
        parameters = ", ".join(["%b" if binary else "%t"] * 8)
        cursor.execute(f"INSERT INTO moments VALUES ({parameters})", (at, *given))
        with cursor.copy("COPY moments FROM STDIN" + (" (FORMAT binary)" if binary else "")) as copy:
            copy.set_types(kinds)
            copy.write_row((10 + at, *given))
        for key in (at, 10 + at):
            got = cursor.execute("SELECT * FROM moments WHERE id = %s", (key,)).fetchone()
            assert got[1:] == kept, (binary, key, got)
            assert got[6].utcoffset() == dt.timedelta(hours=2), got[6]
        found = cursor.execute("SELECT count(*) FROM moments WHERE a = %s OR f = %s", (plain, given[5])).fetchone()
        assert found == (0,), found
    modifiers = [cursor.pgresult.fmod(at) for at in range(cursor.execute("SELECT * FROM moments").pgresult.nfields)]
    assert modifiers == [-1, 3, 0, 1, 2147418114, 201916415, 2, -1], modifiers
    cursor.execute("SELECT a::timestamp(1), a + interval '1 s', max(a) OVER (), current_timestamp(2) FROM moments")
    assert [cursor.pgresult.fmod(at) for at in range(4)] == [1, -1, -1, 2]
    assert cursor.description[0].type_code == 1114 and cursor.description[0].internal_size == 8

    warnings = []

    def tell(notice: errors.Diagnostic) -> None:
        warnings.append((notice.severity, notice.sqlstate, notice.message_primary))

    connection.add_notice_handler(tell)
    connection.execute("SELECT '2024-01-01'::timestamp(9), '03:04'::time(7) with time zone")
    assert warnings == [
        ("WARNING", "22023", "TIMESTAMP(9) precision reduced to maximum allowed, 6"),
        ("WARNING", "22023", "TIME(7) WITH TIME ZONE precision reduced to maximum allowed, 6"),
    ], warnings
    connection.remove_notice_handler(tell)
    connection.execute("DROP TABLE moments")
    connection.commit()


def other_points(connection: psycopg.Connection) -> None:
    """halfvec, sparsevec and bit: parameters, results, arrays and COPY, as text and in binary."""
    connection.execute("CREATE TABLE points (id int PRIMARY KEY, h halfvec(3), s sparsevec(5), b bit(5))")
    values = (HalfVector([1, 0.5, -2]), SparseVector({0: 1.5, 3: -2}, 5), Bit("10110"))
    for at, binary in enumerate((False, True)):
        cursor = connection.cursor(binary=binary)
        cursor.execute("INSERT INTO points VALUES (%s, %s, %s, %s)", (at, *values))
        got = cursor.execute("SELECT h, s, b FROM points WHERE id = %s", (at,)).fetchone()
        assert got[0] == values[0] and got[1] == values[1], got
        # Without a loader for it, psycopg gives bit as text, or as its bytes.
        assert got[2] in ("10110", b"\x00\x00\x00\x05\xb0"), got[2]
        for point, kind in ((values[0], "halfvec"), (values[1], "sparsevec")):
            got = cursor.execute(f"SELECT %s::{kind}, ARRAY[%s::{kind}]", (point, point)).fetchone()
            assert got[0] == point and got[1] == [point], (kind, got)
        near = cursor.execute(
            "SELECT s <-> %s, h <-> %s, b <~> %s FROM points ORDER BY h <-> %s LIMIT 1",
            (SparseVector({0: 1.5}, 5), HalfVector([1, 0.5, 0]), Bit("00110"), HalfVector([1, 0.5, 0])),
        ).fetchone()
        assert near == (2.0, 2.0, 1.0), near
    cursor = connection.cursor()
    with cursor.copy("COPY points FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(["int4", "halfvec", "sparsevec", "bit"])
        for i in range(10, 110):
            copy.write_row((i, HalfVector([i, 0, 0]), SparseVector({1: i}, 5), Bit("00001")))
    with cursor.copy("COPY points FROM STDIN") as copy:
        copy.write_row((200, "[1,2,3]", "{2:7}/5", "11111"))
        copy.write_row((201, None, None, None))
    with cursor.copy("COPY points FROM STDIN (FORMAT csv)") as copy:
        copy.write('202,"[1,2,3]","{1:1,2:7}/5",00000\n')
    for form in ("text", "csv", "binary"):
        with cursor.copy(f"COPY points TO STDOUT (FORMAT {form})") as copy:
            whole = b"".join(bytes(part) for part in copy)
        cursor.execute("CREATE TABLE again (LIKE points)")
        with cursor.copy(f"COPY again FROM STDIN (FORMAT {form})") as copy:
            copy.write(whole)
        same = " AND ".join(f"(p.{column} IS NOT DISTINCT FROM a.{column})" for column in "hsb")
        same = f"SELECT count(*) FROM points p JOIN again a ON p.id = a.id WHERE {same}"
        assert cursor.execute(same).fetchone() == (105,), form
        cursor.execute("DROP TABLE again")
    connection.execute("DROP TABLE points")
    connection.commit()


def cursors_and_pipelines(connection: psycopg.Connection) -> None:
    with connection.cursor(name="walk") as walk:
        walk.itersize = 300
        walk.execute("SELECT id FROM items ORDER BY id")
        assert [row[0] for row in walk] == list(range(2000))
    connection.commit()
    with connection.pipeline():
        answers = [connection.execute("SELECT %s::int + 1", (i,)) for i in range(50)]
        connection.execute("UPDATE items SET name = %s WHERE id = 0", ("piped",))
        last = connection.execute("SELECT name FROM items WHERE id = 0")
        assert last.fetchone() == ("piped",)
    assert [answer.fetchone()[0] for answer in answers] == list(range(1, 51))
    for rows in (0, 1, 500):
        streamed = connection.cursor().stream("SELECT id FROM items ORDER BY id LIMIT %s", (rows,))
        assert sum(1 for _ in streamed) == rows
    connection.commit()


def faults(connection: psycopg.Connection) -> None:
    for sql, kind in [
        ("INSERT INTO items (id, name) VALUES (1, 'x')", errors.UniqueViolation),
        ("SELECT nope FROM items", errors.UndefinedColumn),
        ("SELECT 1/0", errors.DivisionByZero),
        ("SELECT 'x'::int", errors.InvalidTextRepresentation),
        ("SELEC 1", errors.SyntaxError),
    ]:
        try:
            connection.execute(sql)
            raise AssertionError(sql)
        except kind as error:
            if kind is errors.UniqueViolation:
                told = error.diag
                assert told.constraint_name == "items_pkey" and told.table_name == "items", told
                assert told.message_detail == "Key (id)=(1) already exists.", told.message_detail
            if kind is errors.UndefinedColumn:
                assert error.diag.statement_position == "8", error.diag.statement_position
        try:
            connection.execute("SELECT 1")
            raise AssertionError("a failed transaction goes on")
        except errors.InFailedSqlTransaction:
            connection.rollback()
    with connection.transaction():
        connection.execute("DELETE FROM items WHERE id = 1")
        try:
            with connection.transaction():
                connection.execute("DELETE FROM items")
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
    assert connection.execute("SELECT count(*) FROM items").fetchone() == (1999,)
    connection.commit()


def main() -> None:
    with psycopg.connect(autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute("DROP TABLE IF EXISTS items")
        connection.execute(
            "CREATE TABLE items (id bigint PRIMARY KEY, name text, price numeric(10,2), made timestamptz,"
            " u uuid, tags text[], embedding vector(3))"
        )
    with psycopg.connect() as connection:
        connection.execute("SET timezone = 'UTC'")
        register_vector(connection)
        crud(connection, binary=False)
        crud(connection, binary=True)
        copying(connection)
        connection.execute("CREATE INDEX ON items USING hnsw (embedding vector_l2_ops)")
        connection.commit()
        near = connection.execute("SELECT id FROM items ORDER BY embedding <-> %s LIMIT 5", (np.array([1700, 0, 0]),))
        assert sorted(row[0] for row in near) == [1698, 1699, 1700, 1701, 1702]
        digits_of_seconds(connection)
        other_points(connection)
        cursors_and_pipelines(connection)
        faults(connection)
        connection.execute("DROP TABLE items")
    print("ok")


main()
