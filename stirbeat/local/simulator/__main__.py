"""`python -m stirbeat.local.simulator --host HOST --port PORT --folder DIR` runs until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import pathlib
import signal
import sys

from stirbeat.local.simulator import invention, server


def _moment(text: str) -> int:
    moment = datetime.datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp())


def _arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m stirbeat.local.simulator", description="The provider simulator.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    parser.add_argument("--folder", type=pathlib.Path, help="folder to remember known handles in")
    parser.add_argument(
        "--epoch", type=_moment, default=invention.EPOCH, help="ISO time before which all media were made"
    )
    return parser.parse_args(given)


async def _serve(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    simulator = server.Simulator(arguments.folder, arguments.epoch)
    port = simulator.listen(arguments.host, arguments.port)
    sys.stdout.write(f"simulator: http://{arguments.host}:{port}\n")
    sys.stdout.flush()
    await stop.wait()
    await simulator.close()


def main(given: list[str]) -> int:
    """Run it. Gives the exit status."""
    arguments = _arguments(given)
    try:
        if arguments.folder:
            arguments.folder.mkdir(parents=True, exist_ok=True)
        asyncio.run(_serve(arguments))
    except OSError as error:
        sys.stderr.write(f"simulator: cannot listen on {arguments.host}:{arguments.port}: {error.strerror}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
