"""Clients: each a process of its own with one connection, which repeats one prepared statement."""

import multiprocessing
import time
from dataclasses import dataclass

import psycopg
from psycopg import pq

BINARY = pq.Format.BINARY
FORK = multiprocessing.get_context("fork")


@dataclass
class Load:
    """What some clients managed together."""

    per_second: float
    p50_ms: float
    p99_ms: float


def run(target: str, sql: str, types: list[int], parameters, clients: int, seconds: float,
        setup: tuple[str, ...] = ()) -> Load:
    """Repeats `sql` for `seconds`; `parameters(client, i)` gives the binary parameters of a repeat."""
    gate, results = FORK.Barrier(clients), FORK.Queue()
    workers = [
        FORK.Process(target=_client, args=(target, sql, types, parameters, client, seconds, setup, gate, results))
        for client in range(clients)
    ]
    for worker in workers:
        worker.start()
    told = [results.get(timeout=seconds + 120) for _ in workers]
    for worker in workers:
        worker.join()
    faults = [fault for _, _, fault in told if fault]
    if faults:
        raise RuntimeError(faults[0])
    times = sorted(ms for _, latencies, _ in told for ms in latencies)
    rate = sum(len(latencies) / elapsed for elapsed, latencies, _ in told)
    return Load(rate, times[len(times) // 2], times[min(len(times) - 1, len(times) * 99 // 100)])


def _client(target, sql, types, parameters, client, seconds, setup, gate, results) -> None:
    latencies: list[float] = []
    elapsed, fault = 1.0, None
    try:
        with psycopg.connect(target, autocommit=True) as connection:
            for statement in setup:
                connection.execute(statement)
            # libpq itself, so that the client costs as little as it can.
            wire = connection.pgconn
            wire.prepare(b"q", sql.encode(), types)
            formats = [BINARY] * len(types)
            for i in range(20):
                _checked(wire.exec_prepared(b"q", parameters(client, i), formats, BINARY))
            gate.wait(60)
            began = now = time.perf_counter()
            i = 20
            while now - began < seconds:
                _checked(wire.exec_prepared(b"q", parameters(client, i), formats, BINARY))
                after = time.perf_counter()
                latencies.append((after - now) * 1000)
                now = after
                i += 1
            elapsed = now - began
    except Exception as error:  # Told to the parent, which raises it.
        fault = f"{type(error).__name__}: {error}"
        gate.abort()
    results.put((elapsed, latencies, fault))


def _checked(result) -> None:
    if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
        raise RuntimeError(result.error_message.decode(errors="replace"))
