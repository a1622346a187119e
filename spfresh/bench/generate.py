#!/usr/bin/env python3
"""Writes a large set of vectors that are like a small set of real ones, and queries for it.

    pip install numpy pyarrow
    generate.py --fit embeddings.parquet --fit-queries queries.parquet --rows 1000000 --dims 384 --out gen1m

The parquet files have a column `embedding`. What comes out are raw little-endian floats, gen1m.base.f32,
gen1m.queries.f32 and gen1m.shifted.f32 (the queries, a third of a unit away in one direction and as much in a random
one), and on the standard output the local intrinsic dimension (maximum likelihood over the 100 nearest)
of the real queries among the real rows, and of the generated ones among a sample as large as these: the figure that makes
vectors hard to index, and that mixtures made up without looking at data miss.

The model is a Gaussian mixture: clusters by k-means, for each the leading directions of its covariance and one variance for
all the others. A real set that grows grows new topics too, so that each cluster is divided again: topics are drawn from
the leading directions, members around them with what variance is left. Queries are of no topic, and moved and
spread as the real queries are against their nearest clusters. More dimensions than the real ones come from a random isometry and a
little noise. Everything follows from the seed. Memory: the real set and one slice.
"""

import argparse

import numpy as np
import pyarrow.parquet as parquet

CLUSTERS, RANK, ROUNDS, SLICE, DEPTH, SHIFT = 256, 64, 8, 32_768, 100, 0.35


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def embeddings(path):
    column = parquet.read_table(path, columns=["embedding"])["embedding"]
    return np.stack(column.to_numpy()).astype(np.float32)


def nearest(x, centres):
    norms = (centres**2).sum(1)
    return np.concatenate([(norms - 2 * (x[at : at + SLICE] @ centres.T)).argmin(1) for at in range(0, len(x), SLICE)])


def k_means(x, k, rng):
    centres = x[rng.choice(len(x), k, replace=False)].copy()
    for _ in range(ROUNDS):
        home = nearest(x, centres)
        for c in range(k):
            members = home == c
            centres[c] = x[members].mean(0) if members.any() else x[rng.integers(len(x))]
    return centres, nearest(x, centres)


class Mixture:
    """What was learnt of the real set, and draws from it."""

    def __init__(self, rows, queries, topic_share, rng):
        self.centres, home = k_means(rows, CLUSTERS, rng)
        dims = rows.shape[1]
        self.share = np.bincount(home, minlength=CLUSTERS) / len(rows)
        self.axes = np.zeros((CLUSTERS, RANK, dims), np.float32)
        self.noise = np.zeros(CLUSTERS, np.float32)
        self.topic_share = topic_share
        for c in range(CLUSTERS):
            residual = rows[home == c] - self.centres[c]
            if len(residual) < 2:
                continue
            _, size, directions = np.linalg.svd(residual, full_matrices=False)
            rank = min(RANK, len(size))
            variance = size**2 / len(residual)
            self.axes[c, :rank] = directions[:rank] * np.sqrt(variance[:rank])[:, None]
            self.noise[c] = np.sqrt(variance[rank:].sum() / dims)
        # Queries are shorter texts than rows: off to one side, and less spread.
        at = nearest(queries, self.centres)
        off = queries - self.centres[at]
        self.query_share = (np.bincount(at, minlength=CLUSTERS) + 0.5) / (len(queries) + 0.5 * CLUSTERS)
        self.query_off = off.mean(0)
        spread = (off - self.query_off).var(0).sum()
        own = np.array([(self.axes[c] ** 2).sum() + self.noise[c] ** 2 * dims for c in at]).mean()
        self.query_scale = np.float32(np.sqrt(spread / own))

    def topics(self, rows, per_topic, rng):
        """For each cluster its topics, as coordinates along its axes. Sizes of topics are as unequal as those of clusters."""
        counts = np.maximum(1, np.round(self.share * rows / per_topic)).astype(int)
        scale = np.sqrt(self.topic_share)
        return [(scale * rng.standard_normal((n, RANK))).astype(np.float32) for n in counts]

    def draw(self, count, topics, rng, queries=False):
        share = self.query_share if queries else self.share
        home = np.sort(rng.choice(CLUSTERS, count, p=share / share.sum()))
        out = np.empty((count, self.centres.shape[1]), np.float32)
        inner = np.float32(np.sqrt(1 - self.topic_share))
        for c, at, n in zip(*np.unique(home, return_index=True, return_counts=True)):
            # Squared uniform numbers: some topics are many times as large as others.
            along = rng.standard_normal((n, RANK), np.float32)
            if not queries:
                along = inner * along + topics[c][(rng.random(n) ** 2 * len(topics[c])).astype(int)]
            x = along @ self.axes[c]
            x += self.noise[c] * rng.standard_normal(x.shape, np.float32)
            if queries:
                x = self.query_scale * x + self.query_off
            out[at : at + n] = x + self.centres[c]
        return unit(out)[rng.permutation(count)]


def local_dimension(base, queries):
    """Levina and Bickel's estimate, the mean over queries."""
    logs = []
    norms = (base**2).sum(1)
    for q in queries:
        squares = np.partition(norms - 2 * (base @ q) + q @ q, DEPTH)[:DEPTH]
        squares = np.sort(squares[squares > 1e-10])
        logs.append(1 / np.mean(np.log(squares[-1] / squares[:-1]) / 2))
    near = np.sqrt(squares[[0, min(9, len(squares) - 1), -1]])
    return float(np.mean(logs)), near


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("fit", "fit-queries", "out"):
        parser.add_argument(f"--{name}", required=True)
    for name, default in (("rows", 1_000_000), ("dims", 384), ("queries", 1000), ("seed", 20261129), ("per-topic", 60)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--topic-share", type=float, default=0.3, help="of a cluster's variance, what is between its topics")
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    rows, queries = embeddings(args.fit), embeddings(args.fit_queries)
    dims = rows.shape[1]
    if args.dims < dims:
        parser.error(f"--dims must be at least {dims}, as the real vectors have")
    model = Mixture(rows, queries, args.topic_share, rng)
    topics = model.topics(args.rows, args.per_topic, rng)
    lift = None
    if args.dims > dims:
        lift = np.linalg.qr(rng.standard_normal((args.dims, dims)))[0].T.astype(np.float32)

    def draw(count, **what):
        x = model.draw(count, topics, rng, **what)
        if lift is None:
            return x
        noise = float(model.noise.mean()) * rng.standard_normal((count, args.dims), np.float32)
        return unit(x @ lift + noise)

    with open(f"{args.out}.base.f32", "wb") as file:
        for at in range(0, args.rows, SLICE):
            draw(min(SLICE, args.rows - at)).tofile(file)
    asked = draw(args.queries, queries=True)
    asked.tofile(f"{args.out}.queries.f32")
    aside = unit(rng.standard_normal((args.queries + 1, args.dims))).astype(np.float32)
    (asked + SHIFT * (aside[:1] + aside[1:])).tofile(f"{args.out}.shifted.f32")

    few = 200
    real, near = local_dimension(rows, queries[:few])
    print(f"real       {len(rows)} x {dims}: local dimension {real:.1f} of queries, {local_dimension(rows, rows[:few])[0]:.1f} of rows")
    like = model.topics(len(rows), args.per_topic, rng)
    sample = model.draw(len(rows), like, rng)
    made, _ = local_dimension(sample, model.draw(few, like, rng, queries=True))
    print(f"generated  {len(rows)} x {dims}: local dimension {made:.1f} of queries, {local_dimension(sample, sample[:few])[0]:.1f} of rows")
    whole = np.memmap(f"{args.out}.base.f32", np.float32, "r").reshape(-1, args.dims)
    if len(whole) <= 1_000_000:
        made, _ = local_dimension(whole[: len(rows)], asked[:few])
        print(f"written    {len(whole)} x {args.dims}: local dimension {made:.1f} of queries among the first {len(rows)}")


if __name__ == "__main__":
    main()
