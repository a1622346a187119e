#!/usr/bin/env python3
"""Searches under filters: from one row in ten thousand to nine in ten that match, near the query, anywhere, or far from it.

    filters.py BINARY [--data FILE] [--rows N] [--queries N] [--target T] [--include]      (make filters)

Each cell asks the same queries three ways in turn: with the filter, with the filter by reading every matching row (which is
right by definition), and without the filter by the index. Times are the server's own, of execution. Fails when the recall of a
cell is below the target, when a row is missing though it matches, or, with --strict, when a cell is slower than 1.2 times reading
the matching rows or, from 1 % on, than 1.5 times the search without a filter. With --include the index carries the columns of the
filters, and passes over postings without a match: the last column says how many of those that were named.
"""

import argparse
import re
import statistics
import tempfile

import numpy as np
from benchmark import data as bench_data
from server import Server

SHARES = [0.0001, 0.001, 0.01, 0.05, 0.1, 0.3, 0.5, 0.9]
EXACT, FREE = 1.2, 1.5
K = bench_data.K


def text(vector):
    return "[" + ",".join(map(repr, vector.tolist())) + "]"


class Matrix:
    """One table, and the columns by which its rows are chosen."""

    def __init__(self, connection, rows, options):
        self.connection, self.rows, self.options = connection, rows, options
        chance = np.random.default_rng(11)
        # Rows by their distance to one query: a low rank is near it and its like.
        centre = rows.queries[0]
        self.rank = np.argsort(np.argsort(np.linalg.norm(rows.vectors - centre, axis=1)))
        self.shuffled = chance.permutation(len(rows))
        order = np.argsort(np.linalg.norm(rows.queries - centre, axis=1))
        count = options.queries
        self.cells = {
            "near": (rows.queries[order[:count]], "rank"),
            "any": (rows.queries[chance.permutation(len(rows.queries))[:count]], "shuffled"),
            "far": (rows.queries[order[-count:]], "rank"),
        }

    def load(self):
        with self.connection.cursor() as cursor:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
            dims = self.rows.vectors.shape[1]
            cursor.execute(f"CREATE TABLE item (id int PRIMARY KEY, rank int, shuffled int, embedding vector({dims}))")
            with cursor.copy("COPY item FROM STDIN") as copy:
                for place, vector in enumerate(self.rows.vectors):
                    copy.write_row([place, int(self.rank[place]), int(self.shuffled[place]), text(vector)])
            include = "INCLUDE (rank, shuffled)" if self.options.include else ""
            cursor.execute(f"CREATE INDEX item_embedding ON item USING spfresh (embedding vector_l2_ops) {include}")
            # As after some time: rows lie in segments.
            cursor.execute("CHECKPOINT")
            cursor.execute(f"SET nearlake.recall_target = {self.options.target}")

    def ask(self, vector, where, by_index):
        """The distances, how long the server took for them, in milliseconds, and postings read and passed over."""
        query = f"SELECT embedding <-> '{text(vector)}' AS d FROM item {where} ORDER BY d LIMIT {K}"
        with self.connection.cursor() as cursor:
            cursor.execute(f"SET enable_indexscan = {'on' if by_index else 'off'}")
            distances = [row[0] for row in cursor.execute(query).fetchall()]
            lines = [row[0] for row in cursor.execute("EXPLAIN ANALYZE " + query).fetchall()]
        taken = next(line for line in lines if line.startswith("Execution Time"))
        shown = "\n".join(lines)
        counts = [re.search(rf"{what}=([\d.]+)( K)?", shown) for what in ("postings_probed", "postings_skipped")]
        counts = [float(count[1]) * (1000 if count[2] else 1) if count else 0 for count in counts]
        return distances, float(taken.split()[2]), np.array(counts)

    def cell(self, share, correlation):
        """Recall, rows missing, the median times (with the filter, of reading, without a filter), and postings."""
        queries, column = self.cells[correlation]
        where = f"WHERE {column} < {max(1, round(share * len(self.rows)))}"
        right = wanted = missing = 0
        times, postings = [[], [], []], np.zeros(2)
        for vector in queries:
            exact, reading, _ = self.ask(vector, where, False)
            found, filtered, counts = self.ask(vector, where, True)
            _, free, _ = self.ask(vector, "", True)
            postings += counts
            missing += len(exact) - len(found)
            right += sum(distance <= exact[-1] + 1e-6 for distance in found)
            wanted += len(exact)
            for seen, taken in zip(times, (filtered, reading, free)):
                seen.append(taken)
        return right / wanted, missing, *(statistics.median(seen) for seen in times), postings / len(queries)

    def run(self):
        """Prints every cell; what is wrong with them."""
        print("| match | rows | recall | ms | of reading the matching rows | of no filter | postings read, passed over |")
        print("|---|---|---:|---:|---:|---:|---:|")
        wrong, slow = [], []
        for share in SHARES:
            for correlation in self.cells:
                recall, missing, filtered, reading, free, (read, passed) = self.cell(share, correlation)
                name = f"{share * 100:g} % {correlation}"
                print(f"| {share * 100:g} % | {correlation} | {recall:.4f} | {filtered:.2f} |"
                      f" {filtered / reading:.2f} | {filtered / free:.2f} | {read:.0f}, {passed:.0f} |", flush=True)
                if recall < self.options.target or missing:
                    wrong.append(f"{name}: recall {recall:.4f}, {missing} rows missing")
                if filtered > EXACT * reading or (share >= 0.01 and filtered > FREE * free):
                    slow.append(name)
        if slow:
            print("slow: " + ", ".join(slow))
        return wrong + (slow if self.options.strict else [])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("binary")
    parser.add_argument("--data", help="a .parquet or .csv of packages")
    parser.add_argument("--rows", type=int, help="only so many of its rows")
    parser.add_argument("--queries", type=int, default=40, help="queries of each cell")
    parser.add_argument("--target", type=float, default=0.95)
    parser.add_argument("--include", action="store_true", help="the index carries the columns of the filters")
    parser.add_argument("--strict", action="store_true", help="fail on slow cells too")
    options = parser.parse_args()
    rows = bench_data.load(options.data)
    rows = rows.head(options.rows or len(rows))
    with tempfile.TemporaryDirectory(prefix="nearlake-filters-") as folder:
        with Server(options.binary, folder) as server, server.connect() as connection:
            connection.autocommit = True
            matrix = Matrix(connection, rows, options)
            matrix.load()
            wrong = matrix.run()
    raise SystemExit("\n".join(wrong) or 0)


if __name__ == "__main__":
    main()
