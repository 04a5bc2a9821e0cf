# syntax=docker/dockerfile:1
# One image for every process of stirbeat: `docker run stirbeat:0.1.0 worker --group runs`.

FROM python:3.11.13-slim-bookworm AS builder
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /app
# The libraries first, from the metadata alone, so that a change of code does not install them again.
COPY pyproject.toml setup.cfg ./
RUN mkdir stirbeat && touch stirbeat/__init__.py beat_schedule.py celeryconfig.py README.md \
    && pip install ".[dbt]" \
    && pip uninstall --yes stirbeat
COPY README.md alembic.ini beat_schedule.py celeryconfig.py ./
COPY alembic ./alembic
COPY dbt ./dbt
COPY stirbeat ./stirbeat
# In place, as in a checkout: migrations and the dbt project stand beside the package.
RUN pip install --no-deps --editable . && python -m compileall -q stirbeat beat_schedule.py celeryconfig.py

FROM python:3.11.13-slim-bookworm
# tini reaps what dbt leaves behind and hands on SIGTERM.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 stirbeat \
    && useradd --uid 10001 --gid 10001 --create-home --shell /usr/sbin/nologin stirbeat
COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /app /app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DO_NOT_TRACK=1
WORKDIR /app
USER stirbeat
# No HEALTHCHECK here: what healthy means differs by process, so docker-compose.yml says it for each.
ENTRYPOINT ["tini", "--", "stirbeat"]
CMD ["--help"]
