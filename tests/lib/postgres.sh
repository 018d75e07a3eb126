# shellcheck shell=bash
# A throwaway PostgreSQL for the tests and the benchmark; sourced, never run.
#
# What is started here is gone when the script that asked for it is gone, however it ended (also by
# kill -9): a guard waits on a pipe that only the script holds open, and cleans up when it closes.
# It must never touch a PostgreSQL that it did not start.
#
#   pg_start [SETTING=VALUE ...]   sets pg_bin, pg_work (a private temporary folder, tests may use
#                                  pg_work/tmp), pg_port, pg_url (superuser, maintenance database)
#   pg_watch PGID                  this process group goes down too if the script is killed
#   pg_unwatch                     ... no longer
#   pg_stop                        stops the server and removes the folder; safe to call at any time
#
# Bash 3.2 (macOS) is enough.

pg_say() { printf '%s\n' "$*" >&2; }

# The folder with initdb, pg_ctl and psql: the newest server of Debian's, else what PATH, pg_config or
# Homebrew offer.
pg_find() {
    local dir
    for dir in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5,5 -rn) \
        "$(dirname "$(command -v initdb 2>/dev/null || echo /nonexistent/initdb)")" \
        "$(pg_config --bindir 2>/dev/null)" \
        /usr/pgsql-*/bin /usr/libexec/postgresql*/ \
        /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin; do
        dir=${dir%/}
        if [ -x "$dir/initdb" ] && [ -x "$dir/pg_ctl" ] && [ -x "$dir/postgres" ]; then
            pg_bin=$dir
            return 0
        fi
    done
    return 1
}

# Installs the distribution's server where we may; says what to do where we may not.
pg_install() {
    pg_say "PostgreSQL's server programs (initdb, pg_ctl) are not on this machine."
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        pg_say "Installing the distribution's package: postgresql"
        # Only the programs are wanted: no cluster of its own, no service on port 5432.
        if [ ! -e /etc/postgresql-common ]; then
            mkdir -p /etc/postgresql-common/createcluster.d
            echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/no-main-cluster.conf
        fi
        apt-get update -qq >&2 && DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends postgresql </dev/null >&2
    elif [ "$(id -u)" = 0 ] && command -v dnf >/dev/null; then
        pg_say "Installing the distribution's package: postgresql-server"
        dnf install -y -q postgresql-server </dev/null >&2
    elif [ "$(id -u)" = 0 ] && command -v apk >/dev/null; then
        pg_say "Installing the distribution's package: postgresql"
        apk add --quiet postgresql </dev/null >&2
    fi
    pg_find && return 0
    pg_say "Install it, then run this again:"
    pg_say "    Debian, Ubuntu    sudo apt-get install postgresql"
    pg_say "    Fedora, RHEL      sudo dnf install postgresql-server"
    pg_say "    Alpine            sudo apk add postgresql"
    pg_say "    macOS             brew install postgresql"
    pg_say "No server needs to be running: the tests start one of their own."
    return 1
}

# PostgreSQL refuses to run as root: then it runs as `postgres`, or `nobody`, inside its own folder.
pg_choose_user() {
    pg_user=
    [ "$(id -u)" = 0 ] || return 0
    for pg_user in postgres nobody; do
        id -u "$pg_user" >/dev/null 2>&1 && return 0
    done
    pg_say "PostgreSQL cannot run as root, and there is neither a user 'postgres' nor 'nobody' to run it as."
    return 1
}

# Runs one of PostgreSQL's programs as that user.
pg_as() {
    (
        cd "${pg_data:-/}" || exit 1
        export LC_ALL=C
        if [ -z "$pg_user" ]; then
            exec "$@"
        elif setpriv --reuid=0 --clear-groups true 2>/dev/null; then
            exec setpriv --reuid="$(id -u "$pg_user")" --regid="$(id -g "$pg_user")" --clear-groups -- "$@"
        elif command -v runuser >/dev/null; then
            exec runuser -u "$pg_user" -- "$@"
        else
            exec su -s /bin/sh "$pg_user" -c 'exec "$0" "$@"' -- "$@"
        fi
    )
}

# A private folder whose path the server's user can walk, short enough for a Unix socket's name.
pg_make_folder() {
    local base
    for base in "${TMPDIR:-/tmp}" /tmp /var/tmp; do
        base=${base%/}
        [ ${#base} -le 60 ] && [ -d "$base" ] && [ -w "$base" ] || continue
        pg_data='' pg_as test -x "$base" || continue
        pg_work=$(mktemp -d "$base/safelight.XXXXXX") || continue
        chmod 711 "$pg_work"
        mkdir -m 700 "$pg_work/pg" "$pg_work/tmp"
        pg_data=$pg_work/pg
        [ -z "$pg_user" ] || chown "$(id -u "$pg_user"):$(id -g "$pg_user")" "$pg_data"
        return 0
    done
    pg_say "No folder for temporary files can be written (tried \$TMPDIR, /tmp, /var/tmp)."
    return 1
}

# The guard: one place that cleans up, whatever ended the script.
pg_start_guard() {
    mkfifo -m 600 "$pg_work/guard"
    set -m # a process group of its own, so that Ctrl-C does not reach it
    (
        trap '' INT TERM HUP
        group=
        while read -r word value; do
            [ "$word" = watch ] && group=$value
        done
        [ -z "$group" ] || kill -TERM -- "-$group"
        for folder in "$pg_data"/*/; do # also one that a test has copied and started
            for _ in 1 2 3; do # more than once: a server that was just being started may not answer yet
                [ -e "$folder/postmaster.pid" ] || break
                pg_as "$pg_bin/pg_ctl" stop -D "$folder" -m immediate -w -t 20
            done
        done
        rm -rf "$pg_work"
    ) <"$pg_work/guard" >/dev/null 2>&1 &
    pg_guard=$!
    set +m
    exec 9>"$pg_work/guard"
}

pg_watch() { echo "watch $1" >&9; }
pg_unwatch() { echo "watch" >&9; }

pg_stop() {
    [ -n "${pg_guard:-}" ] || return 0
    exec 9>&-
    wait "$pg_guard" 2>/dev/null
    pg_guard=
}

# Ports below the range that systems hand out to outgoing connections; random, so that two runs beside
# each other seldom meet, and tried again when they do.
pg_listen() {
    local try
    for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        pg_port=$((15000 + RANDOM % 17000))
        # The server must not hold the guard's pipe open: 9>&-
        if pg_as "$pg_bin/pg_ctl" start -D "$pg_data/data" -l "$pg_data/log" -w -t 60 -s \
            -o "-p $pg_port" </dev/null >/dev/null 2>&1 9>&-; then
            return 0
        fi
        grep -qE 'Address already in use|could not create any TCP/IP sockets' "$pg_data/log" 2>/dev/null || break
        mv "$pg_data/log" "$pg_data/log.$try"
    done
    pg_say "PostgreSQL did not start; its log ends with:"
    tail -n 20 "$pg_data/log" >&2
    return 1
}

pg_start() {
    local password setting variable
    # A caller's own PGHOST, PGSERVICE, PGOPTIONS ... must not lead the tests to another server.
    for variable in ${!PG@}; do unset "$variable"; done
    pg_find || pg_install || return 1
    pg_choose_user && pg_make_folder || return 1
    pg_start_guard

    # A password, because 127.0.0.1 is open to every user of the machine.
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    printf '%s\n' "$password" | pg_as tee "$pg_data/password" >/dev/null
    if ! pg_as "$pg_bin/initdb" -D "$pg_data/data" -U postgres -E UTF8 --locale=C --auth=scram-sha-256 \
        --pwfile="$pg_data/password" --no-sync >"$pg_work/initdb.log" 2>&1; then
        pg_say "initdb failed:"
        tail -n 20 "$pg_work/initdb.log" >&2
        return 1
    fi
    {
        echo "listen_addresses = '127.0.0.1'"
        echo "unix_socket_directories = '$pg_data'"
        for setting in "$@"; do echo "${setting%%=*} = '${setting#*=}'"; done
    } | pg_as tee -a "$pg_data/data/postgresql.conf" >/dev/null
    pg_listen || return 1
    # shellcheck disable=SC2034 # for whoever sources this
    pg_url="postgres://postgres:$password@127.0.0.1:$pg_port/postgres"
}
