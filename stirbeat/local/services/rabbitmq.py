"""RabbitMQ: the broker.

The node is distributed in name only: `-sname` with `-start_epmd false -erl_epmd_port` (Erlang/OTP 23.1+) gives it a
fixed port on loopback and no epmd daemon, so two stacks never meet, nothing is left behind, and RabbitMQ skips the
extra Erlang VM it otherwise boots only to make sure that epmd runs.
RUNNING_UNDER_SYSTEMD makes Debian's start script exec the VM instead of waiting beside it in a shell.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from urllib.parse import quote

import amqp

from stirbeat.local import folder, process
from stirbeat.local.services import base

VHOST = "stirbeat"
USER = "stirbeat"
DEBIAN_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
CONFIGURATION = """\
listeners.tcp.local = 127.0.0.1:{port}
log.console = true
log.console.level = info
log.file = false
load_definitions = {definitions}
loopback_users = none
disk_free_limit.absolute = 50MB
vm_memory_high_watermark.absolute = 512MB
"""


class Rabbitmq(base.Service):
    """One RabbitMQ node with a vhost and a user of its own."""

    name = "rabbitmq"
    key = "STIRBEAT_BROKER_URL"
    port_names = ("rabbitmq", "rabbitmq_distribution")

    @property
    def node(self) -> str:
        """The Erlang node name; it is part of the data's path, so it must never change for a folder."""
        return f"stirbeat-{self.place.secrets['id'][:12]}@localhost"

    def environment(self) -> dict[str, str]:
        password = quote(self.place.secrets["rabbitmq"], safe="")
        return {self.key: f"amqp://{USER}:{password}@{base.HOST}:{self.port}/{quote(VHOST, safe='')}"}

    @property
    def address(self) -> str:
        return f"amqp://{base.HOST}:{self.port}/{VHOST}"

    def prepare(self) -> process.Process:
        room = self.place.folder
        definitions = room / "definitions.json"
        folder.write_private(definitions, json.dumps(self._definitions()))
        text = CONFIGURATION.format(port=self.port, definitions=definitions)
        folder.write_private(room / "rabbitmq.conf", text)
        folder.write_private(room / "enabled_plugins", "[].\n")
        folder.write_private(room / ".erlang.cookie", self.place.secrets["rabbitmq_cookie"])
        return self.describe([self._program()], self._environ())

    def ready(self) -> bool:
        connection = amqp.Connection(
            host=f"{base.HOST}:{self.port}",
            userid=USER,
            password=self.place.secrets["rabbitmq"],
            virtual_host=VHOST,
            connect_timeout=base.CHECK_TIMEOUT_S,
            read_timeout=base.CHECK_TIMEOUT_S,
            write_timeout=base.CHECK_TIMEOUT_S,
        )
        try:
            connection.connect()
            connection.channel().close()
        except amqp.AMQPError as error:
            raise process.NotReady(str(error)) from error
        else:
            return True
        finally:
            connection.close()

    def _program(self) -> str:
        found = base.find("rabbitmq-server", DEBIAN_SERVER.parent, service=self.name, package="rabbitmq-server")
        # Debian's /usr/sbin/rabbitmq-server is a wrapper that insists on the user `rabbitmq`; the program is behind it.
        wrapped = Path(found).resolve().name == "rabbitmq-script-wrapper" or found == "/usr/sbin/rabbitmq-server"
        return str(DEBIAN_SERVER) if wrapped and DEBIAN_SERVER.exists() else found

    def _environ(self) -> dict[str, str]:
        room = self.place.folder
        arguments = (
            f"+S 2:2 -sname {self.node} -start_epmd false"
            f" -erl_epmd_port {self.place.ports['rabbitmq_distribution']}"
            " -kernel inet_dist_use_interface {127,0,0,1}"
        )
        return self.environ(
            RUNNING_UNDER_SYSTEMD="true",
            RABBITMQ_NODENAME=self.node,
            RABBITMQ_CONF_ENV_FILE=str(room / "rabbitmq-env.conf"),
            RABBITMQ_CONFIG_FILE=str(room / "rabbitmq.conf"),
            RABBITMQ_ADVANCED_CONFIG_FILE=str(room / "advanced.config"),
            RABBITMQ_MNESIA_BASE=str(room / "mnesia"),
            RABBITMQ_LOG_BASE=str(room / "log"),
            RABBITMQ_LOGS="-",
            RABBITMQ_ENABLED_PLUGINS_FILE=str(room / "enabled_plugins"),
            RABBITMQ_GENERATED_CONFIG_DIR=str(room / "config"),
            RABBITMQ_PID_FILE=str(room / "pid"),
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=arguments,
            # For the helper VM that RabbitMQ starts each minute to make sure of epmd: without this it would start one.
            ERL_ZFLAGS="-start_epmd false",
            ERL_CRASH_DUMP=os.devnull,
        )

    def _definitions(self) -> dict[str, object]:
        return {
            "users": [
                {
                    "name": USER,
                    "password_hash": password_hash(self.place.secrets["rabbitmq"]),
                    "hashing_algorithm": "rabbit_password_hashing_sha256",
                    "tags": "administrator",
                }
            ],
            "vhosts": [{"name": VHOST}],
            "permissions": [{"user": USER, "vhost": VHOST, "configure": ".*", "write": ".*", "read": ".*"}],
        }


def password_hash(password: str) -> str:
    """A password as RabbitMQ stores it: base64(salt + sha256(salt + password)), 4 bytes of salt.

    Source: rabbitmq.com, "Credentials and Passwords", computing a password hash.
    """
    salt = os.urandom(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
