"""Celery's options and nothing else, built from the settings, the routing and the timetable."""

from stirbeat import client, routing, settings
from stirbeat.domain import catalogue
from stirbeat.schedule import timetable

_settings = settings.get()

globals().update(client.configuration(_settings.broker_url.get_secret_value(), _settings.plugins))

# Short tasks are acknowledged late, one message a slot: a killed worker's work comes again at once.
task_acks_late = True
worker_prefetch_multiplier = 1
worker_cancel_long_running_tasks_on_connection_loss = False
worker_consumer = "stirbeat.tasks.consumer:Consumer"
worker_send_task_events = True
worker_hijack_root_logger = True
worker_enable_remote_control = True
broker_heartbeat = 20

result_backend = None

# Long runs hold a lease in Postgres instead of an unacknowledged message, which RabbitMQ would deliver again after
# its consumer timeout. The timetable and the runs' own budgets bound them.
task_time_limit = routing.CONSUMER_TIMEOUT_S // 2 - 60
task_soft_time_limit = task_time_limit - 30

# Celery's own ceiling a worker; the cluster-wide truth is in the credentials' windows.
task_annotations: dict[str, dict[str, object]] = {
    key: {"time_limit": None, "soft_time_limit": None} for key in catalogue.flows(_settings.plugins)
}

beat_scheduler = "stirbeat.schedule.scheduler:Scheduler"
beat_schedule = timetable.to_celery(timetable.rows(_settings.plugins))
beat_max_loop_interval = 5
redbeat_redis_url = _settings.redis_url.get_secret_value()
redbeat_key_prefix = "stirbeat:beat:"
redbeat_lock_timeout = 30
