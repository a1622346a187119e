#!/usr/bin/env python3
"""The JSON API beside the PostgreSQL protocol on one server: the same rows loaded, the same searches asked, in turns.

    python scripts/http_speed.py target/release/nearlake [--rows 50000] [--dims 384] [--searches 500]

Prints ratios, which a noisy machine leaves alone more than times.
"""

import argparse
import base64
import http.client
import json
import statistics
import tempfile
import time

import numpy as np
from pgvector.psycopg import register_vector

from server import Server

BATCH = 10_000


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


def main() -> None:
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
            loads.append((copy(connection, first, vectors), upsert(client, first, vectors)))
        by_copy, by_http = (statistics.median(times) for times in zip(*loads))
        print(f"load {BATCH} rows x {options.dims}: COPY {by_copy:.3f} s, upsert_columns {by_http:.3f} s: "
              f"{by_copy / by_http:.2f} of COPY's speed")

        count = connection.execute("SELECT count(*) FROM namespaces.loaded").fetchone()[0]
        assert count == options.rows, count
        sql = "SELECT id, vector <-> %b AS d FROM namespaces.loaded ORDER BY vector <-> %b LIMIT 10"
        times: list[tuple[float, float]] = []
        register_vector(connection)
        cursor = connection.cursor(binary=True)
        for query in random.normal(size=(options.searches, options.dims)).astype("f4"):
            began = time.perf_counter()
            over_sql = cursor.execute(sql, (query, query), prepare=True).fetchall()
            between = time.perf_counter()
            body = json.dumps({"rank_by": ["vector", "ANN", encoded(query)], "limit": 10}).encode()
            over_http = client.post("/v2/namespaces/loaded/query", body)["rows"]
            times.append((between - began, time.perf_counter() - between))
            assert [int(row[0]) for row in over_sql] == [row["id"] for row in over_http]
        by_sql, by_http = (statistics.median(column) for column in zip(*times))
        print(f"search: PostgreSQL's protocol {by_sql * 1e3:.2f} ms, HTTP {by_http * 1e3:.2f} ms: "
              f"{by_http / by_sql:.2f} times as long")
        connection.close()


if __name__ == "__main__":
    main()
