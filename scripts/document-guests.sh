#!/usr/bin/env bash
# The guests' documentation, warnings denied: for wasm and with their profile, for which clippy has checked all they depend on.
# A toolchain without a rustdoc of its own, as Debian's is, documents them for this machine.
# Usage: scripts/document-guests.sh TARGET_DIRECTORY      where what is built for this machine is
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/step.sh
. scripts/step.sh
# shellcheck source=scripts/wasm-toolchain.sh
. scripts/wasm-toolchain.sh

if [ $# -ne 1 ]; then
    echo "usage: scripts/document-guests.sh TARGET_DIRECTORY" >&2
    exit 2
fi
if ! load_wasm_toolchain; then
    fail "no toolchain that compiles to $WASM_TARGET was found" "run scripts/setup.sh toolchain"
fi
if [ ! -x "${WASM_TOOLCHAIN_RUSTC%rustc}rustdoc" ]; then
    RUSTDOCFLAGS="-D warnings" exec cargo doc --release ${CI:+--locked} --manifest-path functions/Cargo.toml --target-dir "$1" \
        --workspace --exclude samara-engine --no-deps
fi
CARGO_ENCODED_RUSTDOCFLAGS=$(wasm_rustflags +simd128)$'\x1f'-D$'\x1f'warnings
export CARGO_ENCODED_RUSTDOCFLAGS
in_wasm_toolchain +simd128 cargo doc --profile guest --manifest-path functions/Cargo.toml \
    --workspace --exclude samara-guest-features --no-deps
