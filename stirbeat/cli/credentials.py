"""`stirbeat credentials`: who may call a provider. Secrets go in and never come out."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

import click
import rich.console
import rich.table
import rich.text

from stirbeat import errors, settings
from stirbeat.credentials import pool, redis_client, report, table, vault
from stirbeat.domain import catalogue, provider
from stirbeat.store import engine

json_option = click.option("--json", "as_json", is_flag=True, help="For machines.")

MALFORMED = 'standard input must hold the secret as a JSON object of texts, {"key": "..."}, or as lines of key=value'


def _pool(configured: settings.Settings) -> pool.Pool:
    return pool.Pool(
        engine.create(configured, pool_size=1), redis_client.connect(configured), vault.Vault(configured.secret_keys)
    )


def _provider(configured: settings.Settings, name: str) -> provider.Provider:
    known = catalogue.providers(configured.plugins)
    if name not in known:
        raise errors.InvalidArgument(f"there is no provider {name[:80]!r}; there are {', '.join(sorted(known))}")
    return known[name]


@click.group()
def GROUP() -> None:
    """Add, list, enable and disable credentials; see how full their limits are."""


@GROUP.command()
@click.argument("provider_name", metavar="PROVIDER")
@click.argument("name")
@click.option("--app", help="App it belongs to: its credentials share the app's limits.")
@click.option("--weight", type=int, default=1, show_default=True, help="Share of the calls, against the others'.")
@click.option("--account", multiple=True, metavar="KEY=VALUE", help="Public attribute, like id=1784; may be repeated.")
@click.option("--replace", is_flag=True, help="Give an existing credential these values, and enable it.")
def add(provider_name: str, name: str, app: str | None, weight: int, account: tuple[str, ...], replace: bool) -> None:
    """Store a credential. The secret is asked for, or read from standard input: JSON, or lines of key=value.

    \b
    stirbeat credentials add lama main < secret.json
    """
    configured = settings.get()
    declared = _provider(configured, provider_name)
    public = _account(account)
    secret = _asked(declared) if sys.stdin.isatty() else _read(sys.stdin.buffer.read(vault.MOST_BYTES + 1))
    _pool(configured).add(declared, name, secret, public, app, weight, replace=replace)
    click.echo(f"{provider_name}/{name} is stored and enabled")


@GROUP.command(name="list")
@click.option("--provider", "provider_name", help="Only this provider's.")
@json_option
def list_(provider_name: str | None, as_json: bool) -> None:
    """Show every credential and its state: ready, cooling, disabled, or unreadable with the configured keys."""
    found = [one for one in _pool(settings.get()).list() if provider_name in {None, one.provider}]
    if as_json:
        click.echo(json.dumps([_listed_json(one) for one in found], indent=1))
        return
    _print(_listed_table(found), "no credentials" if not found else "")


@GROUP.command()
@click.argument("provider_name", metavar="PROVIDER")
@click.argument("name")
def enable(provider_name: str, name: str) -> None:
    """Enable a credential, and end its backoff."""
    _pool(settings.get()).enable(provider_name, name)
    click.echo(f"{provider_name}/{name} is enabled")


@GROUP.command()
@click.argument("provider_name", metavar="PROVIDER")
@click.argument("name")
@click.option("--reason", default="disabled by hand", show_default=True, help="Shown to whoever asks why.")
def disable(provider_name: str, name: str, reason: str) -> None:
    """Disable a credential until it is enabled again."""
    _pool(settings.get()).disable(provider_name, name, reason)
    click.echo(f"{provider_name}/{name} is disabled")


@GROUP.command()
def rotate() -> None:
    """Encrypt every secret with the newest key of STIRBEAT_SECRET_KEYS; then the older keys can go."""
    click.echo(f"{_pool(settings.get()).rotate()} secrets were encrypted anew")


@GROUP.command()
@click.option("--provider", "provider_name", help="Only this provider's.")
@json_option
def health(provider_name: str | None, as_json: bool) -> None:
    """Show the state of credentials, the wider cooldowns, and the calls spent against every limit.

    Exit status 1 if a provider has credentials and none of them is ready.
    """
    configured = settings.get()
    if provider_name is not None:
        _provider(configured, provider_name)
    leases = _pool(configured)
    listed = [one for one in leases.list() if provider_name in {None, one.provider}]
    cooldowns = [one for one in leases.cooldowns() if one.cooling_s > 0]
    owners = {one.provider for one in listed}
    windows: list[report.Usage] = []
    for declared in catalogue.providers(configured.plugins).values():
        if declared.name in owners:
            windows += leases.usage(declared, _functions(configured, declared.name))
    if as_json:
        told = {
            "credentials": [_listed_json(one) for one in listed],
            "cooldowns": [dataclasses.asdict(one) for one in cooldowns],
            "windows": [dataclasses.asdict(one) for one in windows],
        }
        click.echo(json.dumps(told, indent=1))
    else:
        _print(_listed_table(listed), "no credentials" if not listed else "")
        if cooldowns:
            _print(_cooldown_table(cooldowns))
        if windows:
            _print(_window_table(windows))
    if owners != {one.provider for one in listed if one.state == "ready"}:
        raise SystemExit(1)


def _functions(configured: settings.Settings, provider_name: str) -> set[str]:
    """The functions that our flows call of a provider."""
    sources = [source for flow in catalogue.flows(configured.plugins).values() for source in flow.sources]
    return {step.function for source in sources if source.provider == provider_name for step in source.steps}


def _account(pairs: tuple[str, ...]) -> dict[str, str]:
    account: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key or not value:
            raise errors.InvalidArgument(f"--account takes KEY=VALUE, like id=1784, not {pair[:80]!r}")
        account[key] = value
    return account


def _asked(declared: provider.Provider) -> dict[str, str]:
    """Ask a person for each field; nothing typed is shown."""
    return {field: click.prompt(f"{declared.name} {field}", hide_input=True) for field in declared.secret_fields}


def _read(given: bytes) -> dict[str, str]:
    """The secret in what came on standard input. No message repeats any of it."""
    if len(given) > vault.MOST_BYTES:
        raise errors.InvalidArgument(f"the secret on standard input is longer than {vault.MOST_BYTES} bytes")
    try:
        text = given.decode().strip()
        if text.startswith("{"):
            found = json.loads(text)
        else:
            pairs = [line.partition("=") for line in text.splitlines() if line.strip()]
            found = {key.strip(): value.strip() for key, equals, value in pairs if equals}
            if len(found) != len(pairs):
                found = None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise errors.InvalidArgument(MALFORMED)
    return found


def _listed_json(one: report.Listed) -> dict[str, Any]:
    return dataclasses.asdict(one) | {"id": str(one.id), "state": one.state}


def _listed_table(found: list[report.Listed]) -> rich.table.Table:
    grid = _grid("provider", "name", "app", "weight", "state", "for", "failures", "reason")
    for one in found:
        left = "" if one.cooling_s is None else _duration(one.cooling_s)
        _row(grid, one.provider, one.name, one.app, one.weight, one.state, left, one.failures or "", one.reason)
    return grid


def _cooldown_table(found: list[table.Cooldown]) -> rich.table.Table:
    grid = _grid("cooling down", "for", "failures", "reason")
    for one in found:
        _row(grid, one.subject, _duration(one.cooling_s), one.failures, one.reason)
    return grid


def _window_table(found: list[report.Usage]) -> rich.table.Table:
    grid = _grid("provider", "limit of", "function", "used", "of", "every", "next frees in")
    for one in found:
        whose = one.credential or (f"app {one.app}" if one.app else str(one.scope))
        frees = _duration(one.resets_in_s) if one.used else ""
        _row(grid, one.provider, whose, one.function, one.used, one.limit, _duration(one.period_s), frees)
    return grid


def _grid(*headings: str) -> rich.table.Table:
    grid = rich.table.Table(box=None, pad_edge=False)
    for heading in headings:
        grid.add_column(heading, overflow="fold")
    return grid


def _row(grid: rich.table.Table, *values: object) -> None:
    """Values are shown as they are: names may hold what rich takes for markup."""
    grid.add_row(*(rich.text.Text("" if value is None else str(value)) for value in values))


def _print(grid: rich.table.Table, instead: str = "") -> None:
    console = rich.console.Console()
    console.print(instead or grid)


def _duration(seconds: float) -> str:
    """Seconds for people: 59s, 12m, 3h, 2d; rounded up, so that nobody comes too early."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= 2 * size or (seconds == size):
            return f"{-(-seconds // size):.0f}{unit}"
    return f"{-(-seconds // 1):.0f}s"
