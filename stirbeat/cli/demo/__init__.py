"""`stirbeat demo`: the whole system on real engines, from one command."""

from stirbeat.cli.demo.command import GROUP

__all__ = ["GROUP"]
