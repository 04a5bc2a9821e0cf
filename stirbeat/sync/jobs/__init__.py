"""Sync jobs: a file here that exports JOB is found by itself."""
