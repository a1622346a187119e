#!/usr/bin/env python3
"""Kills the server at random moments while clients write, and checks after every restart what it promised.

    soak.py BINARY [--rounds N] [--seed S] [--data URL]      (make soak)

Each client owns a range of keys and remembers what was acknowledged. After a restart every acknowledged
row is there once and no other row is; the one statement that was on its way may have happened,
but then as a whole. The index is what its table wants it to be, and searches by it find what brute force
over the rows finds, but for one neighbour in fifty.
"""

import argparse
import random
import re
import sys
import tempfile
import threading
import time

import numpy as np
import psycopg

from server import Server

# So many that postings hold codes.
DIMS = 64
PLACES = 100
# Rows that are there from the beginning: with fewer than 5,000 a search reads rows and asks no index.
PRELOAD = 8000
TARGET = 0.99
FOUND_MIN = 0.98
# What upkeep puts right in time; all else must be right at once.
PASSING = {"nearest_partition", "stale_entries", "posting_size", "fill"}
CLIENTS = 6
RANGE = 1 << 32
FLAGS = ["--checkpoint-interval", "1s", "--checkpoint-size", "1MiB", "--log-filter", "warn"]


def vector(key: int, version: int) -> np.ndarray:
    """The vector that a row of this key and version has: near one of some places, so that it can be clustered."""
    chance = np.random.default_rng((key, version))
    place = np.random.default_rng(chance.integers(PLACES)).normal(size=DIMS)
    return (place + chance.normal(size=DIMS, scale=0.4)).astype(np.float32).round(3)


def text(vector: np.ndarray) -> str:
    return "[" + ",".join(map(str, vector.tolist())) + "]"


class Client(threading.Thread):
    """Writes to its own keys until the server is gone; `rows` is acknowledged, `after` what may be, too."""

    def __init__(self, number: int, server: Server, rows: dict[int, int], chance: random.Random):
        super().__init__(daemon=True)
        self.number, self.server, self.rows, self.chance = number, server, rows, chance
        self.after: dict[int, int] | None = None
        self.commits = 0
        self.fault: BaseException | None = None

    def run(self) -> None:
        try:
            with self.server.connect(autocommit=False) as connection:
                while True:
                    self.step(connection)
        except psycopg.OperationalError:
            pass  # The server was killed.
        except BaseException as fault:  # Told by the main thread.
            self.fault = fault

    def step(self, connection: psycopg.Connection) -> None:
        """One transaction of some statements; acknowledged, it becomes what is known."""
        after = dict(self.rows)
        with connection.cursor() as cursor:
            for _ in range(self.chance.choice([1, 1, 1, 2, 5])):
                self.change(cursor, after)
            if self.chance.random() < 0.1:
                connection.rollback()
                return
            self.after = after
            connection.commit()
        self.rows, self.after = after, None
        self.commits += 1

    def change(self, cursor: psycopg.Cursor, after: dict[int, int]) -> None:
        kind = self.chance.random()
        count = self.chance.choice([1, 1, 3, 40])
        fresh = [self.number * RANGE + self.chance.randrange(RANGE) for _ in range(count)]
        known = self.chance.sample(sorted(after), min(count, len(after)))
        if kind < 0.35 or not known:
            rows = [(key, 1, text(vector(key, 1))) for key in set(fresh) - set(after)]
            cursor.executemany("INSERT INTO item VALUES (%s, %s, %s)", rows)
        elif kind < 0.45:
            with cursor.copy("COPY item FROM STDIN") as copy:
                rows = [(key, 1, text(vector(key, 1))) for key in set(fresh) - set(after)]
                for row in rows:
                    copy.write_row(row)
        elif kind < 0.65:
            keys = sorted(set(known + fresh[:3]))
            rows = [(key, after.get(key, 0) + 1, text(vector(key, after.get(key, 0) + 1))) for key in keys]
            cursor.execute(
                "INSERT INTO item SELECT * FROM unnest(%s::bigint[], %s::int[], %s::text[]::vector[])"
                " ON CONFLICT (id) DO UPDATE SET version = excluded.version, v = excluded.v",
                [list(column) for column in zip(*rows)])
        elif kind < 0.8:
            rows = [(key, after[key] + 1, text(vector(key, after[key] + 1))) for key in known[:5]]
            for key, version, words in rows:
                cursor.execute("UPDATE item SET version = %s, v = %s WHERE id = %s", (version, words, key))
        else:
            cursor.execute("DELETE FROM item WHERE id = ANY(%s)", (known,))
            for key in known:
                del after[key]
            return
        after.update((key, version) for key, version, _ in rows)


def check(server: Server, clients: list[Client]) -> dict[int, int]:
    """What is stored is what was promised; returns it."""
    with server.connect() as connection:
        stored = connection.execute("SELECT id, version, v::text FROM item").fetchall()
        found = {key: version for key, version, _ in stored}
        assert len(found) == len(stored), "a key is there twice"
        for client in clients:
            mine = {key: version for key, version in found.items() if key // RANGE == client.number}
            if mine != client.rows and mine != client.after:
                wanted = client.rows if client.after is None else client.after
                missing = [key for key in wanted if key not in mine][:5]
                extra = [key for key in mine if key not in wanted][:5]
                raise AssertionError(f"client {client.number}: missing {missing}, extra {extra}")
            client.rows = mine
        for key, version, words in stored[:200]:
            assert np.allclose(np.array(words[1:-1].split(","), dtype=np.float32), vector(key, version)), key
        verify(connection)
        search(connection, found)
    return found


def verify(connection: psycopg.Connection) -> None:
    """The index is what its table wants it to be, as soon as upkeep had the time to make it so."""
    end = time.monotonic() + 120
    while True:
        try:
            checks = connection.execute("SELECT * FROM nearlake_verify_index('item_v')").fetchall()
            wrong = {check[0]: check[2:] for check in checks if not check[1]}
        except psycopg.errors.ObjectNotInPrerequisiteState:
            wrong = {"fill": "the index is being built"}
        if not wrong:
            return
        assert wrong.keys() <= PASSING and time.monotonic() < end, wrong
        time.sleep(0.2)


def search(connection: psycopg.Connection, found: dict[int, int]) -> None:
    """The index agrees with brute force."""
    keys = sorted(found)
    if not keys:
        return
    vectors = np.stack([vector(key, found[key]) for key in keys]).astype(np.float64)
    k, right, asked, probed = min(10, len(keys)), 0, 20, 0
    connection.execute(f"SET nearlake.recall_target = {TARGET}")
    for number in range(asked):
        query = vector(number, 999)
        exact = np.sort(np.linalg.norm(vectors - query, axis=1))[:k]
        nearest = f"SELECT id, v <-> '{text(query)}' FROM item ORDER BY v <-> '{text(query)}' LIMIT {k}"
        rows = connection.execute(nearest).fetchall()
        assert len(rows) == k and len({key for key, _ in rows}) == k, f"{len(rows)} rows of {k}"
        assert all(key in found for key, _ in rows), "a row that is not there was found"
        right += sum(distance <= exact[-1] + 1e-4 for _, distance in rows)
        plan = " ".join(row[0] for row in connection.execute("EXPLAIN (ANALYZE) " + nearest))
        probed += bool(re.search(r"postings_probed=[1-9]", plan))
    assert right >= FOUND_MIN * asked * k, f"{right} of {asked * k} neighbours at recall_target {TARGET}"
    assert len(keys) < 5000 or probed >= asked / 2, f"{probed} of {asked} searches read postings"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("binary")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--data", help="a folder or a bucket (default: a temporary folder)")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="nearlake-soak-") as folder:
        soak(options, options.data or folder, chance)


def soak(options: argparse.Namespace, data: str, chance: random.Random) -> None:
    server = Server(options.binary, data, *FLAGS).start()
    with server.connect() as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute("DROP TABLE IF EXISTS item")
        connection.execute(f"CREATE TABLE item (id bigint PRIMARY KEY, version int, v vector({DIMS}))")
        known: list[dict[int, int]] = []
        with connection.cursor().copy("COPY item FROM STDIN") as copy:
            for number in range(CLIENTS):
                known.append({number * RANGE + key: 1 for key in range(PRELOAD // CLIENTS)})
                for key in known[number]:
                    copy.write_row((key, 1, text(vector(key, 1))))
        connection.execute("CREATE INDEX item_v ON item USING spfresh (v vector_l2_ops)")
    commits = 0
    for number in range(1, options.rounds + 1):
        clients = [Client(i, server, known[i], random.Random(chance.random())) for i in range(CLIENTS)]
        for client in clients:
            client.start()
        time.sleep(chance.uniform(0.05, 2.5))
        server.kill()
        for client in clients:
            client.join(30)
            if client.is_alive() or client.fault:
                sys.exit(f"round {number}: client {client.number}: {client.fault or 'hangs'}")
        began = time.monotonic()
        server = Server(options.binary, data, *FLAGS).start()
        ready = time.monotonic() - began
        found = check(server, clients)
        known = [client.rows for client in clients]
        commits += sum(client.commits for client in clients)
        print(f"round {number}: {len(found)} rows, {commits} commits, ready in {ready:.2f} s", flush=True)
    server.stop()
    server = Server(options.binary, data, *FLAGS).start()
    check(server, [Client(i, server, known[i], chance) for i in range(CLIENTS)])
    server.stop()
    print(f"{options.rounds} kills, {commits} commits, nothing lost", flush=True)


if __name__ == "__main__":
    main()
