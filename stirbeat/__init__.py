"""stirbeat: a Celery system that scrapes social platforms and swaps warehouse marts into Postgres."""
