"""The exporter, asked without a pause for half an hour: its memory, its page, its times (`make soak`).

Beside it workers come and go under ever new names, tasks come from everywhere, and Redis hangs from time to time: what
would make an exporter grow. Prints a line a minute, and ends with code 1 when memory or page grew, or a look is slow.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
from redis import Redis

from app.queues import GROUPS
from app.runtime.keys import Keys
from scripts.ports import free_port
from scripts.stack.processes import exporter_groups
from scripts.versions import ROOT
from tests.support.redis import RedisServer

KEYS = Keys("soak:")
# What may come on top of what it had after the first minute: caches that fill, and noise.
GROWTH = 1.1
# Milliseconds that the median look may take.
SCRAPE = 40


@contextmanager
def exporter(url: str) -> Iterator[tuple[psutil.Process, str]]:
    """Run the exporter of the example's groups; yield its process and its address."""
    port = str(free_port())
    own = {"CELERY_BROKER_URL": url, "CELERY_KEY_PREFIX": KEYS.prefix, "EXPORTER_PORT": port}
    groups = {"EXPORTER_GROUPS": json.dumps(exporter_groups()), "EXPORTER_HOST": "127.0.0.1"}
    command = [sys.executable, "-m", "app.exporter"]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | own | groups, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}/metrics"
        while not _answers(address):
            time.sleep(0.1)
        yield psutil.Process(process.pid), address
    finally:
        process.kill()
        process.wait()


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}?name[]=celery_exporter_up", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def churn(client: Redis, number: int) -> None:
    """Do to Redis what a busy cluster does: a new pod in each group, a task in each queue, and a new schedule."""
    now = time.time()
    pipe = client.pipeline(transaction=False)
    for group in GROUPS.values():
        pod = f"{group.name}@pod-{uuid.uuid4()}/1/x"
        pipe.zadd(KEYS.workers(group.name), {pod: now})
        pipe.zadd(KEYS.running(group.name), {pod: now - number % 100})
        pipe.zremrangebyscore(KEYS.workers(group.name), "-inf", now - 5)
        pipe.zremrangebyrank(KEYS.running(group.name), 0, -100)
        pipe.hincrby(KEYS.served(group.name), "tasks", 3)
        pipe.hincrbyfloat(KEYS.served(group.name), "seconds", 0.7)
        for queue in group.queues:
            headers = {"id": str(uuid.uuid4()), "task": f"made.up.{number}", "enqueued_at": now}
            pipe.lpush(KEYS.waiting(queue)[0], json.dumps({"body": "x" * 2000, "headers": headers}))
            pipe.ltrim(KEYS.waiting(queue)[0], 0, 500)
    pipe.zadd(KEYS.schedule(), {f"{KEYS.redbeat()}made-{number}": now + 60})
    pipe.zremrangebyrank(KEYS.schedule(), 0, -300)
    pipe.execute()


def cost(client: Redis, address: str) -> dict[str, Any]:
    """Return what a page costs Redis: commands that the exporter sends, those that Redis counts, and microseconds."""
    client.config_resetstat()
    pages = 20
    for _ in range(pages):
        time.sleep(1.05)
        httpx.get(address, trust_env=False)
    told, stats = client.info("commandstats"), client.info("stats")
    sent = told["cmdstat_eval"]["calls"] + told["cmdstat_info"]["calls"]
    # The time of a script holds that of its commands.
    spent = told["cmdstat_eval"]["usec"] + told["cmdstat_info"]["usec"]
    counted = stats["total_commands_processed"] / pages
    return {"sent": round(sent / pages, 1), "counted": round(counted, 1), "microseconds": round(spent / pages)}


def soak(minutes: float, server: RedisServer) -> bool:
    """Ask for `minutes`; return whether memory and page stayed as they were."""
    with exporter(server.url) as (process, address), server.client() as client, httpx.Client(trust_env=False) as asker:
        churn(client, 0)
        looks: list[float] = []
        for _ in range(15):
            time.sleep(1.05)
            began = time.monotonic()
            asker.get(address)
            looks.append((time.monotonic() - began) * 1000)
        price = cost(client, address)
        print(f"a look takes {statistics.median(looks):.1f} ms (median); {json.dumps(price)}", flush=True)
        began, number, rows = time.monotonic(), 0, []
        while (at := time.monotonic() - began) < 60 * minutes:
            size = len(asker.get(address).content)
            number += 1
            if number % 20 == 0:
                churn(client, number)
            if int(at // 60) >= len(rows):
                memory = process.memory_full_info().uss
                rows.append((memory, size))
                print(f"{at / 60:5.1f} min  {number:>8} pages  {memory / 2**20:6.1f} MiB  {size} bytes", flush=True)
                if len(rows) % 5 == 0:
                    server.suspend()
                    asker.get(address, timeout=10)
                    server.resume()
        memory = process.memory_full_info().uss
        # After the first minute: what is made once is there.
        first = rows[min(1, len(rows) - 1)]
        print(f"{number} pages: {first[0] / 2**20:.1f} -> {memory / 2**20:.1f} MiB, {first[1]} -> {size} bytes")
        flat = memory <= GROWTH * first[0] and size <= GROWTH * first[1]
        return flat and statistics.median(looks) < SCRAPE


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        server.start()
        try:
            return 0 if soak(minutes, server) else 1
        finally:
            server.stop()


if __name__ == "__main__":
    sys.exit(main())
