"""Recall@10 of a running server on the Debian packages and their queries, with and without filters, before and after churn.

    recall.py PORT FOLDER [--load] [--churn]

FOLDER holds packages, queries and filters as Parquet and JSON. A row counts as right when it is as near as the tenth nearest;
before churn the exact answers are those of the folder, afterwards those of the server with its index turned off.
"""

import argparse
import json
import pathlib
import time

import numpy as np
import psycopg
import pyarrow.parquet as pq

COLUMNS = ["id", "name", "section", "installed_size", "short"]


def text(vector):
    return "[" + ",".join(map(repr, np.asarray(vector, dtype=np.float32).tolist())) + "]"


def load(cursor, folder):
    table = pq.read_table(folder / "debpkg.parquet", columns=[*COLUMNS, "embedding"])
    cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
    cursor.execute("DROP TABLE IF EXISTS pkg")
    cursor.execute(
        "CREATE TABLE pkg (id bigint PRIMARY KEY, name text, section text, installed_size bigint, short text,"
        " embedding vector(384))"
    )
    begun = time.perf_counter()
    rows = zip(*(table[column].to_pylist() for column in COLUMNS), table["embedding"].to_pylist())
    with cursor.copy("COPY pkg FROM STDIN") as copy:
        for *plain, vector in rows:
            copy.write_row([*plain, text(vector)])
    print(f"loaded {table.num_rows} rows in {time.perf_counter() - begun:.1f} s, with the client's own work")
    begun = time.perf_counter()
    cursor.execute("CREATE INDEX pkg_embedding ON pkg USING spfresh (embedding vector_l2_ops)")
    print(f"indexed in {time.perf_counter() - begun:.1f} s")


def search(cursor, where, vector):
    cursor.execute(f"SELECT id, embedding <-> '{vector}' AS d FROM pkg {where} ORDER BY d LIMIT 10")
    return cursor.fetchall()


def exact_tenth(cursor, where, vector):
    cursor.execute("SET enable_indexscan = off")
    rows = search(cursor, where, vector)
    cursor.execute("SET enable_indexscan = on")
    return rows[-1][1]


def measure(cursor, name, where, queries, known):
    right = wanted = short = 0
    for place, vector in enumerate(queries["embedding"].to_pylist()):
        vector = text(vector)
        distances = known[place] if known is not None else None
        tenth = distances[9] if distances is not None else exact_tenth(cursor, where, vector)
        rows = search(cursor, where, vector)
        short += len(rows) < 10
        right += sum(1 for _, distance in rows if distance <= tenth + 1e-6)
        wanted += 10
    print(f"{name:15} recall {right / wanted:.4f}, answers of fewer than 10 rows: {short}")
    return right / wanted >= 0.95 and short == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--load", action="store_true", help="load and index the packages first")
    parser.add_argument("--churn", action="store_true", help="update 30 % and delete 10 % of the rows first")
    arguments = parser.parse_args()
    queries = pq.read_table(arguments.folder / "debpkg_queries.parquet")
    filters = json.loads((arguments.folder / "filters.json").read_text())
    url = f"host=127.0.0.1 port={arguments.port} user=postgres dbname=postgres"
    with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        if arguments.load:
            load(cursor, arguments.folder)
        if arguments.churn:
            cursor.execute("UPDATE pkg SET short = short || '.' WHERE id % 10 < 3")
            cursor.execute("DELETE FROM pkg WHERE id % 10 = 3")
        fresh = arguments.load and not arguments.churn
        good = measure(cursor, "all", "", queries, queries["dist_all"].to_pylist() if fresh else None)
        for name, given in filters.items():
            known = queries[f"dist_{name}"].to_pylist() if fresh else None
            good &= measure(cursor, name, f"WHERE {given['sql']}", queries, known)
    raise SystemExit(0 if good else "recall is below 0.95 or rows are missing")


if __name__ == "__main__":
    main()
