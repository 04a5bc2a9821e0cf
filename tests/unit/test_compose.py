"""docker-compose.yml says what the code says: Docker is not needed to know that.

The schema is the Compose Specification's own; see compose_spec/SOURCE.md.
"""

from __future__ import annotations

import configparser
import importlib
import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import jsonschema
import pytest
import yaml

from stirbeat import routing, settings
from stirbeat.cli import main
from stirbeat.domain import catalogue

ROOT = Path(__file__).resolve().parents[2]
SPECIFICATION = Path(__file__).with_name("compose_spec")
COMPOSE = ROOT / "docker-compose.yml"
TEXT = COMPOSE.read_text()

# What `docker compose` does to a file before it reads it.
_VARIABLE = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<name>[A-Z][A-Z0-9_]*)(?:(?P<operator>:?[-?])(?P<rest>[^}]*))?\})")
FIRST = "0123456789abcdef"


def interpolated(text: str, values: Mapping[str, str]) -> str:
    """The text with variables filled in. Raises KeyError for a required one that is missing."""

    def one(found: re.Match[str]) -> str:
        if found["escaped"]:
            return "$"
        value = values.get(found["name"])
        if value or (value is not None and not (found["operator"] or "").startswith(":")):
            return value
        if "-" in (found["operator"] or ""):
            return found["rest"]
        raise KeyError(found["name"])

    return _VARIABLE.sub(one, text)


def filled(value: Any, values: Mapping[str, str]) -> Any:
    """A parsed document with variables filled in, value by value, so that an empty one stays an empty text."""
    if isinstance(value, dict):
        return {name: filled(one, values) for name, one in value.items()}
    if isinstance(value, list):
        return [filled(one, values) for one in value]
    return interpolated(value, values) if isinstance(value, str) else value


def required() -> set[str]:
    return {found["name"] for found in _VARIABLE.finditer(TEXT) if "?" in (found["operator"] or "")}


SECRETS = {
    name: f"{FIRST}{number:04}" for number, name in enumerate(sorted(required() | {"POSTGRES_SUPERUSER_PASSWORD"}))
}
PROJECT: dict[str, Any] = filled(yaml.safe_load(TEXT), SECRETS)
SERVICES: dict[str, dict[str, Any]] = PROJECT["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("stirbeat:")}
ENGINES = {"rabbitmq", "redis", "postgres", "pgbouncer", "clickhouse", "seaweedfs"}


def test_the_file_is_valid_by_the_compose_specification() -> None:
    schema = json.loads((SPECIFICATION / "compose-spec.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    found = [
        f"{error.json_path}: {error.message}" for error in jsonschema.Draft202012Validator(schema).iter_errors(PROJECT)
    ]
    assert found == []


def test_the_schema_would_see_a_mistake() -> None:
    schema = json.loads((SPECIFICATION / "compose-spec.json").read_text())
    wrong = {"services": {"web": {"image": "web:1", "helthcheck": {}}}}
    assert not jsonschema.Draft202012Validator(schema).is_valid(wrong)


def test_every_service_of_the_design_is_there() -> None:
    assert SERVICES.keys() >= ENGINES | {"migrate", "beat", "relay", "sink", "flower"}


def test_every_worker_group_of_the_routing_has_its_service_and_no_other_is_started() -> None:
    commanded = {
        service["command"][service["command"].index("--group") + 1]
        for service in SERVICES.values()
        if "--group" in service.get("command", ())
    }
    assert commanded == {group.name for group in routing.groups(catalogue.flows())}


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_command_is_one_that_stirbeat_has(name: str) -> None:
    command = OURS[name]["command"]
    assert command[0] in main.COMMANDS
    parser = importlib.import_module(f"stirbeat.cli.{command[0]}").GROUP
    known = {option for parameter in parser.params for option in parameter.opts}
    assert {argument for argument in command if argument.startswith("--")} <= known


@pytest.mark.parametrize("name", sorted(OURS))
def test_the_environment_of_a_process_is_settings_and_complete(name: str) -> None:
    given = {variable: str(value) for variable, value in OURS[name]["environment"].items()}
    assert all(variable.startswith(settings.PREFIX) for variable in given)
    built = settings.from_environment(given)
    assert built.secret_keys.get_secret_value() == SECRETS["SECRET_KEYS"]
    assert (built.plugins, built.pause_windows) == ((), ("19:00-22:00",))


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_url_of_a_process_leads_to_a_service_it_can_reach(name: str) -> None:
    service = OURS[name]
    for variable, value in service["environment"].items():
        host = urlsplit(str(value)).hostname if "://" in str(value) else None
        if host is not None:
            assert set(SERVICES[host]["networks"]) & set(service["networks"]), f"{variable} of {name}"


def test_only_what_holds_a_session_goes_past_pgbouncer() -> None:
    hosts = {name: urlsplit(service["environment"]["STIRBEAT_DATABASE_URL"]).hostname for name, service in OURS.items()}
    assert {name for name, host in hosts.items() if host == "postgres"} == {"migrate", "worker-runs"}
    assert set(hosts.values()) == {"postgres", "pgbouncer"}
    runs = next(group for group in routing.groups(catalogue.flows()) if group.name == "runs")
    assert routing.SYNC_QUEUE in runs.queues


def test_pgbouncer_pools_by_transaction_for_the_same_database() -> None:
    parsed = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=())
    parsed.read(ROOT / "deploy/pgbouncer/pgbouncer.ini")
    assert parsed["pgbouncer"]["pool_mode"] == "transaction"
    url = urlsplit(OURS["relay"]["environment"]["STIRBEAT_DATABASE_URL"])
    assert url.port == parsed["pgbouncer"].getint("listen_port")
    target = dict(pair.split("=") for pair in parsed["databases"][url.path.lstrip("/")].split())
    assert target == {"host": "postgres", "port": "5432"}
    users = PROJECT["configs"]["pgbouncer_users"]["content"]
    assert users.strip() == f'"{url.username}" "{url.password}"'


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_has_a_healthcheck_or_a_reason(name: str) -> None:
    service = SERVICES[name]
    assert ("healthcheck" in service) != ("x-no-healthcheck" in service)
    if "healthcheck" in service:
        assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
        assert service["healthcheck"].keys() >= {"interval", "timeout", "retries"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_what_a_service_waits_for_exists_and_can_come_true(name: str) -> None:
    for other, wanted in SERVICES[name].get("depends_on", {}).items():
        if wanted["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other], f"{name} waits for the health of {other}"
        else:
            assert wanted["condition"] == "service_completed_successfully"
            assert SERVICES[other]["restart"] == "on-failure", f"{other} must end for {name} to start"


def test_every_process_that_uses_the_databases_waits_for_the_migration() -> None:
    for name, service in OURS.items():
        if name not in {"migrate", "flower"}:
            assert "migrate" in service["depends_on"], name


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_that_dies_comes_again_and_may_stop_in_peace(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] in {"unless-stopped", "on-failure"}
    if service["restart"] == "unless-stopped":
        assert "stop_grace_period" in service


def test_every_engine_that_keeps_data_keeps_it_in_a_named_volume() -> None:
    for name in ENGINES - {"pgbouncer"}:
        assert f"{name}:" in " ".join(SERVICES[name]["volumes"]), name
        assert name in PROJECT["volumes"]


@pytest.mark.parametrize("image", sorted({service["image"] for service in SERVICES.values()}))
def test_an_image_is_pinned_to_a_version(image: str) -> None:
    assert re.fullmatch(r"[a-z0-9/-]+:\d+(\.\d+)+(-[a-z]+)*", image), image


def test_base_images_are_pinned_too() -> None:
    for file in (ROOT / "Dockerfile", ROOT / "deploy/pgbouncer/Dockerfile"):
        bases = re.findall(r"^FROM (\S+)", file.read_text(), re.MULTILINE)
        assert bases
        assert all(re.search(r":\d+(\.\d+)+", base) for base in bases)


def test_no_secret_stands_in_the_file() -> None:
    # What is left when every variable is taken out must hold nothing that looks like a value of a secret.
    bare = _VARIABLE.sub("", TEXT)
    assert re.findall(r"://[^/\s:@]*:[^@\s]+@", bare) == []
    document = yaml.safe_load(TEXT)
    for name, service in document["services"].items():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD(?!_FILE)|SECRET|KEY", variable):
                assert _VARIABLE.fullmatch(str(value)), f"{variable} of {name}"
    for name, config in document["configs"].items():
        assert _VARIABLE.search(config["content"]), name
    assert all(set(secret) == {"environment"} for secret in document["secrets"].values())


@pytest.mark.parametrize("missing", sorted(required()))
def test_without_a_secret_nothing_starts_and_the_message_says_where_to_look(missing: str) -> None:
    with pytest.raises(KeyError, match=missing):
        filled(yaml.safe_load(TEXT), {name: value for name, value in SECRETS.items() if name != missing})
    hints = [found["rest"] for found in _VARIABLE.finditer(TEXT) if found["name"] == missing]
    assert set(hints) == {"see deploy/example.env"}


def test_the_example_names_every_variable_and_gives_no_secret() -> None:
    lines = (ROOT / "deploy/example.env").read_text().splitlines()
    empty = {line[:-1] for line in lines if re.fullmatch(r"[A-Z0-9_]+=", line)}
    optional = {found[1]: found[2] for line in lines if (found := re.fullmatch(r"# ([A-Z0-9_]+)=(.*)", line))}
    from_environment = {secret["environment"] for secret in PROJECT["secrets"].values()}
    assert empty == required() | from_environment
    defaults = {found["name"]: found["rest"] for found in _VARIABLE.finditer(TEXT) if "-" in (found["operator"] or "")}
    assert optional == defaults


def test_every_file_that_is_named_exists() -> None:
    named = [volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())]
    named = [path for path in named if path.startswith(".")]
    named += [service["build"]["context"] + "/Dockerfile" for service in SERVICES.values() if "build" in service]
    assert len(named) > 5
    for path in named:
        assert (ROOT / path).is_file(), path


def test_every_secret_and_config_that_is_named_is_declared_and_used() -> None:
    for kind in ("secrets", "configs"):
        used = {
            one if isinstance(one, str) else one["source"]
            for service in SERVICES.values()
            for one in service.get(kind, ())
        }
        assert used == PROJECT[kind].keys()


def test_only_flower_is_published_and_only_on_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"flower": ["127.0.0.1:5555:5555"]}
    assert PROJECT["networks"]["engines"]["internal"] is True
    assert all(SERVICES[name]["networks"] == ["engines"] for name in ENGINES)


def test_rabbitmq_delivers_again_when_the_code_thinks_it_does() -> None:
    text = (ROOT / "deploy/rabbitmq/rabbitmq.conf").read_text()
    options = dict(line.split(" = ", 1) for line in text.splitlines() if " = " in line and not line.startswith("#"))
    assert int(options["consumer_timeout"]) == routing.CONSUMER_TIMEOUT_S * 1000
    url = urlsplit(OURS["beat"]["environment"]["STIRBEAT_BROKER_URL"])
    assert (options["default_user"], options["default_vhost"]) == (url.username, url.path.lstrip("/"))
    assert PROJECT["configs"]["rabbitmq_password"]["content"].strip() == f"default_pass = {url.password}"


def test_clickhouse_has_the_keys_of_the_bucket_and_the_user_the_processes_are() -> None:
    environment = OURS["worker-runs"]["environment"]
    s3 = ElementTree.parse(ROOT / "deploy/clickhouse/s3.xml").getroot().find("s3/exports")
    assert s3 is not None
    assert (s3.findtext("endpoint") or "").rstrip("/") == environment["STIRBEAT_S3_ENDPOINT_URL"]
    assert s3.findtext("region") == settings.Settings.model_fields["s3_region"].default
    users = ElementTree.parse(ROOT / "deploy/clickhouse/users.xml").getroot()
    url = urlsplit(environment["STIRBEAT_CLICKHOUSE_URL"])
    user = users.find(f"users/{url.username}")
    assert user is not None
    server = SERVICES["clickhouse"]["environment"]
    taken = {
        element.get("from_env"): element for root in (s3, user) for element in root.iter() if element.get("from_env")
    }
    assert taken.keys() <= server.keys()
    assert all(not element.text for element in taken.values())
    assert server["CLICKHOUSE_DB"] == url.path.lstrip("/")
    assert server["STIRBEAT_USER_PASSWORD"] == url.password
    assert users.find(f"profiles/{user.findtext('profile')}") is not None


def test_seaweedfs_knows_the_keys_and_makes_the_bucket() -> None:
    environment = OURS["worker-runs"]["environment"]
    (identity,) = json.loads(PROJECT["configs"]["seaweedfs_s3"]["content"])["identities"]
    assert identity["credentials"] == [
        {
            "accessKey": environment["STIRBEAT_S3_ACCESS_KEY_ID"],
            "secretKey": environment["STIRBEAT_S3_SECRET_ACCESS_KEY"],
        }
    ]
    assert SERVICES["bucket"]["environment"]["BUCKET"] == environment["STIRBEAT_S3_BUCKET"]
    assert SERVICES["bucket"]["image"] == SERVICES["seaweedfs"]["image"]


@pytest.mark.parametrize("script", sorted((ROOT / "deploy").rglob("*.sh")), ids=lambda path: path.name)
def test_a_script_is_a_shell_script(script: Path) -> None:
    assert script.stat().st_mode & 0o111
    subprocess.run(["sh", "-n", str(script)], check=True, timeout=10)


def test_the_image_runs_as_nobody_in_particular_and_copies_only_what_the_build_is_shown() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE)[-1] == "stirbeat"
    assert 'ENTRYPOINT ["tini", "--", "stirbeat"]' in text
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source.removeprefix("./")
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for source in line.split()[:-1]
    }
    assert copied == allowed
    assert "*" in (ROOT / ".dockerignore").read_text().splitlines()
    for path in copied - {"README.md"}:
        assert (ROOT / path).exists(), path
