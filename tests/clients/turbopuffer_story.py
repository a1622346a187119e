"""The JSON API of namespaces through its official Python client, and the same rows through SQL."""

import base64
import gzip
import json
import os
import struct
import time
import urllib.error
import urllib.request
import uuid

import psycopg
import turbopuffer
from turbopuffer import NotFoundError, Turbopuffer

URL = os.environ["NEARLAKE_HTTP"]


def client(**options) -> Turbopuffer:
    return Turbopuffer(base_url=URL, api_key="any", max_retries=0, telemetry=False, **options)


def refused(kind, run, *words: str) -> None:
    """The call fails as it should, and says why."""
    try:
        run()
    except kind as error:
        for word in words:
            assert word in str(error), (word, str(error))
        return
    raise AssertionError(f"{run} was not refused")


def raw(method: str, path: str, body: bytes | None = None, **headers: str):
    """A request as no client library sends it: status, headers, body."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(URL + path, data=body, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def ids(answer) -> list:
    return [row.id for row in answer.rows]


def writes(tpuf: Turbopuffer) -> None:
    ns = tpuf.namespace("writes")
    assert not ns.exists()
    refused(NotFoundError, lambda: ns.query(rank_by=("id", "asc"), limit=1), "was not found")
    refused(NotFoundError, lambda: ns.write(deletes=[1]), "was not found")
    refused(NotFoundError, lambda: ns.write(upsert_rows=[{"id": 1}], create_namespace=False))

    answer = ns.write(
        upsert_rows=[
            {"id": 1, "vector": [0.1, 0.1], "name": "one", "n": 5, "tags": ["a", "b"], "ok": True},
            {"id": 2, "vector": [0.2, 0.2], "name": "two", "price": 1.5},
            {"id": 18446744073709551615, "vector": [9, 9]},
        ],
        distance_metric="euclidean_squared",
        return_affected_ids=True,
    )
    assert answer.status == "OK" and answer.rows_affected == 3 and answer.rows_upserted == 3, answer
    assert answer.upserted_ids == [1, 2, 18446744073709551615], answer
    assert answer.rows_patched is None and answer.rows_deleted is None and answer.deleted_ids is None
    assert answer.billing.billable_logical_bytes_written > 24, answer
    assert answer.performance.server_total_ms >= 0
    assert answer.billing.query is None
    assert ns.exists()

    # A document is replaced as a whole; a patch changes what it names.
    ns.write(upsert_columns={"id": [2, 3], "vector": [[0.3, 0.3], [0.4, 0.4]], "name": ["zwei", None], "n": [None, 7]})
    rows = ns.query(rank_by=("id", "asc"), limit=10, include_attributes=True).rows
    assert [row.id for row in rows] == [1, 2, 3, 18446744073709551615], rows
    assert rows[1]["name"] == "zwei" and "price" not in rows[1].model_dump(), rows[1]
    assert rows[0]["tags"] == ["a", "b"] and rows[0]["ok"] is True and rows[0].vector == [0.1, 0.1], rows[0]
    assert "name" not in rows[2].model_dump() and rows[2]["n"] == 7
    answer = ns.write(
        patch_rows=[{"id": 1, "n": 6}, {"id": 3, "name": "three", "n": None}, {"id": 99, "n": 1}], return_affected_ids=True
    )
    assert answer.rows_patched == 2 and sorted(answer.patched_ids) == [1, 3], answer
    answer = ns.write(patch_columns={"id": [2, 98], "price": [2.5, 1.0]})
    assert answer.rows_patched == 1, answer
    rows = ns.query(rank_by=("id", "asc"), limit=3, include_attributes=["n", "name", "price"]).rows
    assert rows[0]["n"] == 6 and rows[0]["name"] == "one" and rows[1]["price"] == 2.5 and rows[2]["name"] == "three"

    # By filter, before the rest.
    answer = ns.write(
        delete_by_filter=("name", "Eq", "one"),
        patch_by_filter={"filters": ("n", "Eq", None), "patch": {"n": 100}},
        upsert_rows=[{"id": 1, "vector": [1, 1], "name": "again"}],
        delete_by_filter_allow_partial=True,
        return_affected_ids=True,
    )
    assert answer.rows_deleted == 1 and answer.deleted_ids == [1], answer
    assert answer.rows_patched == 3 and answer.rows_upserted == 1 and answer.rows_remaining is False, answer
    answer = ns.write(deletes=[2, 77], return_affected_ids=True)
    assert answer.rows_deleted == 1 and answer.deleted_ids == [2], answer
    assert ids(ns.query(rank_by=("id", "asc"), limit=9)) == [1, 3, 18446744073709551615]

    # All or nothing.
    bad = turbopuffer.BadRequestError
    refused(bad, lambda: ns.write(upsert_rows=[{"id": 5}], deletes=[5]), "duplicate")
    refused(bad, lambda: ns.write(upsert_rows=[{"id": 5}, {"id": 5}]), "duplicate")
    refused(bad, lambda: ns.write(upsert_rows=[{"id": 5}, {"id": "six"}]), "invalid id")
    refused(bad, lambda: ns.write(upsert_rows=[{"id": 5}, {"id": 6, "n": "text"}]), "attribute \"n\"")
    refused(bad, lambda: ns.write(upsert_rows=[{"id": 5, "vector": [1, 2, 3]}]), "2 dimensions")
    refused(bad, lambda: ns.write(patch_rows=[{"id": 1, "vector": [1, 2]}]), "vectors cannot be patched")
    refused(bad, lambda: ns.write(upsert_rows=[{"id": 5}], distance_metric="cosine_distance"), "distance_metric")
    refused(bad, lambda: ns.write(upsert_rows=[{"id": 5, "$x": 1}]), "reserved")
    refused(bad, lambda: ns.write(upsert_columns={"id": [5], "n": [1, 2]}), "same length")
    refused(bad, lambda: ns.write(deletes=[1], encryption={"mode": "customer-managed", "key_name": "mykey"}), "mykey")
    refused(bad, lambda: ns.write(deletes=[1], sharding={"num_shards": 4}), "shard")
    refused(bad, lambda: tpuf.namespace("no").write(upsert_rows=[{"id": 1, "vector": [1]}]), "distance_metric is required")
    refused(bad, lambda: tpuf.namespace("bad name").write(upsert_rows=[{"id": 1}]))
    refused(turbopuffer.UnprocessableEntityError, lambda: ns.write(upsert_rows={}), "invalid type: map, expected a sequence")
    assert ids(ns.query(rank_by=("id", "asc"), limit=9)) == [1, 3, 18446744073709551615]


def conditions(tpuf: Turbopuffer) -> None:
    ns = tpuf.namespace("conditions")
    ns.write(upsert_rows=[{"id": 1, "version": 3, "t": "a"}, {"id": 2, "version": 3, "t": "b"}])
    answer = ns.write(
        upsert_rows=[{"id": 1, "version": 2}, {"id": 2, "version": 4}, {"id": 3, "version": 1}],
        upsert_condition=("version", "Lt", {"$ref_new": "version"}),
        return_affected_ids=True,
    )
    assert answer.rows_upserted == 2 and answer.upserted_ids == [2, 3], answer
    # Only what is not there yet.
    answer = ns.write(upsert_rows=[{"id": 1}, {"id": 4, "version": 9}], upsert_condition=("id", "Eq", None))
    assert answer.rows_upserted == 1, answer
    answer = ns.write(
        patch_rows=[{"id": 1, "version": 5}, {"id": 4, "version": 5}, {"id": 50, "version": 5}],
        patch_condition=("version", "Lt", {"$ref_new": "version"}),
        return_affected_ids=True,
    )
    assert answer.patched_ids == [1], answer
    answer = ns.write(deletes=[1, 4, 60], delete_condition=("version", "Gt", 5), return_affected_ids=True)
    assert answer.deleted_ids == [4], answer
    answer = ns.write(deletes=[1], delete_condition=("version", "Eq", {"$ref_new": "version"}))
    assert answer.rows_deleted == 0, answer
    rows = ns.query(rank_by=("id", "asc"), limit=9, include_attributes=True).rows
    assert [(row.id, row["version"]) for row in rows] == [(1, 5), (2, 4), (3, 1)], rows
    assert rows[0]["t"] == "a" and "t" not in rows[1].model_dump(), rows


def kinds(tpuf: Turbopuffer) -> None:
    key = str(uuid.uuid5(uuid.NAMESPACE_URL, "k"))
    ns = tpuf.namespace("kinds")
    schema = {
        "id": "uuid", "when": "datetime", "u": "uint", "us": "[]uuid", "half": {"type": "[2]f16", "ann": True},
        "sparse": {"type": "{}f16", "sparse_knn": {"distance_metric": "dot_product"}}, "times": "[]datetime",
        "plain": {"type": "[2]f32", "ann": False}, "flags": "[]bool", "f": "float", "hidden": {"type": "string", "filterable": False},
    }
    ns.write(
        upsert_rows=[{
            "id": key, "when": "2024-03-02", "u": 2**64 - 1, "us": [key], "half": [0.5, 1], "sparse": {"3": 0.5, "70": 2},
            "times": ["2024-03-02T10:00:00+02:00"], "plain": [0.1, 0.2], "flags": [True, False], "f": 1, "hidden": "x",
        }],
        schema=schema, distance_metric="cosine_distance",
    )
    row = ns.query(rank_by=("id", "asc"), limit=1, include_attributes=True).rows[0]
    assert row.id == key and row["when"] == "2024-03-02T00:00:00.000000000Z" and row["u"] == 2**64 - 1, row
    assert row["us"] == [key] and row["half"] == [0.5, 1] and row["plain"] == [0.1, 0.2] and row["flags"] == [True, False], row
    assert row["times"] == ["2024-03-02T08:00:00.000000000Z"] and row["sparse"] == {"3": 0.5, "70": 2}, row
    shown = ns.schema()
    assert {name: config.type for name, config in shown.items()} == {
        name: kind if isinstance(kind, str) else kind["type"] for name, kind in schema.items()
    }, shown
    assert shown["half"].ann.distance_metric == "cosine_distance" and shown["plain"].ann is False, shown
    assert shown["hidden"].filterable is False and shown["f"].filterable is True
    answer = ns.query(rank_by=("sparse", "SparseKNN", {"3": 2, "70": 1, "9": 5}), limit=3)
    assert abs(answer.rows[0]["$dist"] - 3) < 1e-6, answer
    assert ns.query(rank_by=("sparse", "SparseKNN", {"9": 5}), limit=3).rows == []
    assert ids(ns.query(rank_by=("half", "ANN", [0.5, 1]), limit=1)) == [key]
    assert ids(ns.query(rank_by=("plain", "kNN", [0.5, 1]), limit=1, filters=("id", "Eq", key))) == [key]
    bad = turbopuffer.BadRequestError
    refused(bad, lambda: ns.query(rank_by=("plain", "ANN", [0.5, 1]), limit=1), "ANN index")
    refused(bad, lambda: ns.query(rank_by=("id", "asc"), limit=1, filters=("hidden", "Eq", "x")), "filterable")
    for attribute, filter in [
        ("when", ("when", "Gte", "2024-03-01")), ("u", ("u", "Gt", 2**63)), ("us", ("us", "Contains", key)),
        ("times", ("times", "AnyLt", "2024-03-02T09:00:00Z")), ("flags", ("flags", "ContainsAny", [False])),
    ]:
        assert ids(ns.query(rank_by=("id", "asc"), limit=1, filters=filter)) == [key], attribute

    text = tpuf.namespace("text-ids")
    text.write(upsert_rows=[{"id": "b", "x": 1}, {"id": "a", "x": 2.5}])
    assert ids(text.query(rank_by=("id", "desc"), limit=5)) == ["b", "a"]
    assert text.schema()["x"].type == "float" and text.schema()["id"].type == "string"
    refused(bad, lambda: text.write(upsert_rows=[{"id": "x" * 65}]), "65 bytes")
    # What is new reads as absent before; what is known keeps its type.
    text.update_schema(schema={"y": "[]string", "x": {"type": "float", "filterable": False}, "s": {"type": "string", "regex": True}})
    assert text.schema()["y"].type == "[]string" and text.schema()["x"].filterable is False
    assert text.schema()["s"].regex is True and text.schema()["s"].filterable is False
    refused(bad, lambda: text.update_schema(schema={"x": "int"}), "cannot become int")
    refused(bad, lambda: text.write(upsert_rows=[{"id": "c"}], schema={"x": "string"}), "cannot become")
    text.update_schema(schema={"y": {"drop": True}})
    assert "y" not in text.schema()
    empty = tpuf.namespace("empty")
    refused(bad, lambda: empty.write(create_namespace=True), "`id`")
    empty.write(create_namespace=True, schema={"id": "uint"})
    assert ids(empty.query(rank_by=("id", "asc"), limit=5)) == []


def filters(tpuf: Turbopuffer) -> None:
    ns = tpuf.namespace("filters")
    ns.write(
        upsert_rows=[
            {"id": 1, "s": "src/main.rs", "n": 1, "tags": ["x", "y"], "ns": [1, 5]},
            {"id": 2, "s": "src/lib.RS", "n": 2, "tags": ["y"], "ns": [7]},
            {"id": 3, "s": "README.md", "n": 3, "tags": []},
            {"id": 4},
        ],
        schema={"s": {"type": "string", "regex": True, "filterable": True}},
    )

    def check(filter, *expected: int) -> None:
        found = ids(ns.query(rank_by=("id", "asc"), limit=10, filters=filter))
        assert found == list(expected), (filter, found)

    check(("n", "Eq", 2), 2)
    check(("n", "Eq", None), 4)
    check(("n", "NotEq", None), 1, 2, 3)
    check(("n", "NotEq", 2), 1, 3, 4)
    check(("n", "In", [1, None]), 1, 4)
    check(("n", "NotIn", [1, None]), 2, 3)
    check(("n", "NotIn", []), 1, 2, 3, 4)
    check(("n", "Lt", 2), 1, 4)
    check(("n", "Lte", 1.5), 1, 4)
    check(("n", "Gt", 2), 3)
    check(("n", "Gte", 2), 2, 3)
    check(("n", "Gt", None), 1, 2, 3)
    check(("Not", ("n", "Lt", 2)), 2, 3)
    check(("Not", ("n", "Gt", 2)), 1, 2, 4)
    check(("And", [("n", "Gte", 1), ("Or", [("n", "Eq", 1), ("s", "Eq", "README.md")])]), 1, 3)
    check(("And", []), 1, 2, 3, 4)
    check(("Or", []))
    check(("tags", "Contains", "y"), 1, 2)
    check(("tags", "NotContains", "y"), 3, 4)
    check(("tags", "ContainsAny", ["x", "z"]), 1)
    check(("tags", "NotContainsAny", ["x", "z"]), 2, 3, 4)
    check(("tags", "In", ["x"]), 1)
    check(("ns", "AnyLt", 5), 1)
    check(("ns", "AnyLte", 7), 1, 2)
    check(("ns", "AnyGt", 5), 2)
    check(("ns", "AnyGte", 1), 1, 2)
    check(("s", "Glob", "src/*.rs"), 1)
    check(("s", "NotGlob", "src/*.rs"), 2, 3, 4)
    check(("s", "IGlob", "SRC/*.rs"), 1, 2)
    check(("s", "NotIGlob", "SRC/*.rs"), 3, 4)
    check(("s", "Regex", "^src/.*[bn]\\.(rs|RS)$"), 1, 2)
    check(("id", "In", [1, 3, 9]), 1, 3)
    check(("id", "Gt", 2), 3, 4)
    check(("And", [("Or", [("n", "Eq", k), ("n", "Eq", k + 1)]) for k in [1] * 300]), 1, 2)
    bad = turbopuffer.BadRequestError
    refused(bad, lambda: check(("nope", "Eq", 1)), "not found")
    refused(bad, lambda: check(("n", "Eq", "x")), "invalid type")
    refused(bad, lambda: check(("n", "Near", 1)), "no such operator")
    refused(bad, lambda: check(("s", "Regex", "(")), "invalid pattern")
    refused(bad, lambda: check(("n", "Contains", 1)), "array")
    refused(bad, lambda: check("n = 1; DROP TABLE x"))
    refused(turbopuffer.InternalServerError, lambda: check(("s", "ContainsAllTokens", "x")), "501")
    refused(turbopuffer.InternalServerError, lambda: ns.query(rank_by=("s", "BM25", "x"), limit=1), "501")


def queries(tpuf: Turbopuffer) -> None:
    ns = tpuf.namespace("queries")
    count = 500
    ns.write(
        upsert_columns={
            "id": list(range(count)), "vector": [[float(i), 0.0] for i in range(count)],
            "shop": [i % 7 for i in range(count)], "price": [i / 2 for i in range(count)],
            "tags": [["even" if i % 2 == 0 else "odd", "all", "all"] for i in range(count)],
        },
        distance_metric="euclidean_squared",
    )
    answer = ns.query(rank_by=("vector", "ANN", [10.25, 0.0]), limit=3, include_attributes=["shop"])
    assert ids(answer) == [10, 11, 9], answer
    assert answer.rows[0]["$dist"] == 0.0625 and answer.rows[0]["shop"] == 3, answer.rows[0]
    assert answer.performance.approx_namespace_size == count and 0 <= answer.performance.cache_hit_ratio <= 1, answer
    assert answer.performance.cache_temperature in ("hot", "warm", "cold")
    assert answer.billing.billable_logical_bytes_queried > 0 and answer.billing.billable_logical_bytes_returned > 0
    assert ids(ns.query(rank_by=("vector", "ANN", [10.25, 0.0]), top_k=2, offset=1)) == [11, 9]
    assert ids(ns.query(rank_by=("vector", "kNN", [10.25, 0.0]), limit=2, filters=("shop", "Eq", 0))) == [7, 14]
    assert ids(ns.query(rank_by=("vector", "ANN", [10.25, 0.0]), limit=2, filters=("shop", "Eq", 0))) == [7, 14]
    assert len(ns.query(rank_by=("vector", "ANN", [0.0, 0.0])).rows) == 10
    for consistency in ({"level": "strong"}, {"level": "eventual", "max_staleness_seconds": 5}):
        assert ids(ns.query(rank_by=("vector", "ANN", [4.0, 0.0]), limit=1, consistency=consistency)) == [4]

    # Orders, and what comes with a document.
    answer = ns.query(rank_by=[("shop", "desc"), ("price", "asc")], limit=2, include_attributes=True)
    assert ids(answer) == [6, 13] and "$dist" not in answer.rows[0].model_dump(), answer
    assert answer.rows[0].vector == [6, 0] and answer.rows[0]["tags"] == ["even", "all", "all"]
    answer = ns.query(rank_by=("id", "asc"), limit=1, exclude_attributes=["vector", "nothing", "tags"])
    assert answer.rows[0].model_dump(exclude_none=True) == {"id": 0, "shop": 0, "price": 0.0}, answer.rows[0].model_dump()
    answer = ns.query(rank_by=("id", "asc"), limit=1, include_attributes=["vector"], vector_encoding="base64")
    assert answer.rows[0].vector in ([0.0, 0.0], base64.b64encode(struct.pack("<2f", 0, 0)).decode()), answer
    bad = turbopuffer.BadRequestError
    refused(bad, lambda: ns.query(rank_by=("id", "asc"), limit=1, include_attributes=["nothing"]), "not found")
    refused(bad, lambda: ns.query(rank_by=("id", "asc"), limit=1, include_attributes=["shop"], exclude_attributes=["id"]))
    refused(bad, lambda: ns.query(rank_by=("vector", "ANN", [1.0]), limit=1), "2 dimensions")
    refused(bad, lambda: ns.query(rank_by=("shop", "ANN", [1.0]), limit=1), "invalid input for rank_by field \"shop\"")
    refused(bad, lambda: ns.query(limit=1), "rank_by is required")
    refused(bad, lambda: ns.query(rank_by=("id", "asc"), limit=0), "limit")
    refused(turbopuffer.UnprocessableEntityError, lambda: ns.query(rank_by=("id", "asc"), consistency="eventual"),
            "invalid type: string \"eventual\", expected struct Consistency")
    refused(turbopuffer.UnprocessableEntityError,
            lambda: ns.query(rank_by=("id", "asc"), consistency={"level": "nonexistentvalue"}),
            "unknown variant `nonexistentvalue`, expected `strong` or `eventual`")

    # At most so many of one shop.
    per = {"total": 5, "per": {"attributes": ["shop"], "limit": 1}}
    assert ids(ns.query(rank_by=("vector", "ANN", [100.1, 0.0]), limit=per)) == [100, 101, 99, 102, 98]
    per = {"total": 20, "per": {"attributes": ["shop"], "limit": 2}}
    assert len(ns.query(rank_by=("id", "asc"), limit=per).rows) == 14

    # Computed values and scores.
    answer = ns.query(rank_by=("id", "asc"), limit=1, compute_attributes={"far": ("vector", "VectorDist", [3.0, 4.0])})
    assert answer.rows[0]["far"] == 25, answer
    answer = ns.query(
        rank_by=("Sum", [("Product", 2, ("shop", "Eq", 6)), ("Saturate", ("Attribute", "price"), {"midpoint": 100})]), limit=2
    )
    assert ids(answer) == [496, 489] and abs(answer.rows[0]["$dist"] - (2 + 248 / 348)) < 1e-9, answer
    answer = ns.query(rank_by=("Decay", ("Dist", ("Attribute", "price"), 50.2), {"midpoint": 1, "exponent": 2}), limit=1)
    assert ids(answer) == [100], answer
    answer = ns.query(rank_by=("Max", [("Attribute", "shop"), 3.5]), limit=500)
    assert answer.rows[-1]["$dist"] == 3.5 and answer.rows[0]["$dist"] == 6, answer.rows[-1]

    # Aggregates.
    answer = ns.query(aggregate_by={"n": ("Count",), "sum": ("Sum", "shop"), "p": ("Sum", "price")}, filters=("id", "Lt", 10))
    assert answer.aggregations == {"n": 10, "sum": 24, "p": 22.5} and answer.rows is None, answer
    answer = ns.query(aggregate_by={"sum": ("Sum", "shop")}, filters=("id", "Gt", 10_000))
    assert answer.aggregations == {"sum": 0}, answer
    answer = ns.query(aggregate_by={"n": ("Count",)}, group_by=["shop"], filters=("shop", "Lt", 3))
    assert answer.aggregation_groups == [{"shop": 0, "n": 72}, {"shop": 1, "n": 72}, {"shop": 2, "n": 72}], answer
    answer = ns.query(aggregate_by={"n": ("Count",)}, group_by=[{"tag": ("ForEachUnique", "tags")}])
    assert answer.aggregation_groups == [{"tag": "all", "n": 500}, {"tag": "even", "n": 250}, {"tag": "odd", "n": 250}], answer

    # Several queries over one picture, and their ranks fused.
    near, cheap = ("vector", "ANN", [10.0, 0.0]), ("price", "asc")
    answer = ns.multi_query(queries=[
        {"rank_by": near, "limit": 2}, {"rank_by": cheap, "limit": 3, "include_attributes": ["shop"]},
        {"aggregate_by": {"n": ("Count",)}},
    ])
    assert [ids(result) for result in answer.results[:2]] == [[10, 9], [0, 1, 2]], answer
    assert answer.results[2].aggregations == {"n": count} and answer.results[1].rows[1]["shop"] == 1
    answer = ns.multi_query(
        queries=[{"rank_by": near, "limit": 20}, {"rank_by": cheap, "limit": 20, "filters": ("id", "Gte", 9)}],
        rerank_by=("RRF", {"rank_constant": 1, "weights": [1, 2]}), limit=3,
    )
    assert len(answer.results) == 1 and ids(answer.results[0])[:2] == [9, 10], answer
    assert abs(answer.results[0].rows[0]["$dist"] - (1 / 3 + 2 / 2)) < 1e-9 or ids(answer.results[0])[0] == 9
    refused(bad, lambda: ns.multi_query(queries=[]), "queries")
    refused(bad, lambda: ns.multi_query(queries=[{"rank_by": near, "limit": 1}] * 17), "16")

    plan = ns.explain_query(rank_by=("vector", "ANN", [10.0, 0.0]), limit=3).plan_text
    assert "Nearest" in plan, plan
    recall = ns.recall(num=5, top_k=10)
    assert recall.avg_recall > 0.9 and recall.avg_ann_count == 10 and recall.avg_exhaustive_count == 10, recall
    recall = ns.recall(rank_by=("vector", "ANN", [10.25, 0.0]), top_k=3, include_ground_truth=True)
    assert [row.id for row in recall.ground_truth[0].nearest_neighbors] == [10, 11, 9], recall
    assert recall.ground_truth[0].query_vector == [10.25, 0.0]
    # Nothing of it is written out yet: all is in memory.
    hint = ns.hint_cache_warm()
    assert hint.status == "ACCEPTED" and hint.message == "the namespace is near already", hint


def managing(tpuf: Turbopuffer) -> None:
    names = [f"list-{i:02}" for i in range(7)]
    for name in names:
        tpuf.namespace(name).write(upsert_rows=[{"id": 1}])
    assert [ns.id for ns in tpuf.namespaces(prefix="list-", page_size=3)] == names
    page = tpuf.namespaces(prefix="list-", page_size=3)
    assert [ns.id for ns in page.namespaces] == names[:3] and page.next_cursor
    refused(turbopuffer.BadRequestError, lambda: tpuf.namespaces(page_size=0))

    ns = tpuf.namespace("managed")
    before = time.time()
    ns.write(upsert_rows=[{"id": i, "vector": [i, 1]} for i in range(50)], distance_metric="cosine_distance")
    known = ns.metadata()
    assert known.approx_row_count == 50 and known.approx_logical_bytes > 0 and known.encryption.mode == "default", known
    assert abs(known.created_at.timestamp() - before) < 60 and known.updated_at >= known.created_at, known
    assert known.index.status in ("up-to-date", "updating") and known.read_only is None and known.pinning is None
    assert known.schema_["vector"].ann.distance_metric == "cosine_distance"
    assert ns.update_metadata(read_only=True).read_only is True
    denied = turbopuffer.PermissionDeniedError
    refused(denied, lambda: ns.write(upsert_rows=[{"id": 99}]), "read-only")
    refused(denied, lambda: ns.update_schema(schema={"a": "int"}), "read-only")
    refused(denied, lambda: ns.delete_all(), "read-only")
    assert len(ns.query(rank_by=("id", "asc"), limit=100).rows) == 50
    assert ns.update_metadata(read_only=False, pinning=None).read_only is None
    refused(turbopuffer.BadRequestError, lambda: ns.update_metadata(pinning=True), "pinning")
    deadline = time.time() + 30
    while (now := ns.metadata()).updated_at <= known.updated_at:
        assert time.time() < deadline, "the change was not seen"
        ns.write(patch_rows=[{"id": 1, "a": 1}])

    # Copies, at once and behind the request.
    copy = tpuf.namespace("copy")
    answer = copy.copy_from(source_namespace="managed")
    assert answer.rows_affected == 50, answer
    near = ("vector", "ANN", [1.0, 1.0])
    assert ids(copy.query(rank_by=near, limit=3)) == ids(ns.query(rank_by=near, limit=3))
    refused(turbopuffer.BadRequestError, lambda: copy.copy_from(source_namespace="managed"), "empty")
    refused(NotFoundError, lambda: tpuf.namespace("copy-2").copy_from(source_namespace="nowhere"))
    later = tpuf.namespace("copy-3")
    token = later.start_copy_from(source_namespace="managed").token
    while (state := later.poll_copy_from(token=token)).status == "running":
        assert time.time() < deadline + 30
    assert state.result.success.rows_affected == 50, state
    refused(NotFoundError, lambda: later.poll_copy_from(token="none"))
    refused(turbopuffer.InternalServerError, lambda: tpuf.namespace("b").branch_from(source_namespace="managed"), "501")

    assert ns.delete_all().status == "OK"
    assert not ns.exists()
    refused(NotFoundError, lambda: ns.delete_all())


def both_wires(tpuf: Turbopuffer) -> None:
    sql = psycopg.connect(autocommit=True)
    ns = tpuf.namespace("both")
    ns.write(upsert_rows=[{"id": 1, "vector": [1, 2], "name": "over http"}], distance_metric="cosine_distance")
    row = sql.execute("SELECT id, name, vector::text FROM namespaces.both").fetchone()
    assert row == (1, "over http", "[1,2]"), row
    sql.execute("INSERT INTO namespaces.both (id, name, vector) VALUES (2, 'over sql', '[2,1]')")
    assert ids(ns.query(rank_by=("vector", "ANN", [2.0, 1.0]), limit=1)) == [2]
    with sql.transaction():
        sql.execute("UPDATE namespaces.both SET name = 'changed' WHERE id = 1")
        assert ns.query(rank_by=("id", "asc"), limit=1, include_attributes=["name"]).rows[0]["name"] == "over http"
    assert ns.query(rank_by=("id", "asc"), limit=1, include_attributes=["name"]).rows[0]["name"] == "changed"
    nearest = sql.execute("SELECT id FROM namespaces.both ORDER BY vector <=> '[2,1]' LIMIT 1").fetchone()
    assert nearest == (2,)

    # A table of SQL, with types of its own, is a namespace.
    sql.execute("CREATE TABLE namespaces.shelf (id int PRIMARY KEY, title varchar(20), made date, v vector(2))")
    sql.execute("INSERT INTO namespaces.shelf VALUES (1, 'first', '2024-02-29', '[0,1]')")
    shelf = tpuf.namespace("shelf")
    assert {name: config.type for name, config in shelf.schema().items()} == {
        "id": "int", "title": "string", "made": "datetime", "v": "[2]f32"
    }
    shelf.write(upsert_rows=[{"id": 2, "title": "second", "made": "2024-03-01", "v": [1, 0]}])
    rows = shelf.query(rank_by=("v", "kNN", [1.0, 0.0]), limit=2, include_attributes=True).rows
    assert [row.id for row in rows] == [2, 1] and rows[1]["made"] == "2024-02-29T00:00:00.000000000Z", rows
    assert sql.execute("SELECT count(*) FROM namespaces.shelf WHERE made > '2024-02-29'").fetchone() == (1,)
    refused(turbopuffer.BadRequestError, lambda: shelf.write(upsert_rows=[{"id": 3, "title": "x" * 21}]), "too long")
    sql.close()


def transport(tpuf: Turbopuffer) -> None:
    body = json.dumps({"rank_by": ["id", "asc"], "limit": 500, "include_attributes": True}).encode()
    kind = "application/json"
    path = "/v2/namespaces/queries/query"
    status, headers, plain = raw("POST", path, body, Content_Type=kind, Accept_Encoding="identity")
    assert status == 200 and "Content-Encoding" not in headers
    status, headers, small = raw("POST", path, body, Content_Type=kind, Accept_Encoding="gzip")
    assert headers["Content-Encoding"] == "gzip" and len(gzip.decompress(small)) > len(small)
    assert json.loads(gzip.decompress(small))["rows"] == json.loads(plain)["rows"]
    packed = gzip.compress(body)
    assert raw("POST", path, packed, Content_Type=kind, Content_Encoding="gzip")[0] == 200
    assert ids(client(compression=True).namespace("queries").query(rank_by=("id", "asc"), limit=1)) == [0]

    def told(expected: int, *request, **headers: str) -> None:
        status, _, answer = raw(*request, **headers)
        assert status == expected, (expected, status, answer[:200])
        said = json.loads(answer)
        assert said["status"] == "error" and isinstance(said["error"], str) and said["error"], said

    told(400, "POST", path, b"{", Content_Type=kind)
    told(400, "POST", path, b'"\xff"', Content_Type=kind)
    told(400, "POST", path, b"[" * 100_000, Content_Type=kind)
    told(400, "POST", path, b"no gzip", Content_Type=kind, Content_Encoding="gzip")
    told(415, "POST", path, body, Content_Type="text/plain")
    told(415, "POST", path, body, Content_Type=kind, Content_Encoding="br")
    told(403, "POST", path, body, Content_Type=kind, Origin="https://example.com")
    told(403, "GET", "/v1/namespaces", None, Host="example.com")
    told(404, "GET", "/v2/nothing")
    told(405, "PUT", "/v2/namespaces/queries", b"{}", Content_Type=kind)
    told(422, "POST", path, b'{"nope": 1}', Content_Type=kind)
    told(400, "POST", path, b'{"rank_by": ["id", "asc"], "limit": 1e400}', Content_Type=kind)
    told(400, "POST", "/v2/namespaces/%FF/query", body, Content_Type=kind)
    told(400, "GET", "/v1/namespaces?page_size=x")


def main() -> None:
    tpuf = client()
    for story in (writes, conditions, kinds, filters, queries, managing, both_wires, transport):
        print(story.__name__, flush=True)
        story(tpuf)
    print("ok")


if __name__ == "__main__":
    main()
