# shellcheck shell=bash
# Finds what compiles Rust to wasm32-unknown-unknown. Sourced by scripts/setup.sh, which may
# install what is missing, and by functions/build.sh, scripts/lint-guests.sh and scripts/document-guests.sh, which only look.
#
# Two kinds of toolchain do. The first is taken where both are there, as its guests are a tenth smaller:
#   source   a compiler comes with the source of its std, which cargo's build-std then builds, for size and
#            without panic messages. rustup's rust-src component makes it one; so are Debian's rustc-web,
#            cargo-web and rust-web-src. It needs a linker for wasm, which every rustup toolchain has.
#   target   the active Rust toolchain has the target's std (`rustup target add` brings it)
#
# The one taken is kept in target/wasm-toolchain.env, so that builds do not change compiler when
# something is installed later. Without that file, or when it no longer holds, it is detected again.

WASM_TARGET=wasm32-unknown-unknown
# Where everything is built for it, so that what guests share is built once.
WASM_TARGET_DIRECTORY=functions/target/wasm
WASM_TOOLCHAIN_ENV=target/wasm-toolchain.env

WASM_TOOLCHAIN_KIND=   # target or source
WASM_TOOLCHAIN_CARGO=  # the cargo and the rustc that belong together
WASM_TOOLCHAIN_RUSTC=
WASM_TOOLCHAIN_LINKER= # only for kind source

# The oldest Rust the workspace takes, from its manifest.
required_rust() {
    local version
    version=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' Cargo.toml 2>/dev/null | head -n 1)
    printf '%s\n' "${version:-1.95}"
}

# version_at_least HAVE WANT: compares dotted numbers.
version_at_least() {
    LC_ALL=C awk -v have="$1" -v want="$2" 'BEGIN {
        h = split(have, a, "."); w = split(want, b, "."); n = (h > w) ? h : w
        for (i = 1; i <= n; i++) {
            if (a[i] + 0 > b[i] + 0) exit 0
            if (a[i] + 0 < b[i] + 0) exit 1
        }
        exit 0
    }'
}

# rustc_version RUSTC: "1.95.0", or nothing when RUSTC does not run.
rustc_version() {
    "$1" --version 2>/dev/null | sed -n 's/^rustc \([0-9.]*\).*/\1/p'
}

rust_source_of() {
    printf '%s/lib/rustlib/src/rust\n' "$("$1" --print sysroot 2>/dev/null)"
}

has_target_std() {
    local directory library
    directory=$("$1" --print target-libdir --target "$WASM_TARGET" 2>/dev/null) || return 1
    for library in "$directory"/libstd-*.rlib; do
        [ -e "$library" ] && return 0
    done
    return 1
}

has_std_source() {
    local version
    version=$(rustc_version "$1")
    [ -n "$version" ] && version_at_least "$version" "$(required_rust)" &&
        [ -e "$(rust_source_of "$1")/library/std/Cargo.toml" ]
}

# The linker of a rustup toolchain matches the newest LLVM around, so it comes before the system's. Of its
# programs it is rust-lld that is wanted, not gcc-ld/wasm-ld: rustc and that wrapper would each name the
# flavour, and lld takes it once.
find_wasm_linker() {
    local rustc sysroot host linker name
    for rustc in rustc /usr/bin/rustc; do
        sysroot=$("$rustc" --print sysroot 2>/dev/null) || continue
        host=$("$rustc" -vV | sed -n 's/^host: //p')
        linker=$sysroot/lib/rustlib/$host/bin/rust-lld
        if [ -x "$linker" ]; then
            printf '%s\n' "$linker"
            return 0
        fi
    done
    for name in wasm-ld wasm-ld-22 wasm-ld-21 wasm-ld-20 wasm-ld-19 wasm-ld-18 wasm-ld-17 wasm-ld-16 wasm-ld-15 wasm-ld-14; do
        if command -v "$name"; then
            return 0
        fi
    done
    return 1
}

# Sets WASM_TOOLCHAIN_*; false when there is none. Installs nothing.
detect_wasm_toolchain() {
    local rustc
    WASM_TOOLCHAIN_LINKER=
    for rustc in "$(command -v rustc)" /usr/bin/rustc; do
        if [ -n "$rustc" ] && [ -x "${rustc%rustc}cargo" ] && has_std_source "$rustc" &&
            WASM_TOOLCHAIN_LINKER=$(find_wasm_linker); then
            WASM_TOOLCHAIN_KIND=source
            WASM_TOOLCHAIN_RUSTC=$rustc
            WASM_TOOLCHAIN_CARGO=${rustc%rustc}cargo
            return 0
        fi
    done
    if rustc=$(command -v rustc) && command -v cargo >/dev/null && has_target_std "$rustc"; then
        WASM_TOOLCHAIN_KIND=target
        WASM_TOOLCHAIN_RUSTC=$rustc
        WASM_TOOLCHAIN_CARGO=$(command -v cargo)
        return 0
    fi
    WASM_TOOLCHAIN_KIND=
    return 1
}

save_wasm_toolchain() {
    local temporary=$WASM_TOOLCHAIN_ENV.$$
    mkdir -p "$(dirname "$WASM_TOOLCHAIN_ENV")"
    {
        echo "# Written by scripts/setup.sh. Delete this file to have the toolchain detected again."
        printf 'WASM_TOOLCHAIN_KIND=%q\n' "$WASM_TOOLCHAIN_KIND"
        printf 'WASM_TOOLCHAIN_CARGO=%q\n' "$WASM_TOOLCHAIN_CARGO"
        printf 'WASM_TOOLCHAIN_RUSTC=%q\n' "$WASM_TOOLCHAIN_RUSTC"
        printf 'WASM_TOOLCHAIN_LINKER=%q\n' "$WASM_TOOLCHAIN_LINKER"
    } >"$temporary"
    mv -f "$temporary" "$WASM_TOOLCHAIN_ENV"
}

# The saved choice while it still holds, else what is detected now.
load_wasm_toolchain() {
    if [ -r "$WASM_TOOLCHAIN_ENV" ]; then
        # shellcheck source=/dev/null
        . "$WASM_TOOLCHAIN_ENV"
        if [ -x "$WASM_TOOLCHAIN_CARGO" ] && [ -x "$WASM_TOOLCHAIN_RUSTC" ]; then
            case $WASM_TOOLCHAIN_KIND in
                target) has_target_std "$WASM_TOOLCHAIN_RUSTC" && return 0 ;;
                source)
                    has_std_source "$WASM_TOOLCHAIN_RUSTC" && [ -x "$WASM_TOOLCHAIN_LINKER" ] && return 0
                    ;;
            esac
        fi
    fi
    detect_wasm_toolchain
}

describe_wasm_toolchain() {
    case $WASM_TOOLCHAIN_KIND in
        target)
            printf 'rustc %s with the %s target installed\n' \
                "$(rustc_version "$WASM_TOOLCHAIN_RUSTC")" "$WASM_TARGET"
            ;;
        source)
            printf '%s %s, std built from its source, linked by %s\n' "$WASM_TOOLCHAIN_RUSTC" \
                "$(rustc_version "$WASM_TOOLCHAIN_RUSTC")" "$WASM_TOOLCHAIN_LINKER"
            ;;
    esac
}

# Prints rustc's flags for a build with TARGET_FEATURES the way CARGO_ENCODED_RUSTFLAGS wants them: joined by
# 0x1f, so that a path may hold a space. The remapped prefixes keep this machine's paths out of what is built;
# of two prefixes that match, rustc takes the one given last.
wasm_rustflags() {
    local features=$1 source flags flag joined=
    flags=(
        -C "target-feature=$features"
        # It takes the constant offsets out of loads in loops, which cost nothing where they were.
        -C llvm-args=-disable-lsr
        --cfg 'getrandom_backend="custom"'
        "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
        "--remap-path-prefix=$PWD=/samara"
    )
    if [ "$WASM_TOOLCHAIN_KIND" = source ]; then
        # The std's files are named by the link in the sysroot or by what it points to. A std that comes
        # compiled has them under /rustc too.
        source=$(rust_source_of "$WASM_TOOLCHAIN_RUSTC")
        flags+=(
            -C link-self-contained=no
            # A guest has nowhere to print to: a panic is a trap, and its message would only take space.
            -Z unstable-options -C panic=immediate-abort
            "--remap-path-prefix=$source=/rustc"
            "--remap-path-prefix=$(cd "$source" && pwd -P)=/rustc"
        )
    fi
    for flag in "${flags[@]}"; do
        joined=${joined:+$joined$'\x1f'}$flag
    done
    printf '%s' "$joined"
}

# in_wasm_toolchain TARGET_FEATURES PROGRAM SUBCOMMAND [ARGUMENT...]: runs one of the toolchain's own
# programs (cargo, cargo-clippy) in the environment that makes it build for wasm, in the root of the checkout.
# What a surrounding cargo or the user's shell has set is meant for the host's build, and is taken away.
in_wasm_toolchain() (
    unset RUSTFLAGS CARGO_BUILD_TARGET CARGO_BUILD_RUSTFLAGS
    CARGO_ENCODED_RUSTFLAGS=$(wasm_rustflags "$1")
    export CARGO_ENCODED_RUSTFLAGS CARGO_TARGET_DIR=$WASM_TARGET_DIRECTORY
    export CARGO=$WASM_TOOLCHAIN_CARGO RUSTC=$WASM_TOOLCHAIN_RUSTC RUSTDOC=${WASM_TOOLCHAIN_RUSTC%rustc}rustdoc
    export RUSTC_WRAPPER=$PWD/scripts/rustc-anywhere SAMARA_CHECKOUT=$PWD
    # Without it, cargo keeps no more than one module of a package, so that the flavours of the engine would be built anew in
    # turn. It is what cargo's own bootstrap sets; should a cargo not know it, it costs that time.
    export __CARGO_DEFAULT_LIB_METADATA=samara
    program=${WASM_TOOLCHAIN_CARGO%cargo}$2
    subcommand=$3
    shift 3
    set -- --target "$WASM_TARGET" "$@"
    if [ "$WASM_TOOLCHAIN_KIND" = source ]; then
        # build-std is not stable yet; RUSTC_BOOTSTRAP lets a stable compiler take the flag.
        export RUSTC_BOOTSTRAP=1
        export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$WASM_TOOLCHAIN_LINKER
        set -- -Z build-std=std,panic_abort -Z build-std-features=optimize_for_size "$@"
    fi
    if [ -n "${CI:-}" ]; then
        set -- --locked "$@"
    fi
    exec "$program" "$subcommand" "$@"
)
