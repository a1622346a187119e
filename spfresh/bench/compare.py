#!/usr/bin/env python3
"""Takes turns between search_bench and the indexes of hnswlib, faiss and ScaNN over the same raw files, on one thread each.

    pip install numpy hnswlib faiss-cpu scann
    compare.py --bench build/search_bench --base base.f32 --queries queries.f32 --dims 384

Every index is tuned first: the cheapest of its knobs that reaches the recall. Then all are asked in turn, round after
round, and the least CPU time of each is kept, so that a busy machine is busy for all. What matters are the ratios.
ScaNN is left out where it is not installed, and where vectors are not of unit length, which its SOAR wants.
"""

import argparse
import subprocess
import time

import faiss
import hnswlib
import numpy as np

try:
    import scann
except ImportError:
    scann = None

EFS = [10, 16, 24, 32, 40, 50, 60, 70, 80, 100, 120, 150, 180, 220, 260, 300, 400, 500, 700, 1000]
PROBES = [1, 2, 4, 6, 8, 10, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 128, 160, 200, 256]
SHARES = [0.5, 0.6, 0.7, 0.75, 0.8, 0.83, 0.86, 0.88, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.995]


class Spfresh:
    name, knobs = "spfresh", SHARES

    def __init__(self, args):
        command = [args.bench, f"--dims={args.dims}", f"--base={args.base}", f"--queries={args.queries}", f"--k={args.k}"]
        self.process = subprocess.Popen([*command, "--targets=-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if line.split()[0] == "target":
                break
            print(line, end="")

    def ask(self, knob):
        """Recall and microseconds of CPU a query."""
        self.process.stdin.write(f"{knob}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline().split()
        return float(line[1]), float(line[-1])


class Peer:
    def __init__(self, args, base, queries, kth):
        self.base, self.queries, self.k, self.kth = base, queries, args.k, kth
        start = time.process_time()
        self.build()
        print(f"{self.name}: built in {time.process_time() - start:.2f} s CPU")

    def ask(self, knob):
        start = time.process_time()
        rows = self.search(knob)
        seconds = time.process_time() - start
        distances = np.linalg.norm(self.base[rows] - self.queries[:, None, :], axis=2)
        return float((distances <= self.kth[:, None] + 1e-6).mean()), seconds / len(self.queries) * 1e6


class Hnswlib(Peer):
    name, knobs = "hnswlib M=16 efC=200", EFS

    def build(self):
        self.index = hnswlib.Index(space="l2", dim=self.base.shape[1])
        self.index.init_index(len(self.base), M=16, ef_construction=200, random_seed=1)
        self.index.add_items(self.base, num_threads=1)

    def search(self, ef):
        self.index.set_ef(max(ef, self.k))
        return self.index.knn_query(self.queries, self.k, num_threads=1)[0].astype(np.int64)


class FaissPq(Peer):
    name, knobs = "faiss IVF256,PQ192x4fs,RFlat", PROBES

    def build(self):
        dims = self.base.shape[1]
        self.index = faiss.index_factory(dims, f"IVF256,PQ{dims // 2}x4fs,RFlat")
        self.index.train(self.base)
        self.index.add(self.base)
        self.index.k_factor = 8

    def search(self, probes):
        faiss.extract_index_ivf(self.index.base_index).nprobe = probes
        return self.index.search(self.queries, self.k)[1]


class Scann(Peer):
    name, knobs = "ScaNN tree 256, AH, SOAR, reorder", PROBES

    def build(self):
        builder = scann.scann_ops_pybind.builder(self.base, self.k, "dot_product")
        tree = builder.tree(256, 32, training_sample_size=len(self.base), soar_lambda=1.5)
        self.index = tree.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(40).build()

    def search(self, leaves):
        return self.index.search_batched(self.queries, leaves_to_search=leaves, pre_reorder_num_neighbors=60)[0].astype(np.int64)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("bench", "base", "queries"):
        parser.add_argument(f"--{name}", required=True)
    for name, default in (("dims", None), ("k", 10), ("rounds", 7)):
        parser.add_argument(f"--{name}", type=int, required=default is None, default=default)
    args = parser.parse_args()
    base = np.fromfile(args.base, dtype=np.float32).reshape(-1, args.dims)
    queries = np.fromfile(args.queries, dtype=np.float32).reshape(-1, args.dims)
    faiss.omp_set_num_threads(1)
    kth = np.sqrt(faiss.knn(queries, base, args.k)[0][:, -1])
    ours = Spfresh(args)
    indexes = [ours, Hnswlib(args, base, queries, kth), FaissPq(args, base, queries, kth)]
    if scann is not None and np.allclose(np.linalg.norm(base[:1000], axis=1), 1, atol=1e-3):
        indexes.append(Scann(args, base, queries, kth))

    points = []
    for target in (0.95, 0.99):
        points.append((target, ours, target, f"spfresh, recall_target {target}"))
        for index in indexes:
            knob = next((knob for knob in index.knobs if index.ask(knob)[0] >= target), index.knobs[-1])
            points.append((target, index, knob, f"{index.name}, {knob}"))
    recalls, times = {}, {}
    for _ in range(args.rounds):
        for at, (_, index, knob, _) in enumerate(points):
            recalls[at], spent = index.ask(knob)
            times[at] = min(spent, times.get(at, spent))
    for target in (0.95, 0.99):
        lines = [at for at, point in enumerate(points) if point[0] == target]
        hnsw = next(times[at] for at in lines if isinstance(points[at][1], Hnswlib))
        print(f"\nrecall@{args.k} >= {target}")
        for at in lines:
            print(f"  {points[at][3]:40} recall {recalls[at]:.4f}  {times[at]:8.1f} us  {times[at] / hnsw:5.2f} x hnswlib")
    ours.process.stdin.close()


if __name__ == "__main__":
    main()
