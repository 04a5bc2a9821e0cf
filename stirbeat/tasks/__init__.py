"""Celery's face and nothing else: one line a flow."""
