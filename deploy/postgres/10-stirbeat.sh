#!/bin/sh
# Run once by the image, on an empty data folder: the role that owns the database and nothing else.
set -eu

psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\set password `cat /run/secrets/postgres_password`
create role stirbeat login password :'password';
create database stirbeat owner stirbeat;
SQL
