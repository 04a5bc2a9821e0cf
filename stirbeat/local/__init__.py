"""The embedded stack: every engine stirbeat needs, started on loopback ports out of one data folder."""
