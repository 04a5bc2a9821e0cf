"""What the documents name exists, and what the README tells people to write works."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from stirbeat import routing, settings
from stirbeat.cli import main
from tests import environment

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "docs" / "architecture.md",
    *sorted((ROOT / "docs" / "decisions").glob("*.md")),
]
PYTHON = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
EXAMPLES = {
    found[1]: block for block in PYTHON if (found := re.match(r"# acme/(\S+\.py)\n", block))
}  # path in the plugin -> code

# Made when the thing runs, or an example's.
NOT_IN_THE_REPOSITORY = re.compile(r"\.stirbeat|\.venv|\.env$|acme|.*tiktok|demo\.json")
PATH = re.compile(r"[\w.-]+(?:/[\w.-]+)*/?")
SUFFIXES = {".py", ".sql", ".lua", ".md", ".yml", ".cfg", ".sh", ".env", ".toml", ".json", ".ini"}


def code(document: Path) -> list[str]:
    """Everything in a document that is set as code and is no Python or diagram: spans, and indented lines."""
    text = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", text) + re.findall(r"^ {4}(\S.*)$", text, re.MULTILINE)


def paths(document: Path) -> Iterator[str]:
    """What is written as a path: it has a known suffix, or begins with one of our folders and a slash."""
    folders = {one.name for one in ROOT.iterdir() if one.is_dir()}
    for span in code(document):
        whole = PATH.fullmatch(span)
        first, slash, _ = span.partition("/")
        if (
            whole
            and not NOT_IN_THE_REPOSITORY.match(span)
            and (Path(span).suffix in SUFFIXES or (slash and first in folders))
        ):
            yield span


def commands(document: Path) -> Iterator[list[str]]:
    """The arguments of every `stirbeat ...` that a document shows."""
    for span in code(document):
        for found in re.finditer(r"(?:^|[\s(/])stirbeat ((?:[a-z]|--)[^`;)#]*)", span):
            yield found[1].split()


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """The README's examples as the package they say they are."""
    for name, text in EXAMPLES.items():
        file = tmp_path / "acme" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        for folder in file.relative_to(tmp_path).parents[:-1]:
            (tmp_path / folder / "__init__.py").touch()
    return tmp_path


def run(source: str, given: dict[str, str]) -> str:
    """Run Python in a process of its own, which sees no other setting than these; what it printed last."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("STIRBEAT_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(source)],
        env={**outside, **given},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: one.name)
def test_every_path_that_is_named_exists(document: Path) -> None:
    missing = [path for path in paths(document) if not _exists(path)]

    assert missing == []


def _exists(path: str) -> bool:
    """From the root, or (short, within a sentence about a room) below the package, the tests or docs."""
    return any((base / path).exists() for base in (ROOT, ROOT / "stirbeat", ROOT / "tests"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: one.name)
def test_every_make_target_that_is_named_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {found[1] for span in code(document) if (found := re.match(r"make ([a-z]+)", span))}

    assert named <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: one.name)
def test_every_command_that_is_named_would_be_understood(document: Path) -> None:
    for words in commands(document):
        understand(words)


def understand(words: list[str]) -> None:
    """Parse the words as the command line would, down to the last sub-command; nothing is run."""
    rest = list(words)
    found: click.Command | None = main.cli
    while isinstance(found, click.Group) and rest:
        name = rest.pop(0)
        found = found.get_command(click.Context(found), name)
        assert found is not None, f"stirbeat {' '.join(words)}: there is no {name}"
    if rest and found is not None:  # without arguments it is only named, as in "see `stirbeat sync`"
        with found.make_context(words[0], rest):
            pass


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: one.name)
def test_every_setting_that_is_named_exists(document: Path) -> None:
    known = {settings.PREFIX + name.upper() for name in settings.Settings.model_fields} | settings.LAUNCHER_VARIABLES

    assert set(re.findall(r"\bSTIRBEAT_[A-Z0-9_]*[A-Z0-9]", document.read_text())) <= known


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: one.name)
def test_no_code_is_broken_by_the_end_of_a_line(document: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)

    assert [line for line in text.splitlines() if line.count("`") % 2] == []


def test_the_documents_link_to_what_exists() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
            assert target.startswith("https://") or (document.parent / target).exists(), (document.name, target)


def test_the_readme_names_the_debian_packages_that_the_set_up_installs() -> None:
    line = next(span for span in code(ROOT / "README.md") if span.startswith("apt-get install"))
    bootstrap = (ROOT / "scripts" / "bootstrap.sh").read_text()

    wanted = set(re.findall(r"\|\| echo (\S+)", bootstrap))
    assert wanted
    assert wanted <= set(line.split())


def test_the_readme_scales_a_service_that_docker_compose_has() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]

    assert set(re.findall(r"--scale (\S+)=", README)) <= set(services)


def test_ci_calls_the_readmes_test_command() -> None:
    check = re.search(r"^check:\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert check is not None
    assert "test" in check[1].splitlines()[-1].split()
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "make check"
    assert "`make test`" in README


def test_every_python_example_compiles_and_there_is_one_for_each_kind() -> None:
    for block in PYTHON:
        compile(block, "README.md", "exec")

    assert set(EXAMPLES) == {"providers/peek.py", "platforms/tiktok.py", "sync/jobs/top_creators.py", "schedule.py"}


def test_the_examples_are_found_as_a_plugin_and_everything_the_readme_promises_follows(plugin: Path) -> None:
    source = """
    import json
    from stirbeat import app, client, routing
    from stirbeat.domain import catalogue
    from stirbeat.schedule import timetable
    from stirbeat.sync import job

    plugins = ("acme",)
    flows = catalogue.flows(plugins)
    print(json.dumps({
        "providers": list(catalogue.providers(plugins)),
        "sources": {key: [source.provider for source in one.sources] for key, one in flows.items()},
        "jobs": list(job.collect(plugins)),
        "rows": {row.name: [row.task, dict(row.kwargs)] for row in timetable.rows(plugins)},
        "tasks": list(app.app.tasks),
        "queues": [queue.name for queue in client.queues(flows)],
        "groups": [group.name for group in routing.groups(flows)],
    }))
    """
    told = json.loads(run(source, {**environment.NOWHERE, "STIRBEAT_PLUGINS": "acme", "PYTHONPATH": str(plugin)}))

    assert "peek" in told["providers"]
    assert told["sources"]["tiktok.refresh_profile"] == ["peek"]
    assert "tiktok.refresh_profile" in told["tasks"]
    assert {"tiktok_refresh_profile", "tiktok_refresh_profile_high"} <= set(told["queues"])
    assert "scrape_tiktok" in told["groups"]
    task, arguments = told["rows"]["sync_top_creators"]
    assert task in told["tasks"]
    assert arguments["job"] in told["jobs"]


def test_the_examples_ask_read_and_judge_answers(plugin: Path) -> None:
    source = """
    import json
    from stirbeat import errors
    from stirbeat.domain import catalogue, exchange, flow

    one = catalogue.find_flow("tiktok.refresh_profile", ("acme",))
    provider = catalogue.providers(("acme",))["peek"]
    [step] = one.sources[0].steps
    context = flow.Context(one.accept({"handle": "khaby.lame"}))
    call = provider.authorise(step.call(context), {"key": "k"})
    body = json.dumps({"handle": "khaby.lame", "followers": 7}).encode()
    [profile] = step.parse(exchange.Answer(200, {}, body), context).records
    refused = []
    for body in (b"[]", b"{}", b"no json", b'{"handle": "another"}'):
        try:
            step.parse(exchange.Answer(200, {}, body), context)
        except errors.ProviderFailed:
            refused.append(body.decode())
    statuses = (200, 401, 404, 429, 500)
    judged = {status: provider.classify(exchange.Answer(status, {"retry-after": "9"}, b"")) for status in statuses}
    print(json.dumps({
        "headers": dict(call.headers),
        "key": profile.key,
        "metrics": dict(profile.metrics),
        "refused": len(refused),
        "kinds": {status: [str(seen.kind), str(seen.charge_to), seen.retry_after_s] for status, seen in judged.items()},
    }))
    """
    told = json.loads(run(source, {"PYTHONPATH": str(plugin)}))

    assert told["headers"] == {"x-key": "k"}
    assert (told["key"], told["metrics"]) == ("khaby.lame", {"followers": 7})
    assert told["refused"] == 4
    assert told["kinds"] == {
        "200": ["ok", "none", None],
        "401": ["token_invalid", "credential", None],
        "404": ["not_found", "none", None],
        "429": ["rate_limited", "credential", 9.0],
        "500": ["upstream", "none", None],
    }


def test_the_readmes_ways_to_ask_queue_a_message_each() -> None:
    """Against a broker in memory: that RabbitMQ takes them is the acceptance tests' part."""
    [block] = [block for block in PYTHON if "client.submit" in block]
    counted = """
    with app.connection() as connection:
        print([
            connection.SimpleQueue(name).qsize()
            for name in ("instagram_refresh_profile", "instagram_refresh_posts_high")
        ])
    """
    source = re.sub(r'"amqp://[^"]*"', '"memory://"', block) + textwrap.dedent(counted)

    assert json.loads(run(source, {"STIRBEAT_BROKER_URL": "memory://"})) == [1, 1]


def test_the_queue_configuration_that_the_readme_names_covers_every_queue() -> None:
    assert "client.configuration(broker_url)" in README
    assert routing.scrape_queue("tiktok.refresh_profile", high=True) in README
