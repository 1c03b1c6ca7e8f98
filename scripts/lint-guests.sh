#!/usr/bin/env bash
# Clippy over the guests, as they are built: for wasm, with their profile, whose macros and build scripts are
# there already. None of them has code of its own for relaxed SIMD.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/step.sh
. scripts/step.sh
# shellcheck source=scripts/wasm-toolchain.sh
. scripts/wasm-toolchain.sh

if ! load_wasm_toolchain; then
    fail "no toolchain that compiles to $WASM_TARGET was found" "run scripts/setup.sh toolchain"
fi
if [ ! -x "${WASM_TOOLCHAIN_CARGO%cargo}cargo-clippy" ]; then
    fail "$WASM_TOOLCHAIN_CARGO has no clippy beside it" "run scripts/setup.sh check-tools"
fi
in_wasm_toolchain +simd128 cargo-clippy clippy --profile guest --manifest-path functions/Cargo.toml \
    --workspace --exclude samara-guest-features -- -D warnings
