"""Exchanges and queues that events travel through. Both ends declare all of it, so either may start first."""

from __future__ import annotations

import kombu

from stirbeat import client, routing

EVENTS = kombu.Exchange(routing.EVENTS_EXCHANGE, type="topic", durable=True)

# The sink judges events itself, so only one that kills it, again and again, is ever dead-lettered. The limit is far
# above the task queues': a batch comes back once for every outage of ClickHouse or RabbitMQ that outlasts its hold.
# RabbitMQ before 4.0 has no limit, 4.0 one of 20: hence said.
DELIVERY_LIMIT = 1000

WAREHOUSE_QUEUE = kombu.Queue(
    routing.WAREHOUSE_QUEUE,
    exchange=EVENTS,
    routing_key="#",
    durable=True,
    queue_arguments={
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": routing.DEAD_EXCHANGE,
        "x-delivery-limit": DELIVERY_LIMIT,
    },
)


def declare(connection: kombu.Connection) -> None:
    """Declare everything. Idempotent; raises amqp.PreconditionFailed where something else has one of the names."""
    with connection.channel() as channel:
        for queue in (client.dead_letters(), WAREHOUSE_QUEUE):
            queue(channel).declare()
