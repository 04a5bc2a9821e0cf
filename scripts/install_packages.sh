#!/bin/sh
# Install Debian packages as root without starting anything: `sh scripts/install_packages.sh NAME...`
#
# Debian starts a service as soon as its package is installed, and makes a Postgres cluster with it. The local stack runs
# its own, so both are prevented, by the means Debian has for that (policy-rc.d, createcluster.d), which are removed
# again at the end; a run that was killed before that is cleaned up by the next. Units that the packages enabled for
# the next boot are disabled.
set -eu

MARK="# made by the set-up of stirbeat, which removes it at its end"
POLICY=/usr/sbin/policy-rc.d
SAVED=$POLICY.before-stirbeat
CLUSTERS=/etc/postgresql-common/createcluster.d
NO_CLUSTER=$CLUSTERS/stirbeat.conf
UNITS="rabbitmq-server.service redis-server.service postgresql.service pgbouncer.service epmd.service epmd.socket"

ours() {
    grep -qF "$MARK" "$1" 2>/dev/null
}

clean_up() {
    if ours "$POLICY"; then rm -f "$POLICY"; fi
    if [ -e "$SAVED" ]; then mv -f "$SAVED" "$POLICY"; fi
    if ours "$NO_CLUSTER"; then
        rm -f "$NO_CLUSTER"
        rmdir "$CLUSTERS" 2>/dev/null || true
        rmdir /etc/postgresql-common 2>/dev/null || true
    fi
}

forbid_starting() {
    if [ -e "$POLICY" ]; then
        status=0
        "$POLICY" rabbitmq-server start >/dev/null 2>&1 || status=$?
        [ "$status" = 101 ] && return 0 # starting is forbidden here already
        mv "$POLICY" "$SAVED"
    fi
    printf '#!/bin/sh\n%s\nexit 101\n' "$MARK" >"$POLICY"
    chmod 755 "$POLICY"
}

forbid_cluster() {
    mkdir -p "$CLUSTERS"
    printf '%s\ncreate_main_cluster = false\n' "$MARK" >"$NO_CLUSTER"
}

enabled() {
    for unit in $UNITS; do
        find /etc/systemd/system -name "$unit" -type l 2>/dev/null | grep -q . && echo "$unit"
    done
    true
}

install() {
    output=$(apt-get install -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" \
        2>&1 </dev/null)
}

export DEBIAN_FRONTEND=noninteractive
clean_up # after a killed run
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
forbid_starting
forbid_cluster
before=$(enabled)
if ! install "$@"; then
    # No package lists yet, lists older than the archive, or an installation that was killed.
    dpkg --configure -a >/dev/null 2>&1 || true
    apt-get update -qq >/dev/null 2>&1 || true
    if ! install "$@"; then
        printf '%s\n' "$output" | tail -n 30 >&2
        exit 1
    fi
fi
if command -v systemctl >/dev/null 2>&1; then
    for unit in $(enabled); do
        case " $(echo $before) " in
        *" $unit "*) ;;
        *) systemctl disable --quiet "$unit" >/dev/null 2>&1 || true ;;
        esac
    done
fi
