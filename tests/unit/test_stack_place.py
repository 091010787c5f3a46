"""The local stack's folder, ports, passwords and supervisor configuration, without starting any of it."""

from __future__ import annotations

import configparser
import importlib
import os
import stat
import sys
from pathlib import Path

import pytest
from supervisor.datatypes import dict_of_key_value_pairs

from app.queues import GROUPS
from scripts.refused import Refused
from scripts.stack.place import LONGEST_SOCKET, PORTS, Place, client_environment
from scripts.stack.processes import STOP_MARGIN, WORKER_FLAGS, describe
from scripts.stack.supervision import configuration


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place.from_environment({"STACK_DIR": str(tmp_path / "a stack")})
    place.prepare()
    return place


def programs(place: Place, environment: dict[str, str] | None = None) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(interpolation=None)
    parser.read_string(configuration(place, describe(place, environment or {})))
    return parser


def test_a_place_without_any_wish_has_the_documented_ports() -> None:
    assert dict(Place.from_environment({}).ports) == {name: default for name, (_, default) in PORTS.items()}


def test_an_empty_variable_means_the_default_as_make_hands_it_over() -> None:
    assert Place.from_environment({"STACK_API_PORT": "", "STACK_DIR": ""}) == Place.from_environment({})


def test_a_long_folder_puts_the_socket_into_a_short_one() -> None:
    long = Place.from_environment({"STACK_DIR": "/" + "x" * 120})
    assert len(os.fsencode(long.socket)) <= LONGEST_SOCKET
    assert long.socket != Place.from_environment({"STACK_DIR": "/" + "y" * 120}).socket


def test_every_secret_is_the_owners_alone_and_outlives_a_second_start(place: Place) -> None:
    files = list((place.folder / "secrets").iterdir())
    assert len(files) == 6
    assert [path for path in (*files, place.folder / "redis.conf") if stat.S_IMODE(path.stat().st_mode) != 0o600] == []
    before = place.api_token, place.flower_login, place.redis_url()
    place.prepare()
    assert (place.api_token, place.flower_login, place.redis_url()) == before


def test_no_argument_of_any_process_holds_a_secret(place: Place) -> None:
    secrets = [place.secret("redis_password").read_text(), place.api_token, place.flower_login[1]]
    words = [word for process in describe(place, {}) for word in process.command]
    assert [word for word in words for secret in secrets if secret in word] == []


def test_there_is_one_worker_for_each_group_and_one_beat(place: Place) -> None:
    names = [process.name for process in describe(place, {})]
    assert [name for name in names if name.startswith("worker-")] == [f"worker-{group}" for group in GROUPS]
    assert names.count("beat") == 1
    assert names[0] == "broker"


@pytest.mark.parametrize("group", GROUPS.values(), ids=lambda group: group.name)
def test_a_worker_gets_its_groups_numbers_and_the_time_to_finish_a_task(place: Place, group: object) -> None:
    assert isinstance(group, type(next(iter(GROUPS.values()))))
    (worker,) = (process for process in describe(place, {}) if process.name == f"worker-{group.name}")
    assert worker.environment["CELERY_WORKER_GROUP"] == group.name
    assert worker.environment["CELERY_WORKER_CONCURRENCY"] == str(group.concurrency)
    assert worker.environment["CELERY_TIME_LIMIT_SECONDS"] == str(group.time_limit)
    assert worker.stop_within == group.time_limit + STOP_MARGIN
    assert worker.command[-len(WORKER_FLAGS) :] == WORKER_FLAGS


def test_a_worker_is_stopped_by_a_signal_to_its_main_process_alone(place: Place) -> None:
    parser = programs(place)
    for group in GROUPS:
        program = parser[f"program:worker-{group}"]
        assert (program["stopsignal"], program["stopasgroup"], program["killasgroup"]) == ("TERM", "false", "true")


def test_a_persons_settings_reach_the_processes_but_for_what_a_stack_decides(place: Place) -> None:
    wishes = {"ORDER_RATE_LIMIT": "5/s", "CELERY_BROKER_URL": "redis://elsewhere/0", "CELERY_WORKER_GROUP": "email"}
    for process in describe(place, wishes):
        if process.name.startswith("worker-"):
            assert process.environment["ORDER_RATE_LIMIT"] == "5/s"
            assert "CELERY_BROKER_URL" not in process.environment
            assert process.environment["CELERY_WORKER_GROUP"] == process.name.removeprefix("worker-")


def test_a_client_of_the_stack_forgets_every_other_broker(place: Place) -> None:
    environment = client_environment(
        place, {"CELERY_BROKER_URL": "redis://elsewhere/0", "SMTP_URL_FILE": "/x", "LANG": "C"}
    )
    assert "CELERY_BROKER_URL" not in environment
    assert "SMTP_URL_FILE" not in environment
    assert environment["LANG"] == "C"
    assert Path(environment["CELERY_BROKER_URL_FILE"]).read_text() == place.redis_url()


def test_another_port_changes_the_description_of_every_process_that_uses_it(place: Place) -> None:
    moved = Place(place.folder, {**place.ports, "broker": 7000})
    moved.prepare()
    before = {process.name: process for process in describe(place, {})}
    changed = [
        process.name for process in describe(moved, {}) if process.environment != before[process.name].environment
    ]
    assert sorted(changed) == sorted(set(before) - {"sandbox", "prometheus"})


@pytest.mark.parametrize("text", ['a"', '"a"', """a"b'c""", "a\nb", "a ;b", 'a"b ;c'])
def test_text_that_the_supervisors_format_can_not_hold_is_refused(place: Place, text: str) -> None:
    with pytest.raises(Refused, match="supervisor can't take it"):
        configuration(place, describe(place, {"MAIL_FROM": text}))


@pytest.mark.parametrize("text", ['a"b', '{"a": "50%, b", "c": ["d"]}', "a'b"])
def test_quotes_within_a_value_reach_the_process(place: Place, text: str) -> None:
    variables = programs(place, {"MAIL_FROM": text})["program:api"]["environment"]
    assert dict_of_key_value_pairs(variables.replace("%%", "%"))["MAIL_FROM"] == text


def test_a_percent_sign_stays_one(place: Place) -> None:
    assert "email@%%h" in programs(place)["program:worker-email"]["command"]


def test_a_machine_without_any_redis_is_told_what_to_install(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    # The one that pip brought is hidden, too.
    monkeypatch.setattr(sys, "path", [])
    importlib.invalidate_caches()
    with pytest.raises(
        Refused, match=r"^No Redis server found: install redis-server or valkey-server .*apt-get install"
    ):
        describe(place, {})
