#!/bin/bash
# Install what bench/sandbox.py compares with into an environment of its own, .cache/bench: other products that run
# without a daemon, and matplotlib for the plot. `make bench-peers` calls it. Run again, it does only what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

wanted=$(sha256sum <bench/peers/requirements.txt)
if ! command -v bwrap >/dev/null; then
    echo 'peers: installing bubblewrap, which llm-sandbox needs here' >&2
    apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -q -y bubblewrap >/dev/null \
        || echo 'peers: bubblewrap could not be installed: llm-sandbox will not be measured' >&2
fi
if [ "$(cat .cache/bench/.packages 2>/dev/null)" != "$wanted" ]; then
    echo 'peers: making the environment .cache/bench' >&2
    rm -rf .cache/bench
    "$(command -v /usr/bin/python3 || command -v python3)" -m venv .cache/bench
    .cache/bench/bin/python -m pip install -q --no-deps -r bench/peers/requirements.txt
    echo "$wanted" >.cache/bench/.packages
fi
