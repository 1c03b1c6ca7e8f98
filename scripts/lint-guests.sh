#!/usr/bin/env bash
# Clippy over the guests, as they are built: for wasm, once with and once without relaxed SIMD.
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
for features in +simd128 +simd128,+relaxed-simd; do
    echo "clippy over functions/, $features"
    in_wasm_toolchain "$PWD/functions/target/lint/$features" "$features" cargo-clippy \
        clippy --manifest-path functions/Cargo.toml --workspace -- -D warnings
done
