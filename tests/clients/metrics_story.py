"""What /metrics serves, as Prometheus' own parser reads it, and what ops/ makes of it."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import psycopg
from prometheus_client.parser import text_string_to_metric_families

OPS = Path(__file__).parents[2] / "ops"
URL = os.environ["NEARLAKE_HTTP"]


# What is unset as long as nothing happened that it tells of.
UNSET = {
    # No search was measured yet.
    "nearlake_recall", "nearlake_recall_target", "nearlake_recall_below_target",
    # A folder and memory are read without the range cache.
    "nearlake_cache_reads_total", "nearlake_cache_read_bytes_total",
    # Upkeep looks at all entries, and takes a step, when it finds time; the former wants deleted rows too.
    "nearlake_index_stale_share", "nearlake_index_steps_total",
    # No commit had to wait.
    "nearlake_commits_held_total",
    # There is no webhook and no model.
    "nearlake_webhook_events_total", "nearlake_webhook_attempts_total", "nearlake_embed_cache_total",
}


def promtool(*arguments: str, given: str = "") -> None:
    """Runs Prometheus' own checker in ops/."""
    # scripts/setup.sh puts it beside the Python that has the drivers.
    program = shutil.which("promtool") or Path(sys.executable).with_name("promtool")
    done = subprocess.run([program, *arguments], input=given, cwd=OPS, capture_output=True, text=True)
    assert done.returncode == 0, f"promtool {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"


def scrape() -> str:
    with urllib.request.urlopen(f"{URL}/metrics", timeout=30) as answer:
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4"), answer.headers
        return answer.read().decode()


def work() -> None:
    """Something of everything that is counted by a label."""
    with psycopg.connect(autocommit=True) as connection:
        connection.execute("CREATE TABLE counted (id bigint PRIMARY KEY, embedding vector(3))")
        connection.execute("INSERT INTO counted SELECT i, format('[%s,1,2]', i)::vector FROM generate_series(1, 5000) i")
        connection.execute("CREATE INDEX counted_by_place ON counted USING spfresh (embedding vector_l2_ops)")
        connection.execute("UPDATE counted SET embedding = '[1,2,3]' WHERE id < 10")
        connection.execute("DELETE FROM counted WHERE id < 5")
        connection.execute("SELECT id FROM counted ORDER BY embedding <-> '[7,1,2]' LIMIT 5").fetchall()
        connection.execute("CHECKPOINT")
        connection.execute("VACUUM")
        for wrong in ["SELECT 1/0", "SELECT", "SELEC 1", "SELECT * FROM missing"]:
            try:
                connection.execute(wrong).fetchall()
            except psycopg.Error:
                pass
        with connection.cursor().copy("COPY counted (id) FROM STDIN") as copy:
            copy.write_row((100_000,))


def samples(text: str) -> dict[str, float]:
    """Each sample by its name and labels; every family has a type and a help."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.type in ("counter", "gauge", "histogram"), family.name
        assert family.documentation.endswith("."), (family.name, family.documentation)
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            key = f"{sample.name}{{{labels}}}"
            assert key not in found, key
            found[key] = sample.value
            if family.type == "counter":
                assert sample.name.endswith(("_total", "_created")), sample.name
    return found


def used() -> set[str]:
    """The metrics that the dashboard and the rules ask for."""
    dashboard = json.loads((OPS / "grafana.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    expressions += re.findall(r"^ *expr: (.*)$", (OPS / "alerts.yml").read_text(), re.M)
    assert len(expressions) > 50
    return {name for text in expressions for name in re.findall(r"\b(?:nearlake|process)_[a-z_]+", text)}


def main() -> None:
    before = samples(scrape())
    work()
    # What is looked at once a second is there when the sizes of the index are.
    for _ in range(600):
        text = scrape()
        after = samples(text)
        if after.get("nearlake_index_entries{index=counted_by_place}", 0) > 0 and after["nearlake_table_rows{}"] > 4000:
            break

    def grew(name: str) -> float:
        return after.get(name, 0) - before.get(name, 0)

    assert grew("nearlake_statement_seconds_count{kind=insert}") == 1, text
    assert grew("nearlake_rows_written_total{change=insert}") == 5000
    assert grew("nearlake_rows_written_total{change=delete}") == 4
    assert grew("nearlake_rows_written_total{change=copy}") == 1
    assert grew("nearlake_errors_total{class=22}") == 1
    assert grew("nearlake_errors_total{class=42}") >= 2
    assert grew("nearlake_checkpoints_total{outcome=done}") >= 2
    assert grew("nearlake_wal_bytes_total{}") > 5000 and grew("nearlake_wal_groups_total{}") >= 6
    assert after["nearlake_check_ok{check=store}"] == after["nearlake_check_ok{check=writable}"] == 1
    assert 5000 <= after["nearlake_index_entries{index=counted_by_place}"] <= 40_000
    assert after["nearlake_index_bytes{index=counted_by_place}"] > 5000 * 8
    assert sum(value for name, value in after.items() if name.startswith("nearlake_searches_total")) >= 1
    assert after["process_resident_memory_bytes{}"] > 1 << 20 and after["process_open_fds{}"] > 3
    assert after["process_cpu_seconds_total{}"] >= before["process_cpu_seconds_total{}"] >= 0
    assert grew("nearlake_http_requests_total{route=/metrics,status=2xx}") >= 1

    # A family whose labels never came up has no sample yet, and none is asked for that nothing declares.
    manual = (OPS.parent / "docs" / "operate.md").read_text()
    declared = set(re.findall(r"^\| `((?:nearlake|process)_[a-z_]+)` \|", manual, re.M))
    histograms = {name for name in declared if re.search(rf"^# TYPE {name} histogram$", text, re.M)}
    parts = {f"{name}_{part}" for name in histograms for part in ("bucket", "count", "sum")}
    assert used() <= declared | parts, used() - declared - parts
    served = {name.split("{")[0] for name in after}
    unserved = used() - served
    assert unserved <= UNSET, unserved - UNSET

    promtool("check", "metrics", given=text)
    promtool("check", "rules", "alerts.yml")
    promtool("test", "rules", "alerts_test.yml")
    print("ok")


if __name__ == "__main__":
    main()
