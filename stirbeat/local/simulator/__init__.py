"""The provider simulator: the vendors' APIs on a loopback port, with accounts, limits and faults under control.

`python -m stirbeat.local.simulator --port 9100 --folder DIR`, then `STIRBEAT_SIMULATOR_URL=http://127.0.0.1:9100` sends
every call to /<provider>/... of it. It knows nothing of how stirbeat reads answers: what both sides believe about a
vendor comes from that vendor.
"""
