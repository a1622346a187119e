#!/usr/bin/env python3
"""Nearlake beside PostgreSQL with pgvector, on the same rows, the same machine, in one run.

    bench.py BINARY [--data FILE] [--seconds S] [--rounds N] [--print]      (make bench)

Each figure is the median of some rounds in which the two take turns. The tables go into
docs/benchmarks.md, between its two marks.
"""

import argparse
import datetime
import os
import platform
import statistics
import struct
import time
from pathlib import Path

import numpy as np

from benchmark import data as bench_data
from benchmark import load as bench_load
from benchmark.engines import Nearlake, Peak, PostgreSQL

MANUAL = Path(__file__).parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
TARGET = 0.95
TABLE = "(id bigint PRIMARY KEY, name text, section text, installed_size bigint, embedding vector({}))"
EF_SEARCH = [40, 60, 80, 100, 150, 200, 300, 400, 600, 1000]
INT8 = 20


class Bench:
    """One run: engines, rows, and the tables that come of it."""

    def __init__(self, engines: list, rows: bench_data.Data, options: argparse.Namespace):
        self.engines, self.rows, self.options = engines, rows, options
        self.setup: dict[str, tuple[str, ...]] = {engine.name: () for engine in engines}
        self.notes: list[str] = []
        self.tables: list[str] = []

    def table(self, title: str, heads: list[str], lines: list[list[str]]) -> None:
        """Adds a table, and prints it."""
        text = [f"### {title}", "", "| " + " | ".join(heads) + " |", "|---" + "|---:" * (len(heads) - 1) + "|"]
        text += ["| " + " | ".join(line) + " |" for line in lines]
        self.tables.append("\n".join(text))
        print("\n" + self.tables[-1], flush=True)

    def rounds(self, measure) -> dict[str, list]:
        """Measures every engine in turn, as often as was asked for; who begins changes."""
        seen: dict[str, list] = {engine.name: [] for engine in self.engines}
        for number in range(self.options.rounds):
            for engine in self.engines if number % 2 == 0 else reversed(self.engines):
                seen[engine.name].append(measure(engine))
        return seen

    def loads(self, sql: str, types, parameters, clients: int) -> dict[str, bench_load.Load]:
        """The median round of each engine, by rate."""
        seen = self.rounds(lambda engine: bench_load.run(
            engine.target, sql, types(engine) if callable(types) else types, parameters, clients,
            self.options.seconds, self.setup[engine.name]))
        return {name: sorted(loads, key=lambda load: load.per_second)[len(loads) // 2]
                for name, loads in seen.items()}

    # Writing.

    def copy(self, engine, table: str, pieces: list[bytes]) -> float:
        """COPY in one transaction; seconds."""
        with engine.connect() as connection, connection.cursor() as cursor:
            began = time.perf_counter()
            with cursor.copy(f"COPY {table} FROM STDIN (FORMAT binary)") as copy:
                for piece in pieces:
                    copy.write(piece)
            return time.perf_counter() - began

    def fresh(self, engine, table: str) -> None:
        with engine.connect() as connection:
            connection.execute(f"DROP TABLE IF EXISTS {table}")
            connection.execute(f"CREATE TABLE {table} " + TABLE.format(self.rows.vectors.shape[1]))

    def ingest(self) -> None:
        """COPY without and with an index; single rows."""
        pieces = self.rows.copy_bytes()
        some = self.rows.head(20_000)
        some_pieces = some.copy_bytes()

        def bare(engine) -> float:
            self.fresh(engine, "item")
            return len(self.rows) / self.copy(engine, "item", pieces)

        def indexed(engine) -> float:
            self.fresh(engine, "indexed")
            with engine.connect() as connection:
                connection.execute(f"CREATE INDEX ON indexed {engine.index}")
                seconds = self.copy(engine, "indexed", some_pieces)
                connection.execute("DROP TABLE indexed")
            return len(some) / seconds

        lines = [self.line(f"COPY, no vector index ({len(self.rows):,} rows)", self.rounds(bare), "{:,.0f} rows/s")]
        once, self.options.rounds = self.options.rounds, 1
        lines.append(self.line(f"COPY into a vector index ({len(some):,} rows)", self.rounds(indexed), "{:,.0f} rows/s"))
        self.options.rounds = once
        for clients in (1, 32):
            loads = self.inserts(clients)
            lines.append([f"INSERT of one row, durable, {clients} connection{'s' * (clients > 1)}"]
                         + [f"{loads[engine.name].per_second:,.0f} rows/s, p99 {loads[engine.name].p99_ms:.1f} ms"
                            for engine in self.engines])
        self.table("Writing", ["", *(engine.name for engine in self.engines)], lines)

    def inserts(self, clients: int) -> dict[str, bench_load.Load]:
        for engine in self.engines:
            self.fresh(engine, "single")
        base = time.time_ns() >> 20
        vectors = [bench_data.vector_bytes(vector) for vector in self.rows.vectors[:256]]
        serial = iter(range(1 << 30))

        def measure(engine) -> bench_load.Load:
            number = next(serial)

            def parameters(client: int, i: int):
                key = base + number * (1 << 40) + client * (1 << 30) + i
                return [struct.pack("!q", key), vectors[i % 256]]

            sql = "INSERT INTO single (id, name, section, installed_size, embedding) VALUES ($1, 'n', 's', 1, $2)"
            return bench_load.run(engine.target, sql, [INT8, self.vector_oid(engine)], parameters, clients,
                                  self.options.seconds)

        return {name: sorted(loads, key=lambda load: load.per_second)[len(loads) // 2]
                for name, loads in self.rounds(measure).items()}

    def build(self) -> None:
        """CREATE INDEX, and the highest memory meanwhile."""
        lines = []
        for engine in self.engines:
            kinds = [(engine.index, "")]
            if isinstance(engine, PostgreSQL):
                kinds = [(engine.index_default, " (m = 16, ef_construction = 64)"),
                         (engine.index, " (m = 16, ef_construction = 200)")]
            for definition, words in kinds:
                with engine.connect() as connection, Peak(engine) as peak:
                    connection.execute("DROP INDEX IF EXISTS item_embedding")
                    began = time.perf_counter()
                    connection.execute(f"CREATE INDEX item_embedding ON item {definition}")
                    seconds = time.perf_counter() - began
                lines.append([engine.name + words, f"{seconds:.1f} s", f"{peak.bytes / 2**20:,.0f} MiB"])
        for engine in self.engines:
            if isinstance(engine, PostgreSQL):
                with engine.connect() as connection:
                    connection.execute("ANALYZE item")
        self.table(f"Building the index ({len(self.rows):,} × {self.rows.vectors.shape[1]})",
                   ["", "time", "highest memory of the server"], lines)

    # Reading.

    def vector_oid(self, engine) -> int:
        with engine.connect() as connection:
            return connection.execute("SELECT oid FROM pg_type WHERE typname = 'vector'").fetchone()[0]

    def recall(self, engine, setup: tuple[str, ...], condition: str, bounds: list[float]) -> tuple[float, float]:
        """Recall@10 and the mean number of rows."""
        right = rows = 0
        with engine.connect() as connection:
            for statement in setup:
                connection.execute(statement)
            sql = f"SELECT id FROM item {condition} ORDER BY embedding <-> %s::vector LIMIT {bench_data.K}"
            place = {int(key): i for i, key in enumerate(self.rows.ids)}
            for query, bound in zip(self.rows.queries, bounds):
                text = "[" + ",".join(map(repr, query.tolist())) + "]"
                found = [place[row[0]] for row in connection.execute(sql, (text,))]
                distances = np.linalg.norm(self.rows.vectors[found].astype(np.float64) - query, axis=1)
                right += int((distances <= bound + 1e-6).sum())
                rows += len(found)
        asked = len(self.rows.queries)
        return right / (asked * bench_data.K), rows / asked

    def searches(self) -> None:
        """Top 10 at the recall that was asked for, and under filters."""
        everything = np.ones(len(self.rows), bool)
        bounds = self.rows.truth(everything)
        recalls = {}
        for engine in self.engines:
            tries = [()]
            if isinstance(engine, PostgreSQL):
                tries = [(f"SET hnsw.ef_search = {ef}",) for ef in EF_SEARCH]
            for setup in tries:
                recalls[engine.name] = self.recall(engine, setup, "", bounds)
                self.setup[engine.name] = setup
                if recalls[engine.name][0] >= TARGET:
                    break
            words = setup[0] if setup else "the default setting"
            self.notes.append(f"{engine.name} searches with {words}: recall@10 {recalls[engine.name][0]:.3f}.")
        lines = []
        for clients in (1, 4):
            lines.append([f"top 10, {clients} connection{'s' * (clients > 1)}"] + self.search("", clients, recalls))
        for share in (0.5, 0.1, 0.01, 0.001):
            most = self.rows.size_below(share)
            allowed = self.rows.sizes < most
            if allowed.sum() < bench_data.K:
                continue
            condition = f"WHERE installed_size < {most}"
            bounds = self.rows.truth(allowed)
            for engine in self.engines:
                if isinstance(engine, PostgreSQL):
                    self.setup[engine.name] = (self.setup[engine.name][0], "SET hnsw.iterative_scan = strict_order")
                recalls[engine.name] = self.recall(engine, self.setup[engine.name], condition, bounds)
            lines.append([f"top 10 among {allowed.mean():.1%}, 1 connection"] + self.search(condition, 1, recalls))
        self.table(f"Searching ({len(self.rows):,} × {self.rows.vectors.shape[1]}, L2)",
                   ["", *(engine.name for engine in self.engines)], lines)

    def search(self, condition: str, clients: int, recalls: dict) -> list[str]:
        queries = [bench_data.vector_bytes(query) for query in self.rows.queries]
        sql = f"SELECT id FROM item {condition} ORDER BY embedding <-> $1 LIMIT {bench_data.K}"
        loads = self.loads(sql, lambda engine: [self.vector_oid(engine)],
                           lambda client, i: [queries[(client * 7919 + i) % len(queries)]], clients)
        cells = []
        for engine in self.engines:
            load, (recall, rows) = loads[engine.name], recalls[engine.name]
            short = "" if rows > bench_data.K - 0.005 else f", {rows:.1f} rows"
            cells.append(f"{load.per_second:,.0f}/s, p50 {load.p50_ms:.2f}, p99 {load.p99_ms:.2f} ms"
                         f" (recall {recall:.3f}{short})")
        return cells

    def statements(self) -> None:
        """Point lookups and aggregates."""
        keys = [struct.pack("!q", int(key)) for key in np.random.default_rng(5).choice(self.rows.ids, 1000)]
        lines = []
        for clients in (1, 4):
            loads = self.loads("SELECT name, section FROM item WHERE id = $1", [INT8],
                               lambda client, i: [keys[(client * 131 + i) % 1000]], clients)
            lines.append([f"one row by key, {clients} connection{'s' * (clients > 1)}"]
                         + [f"{loads[e.name].per_second:,.0f}/s, p99 {loads[e.name].p99_ms:.2f} ms" for e in self.engines])
        for words, sql in [
            ("count(*)", "SELECT count(*) FROM item"),
            ("count and sum by section", "SELECT section, count(*), sum(installed_size) FROM item GROUP BY section"),
        ]:
            loads = self.loads(sql, [], lambda client, i: [], 1)
            lines.append([words] + [f"p50 {loads[e.name].p50_ms:.2f} ms" for e in self.engines])
        self.table("Other statements", ["", *(engine.name for engine in self.engines)], lines)

    def line(self, words: str, seen: dict[str, list[float]], form: str) -> list[str]:
        return [words, *(form.format(statistics.median(seen[engine.name])) for engine in self.engines)]

    def run(self) -> str:
        for engine in self.engines:
            with engine.connect() as connection:
                connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        self.ingest()
        self.build()
        self.searches()
        self.statements()
        cpu = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                    if line.startswith("model name")), platform.machine())
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        facts = (f"{datetime.date.today()}; {os.cpu_count()} × {cpu}, {memory:.0f} GiB; data: {self.rows.name},"
                 f" {len(self.rows):,} rows, {len(self.rows.queries)} queries; the median of {self.options.rounds}"
                 f" rounds of {self.options.seconds:g} s. Clients run on the same machine.")
        return "\n\n".join([facts, " ".join(self.notes), *self.tables])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("binary")
    parser.add_argument("--data", help="a .parquet or .csv of packages")
    parser.add_argument("--rows", type=int, help="only so many of its rows")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--only", choices=["nearlake", "postgresql"], help="one engine alone; implies --print")
    parser.add_argument("--print", action="store_true", help="do not write docs/benchmarks.md")
    options = parser.parse_args()
    rows = bench_data.load(options.data)
    rows.queries = rows.queries[: options.queries]
    rows = rows.head(options.rows or len(rows))

    wanted = [engine for name, engine in [("nearlake", Nearlake(options.binary)), ("postgresql", PostgreSQL())]
              if options.only in (None, name)]
    started = []
    try:
        for engine in wanted:
            started.append(engine.__enter__())
        text = Bench(started, rows, options).run()
    finally:
        for engine in reversed(started):
            engine.__exit__(None, None, None)
    if options.print or options.only:
        print("\n" + text)
        return
    manual = MANUAL.read_text()
    before, rest = manual.split(BEGIN)
    MANUAL.write_text(before + BEGIN + "\n\n" + text + "\n\n" + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
