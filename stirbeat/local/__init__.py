"""The embedded stack: every engine on loopback, started and stopped by the project itself."""
