"""The two servers that are measured, behind one face."""

import os
import tempfile
import threading
import time
from pathlib import Path

import psycopg

from oracle import Oracle
from server import Server


def proportional_bytes(root: int) -> int:
    """The memory of a process and its children, shared pages counted once."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    total, todo = 0, [root]
    while todo:
        process = todo.pop()
        todo += children.get(process, [])
        try:
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:
            continue
        total += next((int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:")), 0)
    return total


class Peak:
    """The highest memory of an engine while a block runs."""

    def __init__(self, engine: "Engine"):
        self.engine, self.bytes, self.running = engine, 0, True

    def __enter__(self) -> "Peak":
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def _watch(self) -> None:
        while self.running:
            self.bytes = max(self.bytes, proportional_bytes(self.engine.process_id()))
            time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        self.running = False
        self.thread.join()


class Engine:
    """A server with a name, a connection string, and its way to build an index and to search."""

    name: str
    target: str

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.target, autocommit=True)

    def process_id(self) -> int:
        raise NotImplementedError


class Nearlake(Engine):
    """Nearlake in a folder on the disk, at its default settings."""

    name = "Nearlake"
    index = "USING spfresh (embedding vector_l2_ops)"

    def __init__(self, binary: str):
        self.binary = binary

    def __enter__(self) -> "Nearlake":
        self.folder = tempfile.TemporaryDirectory(prefix="nearlake-bench-")
        self.server = Server(self.binary, self.folder.name).start()
        self.target = f"host=127.0.0.1 port={self.server.port} user=postgres dbname=postgres"
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()
        self.folder.cleanup()

    def process_id(self) -> int:
        return self.server.process.pid


class PostgreSQL(Engine):
    """PostgreSQL with pgvector's HNSW, with the memory that its manuals recommend."""

    name = "PostgreSQL + pgvector"
    index = "USING hnsw (embedding vector_l2_ops) WITH (m = 16, ef_construction = 200)"
    index_default = "USING hnsw (embedding vector_l2_ops)"

    def __enter__(self) -> "PostgreSQL":
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        megabytes = min(memory // 4, 4 << 30) >> 20
        self.oracle = Oracle(settings={
            "shared_buffers": f"{megabytes}MB", "maintenance_work_mem": f"{min(megabytes, 2048)}MB",
            "max_wal_size": "8GB", "checkpoint_timeout": "15min", "dynamic_shared_memory_type": "mmap",
        }).__enter__()
        self.target = f"host=127.0.0.1 port={self.oracle.port} user=postgres dbname=postgres"
        return self

    def __exit__(self, *_: object) -> None:
        self.oracle.__exit__(None, None, None)

    def process_id(self) -> int:
        return self.oracle.process.pid
