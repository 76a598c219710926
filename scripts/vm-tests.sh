#!/bin/bash
# What `make test-cgroup2` runs in its virtual machine: `cove doctor`, a whole server of crun and one of gVisor, and the
# tests that have to do with control groups. Those with crun: gVisor's way of catching system calls is too slow on an
# emulated processor to meet the tests' times.
set -u
export COVE_DATA_DIR=/tmp/data COVE_RUNTIME=crun PYTHONDONTWRITEBYTECODE=1 NO_COLOR=1
.venv/bin/cove doctor --json | grep -E '"(bad|name|state)"' | head -80
ip link set lo up
.venv/bin/python -m pytest -p no:cacheprovider -v tests/e2e/test_version_2.py || exit 1
about='limit or memory or disk or bomb or killed or frozen or sleep or leave or next_start or files_are or dozen'
exec .venv/bin/python -m pytest -p no:cacheprovider -v --timeout 1200 -m 'not soak' -k "crun and ($about)" \
    tests/sandbox/test_limits.py tests/sandbox/test_life.py tests/sandbox/test_sleep.py "$@"
