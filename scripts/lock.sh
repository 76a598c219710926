#!/bin/bash
# Write the locks again, with the newest versions that pyproject.toml and image/python.in allow.
# Called by `make lock`. The locks name no registry: the machine's own settings say where packages come from.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() {
    local lock=$1
    shift
    .venv/bin/uv pip compile --quiet --generate-hashes --no-header --no-annotate --upgrade "$@" -o "$lock.new"
    { echo "# Made by \`make lock\`. Do not edit."; cat "$lock.new"; } >"$lock"
    rm "$lock.new"
    if grep -n '://' "$lock"; then
        echo "$lock names a host" >&2
        exit 1
    fi
    echo "$lock: $(grep -c '==' "$lock") packages"
}

lock_node() {
    rm -f "$1/package-lock.json"
    (cd "$1" && npm install --silent --no-audit --no-fund --package-lock-only --omit-lockfile-registry-resolved)
    node - "$1/package-lock.json" <<'END'
const { readFileSync, writeFileSync } = require('node:fs');
const lock = JSON.parse(readFileSync(process.argv[2]));
for (const entry of Object.values(lock.packages)) delete entry.funding;
writeFileSync(process.argv[2], `${JSON.stringify(lock, null, 2)}\n`);
END
    if grep -n '://' "$1/package-lock.json"; then
        echo "$1/package-lock.json names a host" >&2
        exit 1
    fi
}

compile requirements/runtime.txt --universal --python-version 3.11 pyproject.toml
compile requirements/dev.txt --universal --python-version 3.11 --constraints requirements/runtime.txt \
    --extra dev pyproject.toml requirements/tools.in
for packages in tests/conformance/clients/locks/*.in; do
    compile "${packages%.in}.txt" --universal --python-version 3.11 "$packages"
done
for packages in tests/conformance/clients/locks/*/package.json; do
    lock_node "${packages%/package.json}"
done
compile image/python.txt --python-version 3.11 --python-platform x86_64-manylinux_2_28 --only-binary :all: \
    --overrides image/python-overrides.txt image/python.in
