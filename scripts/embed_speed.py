"""Texts that become vectors, inside the server and by fastembed called directly, in one run.

embed_speed.py FILE [COUNT]: FILE is a Parquet file with the columns `short`, `long` and `embedding`,
of which COUNT rows are taken, evenly. The measurements are tests of tests/it/embed/speed.rs, built
for release; they fail where the server gives less than nine tenths of what fastembed gives, where 64
sessions give less than nine tenths of one batch, and where point queries take more than three times
as long as on an idle server. Nothing else should run on the machine.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow.parquet

ROOT = Path(__file__).parent.parent
COUNT = 2048


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    table = pyarrow.parquet.read_table(sys.argv[1], columns=["short", "long", "embedding"])
    count = min(int(sys.argv[2]) if len(sys.argv) > 2 else COUNT, table.num_rows)
    rows = [row * table.num_rows // count for row in range(count)]
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        for row in table.take(rows).to_pylist():
            # As SQL has it: NULL with anything is NULL, which has no vector.
            if row["short"] is None or row["long"] is None:
                continue
            text = f"{row['short']}. {row['long']}"
            file.write(json.dumps({"text": text, "embedding": row["embedding"]}) + "\n")
        file.flush()
        environment = dict(os.environ, NEARLAKE_TEST_TEXTS=file.name)
        command = ["cargo", "test", "--release", "--test", "it", "--", "--ignored", "--nocapture",
                   "--test-threads=1", "embed::speed::measured"]
        return subprocess.run(command, cwd=ROOT, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
