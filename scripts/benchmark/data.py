"""The rows and the queries of a benchmark, and what the right answers are."""

import csv
import io
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent.parent
K = 10


@dataclass
class Data:
    """Packages with embeddings, and vectors to ask for."""

    name: str
    ids: np.ndarray
    names: list[str]
    sections: list[str]
    sizes: np.ndarray
    vectors: np.ndarray
    queries: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def head(self, rows: int) -> "Data":
        """The first rows alone."""
        return Data(self.name, self.ids[:rows], self.names[:rows], self.sections[:rows], self.sizes[:rows],
                    self.vectors[:rows], self.queries)

    def size_below(self, share: float) -> int:
        """The installed size below which about this share of the rows lies."""
        return int(np.quantile(self.sizes, share)) + (0 if share < 1 else 1)

    def truth(self, allowed: np.ndarray) -> list[float]:
        """For each query the distance of its K-th nearest allowed row; a row as near is right."""
        vectors = self.vectors[allowed]
        norms = (vectors.astype(np.float64) ** 2).sum(1)
        bounds = []
        for query in self.queries.astype(np.float64):
            squares = norms - 2 * (vectors @ query.astype(np.float32)) + query @ query
            near = np.argpartition(squares, min(K, len(squares) - 1))[: K]
            exact = np.sort(np.linalg.norm(vectors[near].astype(np.float64) - query, axis=1))
            bounds.append(exact[-1])
        return bounds

    def copy_bytes(self) -> list[bytes]:
        """All rows in the binary format of COPY, in pieces."""
        pieces = [b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)]
        dims = self.vectors.shape[1]
        wire = self.vectors.astype(">f4")
        head = struct.pack("!HH", dims, 0)
        out = io.BytesIO()
        for i, key in enumerate(self.ids):
            name, section = self.names[i].encode(), self.sections[i].encode()
            out.write(struct.pack("!hiq", 5, 8, int(key)))
            out.write(struct.pack("!i", len(name)) + name)
            out.write(struct.pack("!i", len(section)) + section)
            out.write(struct.pack("!iq", 8, int(self.sizes[i])))
            out.write(struct.pack("!i", 4 + 4 * dims) + head + wire[i].tobytes())
            if out.tell() > 1 << 20:
                pieces.append(out.getvalue())
                out = io.BytesIO()
        pieces.append(out.getvalue() + struct.pack("!h", -1))
        return pieces


def vector_bytes(vector: np.ndarray) -> bytes:
    """pgvector's binary form."""
    return struct.pack("!HH", len(vector), 0) + vector.astype(">f4").tobytes()


def from_parquet(path: Path) -> Data:
    """A table with id, name, section, installed_size and embedding, and its `…_queries` beside it."""
    import pyarrow.parquet as parquet

    def matrix(column) -> np.ndarray:
        values = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return values.reshape(len(column), -1).astype(np.float32)

    table = parquet.read_table(path, columns=["id", "name", "section", "installed_size", "embedding"])
    queries = parquet.read_table(path.with_name(path.stem + "_queries.parquet"), columns=["embedding"])
    return Data(path.stem, table["id"].to_numpy(), table["name"].to_pylist(),
                [section or "" for section in table["section"].to_pylist()],
                np.nan_to_num(table["installed_size"].to_numpy()).astype(np.int64),
                matrix(table["embedding"]), matrix(queries["embedding"]))


def from_csv(path: Path) -> Data:
    """The packages of the examples. Every thirtieth row is moved a little and asked for."""
    csv.field_size_limit(1 << 20)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    vectors = np.array([np.fromstring(row["embedding"][1:-1], sep=",") for row in rows], dtype=np.float32)
    chance = np.random.default_rng(7)
    asked = vectors[::30] + chance.normal(0, 0.02, vectors[::30].shape).astype(np.float32)
    return Data(path.stem, np.array([int(row["id"]) for row in rows]), [row["name"] for row in rows],
                [row["section"] for row in rows], np.array([int(row["installed_size"]) for row in rows]),
                vectors, asked)


def load(path: str | None) -> Data:
    """The named file; else the full package index if it lies beside the project; else the example."""
    beside = ROOT.parent / "shared" / "data" / "debpkg.parquet"
    chosen = Path(path) if path else beside if beside.exists() else ROOT / "sql/examples/data/packages.csv"
    return from_parquet(chosen) if chosen.suffix == ".parquet" else from_csv(chosen)
