#!/usr/bin/env python3
"""Loads Debian's package descriptions into a fresh server and asks five questions, with timings. The
server itself makes the vectors of the questions.

    demo.py BINARY      (make demo)
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from server import Server

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nearlake"
MODEL = CACHE / "models" / "all-MiniLM-L6-v2"
PACKAGES = Path(__file__).parent.parent / "sql" / "examples" / "data" / "packages.csv"

SETUP = [
    "CREATE EXTENSION IF NOT EXISTS vector",
    f"CREATE EMBEDDING MODEL minilm WITH (path = '{MODEL}')",
    "SET nearlake.embedding_model = 'minilm'",
    """CREATE TABLE package (
  id bigint PRIMARY KEY, name text NOT NULL, section text, installed_size bigint,
  short text, embedding vector(384))""",
    "COPY package FROM STDIN (FORMAT csv, HEADER)",
    "CREATE INDEX package_embedding ON package USING spfresh (embedding vector_cosine_ops)",
]

# A question, and its SQL.
QUESTIONS = [
    ("What shows which processes use the CPU?", """
SELECT name, short, embedding <=> embed('watch running processes and the load of the machine') AS distance
FROM package ORDER BY distance LIMIT 5"""),
    ("An image editor, but small: at most 2 MB installed.", """
SELECT name, short, installed_size FROM package WHERE installed_size <= 2048
ORDER BY embedding <=> embed('draw and edit pictures') LIMIT 5"""),
    ("Video, but as a library for Python.", """
SELECT name, short FROM package WHERE section = 'python'
ORDER BY embedding <=> embed('read and convert video and audio') LIMIT 5"""),
    ("In which sections are the fifty nearest to a web server?", """
SELECT section, count(*), min(distance) AS nearest FROM (
  SELECT section, embedding <=> embed('a fast web server and reverse proxy') AS distance
  FROM package ORDER BY distance LIMIT 50) AS near
GROUP BY section ORDER BY count(*) DESC, nearest LIMIT 5"""),
    ("Not in the index a moment ago: a new row is found at once.", """
SELECT name, short FROM package
ORDER BY embedding <=> embed('a penguin jumps and runs through a platform game') LIMIT 3"""),
]

NEW_ROW = """INSERT INTO package VALUES (1000000, 'supertux-fork', 'games', 1, 'inserted by the demo just now',
  embed('a platform game in which a penguin runs and jumps'))"""


def timed(action) -> tuple[object, float]:
    """What the action gave, and its milliseconds."""
    began = time.perf_counter()
    result = action()
    return result, (time.perf_counter() - began) * 1000


def show(cursor: psycopg.Cursor, rows: list[tuple]) -> None:
    """Rows as a small table."""
    shown = [[f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    heads = [column.name for column in cursor.description]
    widths = [max(map(len, column)) for column in zip(heads, *shown)]
    for row in [heads, ["-" * width for width in widths], *shown]:
        print("   " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def load(connection: psycopg.Connection) -> None:
    """Makes the table, fills it and builds its index."""
    for sql in SETUP:
        print(f"\n{sql};")
        if sql.startswith("COPY"):
            def copy() -> int:
                with connection.cursor() as cursor:
                    with cursor.copy(sql) as into:
                        into.write(PACKAGES.read_bytes())
                    return cursor.rowcount
            rows, ms = timed(copy)
            print(f"-- {rows} rows in {ms:.0f} ms")
        else:
            _, ms = timed(lambda: connection.execute(sql))
            print(f"-- {ms:.0f} ms")


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    # The virtual environment that runs this script holds ONNX Runtime, too.
    flags = ["--onnxruntime", sys.prefix]
    with (
        tempfile.TemporaryDirectory(prefix="nearlake-demo-") as data,
        Server(sys.argv[1], data, *flags) as server,
    ):
        with server.connect() as connection:
            load(connection)
            for number, (question, sql) in enumerate(QUESTIONS, 1):
                print(f"\n{number}. {question}\n{sql.strip()};")
                if number == 5:
                    _, ms = timed(lambda: connection.execute(NEW_ROW))
                    print(f"-- (the new row: {ms:.1f} ms)")
                cursor = connection.cursor()
                # Twice: the first run plans the statement and fetches what it needs.
                _, first = timed(lambda: cursor.execute(sql).fetchall())
                rows, again = timed(lambda: cursor.execute(sql).fetchall())
                assert rows, "every question has an answer"
                show(cursor, rows)
                print(f"-- {first:.1f} ms, again {again:.1f} ms")


if __name__ == "__main__":
    main()
