"""Every error of stirbeat, grouped by what the caller must do.

StirbeatError
├── RetryLater            the same work can succeed later; `retry_after_s` says when, in seconds
│   ├── NoCredential      every credential is limited, cooling down or disabled for now
│   ├── RunInProgress     a run of this name is open already
│   ├── LeaseLost         another execution owns the work by now; drop this one
│   └── ServiceUnavailable an engine (Postgres, Redis, RabbitMQ, ClickHouse, S3) does not answer
├── TryNextProvider       this provider cannot answer; another one may
│   └── ProviderFailed
├── SkipRecord            one record is unusable; the others of the answer are fine
│   └── InvalidRecord
└── Fatal                 no retry will help; a person or a caller must change something
    ├── SettingsError     a setting is wrong or missing
    ├── RegistryError     two exported constants clash, or one is malformed
    ├── UnknownFlow       no such platform or flow
    ├── InvalidArgument   an argument of a request is refused
    ├── RequestRefused    no provider may try further (bad request, budget used up, expired)
    ├── VaultError        a stored secret cannot be decrypted with the configured keys
    ├── RunFailed         a long run ended badly; the message names what failed
    └── GuardRefused      a sync guard refused to put the new rows in front of readers
"""

from __future__ import annotations

from typing import ClassVar


class StirbeatError(Exception):
    """Something went wrong in stirbeat."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])


class RetryLater(StirbeatError):
    """The work cannot be done now and can be tried again later."""

    default_retry_after_s: ClassVar[float] = 10.0

    def __init__(self, message: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = self.default_retry_after_s if retry_after_s is None else retry_after_s

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), str(self), {"retry_after_s": self.retry_after_s}))


class NoCredential(RetryLater):
    """No credential is eligible now.

    `permanent`: none is configured, or a person must enable one first, so waiting does not help; try the next provider.
    """

    def __init__(self, message: str = "", *, retry_after_s: float | None = None, permanent: bool = False) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.permanent = permanent

    def __reduce__(self) -> tuple[object, ...]:
        fields = {"retry_after_s": self.retry_after_s, "permanent": self.permanent}
        return (_rebuild, (type(self), str(self), fields))


class RunInProgress(RetryLater):
    """A run of this name is open already."""


class LeaseLost(RetryLater):
    """Another execution owns this work by now."""


class ServiceUnavailable(RetryLater):
    """A service does not answer."""

    def __init__(self, message: str = "", *, service: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message or f"{service} does not answer", retry_after_s=retry_after_s)
        self.service = service

    def __reduce__(self) -> tuple[object, ...]:
        fields = {"service": self.service, "retry_after_s": self.retry_after_s}
        return (_rebuild, (type(self), str(self), fields))


class TryNextProvider(StirbeatError):
    """This provider cannot answer; another one may."""


class ProviderFailed(TryNextProvider):
    """A provider's answer was not usable."""


class SkipRecord(StirbeatError):
    """One record cannot be used; the rest of the answer can."""


class InvalidRecord(SkipRecord):
    """A record breaks the rules of its own type."""


class Fatal(StirbeatError):
    """No retry will help."""


class SettingsError(Fatal):
    """A setting is wrong or missing."""


class RegistryError(Fatal):
    """Exported constants clash or are malformed."""


class UnknownFlow(Fatal):
    """There is no such flow."""


class InvalidArgument(Fatal):
    """An argument of a request is refused."""


class RequestRefused(Fatal):
    """No provider may try this request further."""


class VaultError(Fatal):
    """A stored secret cannot be decrypted."""


class RunFailed(Fatal):
    """A long run ended badly."""


class GuardRefused(Fatal):
    """A guard refused the new rows; readers keep the old ones."""


def _rebuild(cls: type[StirbeatError], message: str, fields: dict[str, object]) -> StirbeatError:
    """Unpickle an error with keyword fields (Celery's prefork pool pickles exceptions)."""
    return cls(message, **fields)
