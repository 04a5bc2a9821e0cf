"""What other services import: queue declarations, a configured Celery app, and `submit()`.

It needs neither a database nor the ORM: the request is validated here, its message goes to the flow's queue, and the
ledger row is written when a worker picks it up. A producer must load this configuration: without the queue
declarations Celery would not use RabbitMQ's delayed delivery and would declare queues of its own.

    from stirbeat import client
    app = client.connect("amqp://user:password@broker/stirbeat")
    request_id = client.submit(app, "instagram.refresh_profile", handle="natgeo")
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import celery
import kombu

from stirbeat import errors, routing, settings
from stirbeat.domain import catalogue, flow, requests

# Reserved keyword arguments of a flow's message: which message of the request it is, what was tried before, and
# whether an execution of this very message was interrupted.
TURN = "_turn"
HOPS = "_hops"
RESUMED = "_resumed"
RESERVED = frozenset({TURN, HOPS, RESUMED})

# The name of the app that Celery makes where a process has none.
_CELERYS_DEFAULT = "default"

# Publishing waits for the broker's confirmation; a broker that does not answer is given up after about this long.
PUBLISH_RETRIES = {"max_retries": 3, "interval_start": 0.1, "interval_step": 0.4, "interval_max": 1.0}
CONFIRM_TIMEOUT_S = 10


def exchange() -> kombu.Exchange:
    """The one exchange of tasks. A topic exchange: delayed delivery does not work with a direct one."""
    return kombu.Exchange(routing.EXCHANGE, type="topic", durable=True)


def dead_letters() -> kombu.Queue:
    """Where messages go that no worker can take."""
    dead = kombu.Exchange(routing.DEAD_EXCHANGE, type="fanout", durable=True)
    return kombu.Queue(routing.DEAD_QUEUE, dead, queue_arguments={"x-queue-type": "quorum"}, durable=True)


def queues(flow_keys: Iterable[str]) -> tuple[kombu.Queue, ...]:
    """Every work queue, as workers and producers must declare them."""
    arguments = {
        "x-queue-type": "quorum",
        "x-delivery-limit": routing.DELIVERY_LIMIT,
        "x-dead-letter-exchange": routing.DEAD_EXCHANGE,
    }
    return tuple(
        kombu.Queue(name, exchange(), routing_key=name, queue_arguments=arguments, durable=True)
        for name in routing.work_queues(flow_keys)
    )


def configuration(broker_url: str, plugins: tuple[str, ...] = ()) -> dict[str, Any]:
    """The part of Celery's configuration that producers and workers must share."""
    keys = tuple(catalogue.flows(plugins))
    return {
        "broker_url": broker_url,
        "broker_connection_retry_on_startup": True,
        "broker_transport_options": {"confirm_publish": True, "confirm_timeout": CONFIRM_TIMEOUT_S},
        "broker_native_delayed_delivery_queue_type": "quorum",
        "task_queues": queues(keys),
        "task_create_missing_queues": False,
        "task_default_queue": routing.MAINTENANCE_QUEUE,
        "task_default_exchange": routing.EXCHANGE,
        "task_default_exchange_type": "topic",
        "task_default_routing_key": routing.MAINTENANCE_QUEUE,
        "task_routes": {
            **{key: {"queue": routing.scrape_queue(key)} for key in keys},
            "sync.*": {"queue": routing.SYNC_QUEUE},
            "transform.*": {"queue": routing.TRANSFORM_QUEUE},
            "maintenance.*": {"queue": routing.MAINTENANCE_QUEUE},
        },
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "task_send_sent_event": True,
        "task_publish_retry_policy": PUBLISH_RETRIES,
        "enable_utc": True,
        "timezone": "UTC",
    }


def connect(broker_url: str, plugins: tuple[str, ...] = ()) -> celery.Celery:
    """A Celery app that can send to stirbeat's queues. The process's current app stays what it is."""
    app = celery.Celery("stirbeat-client", set_as_current=False)
    app.config_from_object(configuration(broker_url, plugins))
    return app


@functools.cache
def from_environment() -> celery.Celery:
    """The app of a process that has none of ours: connected to STIRBEAT_BROKER_URL. Raises errors.SettingsError."""
    sending = settings.producer()
    return connect(sending.broker_url.get_secret_value(), sending.plugins)


def is_configured(app: celery.Celery) -> bool:
    """Whether an app sends to stirbeat's queues, and is not another service's own or Celery's default one."""
    if app.main == _CELERYS_DEFAULT:
        return False  # without asking: its configuration would be whatever module named celeryconfig is importable
    return bool(app.conf.task_default_exchange == routing.EXCHANGE)


def submit(
    app: celery.Celery, flow_key: str, *, plugins: tuple[str, ...] = (), high: bool = False, **arguments: object
) -> uuid.UUID:
    """Validate a request and queue its message; the request's id.

    high: a customer waits for it: use the flow's `_high` queue.

    Raises errors.UnknownFlow, errors.InvalidArgument (nothing is queued), errors.ServiceUnavailable.
    """
    wanted = catalogue.find_flow(flow_key, plugins)
    request = request_for(wanted, arguments, high=high)
    send(app, request)
    return request.id


def request_for(
    wanted: flow.Flow, arguments: Mapping[str, object], *, high: bool = False, request_id: uuid.UUID | None = None
) -> requests.Request:
    """The validated request. Raises errors.InvalidArgument."""
    accepted = wanted.accept(arguments)
    return requests.Request(
        id=request_id or uuid.uuid4(),
        flow=wanted.key,
        platform=wanted.platform,
        target=accepted[wanted.target],
        arguments=accepted,
        high=high,
    )


def send(app: celery.Celery, request: requests.Request, *, producer: kombu.Producer | None = None) -> None:
    """Queue a request's message. Raises errors.ServiceUnavailable when the broker does not confirm it."""
    try:
        app.send_task(
            request.flow,
            kwargs=message(request.arguments, request.turn),
            task_id=str(request.id),
            queue=routing.scrape_queue(request.flow, high=request.high),
            producer=producer,
        )
    except (kombu.exceptions.OperationalError, OSError) as error:
        raise errors.ServiceUnavailable("RabbitMQ did not take the message", service="rabbitmq") from error


def message(arguments: Mapping[str, str], turn: int = 0, trail: Sequence[str] = ()) -> dict[str, Any]:
    """The keyword arguments of a flow's message. `trail` tells people which hops came before."""
    given: dict[str, Any] = dict(arguments)
    if turn:
        given[TURN] = turn
    if trail:
        given[HOPS] = list(trail)
    return given
