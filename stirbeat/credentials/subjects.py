"""Names of what can cool down, the same in Postgres (`cooldown.subject`) and in Redis."""

from __future__ import annotations


def credential(identity: str) -> str:
    """A whole credential. In Postgres it is the credential's own row instead."""
    return f"credential:{identity}"


def app(provider: str, name: str) -> str:
    """All credentials of one app."""
    return f"app:{provider}:{name}"


def credential_function(identity: str, function: str) -> str:
    """A credential for one function of its provider."""
    return f"credential+function:{identity}:{function}"


def provider(name: str) -> str:
    """All credentials of a provider."""
    return f"provider:{name}"
