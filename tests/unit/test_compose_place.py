"""What scripts/compose decides without a Docker Engine: versions, ports, secrets, profiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.compose import place as places
from scripts.compose.place import SECRETS, Place, profile, scale
from scripts.compose.program import check_engine, choose
from scripts.refused import Refused

PLUGIN, WHEEL = ("docker", "compose"), ("docker-compose",)


@pytest.mark.parametrize(
    ("plugin", "wheel", "chosen"),
    [((5, 6, 1), (5, 6, 1), PLUGIN), ((2, 30), (), PLUGIN), ((2, 29, 7), (5, 6, 1), WHEEL), ((), (5, 6, 1), WHEEL)],
)
def test_the_first_compose_that_is_recent_enough_is_taken(
    plugin: tuple[int, ...], wheel: tuple[int, ...], chosen: tuple[str, ...]
) -> None:
    assert choose({PLUGIN: plugin, WHEEL: wheel}) == chosen


def test_an_old_compose_is_refused_with_its_version() -> None:
    with pytest.raises(Refused, match=r"too old \(docker compose is 2\.29\.7\): .* 2\.30 or later"):
        choose({PLUGIN: (2, 29, 7), WHEEL: ()})


def test_no_compose_at_all_is_refused_with_the_way_to_one() -> None:
    with pytest.raises(Refused, match=r"There is no Docker Compose on this machine: .* make venv"):
        choose({PLUGIN: (), WHEEL: ()})


def test_an_old_engine_is_refused_and_a_new_one_is_not() -> None:
    check_engine("20.10.24+dfsg1")
    check_engine("28.0.1")
    with pytest.raises(Refused, match=r"Docker Engine is 19\.03\.8: update it to 20\.10 or later"):
        check_engine("19.03.8")


@pytest.mark.parametrize("text", ["80", "http", "70000"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(Refused, match=f"PORT_API is '{text}': allowed is a whole number from 1024 to 65535"):
        Place.from_environment({"PORT_API": text})


def test_two_ports_that_are_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="are both 5555"):
        Place.from_environment({"COMPOSE_DIR": str(tmp_path), "PORT_API": "5555"})


def test_ports_and_name_are_those_of_the_last_start(tmp_path: Path) -> None:
    first = Place.from_environment({"COMPOSE_DIR": str(tmp_path), "PORT_API": "8123", "COMPOSE_PROJECT_NAME": "mine"})
    first.prepare(in_use=False)
    first.remember({"APP_IMAGE": "app:1", "SANDBOX_IMAGE": "sandbox:1"})
    again = Place.from_environment({"COMPOSE_DIR": str(tmp_path), "PORT_API": ""})
    assert again == first
    assert again.variables()["APP_IMAGE"] == "app:1"


def test_secrets_are_made_once_for_every_user_of_a_container_and_for_no_other_of_the_machine(tmp_path: Path) -> None:
    place = Place.from_environment({"COMPOSE_DIR": str(tmp_path / "place")})
    made = place.prepare(in_use=False)
    before = {name: place.read(name) for name in SECRETS}
    assert set(made) < set(SECRETS)
    assert place.folder.stat().st_mode & 0o777 == place.secret("x").parent.stat().st_mode & 0o777 == 0o700
    assert {place.secret(name).stat().st_mode & 0o777 for name in SECRETS} == {0o444}
    assert place.prepare(in_use=True) == []
    assert {name: place.read(name) for name in SECRETS} == before
    assert len({before[name] for name in made}) == len(made)


def test_a_secret_that_containers_use_is_not_made_again(tmp_path: Path) -> None:
    place = Place.from_environment({"COMPOSE_DIR": str(tmp_path)})
    place.prepare(in_use=False)
    place.secret("probe-password").unlink()
    with pytest.raises(Refused, match="probe-password is gone and containers use it: put it back, or end the stack"):
        place.prepare(in_use=True)
    assert place.prepare(in_use=False) == ["probe-password"]


def test_an_edited_file_changes_the_mark_of_its_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "broker.conf"
    copy.write_text("timeout 0\n")
    monkeypatch.setitem(places.MOUNTED, "broker", (str(copy),))
    place = Place.from_environment({"COMPOSE_DIR": str(tmp_path)})
    before = place.variables()
    copy.write_text("timeout 1\n")
    changed = {name for name, value in place.variables().items() if value != before[name]}
    assert changed == {"FILES_OF_BROKER"}


def test_profiles_and_counts_are_those_that_there_are() -> None:
    assert (profile(""), profile("light")) == ("monitoring", "light")
    assert scale("worker-email=3 worker-high=0", {"worker-email", "worker-high"}) == {
        "worker-email": 3,
        "worker-high": 0,
    }
    with pytest.raises(Refused, match="There is no profile 'lite'"):
        profile("lite")
    with pytest.raises(Refused, match="SCALE names 'beat': allowed are worker-email"):
        scale("beat=2", {"worker-email"})
