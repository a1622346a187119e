"""The served OpenAPI document against the server that serves it: whatever is sent, no fault of the server's."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from turbopuffer import Turbopuffer

URL = os.environ["NEARLAKE_HTTP"]
# 501 is what the server says of what it has no means for, not that it failed.
CONFIG = '[checks]\nnot_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "501"]\n'
CHECKS = "not_a_server_error,content_type_conformance,response_schema_conformance"


def main() -> None:
    # The document's examples name this one.
    tpuf = Turbopuffer(base_url=URL, api_key="any", telemetry=False)
    rows = [{"id": i, "vector": [i, 1.0], "shop": i % 3, "name": f"n{i}", "tags": ["a", "b"]} for i in range(100)]
    tpuf.namespace("items").write(upsert_rows=rows, distance_metric="cosine_distance")

    program = Path(sys.executable).with_name("schemathesis")
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "schemathesis.toml"
        config.write_text(CONFIG)
        run = subprocess.run(
            [program, "--config-file", config, "run", f"{URL}/openapi.json", "--checks", CHECKS, "--phases", "examples,coverage,fuzzing",
             "--max-examples", "10", "--seed", "1", "--request-timeout", "120", "--suppress-health-check", "all", "--no-color"],
            capture_output=True, text=True, timeout=1800, cwd=folder,
        )
    if run.returncode != 0:
        print(run.stdout[-8000:], run.stderr[-2000:])
        sys.exit(1)
    print("ok")


if __name__ == "__main__":
    main()
