"""The catalogue of events: name, fields, when.

An event is written to the outbox in the transaction of the data it tells about, published to a topic exchange under its
name, and kept by the warehouse sink in the ClickHouse table of the same name. `event_id` is the identity: it arrives at
least once and is deduplicated by it.
"""

from __future__ import annotations

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One field of an event with its ClickHouse type.

    json: "object" or "list" travels as one and is stored as its JSON text; None travels as a plain value
    """

    name: str
    type: str
    about: str
    json: Literal["object", "list"] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """A kind of event. `fields` follow the envelope that every event has."""

    name: str
    when: str
    fields: tuple[Field, ...]

    @property
    def columns(self) -> tuple[Field, ...]:
        """The envelope and the event's own fields: the columns of its table, in order."""
        return ENVELOPE + self.fields


ENVELOPE = (
    Field("event_id", "UUID", "identity of the event: the id of the log row that was written with it"),
    Field("event_timestamp", "DateTime64(6, 'UTC')", "when the thing told about happened"),
    Field("request_id", "UUID", "the scrape request that caused it"),
    Field("platform", "LowCardinality(String)", "instagram, youtube, ..."),
)

PROFILE_LOG = Event(
    name="profile_log",
    when="a profile was answered by a provider and stored",
    fields=(
        Field(
            "profile_key",
            "String",
            "the platform's natural key: Instagram handle, YouTube channel id, shop domain",
        ),
        Field("profile_id", "Nullable(String)", "the platform's id, where the provider tells it"),
        Field("handle", "Nullable(String)", "the public name"),
        Field("source", "LowCardinality(String)", "the provider that answered"),
        Field("dimensions", "String", "what describes the profile, as a JSON object without nulls", "object"),
        Field("metrics", "String", "what is counted, as a JSON object without nulls", "object"),
    ),
)

POST_LOG = Event(
    name="post_log",
    when="a post was answered by a provider and stored",
    fields=(
        Field("post_key", "String", "the platform's natural key: Instagram shortcode, YouTube video id"),
        Field("post_id", "Nullable(String)", "the platform's id, where the provider tells it"),
        Field("profile_key", "Nullable(String)", "the profile that published it"),
        Field("published_at", "Nullable(DateTime64(6, 'UTC'))", "when it was published"),
        Field("source", "LowCardinality(String)", "the provider that answered"),
        Field("dimensions", "String", "what describes the post, as a JSON object without nulls", "object"),
        Field("metrics", "String", "what is counted, as a JSON object without nulls", "object"),
    ),
)

SCRAPE_LOG = Event(
    name="scrape_log",
    when="a scrape request reached its end",
    fields=(
        Field("flow", "LowCardinality(String)", "platform.flow"),
        Field("target", "String", "what was asked for"),
        Field("status", "LowCardinality(String)", "COMPLETE, FAILED, EXPIRED or CANCELLED"),
        Field("reason", "Nullable(String)", "why it did not complete"),
        Field("created_at", "DateTime64(6, 'UTC')", "when it was submitted"),
        Field(
            "hops", "String", "the providers tried, as a JSON list of {provider, function, kind, reason, ms}", "list"
        ),
    ),
)

CATALOGUE: dict[str, Event] = {event.name: event for event in (PROFILE_LOG, POST_LOG, SCRAPE_LOG)}
