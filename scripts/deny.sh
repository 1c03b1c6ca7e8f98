#!/usr/bin/env bash
# Holds the dependencies of all workspaces against deny.toml.
#
# Licences, bans and sources are always checked. Advisories need the RustSec database, a git repository: when
# it cannot be reached this is said, and the script fails only if SAMARA_ADVISORIES=required.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/step.sh
. scripts/step.sh

ADVISORY_DATABASE=https://github.com/rustsec/advisory-db
MANIFESTS="Cargo.toml functions/Cargo.toml benches/peers/rten/Cargo.toml host/grpc/generate/Cargo.toml"

# with_limit COMMAND...: for at most 30 seconds, where the system has a command for that.
with_limit() {
    if command -v timeout >/dev/null; then
        timeout 30 "$@"
    else
        "$@"
    fi
}

database_answers() {
    GIT_TERMINAL_PROMPT=0 with_limit git ls-remote --quiet "$ADVISORY_DATABASE" HEAD >/dev/null 2>&1
}

for manifest in $MANIFESTS; do
    echo "licences, bans and sources of $manifest"
    cargo deny --manifest-path "$manifest" check bans licenses sources
done

if database_answers; then
    for manifest in $MANIFESTS; do
        echo "advisories of $manifest"
        cargo deny --manifest-path "$manifest" check advisories
    done
elif [ "${SAMARA_ADVISORIES:-}" = required ]; then
    fail "advisories were not checked: $ADVISORY_DATABASE cannot be reached" \
        "check the network, or unset SAMARA_ADVISORIES"
else
    echo "advisories: NOT CHECKED, as $ADVISORY_DATABASE cannot be reached"
fi
