"""Encryption as libpq sees it: what it asks for, what it is told, and what its password is bound to."""

import os
import subprocess

import psycopg

ROLE = {"user": "postgres", "dbname": "postgres", "host": "localhost", "password": os.environ["STORY_PASSWORD"]}
CERTIFICATE = os.environ["STORY_CERTIFICATE"]


def ask(**options: object) -> psycopg.Connection:
    return psycopg.connect(port=os.environ["PGPORT"], autocommit=True, **{**ROLE, **options})


def refused(**options: object) -> str:
    try:
        ask(**options).close()
    except psycopg.OperationalError as error:
        return str(error)
    raise AssertionError(f"{options} was let in")


def main() -> None:
    for options in [
        {"sslmode": "require"},
        {"sslmode": "require", "channel_binding": "require"},
        {"sslmode": "require", "channel_binding": "disable"},
        {"sslmode": "verify-full", "sslrootcert": CERTIFICATE, "channel_binding": "require"},
        # Plain first, and encrypted when that is refused.
        {"sslmode": "allow"},
        {"sslmode": "prefer"},
    ]:
        with ask(**options) as connection:
            assert connection.pgconn.ssl_in_use, options
            assert connection.execute("SELECT 1").fetchone() == (1,), options
    if psycopg.pq.version() >= 170000:
        with ask(sslmode="require", sslnegotiation="direct", channel_binding="require") as connection:
            assert connection.execute("SELECT 2").fetchone() == (2,)

    assert "connections without encryption are not accepted" in refused(sslmode="disable")
    assert "password authentication failed" in refused(sslmode="require", password="wrong")
    assert "certificate" in refused(sslmode="verify-full", sslrootcert="system")

    # Enough rows to fill many records of the encrypted stream, both ways.
    with ask(sslmode="require") as connection:
        connection.execute("CREATE TABLE encrypted (id bigint, text text)")
        with connection.cursor().copy("COPY encrypted FROM STDIN") as copy:
            for number in range(20_000):
                copy.write_row((number, "x" * 100))
        rows = connection.execute("SELECT id, text FROM encrypted ORDER BY id").fetchall()
        assert [row[0] for row in rows] == list(range(20_000)) and all(len(row[1]) == 100 for row in rows)

    environment = {**os.environ, "PGPASSWORD": ROLE["password"], "PGSSLMODE": "require", "PGCHANNELBINDING": "require"}
    said = subprocess.run(
        ["psql", "-h", "localhost", "-U", "postgres", "-d", "postgres", "-XAtc", "SELECT 'by psql'"],
        env=environment, capture_output=True, text=True, timeout=60,
    )
    assert said.stdout == "by psql\n", said
    print("ok")


if __name__ == "__main__":
    main()
