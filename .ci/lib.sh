# shellcheck shell=bash
# What the scripts beside this file share. Sourced, never run: `source "$(dirname "$0")/lib.sh"`.
# It moves to the repository's root and fixes the few things that would make a build differ from one machine to the next.
set -euo pipefail

ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
cd -- "$ROOT"

# Absolute, since cargo reads a relative CARGO_TARGET_DIR from its own working directory.
TARGET=${CARGO_TARGET_DIR:-target}
[[ $TARGET == /* ]] || TARGET=$ROOT/$TARGET
CACHE=${PG_TENANCY_CACHE:-${XDG_CACHE_HOME:-${HOME:-$TARGET}/.cache}/pg_tenancy}
LOGS=$TARGET/logs
mkdir -p -- "$TARGET" "$LOGS"

# Other flags for the compiler have all dependencies built anew. What cargo-pgrx would pass, build.rs tells the library's linker alone.
export CARGO_PGRX_DISABLE_GC_SECTIONS_WORKAROUND=1
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS
# PostgreSQL's makefiles skip their generated headers when they believe to be a part of another make, as under `make test`.
unset MAKELEVEL MAKEFLAGS MFLAGS
# The installation is named by PGRX_PG_CONFIG_PATH; a folder that never exists keeps a developer's ~/.pgrx out of it,
# and `cargo pgrx init` unnecessary.
export PGRX_HOME=$TARGET/no-pgrx-home
# The server may run as another user: what is built must be readable for it.
umask 022

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

note() { printf '%s\n' "$*"; }

# step TITLE COMMAND…: one line for what may take long, output to a log whose end is shown when it fails.
step() {
    local title=$1 log start rc beat
    shift
    log=$LOGS/$(tr -cs 'A-Za-z0-9._\n' - <<<"$title").log
    start=$SECONDS
    printf -- '--> %s\n' "$title"
    # Every half minute a sign of life, with the log's last line; it ends by itself when this shell dies.
    (
        while sleep 5 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
            (((SECONDS - start) / 5 % 6 == 0)) || continue
            # The end of a compiler's command line tells more than its beginning.
            printf '    … %d s: %s\n' $((SECONDS - start)) "$(tail -n 1 -- "$log" | tr -d '\r' | sed -E 's/^.*(.{80})$/… \1/')"
        done
    ) 2>/dev/null &
    beat=$!
    set +e
    (set -e; "$@") >"$log" 2>&1 </dev/null
    rc=$?
    set -e
    kill "$beat" 2>/dev/null || true
    wait "$beat" 2>/dev/null || true
    if ((rc != 0)); then
        printf -- '--- end of %s\n' "$log" >&2
        tail -n 60 -- "$log" >&2
        printf -- '--- FAILED after %d s (exit %d): %s\n' $((SECONDS - start)) "$rc" "$title" >&2
        exit "$rc"
    fi
    printf '    done in %d s\n' $((SECONDS - start))
}

# PostgreSQL refuses to run as root: then, and only then, server programs run as somebody else.
if ((EUID == 0)); then
    if [[ -z ${PG_TENANCY_SERVER_USER:-} ]]; then
        if id postgres >/dev/null 2>&1; then PG_TENANCY_SERVER_USER=postgres; else PG_TENANCY_SERVER_USER=nobody; fi
    fi
    export PG_TENANCY_SERVER_USER
else
    unset PG_TENANCY_SERVER_USER
fi

# run_as_server COMMAND…: from /, since the server's user may not be allowed into our working directory.
run_as_server() {
    (
        cd /
        if ((EUID == 0)); then
            exec setpriv --reuid="$PG_TENANCY_SERVER_USER" --regid="$(id -g "$PG_TENANCY_SERVER_USER")" --clear-groups -- "$@"
        else
            exec "$@"
        fi
    )
}

# private_dir NAME: target/NAME as an existing directory that the server's user can enter, printed with symlinks resolved.
# Where that user can't come this far (a clone in /root), or a socket in there would have too long a name,
# target/NAME is a link to a directory of ours under /tmp.
private_dir() {
    local link=$TARGET/$1 away
    if [[ ! -d $link ]]; then
        rm -f -- "$link"
        mkdir -p -- "$link"
        # The longest socket name: the directory, "/.s.PGSQL.5432.lock" and a terminating zero, of 107 bytes in all.
        if ! run_as_server test -x "$link" || { [[ $1 == run/* ]] && (($(printf %s "$link" | wc -c) > 80)); }; then
            rmdir -- "$link"
            away=$(mktemp -d /tmp/pg_tenancy.XXXXXXXX)
            chmod 755 "$away"
            ln -s -- "$away" "$link"
        fi
    fi
    (cd -P -- "$link" && pwd -P)
}

remove_private_dir() {
    local link=$TARGET/$1 real
    [[ -e $link || -L $link ]] || return 0
    if [[ -L $link ]]; then
        real=$(readlink -- "$link")
        [[ $real == /tmp/pg_tenancy.* ]] && rm -rf -- "$real"
    fi
    rm -rf -- "$link"
}

# runtime_dir NAME: a directory for a server's data and socket, owned by the user the server runs as.
runtime_dir() {
    local dir
    dir=$(private_dir "run/$1")
    if ((EUID == 0)); then chown "$PG_TENANCY_SERVER_USER" "$dir"; fi
    chmod 755 "$dir"
    printf '%s\n' "$dir"
}

# start_server NAME PREFIX_BIN [SETTING…]: a fresh throw-away cluster; only its socket is open, anybody on it is believed.
# fsync is off: nothing here outlives the run.
start_server() {
    local name=$1 bin=$2 dir setting
    shift 2
    stop_server "$name"
    dir=$(runtime_dir "$name")
    printf '%s\n' "$bin" >"$dir/bin"
    run_as_server "$bin/initdb" --pgdata "$dir/data" --username postgres --auth trust --encoding UTF8 --locale C \
        --no-sync >"$LOGS/initdb-$name.log" 2>&1 || { cat "$LOGS/initdb-$name.log" >&2; fail "initdb failed"; }
    {
        printf "listen_addresses = ''\nunix_socket_directories = '%s'\nport = 5432\nfsync = off\n" "${dir//\'/\'\'}"
        for setting in "$@"; do printf '%s\n' "$setting"; done
    } | run_as_server tee -a "$dir/data/postgresql.conf" >/dev/null
    if ! run_as_server "$bin/pg_ctl" start --pgdata "$dir/data" --wait --silent --log "$dir/server.log" </dev/null; then
        tail -n 40 -- "$dir/server.log" >&2
        fail "the server did not start"
    fi
}

# stop_server NAME: ends that server and removes its directory; nothing to stop is fine.
stop_server() {
    local dir
    # With symlinks resolved: the server's user may not be able to follow the way through target/.
    if dir=$(cd -P -- "$TARGET/run/$1" 2>/dev/null && pwd -P) && [[ -f $dir/data/postmaster.pid ]]; then
        # Started by the same user, whoever would be chosen today.
        local PG_TENANCY_SERVER_USER
        PG_TENANCY_SERVER_USER=$(stat -c %U -- "$dir/data")
        run_as_server "$(cat -- "$dir/bin")/pg_ctl" stop --pgdata "$dir/data" --mode fast --wait --silent || true
    fi
    remove_private_dir "run/$1"
}

# The private tree of a version (made by .ci/prefix) and its pg_config.
pg_config_of() {
    local found
    for found in "$TARGET/pg/$1/usr/lib/postgresql/$1/bin/pg_config" "$TARGET/pg/$1/bin/pg_config"; do
        if [[ -x $found ]]; then
            (cd -P -- "$(dirname -- "$found")" && printf '%s/pg_config\n' "$(pwd -P)")
            return 0
        fi
    done
    fail "no private PostgreSQL $1 under $TARGET/pg: run .ci/prefix $1"
}

# Where a version comes from: Debian's package, else our build from source; empty when there is neither.
debian_home() { printf '/usr/lib/postgresql/%s\n' "$1"; }
source_home() { printf '%s/postgresql-%s\n' "$CACHE" "$1"; }
has_debian() { [[ -x $(debian_home "$1")/bin/postgres && -f /usr/include/postgresql/$1/server/postgres.h ]]; }
newer_pgbouncer_home() { printf '%s/pgbouncer-newer\n' "$CACHE"; }
has_source_build() { [[ -f $(source_home "$1")/complete ]]; }

# The version that is being built, as Cargo.toml has it.
crate_version() { sed -nE '/^\[package\]/,/^\[/s/^version *= *"([^"]+)".*/\1/p' Cargo.toml; }

# The machine's own Debian mirror and keyring: "URI<tab>options", from its first entry for the release it runs.
debian_mirror() {
    local release uri entry keyring=
    # shellcheck source=/dev/null
    release=$(. /etc/os-release && printf %s "${VERSION_CODENAME:-stable}")
    # shellcheck disable=SC2016  # for apt to expand
    read -r uri entry < <(apt-get indextargets --format '$(REPO_URI) $(SOURCESENTRY) $(RELEASE) $(COMPONENT)' \
        'Identifier: Packages' | awk -v r="$release" '$3 == r && $4 == "main" && !seen++ { print $1, $2 }') ||
        fail "no entry for Debian $release in this machine's package sources"
    entry=${entry%:*}
    [[ -f $entry ]] && keyring=$(sed -nE '/^.*[Ss]igned-[Bb]y[:=] *(\/[^] ]+).*$/{s//\1/p;q}' "$entry")
    [[ -n $keyring ]] || keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    if [[ -f $keyring ]]; then printf '%s\t[signed-by=%s]\n' "$uri" "$keyring"; else printf '%s\t\n' "$uri"; fi
}

# The Debian release that has a PostgreSQL version, in source and as a package.
suite_of() {
    case $1 in
        15) echo bookworm ;;
        17) echo trixie ;;
        18) echo sid ;;
        *) fail "no Debian release has PostgreSQL $1" ;;
    esac
}

# Puts what the requirements file $2 pins into the virtual environment $1, from PyPI, once; $3 is Python that runs when it is there.
provide_venv() {
    local venv=$1 wanted=$2 check=$3
    if ! cmp --quiet "$wanted" "$venv/complete" || ! "$venv/bin/python" -c "$check" 2>/dev/null; then
        step "$(basename -- "$venv"): virtual environment" install_venv "$venv" "$wanted"
    fi
}

install_venv() {
    local venv=$1 wanted=$2
    rm -rf -- "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --disable-pip-version-check --only-binary :all: --requirement "$wanted"
    # Written last: an interrupted installation is not taken for a whole one.
    cp -- "$wanted" "$venv/complete"
}
