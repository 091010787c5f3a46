"""A real Redis server for a test: started on a free port, suspended, killed and started again by its own process id."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from scripts import redis_server
from scripts.ports import free_port


class RedisServer:
    """One server in `folder`. Without `durable` nothing is written to disk, and a restart is empty.

    arguments: options of redis-server beyond these. login: user and password of the test's own client.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        durable: bool = False,
        arguments: Sequence[str] = (),
        login: tuple[str | None, str | None] = (None, None),
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.durable = durable
        self.arguments = arguments
        self.login = login
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.database(0)

    def database(self, number: int) -> str:
        return f"redis://127.0.0.1:{self.port}/{number}"

    def start(self, timeout: float = 20) -> None:
        """Start the server and return once it answers; raises RuntimeError with its log when it doesn't."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "redis.log"
        durable = "yes" if self.durable else "no"
        arguments = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder), "--save", ""]
        arguments += ["--appendonly", durable, "--appendfsync", "everysec", "--logfile", str(log)]
        command = [redis_server.find(), *arguments, *self.arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with self.client() as client:
                    client.ping()
                return
            except RedisError:
                time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"Redis did not answer on port {self.port}: {log.read_text() if log.exists() else 'no log'}")

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None, "the server was not started"
        self.process.send_signal(number)

    def suspend(self) -> None:
        """Let it hold its connections and answer nothing."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a crash would: nothing is flushed."""
        self.signal(signal.SIGKILL)
        self._reap()

    def stop(self) -> None:
        """End it in order; a server that is suspended or already gone is no error."""
        if self.process is not None and self.process.poll() is None:
            self.resume()
            self.process.terminate()
        self._reap()

    def _reap(self) -> None:
        if self.process is not None:
            self.process.wait(timeout=20)
            self.process = None

    def client(self, database: int = 0) -> Redis:
        username, password = self.login
        options = {"db": database, "username": username, "password": password}
        return Redis(port=self.port, socket_timeout=5, decode_responses=True, **options)


class Sentinels:
    """A master with a replica, and three Sentinels that watch them and ask for a password."""

    MASTER, PASSWORD = "shop", "sentinel-word"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        first = RedisServer(folder / "first", durable=True)
        second = RedisServer(folder / "second", durable=True, arguments=("--replicaof", "127.0.0.1", str(first.port)))
        self.servers = (first, second)
        self.ports = [free_port() for _ in range(3)]
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        return ";".join(f"sentinel://127.0.0.1:{port}/0" for port in self.ports)

    def start(self) -> None:
        """Start all and return once the Sentinels know each other and the replica has caught up."""
        for server in self.servers:
            server.start()
        for port in self.ports:
            folder = self.folder / f"sentinel-{port}"
            folder.mkdir()
            (folder / "sentinel.conf").write_text(self._configuration(port, folder))
            command = [redis_server.find(), str(folder / "sentinel.conf"), "--sentinel"]
            self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
        wait_until(self._formed, 60, "three Sentinels that know the replica")

    def master(self) -> RedisServer:
        """Return the server that the Sentinels hold for the master."""
        with self._client(self.ports[0]) as sentinel:
            _, port = sentinel.sentinel_get_master_addr_by_name(self.MASTER)
        (master,) = (server for server in self.servers if server.port == int(port))
        return master

    def replicated(self) -> bool:
        """Wait until the replica has what the master has; return whether it does within 5 s."""
        with self.master().client() as client:
            return bool(client.wait(1, 5000))

    def hand_over(self) -> None:
        """Have the Sentinels make the replica the master, with both alive."""
        with self._client(self.ports[0]) as sentinel:
            sentinel.sentinel_failover(self.MASTER)

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait(20)
        for server in self.servers:
            server.stop()

    def _formed(self) -> bool:
        for port in self.ports:
            try:
                with self._client(port) as sentinel:
                    state = sentinel.sentinel_masters().get(self.MASTER, {})
                    replicas = sentinel.sentinel_slaves(self.MASTER)
            except RedisError:
                return False
            if state.get("num-other-sentinels") != 2 or [replica["master-link-status"] for replica in replicas] != [
                "ok"
            ]:
                return False
        return True

    def _client(self, port: int) -> Redis:
        return Redis(port=port, password=self.PASSWORD, socket_timeout=5, decode_responses=True)

    def _configuration(self, port: int, folder: Path) -> str:
        return f"""\
bind 127.0.0.1
port {port}
dir {folder}
logfile {folder}/sentinel.log
requirepass {self.PASSWORD}
sentinel sentinel-pass {self.PASSWORD}
sentinel monitor {self.MASTER} 127.0.0.1 {self.servers[0].port} 2
sentinel down-after-milliseconds {self.MASTER} 1500
sentinel failover-timeout {self.MASTER} 6000
"""


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Return as soon as `condition` holds; raise RuntimeError with `what` when it doesn't within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.1)
