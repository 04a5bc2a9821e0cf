"""Celery's options and nothing else, built from the settings, the routing and the timetable.

A process that names only its broker (STIRBEAT_BROKER_URL) is a producer and gets the part that producers share.
"""

from stirbeat import client, routing, settings
from stirbeat.domain import catalogue
from stirbeat.schedule import timetable

_sending = settings.producer()

globals().update(client.configuration(_sending.broker_url.get_secret_value(), _sending.plugins))

# Short tasks are acknowledged late, one message a slot: a killed worker's work comes again at once.
task_acks_late = True
worker_prefetch_multiplier = 1
worker_cancel_long_running_tasks_on_connection_loss = False
worker_consumer = "stirbeat.tasks.consumer:Consumer"
worker_send_task_events = True
broker_heartbeat = 20

# Short tasks end well before RabbitMQ would deliver their message again. Flows run on threads, where Celery's limits do
# nothing: their deadlines are the HTTP client's. Long runs are acknowledged early and have limits of their own.
task_time_limit = routing.CONSUMER_TIMEOUT_S // 2 - 60
task_soft_time_limit = task_time_limit - 30
task_annotations: dict[str, dict[str, object]] = {
    key: {"time_limit": None, "soft_time_limit": None} for key in catalogue.flows(_sending.plugins)
}

if not settings.sends_only():
    beat_scheduler = "stirbeat.schedule.scheduler:Scheduler"
    beat_schedule = timetable.to_celery(timetable.rows(_sending.plugins))
    beat_max_loop_interval = 5
    redbeat_key_prefix = "stirbeat:beat:"
    redbeat_lock_timeout = 30
    redbeat_redis_options = {"socket_timeout": 10, "socket_connect_timeout": 10, "health_check_interval": 30}
