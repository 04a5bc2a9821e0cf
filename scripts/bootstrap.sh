#!/bin/sh
# Make everything ready that stirbeat needs on this machine: Debian packages, virtual environment, Python packages.
# Says what it does; does nothing (in well under a second) when there is nothing to do; safe to kill and to run twice.
#
#   scripts/bootstrap.sh [--for-tests]
#
# VENV    where the virtual environment goes (default .venv)
# PYTHON  which Python to make it with (default: the first of python3, python3.13, python3.12, python3.11 that will do)
# A service named by its variable (STIRBEAT_BROKER_URL ...) runs elsewhere, so its package is not asked for.
set -eu

cd "$(dirname "$0")/.."
VENV=${VENV:-.venv}
EXTRAS=local,dbt,test
STAMP=$VENV/.stirbeat-installed   # what was installed, written when all of it is
BUSY=$VENV/.stirbeat-installing   # there while pip works: a kill in the middle leaves it
LOG=$VENV/pip.log
for_tests=no
did_something=no

case ${1:-} in
'') ;;
--for-tests) for_tests=yes ;;
*)
    echo "usage: scripts/bootstrap.sh [--for-tests]" >&2
    exit 2
    ;;
esac

say() {
    did_something=yes
    echo "set-up: $*"
}

fail() {
    echo "set-up: $*" >&2
    exit 1
}

# have PROGRAM [FOLDER...]: whether a program is in PATH or in one of the folders
have() {
    command -v "$1" >/dev/null 2>&1 && return 0
    program=$1
    shift
    for folder in "$@"; do
        [ -x "$folder/$program" ] && return 0
    done
    return 1
}

missing_packages() {
    [ -n "${STIRBEAT_BROKER_URL:-}" ] || have rabbitmq-server /usr/sbin /usr/lib/rabbitmq/bin || echo rabbitmq-server
    [ -n "${STIRBEAT_REDIS_URL:-}" ] || have redis-server /usr/bin || echo redis-server
    # The folders are words of a pattern on purpose.
    # shellcheck disable=SC2046
    [ -n "${STIRBEAT_DATABASE_URL:-}" ] || have initdb $(echo /usr/lib/postgresql/*/bin) || echo postgresql
}

# Only one test wants PgBouncer: it comes along where packages can be installed, and is demanded for the tests alone.
missing_for_tests() {
    have pgbouncer /usr/sbin || echo pgbouncer
}

can_install() {
    command -v apt-get >/dev/null 2>&1 || return 1
    [ "$(id -u)" = 0 ] || sudo -n true >/dev/null 2>&1
}

# install_packages NAME...: with apt-get, or say what to type
install_packages() {
    can_install || fail "these Debian packages are missing and cannot be installed from here (no root, no sudo without
a password, or no apt-get). Install them, then run this again:
    apt-get install --no-install-recommends $*"
    say "installing with apt-get: $*"
    if [ "$(id -u)" = 0 ]; then
        sh scripts/install_packages.sh "$@"
    else
        sudo -n sh scripts/install_packages.sh "$@"
    fi || fail "apt-get could not install: $*"
}

suits() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if suits "$candidate"; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

make_venv() {
    rm -rf "$VENV"
    python=$(find_python) || {
        install_packages python3 python3-venv
        python=$(find_python) || fail "Python 3.11 or newer is needed; set PYTHON to one"
    }
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then # Debian keeps them in a package of their own
        install_packages "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    fi
    say "making $VENV with $("$python" -V 2>&1)"
    "$python" -m venv "$VENV"
}

install_python_packages() {
    : >"$BUSY"
    say "installing Python packages into $VENV (a minute or two the first time)"
    status=0
    "$VENV/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check --no-input -e ".[$EXTRAS]" \
        >"$LOG" 2>&1 || status=$?
    if [ "$status" != 0 ]; then
        tail -n 30 "$LOG" >&2
        [ "$status" -ge 128 ] || rm -f "$BUSY" # pip ended in its own time, so it left nothing half-written
        fail "pip failed (status $status); all it said is in $LOG"
    fi
    # pip would do this on one core. What some package ships as Python and is none is of no concern, as it is not to pip.
    "$VENV/bin/python" -m compileall -qq -j 0 "$VENV/lib" >/dev/null 2>&1 || true
    rm -f "$BUSY"
}

wanted() {
    echo "$EXTRAS $(cat setup.cfg pyproject.toml | cksum) $(pwd)"
}

# One at a time. The lock is on the folder itself, so no file stays behind; it ends with this process.
if command -v flock >/dev/null 2>&1; then
    exec 9<.
    if ! flock -n 9; then
        echo "set-up: waiting for another set-up in this folder"
        flock 9
    fi
fi

packages=$(missing_packages)
extra=$(missing_for_tests)
if [ -n "$extra" ]; then
    if [ "$for_tests" = yes ] || can_install; then
        packages="$packages $extra"
    fi
fi
# shellcheck disable=SC2086
[ -z "$packages" ] || install_packages $packages

if [ -e "$BUSY" ]; then
    say "an earlier set-up was interrupted; making $VENV afresh"
    make_venv
elif ! "$VENV/bin/python" -c 'import pip' >/dev/null 2>&1; then
    make_venv
fi
if [ "$(cat "$STAMP" 2>/dev/null)" != "$(wanted)" ]; then
    rm -f "$STAMP"
    install_python_packages
    wanted >"$STAMP"
fi
[ "$did_something" = no ] || say "ready"
