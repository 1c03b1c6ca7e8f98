#!/usr/bin/env bash
# Builds guests into core wasm modules, which `samara compile` makes components of.
#
# Usage: functions/build.sh [GUEST...]        GUEST is a folder beside this script; default: engine
#
# The engine is built twice, as not every host has relaxed SIMD:
#   functions/target/engine/samara-engine-baseline.wasm    +simd128
#   functions/target/engine/samara-engine-relaxed.wasm     +simd128,+relaxed-simd
# Any other guest is built once, with the baseline's features:
#   functions/target/GUEST/PACKAGE.wasm
# naive-program, which is compared with the engine, is built for speed and with relaxed SIMD.
#
# All of them are built in functions/target/wasm, so that what they share is built once.
#
# No path of this machine gets into a module, so the same source and toolchain give the same bytes
# wherever the checkout lies. When nothing changed, cargo says so and the modules keep their times.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/step.sh
. scripts/step.sh
# shellcheck source=scripts/wasm-toolchain.sh
. scripts/wasm-toolchain.sh

BASELINE_FEATURES=+simd128
RELAXED_FEATURES=+simd128,+relaxed-simd

# A path of this machine in a module would make it differ from machine to machine, and tell its users about
# ours.
refuse_machine_paths() {
    local module=$1 path
    for path in "$PWD" "${CARGO_HOME:-$HOME/.cargo}" "$(rust_source_of "$WASM_TOOLCHAIN_RUSTC")"; do
        if LC_ALL=C grep -aqF -- "$path/" "$module"; then
            fail "$module contains the path $path" "remap it in scripts/wasm-toolchain.sh, or keep it out of the source"
        fi
    done
}

# build_flavour PACKAGE FEATURES DESTINATION [PROFILE]
build_flavour() {
    local package=$1 features=$2 destination=$3 profile=${4:-guest} started built
    local only_for_ours=()
    started=$(clock)
    # Only crates of this workspace make use of relaxed SIMD, so that all others are built once for both flavours
    # of the engine. Flags of a profile are not stable yet.
    if [ "$features" = "$RELAXED_FEATURES" ] && [ "$profile" = guest ] && [ "$WASM_TOOLCHAIN_KIND" = source ]; then
        only_for_ours=(
            -Z profile-rustflags
            --config "profile.guest.rustflags = ['-Ctarget-feature=$RELAXED_FEATURES']"
            --config "profile.guest.package.'*'.rustflags = []"
            --config 'profile.guest.build-override.rustflags = []'
            # tract-core depends on it.
            --config 'profile.guest.package.rustfft.rustflags = []'
        )
        features=$BASELINE_FEATURES
    fi
    # As nothing but a module: for a library beside it, which some packages are too, all they depend on would be compiled
    # in another way than for the engine. What the profile strips, cargo does not strip from a package with a table of its own.
    # Numbers that the linker fills in take five bytes each unless it is told to shorten them: a fourteenth of the engine.
    in_wasm_toolchain "$features" cargo rustc --profile "$profile" --manifest-path functions/Cargo.toml \
        --package "$package" --crate-type cdylib ${only_for_ours[@]+"${only_for_ours[@]}"} -- \
        -C strip=symbols -C link-arg=--compress-relocations

    built=$WASM_TARGET_DIRECTORY/$WASM_TARGET/$profile/${package//-/_}.wasm
    if [ ! -f "$built" ]; then
        fail "$package built, but left no ${package//-/_}.wasm" \
            "give its Cargo.toml a [lib] with crate-type = [\"cdylib\"]"
    fi
    refuse_machine_paths "$built"
    # Whoever reads a module while it is replaced gets the old one or the new one, never a part.
    if ! cmp -s "$built" "$destination"; then
        cp "$built" "$destination.$$"
        mv -f "$destination.$$" "$destination"
    fi
    printf '%s: %s bytes, %s\n' "$destination" "$(wc -c <"$destination" | tr -d ' ')" "$(since "$started")"
}

build_guest() {
    local guest=$1 manifest=functions/$1/Cargo.toml package output=functions/target/$1
    if [ ! -f "$manifest" ]; then
        fail "there is no guest '$guest': $manifest is missing" "name a folder of functions/ that holds a package"
    fi
    package=$(sed -n 's/^name *= *"\([^"]*\)".*/\1/p' "$manifest" | head -n 1)
    if [ -z "$package" ]; then
        fail "$manifest does not say the package's name" "add name = \"...\" under [package]"
    fi
    mkdir -p "$output"
    if [ "$guest" = engine ]; then
        build_flavour "$package" "$BASELINE_FEATURES" "$output/$package-baseline.wasm"
        build_flavour "$package" "$RELAXED_FEATURES" "$output/$package-relaxed.wasm"
    elif [ "$guest" = naive-program ]; then
        build_flavour "$package" "$RELAXED_FEATURES" "$output/$package.wasm" peer
    else
        build_flavour "$package" "$BASELINE_FEATURES" "$output/$package.wasm"
    fi
}

if ! load_wasm_toolchain; then
    fail "no toolchain that compiles to $WASM_TARGET was found" "run scripts/setup.sh toolchain"
fi
echo "wasm toolchain: $(describe_wasm_toolchain)"
if [ $# -eq 0 ]; then
    set -- engine
fi
for guest in "$@"; do
    build_guest "$guest"
done
