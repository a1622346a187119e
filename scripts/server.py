"""A Nearlake server for as long as a script needs one."""

import os
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import psycopg

from oracle import free_port


class Server:
    """A server on free loopback ports; `with Server(binary, data) as server: server.connect()`."""

    def __init__(self, binary: str, data: str, *flags: str):
        self.binary, self.data, self.flags = binary, data, flags
        self.process: subprocess.Popen | None = None

    def start(self) -> "Server":
        """Starts it and waits until it is ready."""
        self.port, self.http = free_port(), free_port()
        self.log = tempfile.NamedTemporaryFile("w+", prefix="nearlake-log-", delete=False)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NEARLAKE_")}
        self.process = subprocess.Popen(
            [self.binary, "serve", "--data", self.data, "--pg-listen", f"127.0.0.1:{self.port}",
             "--http-listen", f"127.0.0.1:{self.http}", *self.flags],
            stdout=self.log, stderr=subprocess.STDOUT, env=environment,
        )
        began = time.monotonic()
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() - began > 120:
                raise RuntimeError(f"the server did not start:\n{Path(self.log.name).read_text()[-4000:]}")
            time.sleep(0.02)
        return self

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/readyz", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def connect(self, **options: object) -> psycopg.Connection:
        """A connection as the role postgres; autocommit unless told otherwise."""
        options.setdefault("autocommit", True)
        return psycopg.connect(host="127.0.0.1", port=self.port, user="postgres", dbname="postgres", **options)

    def kill(self) -> None:
        """Ends it without a warning, as a crash does."""
        self.process.kill()
        self.process.wait()
        self._forget_log()

    def stop(self) -> None:
        """Ends it as an operator does; anything but exit code 0 is an error."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(120)
        said = Path(self.log.name).read_text()[-4000:]
        self._forget_log()
        if code != 0:
            raise RuntimeError(f"the server ended with {code}:\n{said}")

    def _forget_log(self) -> None:
        self.log.close()
        Path(self.log.name).unlink(missing_ok=True)

    def resident_bytes(self) -> int:
        """Its memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(self, kind: object, *_: object) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        if kind is None:
            self.stop()
        else:
            self.kill()
