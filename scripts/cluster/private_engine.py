"""The private Docker Engine: its processes, and what they leave on a machine."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil

from scripts.cluster import cache
from scripts.progress import run, step
from scripts.refused import Refused

# Seconds.
STARTS_WITHIN, STOPS_WITHIN, ANSWERS_WITHIN = 60, 60, 10
CAP_SYS_RESOURCE = 1 << 24
PACKAGES = {
    "dockerd": "docker.io",
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "jq": "jq",
}
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
RUNC = Path(__file__).with_name("runc.sh")


def data() -> Path:
    """Images and containers: kept, so that the next start is warm."""
    return cache.root() / "engine"


def state() -> Path:
    """Sockets and process ids: short, since a socket's path holds 107 bytes, and gone after a reboot."""
    return Path("/run/celery-on-kubernetes") / cache.digest(cache.root())


def host() -> str:
    return f"unix://{state() / 'docker.sock'}"


def has_containers() -> bool:
    """Return whether a private daemon, running or not, keeps containers."""
    return bool(_containers())


def answers(address: str) -> bool:
    command = ["docker", "--host", address, "version", "--format", "{{.Server.Version}}"]
    try:
        return subprocess.run(command, capture_output=True, timeout=ANSWERS_WITHIN).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def install() -> None:
    """Install what a private daemon needs. Raises Refused where that takes a person."""
    missing = [package for command, package in PACKAGES.items() if not _which(command)]
    if os.geteuid() != 0:
        raise Refused("A private Docker Engine needs root: run it with sudo, or start the machine's own Docker.")
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise Refused(f"A private Docker Engine needs {', '.join(missing)}: install them, or start a Docker yourself.")
    with step(f"Installing {' '.join(missing)}"):
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        hint = "see apt's words above, and install them by hand"
        run(["apt-get", "-qq", "update"], env=quiet, hint=hint)
        run(["apt-get", "-qq", "install", "-y", "--no-install-recommends", *missing], env=quiet, hint=hint)


def start() -> None:
    """Start the daemon and wait until it answers, after cleaning what a crashed one left. Raises Refused."""
    with cache.locked("engine"):
        if answers(host()):
            return
        clean()
        with step("Starting a private Docker Engine"):
            state().mkdir(parents=True, mode=0o700)
            data().mkdir(parents=True, exist_ok=True)
            (state() / "before.json").write_text(json.dumps(_firewall_before()))
            log = state() / "dockerd.log"
            with log.open("w") as output:
                daemon = subprocess.Popen(
                    _command(), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
                )
            deadline = time.monotonic() + STARTS_WITHIN
            while not answers(host()):
                if daemon.poll() is not None or time.monotonic() > deadline:
                    said = "\n".join(log.read_text().splitlines()[-15:])
                    clean()
                    raise Refused("dockerd did not start, see its words above: start a Docker yourself.", details=said)
                time.sleep(0.2)


def stop() -> bool:
    """Stop the daemon and remove what it left but its data; return whether there was anything."""
    with cache.locked("engine"):
        if not state().exists():
            return False
        with step("Stopping the private Docker Engine"):
            for process in _daemon():
                process.terminate()
            psutil.wait_procs(_daemon(), timeout=STOPS_WITHIN)
            clean()
    return True


def clean() -> None:
    """End every process, mount, control group, interface and firewall rule of a daemon that does not run any more."""
    if not state().exists():
        return
    _end(_daemon())
    _end(_processes())
    _unmount()
    _remove_cgroups()
    _remove_bridges()
    _restore_firewall()
    shutil.rmtree(state())


def _command() -> list[str]:
    options = {
        "--data-root": data(),
        "--exec-root": state() / "exec",
        "--pidfile": state() / "docker.pid",
        "--host": host(),
        "--log-level": "warn",
    }
    # dockerd finds containerd and runc in /usr/sbin and /usr/bin.
    command = [_which("dockerd") or "dockerd", *(f"{name}={value}" for name, value in options.items())]
    if lacks_sys_resource():
        wrapper = state() / "runc.sh"
        shutil.copy(RUNC, wrapper)
        command += [f"--add-runtime=lesser={wrapper}", "--default-runtime=lesser"]
    return command


def _which(command: str) -> str | None:
    return shutil.which(command, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def lacks_sys_resource() -> bool:
    return not _bounding_set() & CAP_SYS_RESOURCE


def _bounding_set() -> int:
    found = re.search(r"^CapBnd:\s*(\w+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1], 16) if found else ~0


def _daemon() -> list[psutil.Process]:
    return [process for process, words in _running() if f"--data-root={data()}" in words]


def _running() -> list[tuple[psutil.Process, list[str]]]:
    found = psutil.process_iter(["cmdline"])
    return [(process, process.info["cmdline"] or []) for process in found]


def _processes() -> list[psutil.Process]:
    """Return containerd, the shims and all that runs in containers: a killed daemon leaves them running."""
    known = _containers()
    ours = []
    for process, words in _running():
        try:
            groups = Path(f"/proc/{process.pid}/cgroup").read_text()
        except OSError:
            continue
        if any(str(state()) in word for word in words) or any(name in groups for name in known):
            ours.append(process)
    return [process for process in ours if process.pid != os.getpid()]


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=10)


def _unmount() -> None:
    places = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for place in sorted(places, reverse=True):
        if f"{place}/".startswith((f"{state()}/", f"{data()}/")):
            subprocess.run(["umount", "--lazy", place], capture_output=True)


def _remove_bridges() -> None:
    for bridge in _links(r"docker0|br-[0-9a-f]{12}"):
        # A dead container's end of a cable stays for minutes when connections over it were open.
        for name in (*_links(r"veth\w+", "master", bridge), bridge):
            subprocess.run(["ip", "link", "delete", name], capture_output=True)


def _links(pattern: str, *which: str) -> list[str]:
    return re.findall(rf"^\d+: ({pattern})[:@]", _output("ip", "-o", "link", "show", *which), re.MULTILINE)


def _remove_cgroups() -> None:
    known = _containers()
    for folder, _, _ in os.walk("/sys/fs/cgroup", topdown=False):
        if any(name in folder for name in known):
            with contextlib.suppress(OSError):
                os.rmdir(folder)


def _containers() -> list[str]:
    """Return the ids of the containers that the daemon's data knows."""
    return [path.name for path in (data() / "containers").glob("*")]


def _firewall_before() -> dict[str, str]:
    policy = re.search(r"^-P FORWARD (\w+)", _output("iptables", "-S", "FORWARD"), re.MULTILINE)
    return {"policy": policy[1] if policy else "ACCEPT", "forwarding": FORWARDING.read_text().strip()}


def _restore_firewall() -> None:
    """Take out the rules and chains that dockerd made, and set back what it had switched."""
    rules = _output("iptables-save").splitlines()
    kept = [rule for rule in rules if not re.search(r"docker|\bbr-[0-9a-f]{12}\b", rule, re.IGNORECASE)]
    if kept != rules:
        subprocess.run(["iptables-restore"], input="\n".join(kept) + "\n", text=True, capture_output=True)
    try:
        before = json.loads((state() / "before.json").read_text())
    except (OSError, ValueError):
        return
    subprocess.run(["iptables", "-P", "FORWARD", before["policy"]], capture_output=True)
    FORWARDING.write_text(before["forwarding"])


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout
