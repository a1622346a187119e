#!/usr/bin/env python3
"""The JSON API beside the PostgreSQL protocol on one server: the same rows loaded, the same searches asked, in turns.

    python scripts/http_speed.py target/release/nearlake [--rows 50000] [--dims 384] [--searches 500]

Prints ratios, which a noisy machine leaves alone more than times, and fails where HTTP falls behind its bounds.
"""

import argparse
import base64
import http.client
import json
import re
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable

import numpy as np
from pgvector.psycopg import register_vector

from server import Server

BATCH = 10_000
# A search over HTTP takes at most so many times as long as over PostgreSQL's protocol.
SEARCH_TIMES_MAX = 1.3
# An upsert by columns is at least so much of COPY's speed.
UPSERT_SHARE_MIN = 0.7


class Http:
    """One connection that stays open."""

    def __init__(self, port: int):
        self.connection = http.client.HTTPConnection("127.0.0.1", port)

    def post(self, path: str, body: bytes) -> dict:
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        self.connection.request("POST", path, body, headers)
        answer = self.connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {said[:300]!r}")
        return json.loads(said)


def encoded(vector: np.ndarray) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def copy(connection, first: int, vectors: np.ndarray) -> float:
    """Seconds that COPY takes; the bytes are made before."""
    dims = vectors.shape[1]
    head = np.array([2, dims], ">i2")
    rows = []
    for at, vector in enumerate(vectors):
        value = head[1:].tobytes() + b"\0\0" + vector.astype(">f4").tobytes()
        rows.append(
            head[:1].tobytes() + (8).to_bytes(4, "big") + (first + at).to_bytes(8, "big")
            + len(value).to_bytes(4, "big") + value
        )
    data = b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"".join(rows) + b"\xff\xff"
    began = time.perf_counter()
    with connection.cursor().copy("COPY copied (id, vector) FROM STDIN (FORMAT binary)") as copying:
        for start in range(0, len(data), 1 << 20):
            copying.write(data[start : start + (1 << 20)])
    return time.perf_counter() - began


def upsert(client: Http, first: int, vectors: np.ndarray) -> float:
    """Seconds that an upsert by columns takes; the body is made before."""
    columns = {"id": list(range(first, first + len(vectors))), "vector": [encoded(vector) for vector in vectors]}
    body = json.dumps({"upsert_columns": columns, "distance_metric": "euclidean_squared"}).encode()
    began = time.perf_counter()
    client.post("/v2/namespaces/loaded", body)
    return time.perf_counter() - began


def in_turn(works: list[Callable[[], float]], turn: int, before: Callable[[], None] = lambda: None) -> list[float]:
    """What each gives; who begins changes, since what the first has read is near for the second."""
    took = [0.0] * len(works)
    for place in range(len(works)):
        at = (place + turn) % len(works)
        before()
        took[at] = works[at]()
    return took


def settle(port: int) -> None:
    """Waits until indexes have what was loaded, so that no load pays for the one before it."""
    while True:
        # The metric is a second old at most.
        time.sleep(1.2)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            pending = re.search(r"^nearlake_index_pending_rows (\d+)", answer.read().decode(), re.M)
        if pending and int(pending[1]) == 0:
            return


def main() -> bool:
    """Whether both bounds hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--dims", type=int, default=384)
    parser.add_argument("--searches", type=int, default=500)
    options = parser.parse_args()
    random = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as data, Server(options.binary, data) as server:
        connection, client = server.connect(), Http(server.http)
        connection.execute(f"CREATE TABLE copied (id bigint PRIMARY KEY, vector vector({options.dims}))")
        connection.execute("CREATE INDEX ON copied USING spfresh (vector vector_l2_ops)")
        loads = []
        for first in range(0, options.rows, BATCH):
            vectors = random.normal(size=(min(BATCH, options.rows - first), options.dims)).astype("f4")
            turns = [lambda: copy(connection, first, vectors), lambda: upsert(client, first, vectors)]
            loads.append(in_turn(turns, len(loads), lambda: settle(server.http)))
        by_copy, by_http = (statistics.median(times) for times in zip(*loads))
        share = by_copy / by_http
        print(f"load {BATCH} rows x {options.dims}: COPY {by_copy:.3f} s, upsert_columns {by_http:.3f} s: "
              f"{share:.2f} of COPY's speed; at least {UPSERT_SHARE_MIN} wanted")

        count = connection.execute("SELECT count(*) FROM namespaces.loaded").fetchone()[0]
        assert count == options.rows, count
        sql = "SELECT id, vector <-> %b AS d FROM namespaces.loaded ORDER BY vector <-> %b LIMIT 10"
        times: list[list[float]] = []
        register_vector(connection)
        cursor = connection.cursor(binary=True)
        for query in random.normal(size=(options.searches, options.dims)).astype("f4"):
            found: dict[str, list[int]] = {}

            def over_sql() -> float:
                began = time.perf_counter()
                rows = cursor.execute(sql, (query, query), prepare=True).fetchall()
                took = time.perf_counter() - began
                found["sql"] = [int(row[0]) for row in rows]
                return took

            def over_http() -> float:
                began = time.perf_counter()
                body = json.dumps({"rank_by": ["vector", "ANN", encoded(query)], "limit": 10}).encode()
                rows = client.post("/v2/namespaces/loaded/query", body)["rows"]
                took = time.perf_counter() - began
                found["http"] = [row["id"] for row in rows]
                return took

            times.append(in_turn([over_sql, over_http], len(times)))
            assert found["sql"] == found["http"], found
        by_sql, by_http = (statistics.median(column) for column in zip(*times))
        print(f"search: PostgreSQL's protocol {by_sql * 1e3:.2f} ms, HTTP {by_http * 1e3:.2f} ms: "
              f"{by_http / by_sql:.2f} times as long; at most {SEARCH_TIMES_MAX} wanted")
        connection.close()
    return share >= UPSERT_SHARE_MIN and by_http / by_sql <= SEARCH_TIMES_MAX


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
