"""Postgres: engine, models, idempotent upserts, the ledger and the outbox."""
