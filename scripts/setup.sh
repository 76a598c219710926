#!/bin/bash
# Set up everything that codecove needs here: system packages, the virtual environment in .venv, the sandbox image.
# Run again, it does only what is missing. `make setup`, and all targets that need it, call it.
#
#   scripts/setup.sh [--tests]     --tests: also what only the tests need (Node.js, PostgreSQL, runc, uidmap)
#
# System packages are installed by root alone. An ordinary user is told which are missing.
set -euo pipefail
cd "$(dirname "$0")/.."

OLDEST_RUNSC=20240729  # the one this was tested with; Debian 12's own is of 2022
SUITES='bookworm-backports trixie forky'

say() { echo "setup: $*" >&2; }
fail() {
    printf '\nsetup: %s\n' "$@" >&2
    exit 1
}

# --- What is there -----------------------------------------------------------------------------------------------

runsc_is_new() {
    local version
    version=$(runsc --version 2>/dev/null | grep -oE '[0-9]{8}' | head -1) || return 1
    [ "$version" -ge "$OLDEST_RUNSC" ]
}

# A Python that can make virtual environments; the system's own before one that a user's PATH puts first.
find_python() {
    local candidate
    for candidate in /usr/bin/python3 python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# The sandbox's two small programs in C are linked statically.
has_static_libc() {
    local library
    for library in /usr/lib/*/libc.a /usr/lib/libc.a /usr/lib64/libc.a; do
        [ ! -e "$library" ] || return 0
    done
    return 1
}

missing_packages() {
    find_python >/dev/null || echo python3 python3-venv
    command -v cc >/dev/null || echo gcc
    has_static_libc || echo libc6-dev
    command -v crun >/dev/null || echo crun
    command -v mmdebstrap >/dev/null || echo mmdebstrap
    command -v mkfs.ext4 >/dev/null || [ -x /sbin/mkfs.ext4 ] || echo e2fsprogs
    command -v unshare >/dev/null || echo util-linux
    command -v mount >/dev/null || echo mount
    command -v zstd >/dev/null || echo zstd
    if [ "$tests" = yes ] || [ "$(id -u)" != 0 ]; then
        command -v newuidmap >/dev/null || echo uidmap
    fi
    if [ "$tests" = yes ]; then
        command -v runc >/dev/null || [ -x /usr/sbin/runc ] || echo runc
        command -v strace >/dev/null || echo strace
        command -v node >/dev/null || echo nodejs
        command -v npm >/dev/null || echo npm
        ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null || echo postgresql
    fi
}

# --- System packages ---------------------------------------------------------------------------------------------

is_debian_12() { grep -q '^ID=debian$' /etc/os-release && grep -q '^VERSION_ID="12"$' /etc/os-release; }

install_packages() {
    say "installing $*"
    local log
    case " $* " in *' postgresql '*) no_database_server ;; esac
    log=$(mktemp)
    if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"; } \
        >"$log" 2>&1 </dev/null; then
        tail -n 15 "$log" >&2
        fail "apt could not install: $*" "Is the machine's Debian mirror reachable? Log: $log"
    fi
    rm "$log"
}

# The tests run servers of their own; Debian's package would make and start one for the machine.
no_database_server() {
    [ -e /etc/postgresql-common/createcluster.conf ] && return
    mkdir -p /etc/postgresql-common
    echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
}

# runsc from a newer suite of the same mirror. The machine's apt configuration stays as it is: the suite is known to
# apt for this one download, and no other package comes from it.
install_runsc() {
    local suite place options
    place=$(mktemp -d)
    mkdir "$place/lists"
    chmod -R a+rx "$place"
    options=(-o "Dir::Etc::sourcelist=$place/extra.sources" -o Dir::Etc::sourceparts=/dev/null
        -o "Dir::State::lists=$place/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
    for suite in $SUITES; do
        say "installing runsc from $suite"
        PYTHONPATH=src "$(find_python)" -m codecove.images.sources "$suite" >"$place/extra.sources" \
            || fail "runsc can't be installed without a Debian mirror"
        rm -f "$place"/*.deb
        if (cd "$place" && apt-get "${options[@]}" update -q && apt-get "${options[@]}" download -q runsc) \
            >"$place/log" 2>&1 && dpkg --install "$place"/runsc_*.deb >>"$place/log" 2>&1; then
            hash -r
            if runsc_is_new; then
                rm -r "$place"
                return
            fi
        fi
    done
    tail -n 15 "$place/log" >&2
    fail "no runsc of $OLDEST_RUNSC or newer: found $(command -v runsc || echo none) ($(runsc --version 2>&1 | head -1))" \
        "Install one from https://gvisor.dev/docs/user_guide/install/ so that it comes first on PATH." "Log: $place/log"
}

system() {
    local missing
    missing=$(missing_packages | xargs)
    if [ -z "$missing" ] && runsc_is_new; then
        return
    fi
    local wanted="$missing"
    runsc_is_new || wanted="$wanted runsc (of $OLDEST_RUNSC or newer)"
    is_debian_12 || fail "this installs packages on Debian 12 only; here, install what is missing: $wanted" \
        'The names are Debian'\''s. gVisor has runsc for other systems: https://gvisor.dev/docs/user_guide/install/' \
        'Then run this again.'
    if [ -n "$missing" ]; then
        # shellcheck disable=SC2086 - one word for each package
        install_packages $missing
    fi
    runsc_is_new || install_runsc
}

# --- Virtual environment -----------------------------------------------------------------------------------------

environment() {
    local packages project
    packages=$(sha256sum <requirements/dev.txt)
    project=$(sha256sum <pyproject.toml)
    if [ "$(cat .venv/.packages 2>/dev/null)" != "$packages" ] || ! .venv/bin/python -c '' 2>/dev/null; then
        say 'making the virtual environment (.venv)'
        rm -rf .venv
        "$(find_python)" -m venv .venv
        pip_install --require-hashes --no-deps -r requirements/dev.txt
        echo "$packages" >.venv/.packages
    fi
    if [ "$(cat .venv/.project 2>/dev/null)" != "$project" ]; then
        pip_install --no-deps --no-build-isolation --no-index --editable .
        echo "$project" >.venv/.project
    fi
}

pip_install() {
    local log
    log=$(mktemp)
    if ! .venv/bin/python -m pip install "$@" >"$log" 2>&1 </dev/null; then
        tail -n 15 "$log" >&2
        fail 'pip could not install the locked packages' "Is the machine's package index reachable? Log: $log"
    fi
    rm "$log"
}

image() {
    .venv/bin/python - <<'END' 2>/dev/null || .venv/bin/cove image build
from codecove.images.library import Library
from codecove.settings import Settings

Library(Settings().image_dir).resolve()
END
}

# --- All of it ---------------------------------------------------------------------------------------------------

tests=no
case ${1:-} in
    '') ;;
    --tests) tests=yes ;;
    *) fail "usage: scripts/setup.sh [--tests]" ;;
esac
[ "$(uname -s)" = Linux ] || fail 'containers need Linux; on another system, run this in a virtual machine with Debian 12'
[ "$(uname -m)" = x86_64 ] || fail "the documented container is x86_64; this machine is $(uname -m)"
if [ "$(id -u)" != 0 ]; then
    wanted=$(missing_packages | xargs)
    runsc_is_new || wanted="$wanted runsc (of $OLDEST_RUNSC or newer)"
    [ -z "$wanted" ] || fail "root has to install what is missing here: $wanted" \
        'Run it again as root (sudo make setup), which installs all of it on Debian 12, or have it installed.' \
        'What an ordinary user needs beside it: docs/operating.md, "Without root".'
fi

mkdir -p .cache
exec 9>.cache/setup.lock
flock 9  # two at once would install over each other
system
environment
image
