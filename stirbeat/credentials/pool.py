"""The pool: leases credentials, and learns from what came of it.

`lease` is one round trip to Redis and none to Postgres (a snapshot is read every two seconds). `settle` writes only
when there is something to remember: to Postgres first, which keeps it; then to Redis, which tells all processes.
Make one pool a process (not before a fork) and share it among the threads.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterable, Mapping

import redis as redis_py
import sqlalchemy as sa

from stirbeat import errors
from stirbeat.credentials import backoff, checks, choose, limiter, report, snapshot, subjects, table, vault, windows
from stirbeat.credentials.lease import Lease as Lease
from stirbeat.domain import outcome as outcomes
from stirbeat.domain import provider as providers

_LOG = logging.getLogger(__name__)

# A disabled credential is kept out of the other processes by Redis until their snapshots know.
BRIDGE_S = 5 * snapshot.FRESH_S
SHORTEST_WAIT_S = 0.001

# These are no fault of the credential, whatever the classification says: our bug, or the caller's.
_BLAMELESS = frozenset({outcomes.Kind.SCHEMA, outcomes.Kind.BAD_REQUEST})


class Pool:
    """Credentials of all providers, shared by all processes."""

    def __init__(self, engine: sa.Engine, redis: redis_py.Redis, vault: vault.Vault) -> None:
        """Touches neither Postgres nor Redis yet."""
        self._table = table.Table(engine)
        self._limiter = limiter.Limiter(redis)
        self._vault = vault
        self._snapshots = snapshot.Snapshots(self._table, vault)
        self._plans: dict[tuple[str, str], choose.Plan] = {}

    def lease(self, provider: providers.Provider, function: str, target: str) -> Lease:
        """A credential drawn by weight among those that may call now, with one token taken from every window.

        target: what the request is about, any text
        Raises errors.NoCredential: `retry_after_s` until the first one is free, or `permanent` where only a person can
        help; errors.ServiceUnavailable when Redis does not answer, or Postgres has not for a minute.
        A refusal spends nothing.
        """
        plan = self._plan(provider, function, self._snapshots.current())
        if not plan.candidates:
            plan = self._plan(provider, function, self._snapshots.newer(plan.seen))
        if not plan.candidates:
            raise errors.NoCredential(choose.nobody(provider, plan), permanent=True)
        shared = (*plan.shared, *windows.targeted(provider, function, target))
        cooling = plan.cooling_s(time.monotonic())
        order = plan.shuffled([index for index, wait_s in enumerate(cooling) if wait_s <= 0])
        refusal = choose.Refusal(wait_s for wait_s in cooling if wait_s > 0)
        start, size = 0, limiter.FIRST_CANDIDATES
        while start < len(order):
            batch = order[start : start + size]
            start, size = start + size, limiter.MORE_CANDIDATES
            decision = self._limiter.take(
                plan.cooldowns, plan.provider_subject, shared, plan.own, [plan.candidates[index] for index in batch]
            )
            if decision.chosen is not None:
                return self._lease(plan.rows[batch[decision.chosen]], function)
            refusal.add(decision, (*shared, *plan.own))
        raise errors.NoCredential(
            refusal.sentence(provider, function), retry_after_s=max(refusal.wait_s, SHORTEST_WAIT_S)
        )

    def settle(self, lease: Lease, outcome: outcomes.Outcome, usage: float | None = None) -> None:
        """Remember what a call said about its credential.

        A success forgets earlier failures. A refused secret disables the credential until a person enables it. A charge
        cools its subject down: for the server's hint, else 10, 30, 60 minutes by failures in a row. From a usage
        (share of the limit, as the vendor tells it) of 0.8 on, the credential rests a few seconds.

        Raises errors.ServiceUnavailable if Postgres does not take it (Redis holds it then, if that answers). If only
        Redis does not answer, nothing is raised: the cooldown is stored, and no lease is given without Redis anyway.
        """
        if outcome.kind not in _BLAMELESS:
            if outcome.disable_credential or outcome.kind is outcomes.Kind.TOKEN_INVALID:
                self._reject(lease, outcome)
            elif outcome.charge_to is not outcomes.ChargeTo.NONE:
                self._charge(lease, outcome)
            elif outcome.ok:
                self._succeeded(lease)
        rest_s = backoff.rest_s(usage)
        if rest_s > 0:
            self._cool(lease.provider, subjects.credential(str(lease.credential_id)), rest_s)

    def add(
        self,
        provider: providers.Provider | str,
        name: str,
        secret: Mapping[str, str],
        account: Mapping[str, str] | None = None,
        app: str | None = None,
        weight: int = 1,
        *,
        replace: bool = False,
    ) -> uuid.UUID:
        """Store a credential, its secret encrypted; returns its id. With `replace` an existing one of that name gets
        the new values, is enabled, and its failures are forgotten.

        Raises errors.InvalidArgument: a malformed name, weight or account, a field that the provider (where it is given
        as a whole) needs and that is missing, or a name that is taken.
        """
        public = dict(account or {})
        checks.accept(provider, name, secret, public, app, weight)
        owner = provider if isinstance(provider, str) else provider.name
        sealed = self._vault.encrypt(secret)
        added = self._table.add(owner, name, sealed, public, app, weight, replace=replace)
        if added is None:
            raise errors.InvalidArgument(
                f"there is a credential {owner}/{name} already; replace it or name this one otherwise"
            )
        self._snapshots.changed()
        if replace:
            self._limiter.cool(owner, [subjects.credential(str(added))], 0)
        return added

    def enable(self, provider: str, name: str) -> None:
        """Enable a credential and end its backoff. Raises errors.InvalidArgument if there is none of that name."""
        identity = _found(self._table.enable(provider, name), provider, name)
        self._snapshots.changed()
        self._limiter.cool(provider, [subjects.credential(str(identity))], 0)

    def disable(self, provider: str, name: str, reason: str) -> None:
        """Disable a credential until it is enabled. Raises errors.InvalidArgument if there is none of that name."""
        identity = _found(self._table.disable(provider, name, reason), provider, name)
        self._snapshots.changed()
        self._cool(provider, subjects.credential(str(identity)), BRIDGE_S)

    def rotate(self) -> int:
        """Encrypt every secret with the newest key; returns how many were under an older one.

        Raises errors.VaultError at the first one that no key opens; those before it are done.
        """
        rows, _cooldowns = self._table.read()
        rotated = 0
        for row in rows:
            fresh = self._vault.rotate(row.sealed)
            if fresh != row.sealed:
                self._table.reseal(row.id, row.sealed, fresh)
                rotated += 1
        self._snapshots.changed()
        return rotated

    def list(self) -> tuple[report.Listed, ...]:
        """Every credential, without its secret, straight from Postgres."""
        rows, _cooldowns = self._table.read()
        return tuple(report.listed(row, self._vault) for row in rows)

    def cooldowns(self) -> tuple[table.Cooldown, ...]:
        """The backoffs of apps, providers and single functions, straight from Postgres."""
        return self._table.read()[1]

    def usage(self, provider: providers.Provider, functions: Iterable[str] = ()) -> tuple[report.Usage, ...]:
        """How full the windows of a provider are, a line for each window that is not a target's.

        functions: names to report beside those that the limits name themselves, for limits that are counted a function
        """
        rows, _cooldowns = self._table.read()
        mine = [row for row in rows if row.provider == provider.name]
        asked = report.asked(provider, mine, functions)
        return report.usage(asked, self._limiter.peek([one.window for one in asked]))

    def _plan(self, provider: providers.Provider, function: str, seen: snapshot.Snapshot) -> choose.Plan:
        known = self._plans.get((provider.name, function))
        if known is None or known.seen is not seen or known.declared is not provider:
            known = self._plans[provider.name, function] = choose.plan(provider, function, seen)
        return known

    def _lease(self, row: table.Row, function: str) -> Lease:
        return Lease(row.id, row.name, row.provider, function, row.app, row.account, row.sealed, self._vault)

    def _succeeded(self, lease: Lease) -> None:
        last = self._snapshots.last
        wider = [
            subjects.credential_function(str(lease.credential_id), lease.function),
            subjects.provider(lease.provider),
            *([] if lease.app is None else [subjects.app(lease.provider, lease.app)]),
        ]
        if last is not None:
            row = last.by_id.get(lease.credential_id)
            wider = [subject for subject in wider if subject in last.cooldowns]
            if not wider and (row is None or row.failures == 0):
                return
        self._table.reset(lease.credential_id, wider)
        self._snapshots.changed()

    def _reject(self, lease: Lease, outcome: outcomes.Outcome) -> None:
        reason = outcome.reason or str(outcome.kind)
        if self._table.reject_secret(lease.credential_id, lease.sealed, reason):
            _LOG.warning("credential %s/%s is disabled: %s", lease.provider, lease.name, table.readable(reason))
            self._cool(lease.provider, subjects.credential(str(lease.credential_id)), BRIDGE_S)
        self._snapshots.changed()

    def _charge(self, lease: Lease, outcome: outcomes.Outcome) -> None:
        hint_s = backoff.hint_s(outcome.retry_after_s)
        reason = outcome.reason or str(outcome.kind)
        subject = _charged(lease, outcome.charge_to)
        seconds: float | None = None
        try:
            if subject is None:
                seconds = self._table.charge_credential(lease.credential_id, hint_s, reason)
            else:
                seconds = self._table.charge_subject(subject, hint_s, reason)
        except errors.ServiceUnavailable:
            # Not durable, and the caller is told; but nobody should go on calling meanwhile.
            seconds = backoff.STEPS_S[0] if hint_s is None else hint_s
            raise
        finally:
            self._snapshots.changed()
            if seconds is not None:
                self._cool(lease.provider, subject or subjects.credential(str(lease.credential_id)), seconds)

    def _cool(self, provider: str, subject: str, seconds: float) -> None:
        """Tell all processes at once. What matters is in Postgres already, so a Redis that is down is only logged."""
        try:
            self._limiter.cool(provider, [subject], seconds)
        except errors.ServiceUnavailable as error:
            _LOG.warning("%s: the cooldown of %s is told to nobody: %s", provider, subject, error)


def _charged(lease: Lease, charge_to: outcomes.ChargeTo) -> str | None:
    """The subject of the cooldown; None for the credential itself."""
    if charge_to is outcomes.ChargeTo.APP and lease.app is not None:
        return subjects.app(lease.provider, lease.app)
    if charge_to is outcomes.ChargeTo.CREDENTIAL_FUNCTION:
        return subjects.credential_function(str(lease.credential_id), lease.function)
    if charge_to is outcomes.ChargeTo.PROVIDER:
        return subjects.provider(lease.provider)
    return None


def _found(identity: uuid.UUID | None, provider: str, name: str) -> uuid.UUID:
    if identity is None:
        raise errors.InvalidArgument(f"there is no credential {provider}/{name} (see `stirbeat credentials list`)")
    return identity
