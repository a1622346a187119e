#!/usr/bin/env python3
"""Records an .slt file: what PostgreSQL with pgvector answers to a list of statements.

    oracle.py -- record_slt.py FILE.sql ... > tests/slt/NAME.slt

A statement ends at a semicolon at the end of a line; lines that begin with `--` become comments, and
`--! skipif nearlake` marks the next statement as one on which the two differ.
The server is the one that PGHOST and PGPORT name. What it answers, or refuses, is written as a
record that `cargo test --test it -- slt::` then asks of Nearlake.
"""

import re
import sys
from pathlib import Path

import psycopg
from psycopg.pq import ExecStatus


def statements(text: str):
    """Comments and statements, in order."""
    pending: list[str] = []
    for line in text.splitlines():
        if line.startswith("--! ") and not pending:
            yield "#!" + line[4:]
        elif line.startswith("--") and not pending:
            yield "#" + line[2:]
        elif line.strip() or pending:
            pending.append(line)
            if line.rstrip().endswith(";"):
                yield "\n".join(pending).rstrip()[:-1]
                pending = []


def shown(value: bytes | None) -> str:
    if value is None:
        return "NULL"
    return value.decode() or "(empty)"


def record(connection: psycopg.pq.PGconn, sql: str) -> str:
    result = connection.exec_(sql.encode())
    if result.status == ExecStatus.TUPLES_OK:
        if result.ntuples and not result.nfields:
            return f"statement ok\n{sql}"
        rows = [" ".join(shown(result.get_value(row, column)) for column in range(result.nfields))
                for row in range(result.ntuples)]
        return "\n".join([f"query {'T' * result.nfields}", sql, "----", *rows])
    if result.status == ExecStatus.COMMAND_OK:
        return f"statement ok\n{sql}"
    state = result.error_field(psycopg.pq.DiagnosticField.SQLSTATE).decode()
    message = result.error_field(psycopg.pq.DiagnosticField.MESSAGE_PRIMARY).decode()
    pattern = re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", message)
    return f"statement error {state}: {pattern}$\n{sql}"


def main() -> None:
    connection = psycopg.connect(autocommit=True)
    records = []
    for file in sys.argv[1:]:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        for sql in statements(Path(file).read_text()):
            if sql.startswith("#"):
                records.append(sql.removeprefix("#!"))
            else:
                records.append(record(connection.pgconn, sql) + "\n")
    print("\n".join(records), end="")


if __name__ == "__main__":
    main()
