#!/usr/bin/env bash
# Brings a machine to where Samara can be built, run, tested and measured. Safe to run again: what is
# there is left alone.
#
# Usage: scripts/setup.sh [PART...]     default: all
#
#   toolchain     Rust, Python and a C compiler are checked; a toolchain for wasm is found or installed
#   python        .venv with what fetching models and the demo client need
#   demo-model    the model and the photos of `make run`       (includes python)
#   models        all models, labels and photos                (includes python)
#   test-tools    cargo-nextest; what the Python tests need in .venv; Node and jco; prompts and music
#   bench-tools   wrk; ONNX Runtime in .venv
#   node-tools    what `make bench-node` needs: oha in target/tools; FastAPI in .venv; KServe in .venv-kserve
#   peer-tools    what `make bench-peers` compares with: ONNX Runtime, FastAPI and matplotlib in .venv; onnxruntime-web
#   export-tools  what `make exports` needs, PyTorch among it, in .venv-exports
#   check-tools   cargo-deny and guest-clippy, which are parts of their own too
#   all           all of the above but node-tools, peer-tools and export-tools, which one command each needs
#
# On Debian and its like, missing packages are installed with apt-get, as root or through sudo. Elsewhere
# the script says what is missing.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/step.sh
. scripts/step.sh
# shellcheck source=scripts/wasm-toolchain.sh
. scripts/wasm-toolchain.sh
trap 'unexpected "$BASH_COMMAND"' ERR

PYTHON_WANTED=3.11
VENV=.venv
LOG=target/setup.log
# Releases that are known to build with the oldest Rust we take.
NEXTEST_VERSION=0.9.143
CARGO_DENY_VERSION=0.20.2
OHA_VERSION=1.16.0
# What jco runs on.
NODE_WANTED=18

# logged COMMAND...: runs it with its output in the log; when it fails, shows the log's end.
logged() {
    mkdir -p "$(dirname "$LOG")"
    if ! "$@" >"$LOG" 2>&1 </dev/null; then
        tail -n 25 "$LOG" | sed 's/^/      | /' >&2
        return 1
    fi
}

# === Debian packages ===

SUDO=

# Settles how apt-get gets root, before its output goes to a log.
require_root() {
    if [ "$(id -u)" -eq 0 ]; then
        SUDO=
    elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }; }; then
        SUDO="sudo -n"
    else
        fail "apt-get needs root, and sudo cannot be used here" "as root, run: apt-get install $*"
    fi
}

apt_get() {
    # shellcheck disable=SC2086 # nothing, or sudo and its option
    $SUDO env DEBIAN_FRONTEND=noninteractive apt-get -q -o Dpkg::Use-Pty=0 "$@"
}

# apt_install REASON PACKAGE...: installs those that are missing.
apt_install() {
    local reason=$1 package missing=
    shift
    if ! command -v apt-get >/dev/null; then
        fail "$reason, and there is no apt-get here to install it" \
            "install what Debian calls: $*; then run this script again"
    fi
    for package in "$@"; do
        case $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true) in
            *'ok installed') ;;
            *) missing="$missing $package" ;;
        esac
    done
    [ -n "$missing" ] || return 0
    found "$reason: installing with apt-get:$missing"
    # shellcheck disable=SC2086 # one word a package
    require_root $missing
    # shellcheck disable=SC2086
    if apt_get install -y --no-install-recommends $missing >/dev/null 2>&1 </dev/null; then
        return 0
    fi
    # The package lists may be missing or too old.
    logged apt_get update || found "apt-get update failed; trying with the lists there are"
    # shellcheck disable=SC2086
    logged apt_get install -y --no-install-recommends $missing ||
        fail "apt-get could not install$missing" "see $LOG, or install them by hand"
}

# === Compilers ===

python_version() {
    "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null
}

# Prints the first Python that is new enough.
find_python() {
    local candidate version
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11; do
        version=$(python_version "$candidate") || continue
        if version_at_least "$version" "$PYTHON_WANTED"; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

find_c_compiler() {
    local candidate
    for candidate in ${CC:+"$CC"} cc gcc clang; do
        if command -v "$candidate"; then
            return 0
        fi
    done
    return 1
}

set_up_compilers() {
    local wanted version python compiler
    wanted=$(required_rust)
    step "compilers: Rust $wanted or newer, Python $PYTHON_WANTED or newer, a C compiler"

    version=$(rustc_version rustc || true)
    if [ -z "$version" ] || ! command -v cargo >/dev/null; then
        fail "rustc or cargo is not on PATH" "install Rust from https://rustup.rs, then open a new shell"
    fi
    if ! version_at_least "$version" "$wanted"; then
        fail "rustc is $version, and $wanted is needed" "run: rustup update stable"
    fi
    found "rustc $version ($(command -v rustc))"

    if ! python=$(find_python); then
        fail "no Python $PYTHON_WANTED or newer was found (python3 is $(python_version python3 || echo missing))" \
            "install Python $PYTHON_WANTED or newer, or set PYTHON to one"
    fi
    found "Python $(python_version "$python") ($python)"

    if ! compiler=$(find_c_compiler); then
        apt_install "no C compiler, which Rust links with" gcc libc6-dev
        compiler=$(find_c_compiler) || fail "no C compiler was found" "install gcc or clang"
    fi
    found "C compiler: $compiler"
    step_done
}

# === The toolchain for wasm ===

# Whether rustup's server answers. Asked first and with a limit, as rustup itself waits long for a server
# that does not; and once it works on a toolchain it must not be killed, which can leave half of one behind.
rustup_server_answers() {
    local server=${RUSTUP_DIST_SERVER:-https://static.rust-lang.org}
    "$(find_python)" - "$server/dist/channel-rust-stable.toml.sha256" 2>/dev/null <<'PYTHON'
import sys, urllib.request
urllib.request.urlopen(sys.argv[1], timeout=10).read(64)
PYTHON
}

install_wasm_target() {
    if ! command -v rustup >/dev/null; then
        found "rustup is not installed"
        return 1
    fi
    if ! rustup_server_answers; then
        found "rustup's server does not answer"
        return 1
    fi
    found "running: rustup component add rust-src"
    if logged rustup component add rust-src && detect_wasm_toolchain; then
        return 0
    fi
    found "running: rustup target add $WASM_TARGET"
    logged rustup target add "$WASM_TARGET"
}

# Whether apt-get would install a rustc-web that is new enough.
debian_offers_rust() {
    local version
    version=$(LC_ALL=C apt-cache policy rustc-web 2>/dev/null | sed -n 's/^ *Candidate: \([0-9.]*\).*/\1/p')
    [ -n "$version" ] && version_at_least "$version" "$(required_rust)"
}

install_debian_toolchain() {
    local packages="rustc-web cargo-web rust-web-src"
    if ! command -v apt-get >/dev/null; then
        return 1
    fi
    if ! debian_offers_rust; then
        # shellcheck disable=SC2086 # one word a package
        require_root $packages
        logged apt_get update || true
    fi
    if ! debian_offers_rust; then
        found "apt-get offers no rustc-web $(required_rust) or newer"
        return 1
    fi
    if ! find_wasm_linker >/dev/null; then
        packages="$packages lld"
    fi
    # shellcheck disable=SC2086 # one word a package
    apt_install "falling back on Debian's compiler with the source of its std" $packages
}

set_up_wasm_toolchain() {
    step "wasm toolchain: a compiler for $WASM_TARGET"
    if load_wasm_toolchain; then
        found "found: $(describe_wasm_toolchain)"
    elif { install_wasm_target || install_debian_toolchain; } && detect_wasm_toolchain; then
        found "installed: $(describe_wasm_toolchain)"
    else
        fail "no compiler for $WASM_TARGET" \
            "run: rustup component add rust-src; or, on Debian 12: apt-get install rustc-web cargo-web rust-web-src"
    fi
    save_wasm_toolchain
    found "recorded in $WASM_TOOLCHAIN_ENV"
    step_done
}

# === Python ===

# hash_lines FILE...: a line "HASH NAME" for each.
hash_lines() {
    "$VENV/bin/python" - "$@" <<'PYTHON'
import hashlib, sys
for name in sys.argv[1:]:
    with open(name, "rb") as file:
        print(hashlib.sha256(file.read()).hexdigest(), name)
PYTHON
}

venv_works() {
    local version
    version=$(python_version "$VENV/bin/python") && version_at_least "$version" "$PYTHON_WANTED" &&
        "$VENV/bin/python" -c 'import pip' 2>/dev/null
}

ensure_venv() {
    local python
    if venv_works; then
        found "$VENV has Python $(python_version "$VENV/bin/python")"
        return
    fi
    python=$(find_python) || fail "no Python $PYTHON_WANTED or newer was found" "install one, or set PYTHON to one"
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        apt_install "this Python cannot make virtual environments" python3-venv
        "$python" -c 'import ensurepip, venv' 2>/dev/null ||
            fail "$python has no ensurepip" "install the venv package of that Python, or set PYTHON to another"
    fi
    found "making $VENV with $python"
    logged "$python" -m venv --clear "$VENV" || fail "$python could not make $VENV" "see $LOG"
}

# install_requirements FILE...: one run of pip over all of them, so that their pins must agree; nothing when all
# were installed before with the same contents.
install_requirements() {
    local stamp=$VENV/requirements.stamp wanted line missing=0 file arguments
    for file in "$@"; do
        [ -f "$file" ] || fail "$file is missing" "restore it: git checkout -- $file"
    done
    wanted=$(hash_lines "$@")
    while IFS= read -r line; do
        grep -qxF -- "$line" "$stamp" 2>/dev/null || missing=1
    done <<<"$wanted"
    if [ "$missing" -eq 0 ]; then
        found "requirements unchanged: $*"
        return
    fi
    found "installing: $*"
    arguments=()
    for file in "$@"; do
        arguments+=(-r "$file")
    done
    logged "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input "${arguments[@]}" ||
        fail "pip could not install the requirements" "see $LOG; a package index must be reachable"
    {
        # Of files installed at another time, the stamps stay; of these, only the new ones.
        if [ -f "$stamp" ]; then
            while IFS= read -r line; do
                case " $* " in
                    *" ${line#* } "*) ;;
                    *) printf '%s\n' "$line" ;;
                esac
            done <"$stamp"
        fi
        printf '%s\n' "$wanted"
    } >"$stamp.new"
    mv -f "$stamp.new" "$stamp"
}

MODEL_REQUIREMENTS="models/requirements.txt models/requirements-client.txt"

set_up_python() {
    step "Python environment: $VENV, pinned requirements of models/"
    ensure_venv
    # shellcheck disable=SC2086 # one word a file
    install_requirements $MODEL_REQUIREMENTS
    step_done
}

fetch_models() {
    "$VENV/bin/python" models/fetch.py "$@" </dev/null ||
        fail "models/fetch.py failed" "read its message above; it can be run again and goes on where it stopped"
}

set_up_demo_model() {
    step "demo model: EfficientNet-Lite0, its labels, the sample photos"
    fetch_models efficientnet-lite0 photos
    step_done
}

set_up_models() {
    step "models: all of models/cards, labels, photos, into models/.cache"
    fetch_models
    step_done
}

# === Tools ===

set_up_nextest() {
    step "cargo-nextest: runs the Rust tests"
    if ! cargo nextest --version >/dev/null 2>&1; then
        found "not installed; cargo builds $NEXTEST_VERSION, which takes minutes"
        logged cargo install "cargo-nextest@$NEXTEST_VERSION" --locked ||
            fail "cargo could not install cargo-nextest" "see $LOG, or https://nexte.st/docs/installation"
    fi
    found "$(cargo nextest --version 2>/dev/null | head -n 1)"
    step_done
}

set_up_python_tests() {
    step "Python tests: requirements of tests/python in $VENV"
    ensure_venv
    # shellcheck disable=SC2086
    install_requirements $MODEL_REQUIREMENTS tests/python/requirements.txt
    step_done
}

ensure_node() {
    local version
    if ! command -v node >/dev/null; then
        apt_install "node is not installed" nodejs npm
    elif ! command -v npm >/dev/null; then
        apt_install "npm is not installed" npm
    fi
    version=$(node --version 2>/dev/null) || fail "node does not run" "install Node $NODE_WANTED or newer with npm"
    version=${version#v}
    if ! version_at_least "$version" "$NODE_WANTED"; then
        fail "node is $version, and $NODE_WANTED is needed" "install a newer one from https://nodejs.org"
    fi
    found "node $version ($(command -v node))"
}

# install_packages FOLDER: what its package-lock.json pins. A copy of the lock goes beside what was installed, and goes
# when npm empties the folder.
install_packages() {
    local lock=$1/package-lock.json stamp=$1/node_modules/installed-lock.json
    if cmp -s "$lock" "$stamp"; then
        found "packages unchanged: $lock"
        return
    fi
    found "installing: $lock"
    logged npm --prefix "$1" ci ||
        fail "npm could not install what $lock pins" "see $LOG; npm's registry must be reachable"
    cp "$lock" "$stamp"
}

set_up_node_tests() {
    step "Node tests: Node $NODE_WANTED or newer, jco as tests/node pins it"
    ensure_node
    install_packages tests/node
    step_done
}

set_up_peers() {
    step "peers: ONNX Runtime, FastAPI and matplotlib in $VENV; onnxruntime-web as benches/peers pins it"
    ensure_venv
    # shellcheck disable=SC2086
    install_requirements $MODEL_REQUIREMENTS tests/python/requirements.txt benches/peers/requirements.txt
    ensure_node
    install_packages benches/peers
    step_done
}

set_up_oha() {
    step "oha: makes load that does not wait for answers"
    if ! target/tools/bin/oha --version 2>/dev/null | grep -qF "oha $OHA_VERSION"; then
        found "not installed; cargo builds $OHA_VERSION, which takes minutes"
        logged cargo install "oha@$OHA_VERSION" --locked --root target/tools ||
            fail "cargo could not install oha" "see $LOG, or https://github.com/hatoo/oha"
    fi
    found "$(target/tools/bin/oha --version)"
    step_done
}

# install_apart ENVIRONMENT FILE: an environment of its own, for what wants other packages, or large ones.
install_apart() {
    local environment=$1 wanted=$2
    if cmp -s "$wanted" "$environment/requirements.txt"; then
        found "requirements unchanged: $wanted"
        return
    fi
    found "installing: $wanted"
    "$VENV/bin/python" -m venv --clear "$environment"
    logged "$environment/bin/python" -m pip install --disable-pip-version-check --no-input -r "$wanted" ||
        fail "pip could not install the requirements" "see $LOG; a package index must be reachable"
    cp "$wanted" "$environment/requirements.txt"
}

set_up_servers() {
    step "servers: FastAPI in $VENV; KServe, which wants other packages, in .venv-kserve"
    ensure_venv
    # shellcheck disable=SC2086
    install_requirements $MODEL_REQUIREMENTS tests/python/requirements.txt benches/peers/requirements.txt
    install_apart .venv-kserve benches/peers/kserve-requirements.txt
    step_done
}

set_up_exports() {
    step "exports: PyTorch, transformers and timm in .venv-exports"
    ensure_venv
    install_apart .venv-exports models/requirements-exports.txt
    step_done
}

# Sounds that are not ours to give: tests/python/test_listen.py says what for.
SOUNDS=tests/.cache/sounds
SOUND_PACKAGES="asterisk-core-sounds-en-wav asterisk-moh-opsound-wav alsa-utils"

# fetch_sounds DIRECTORY: the sounds in Debian's packages, none of which is installed.
fetch_sounds() (
    cd "$1"
    # shellcheck disable=SC2086 # one word a package
    apt-get -q download $SOUND_PACKAGES || return 1
    for package in *.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -x --wildcards '*.wav'
    done
    mkdir sounds
    mv usr/share/asterisk/sounds/en_US_f_Allison/*.wav usr/share/asterisk/moh/*.wav usr/share/sounds/alsa/*.wav sounds
)

set_up_sounds() {
    local partial=${SOUNDS%/*}/partial
    step "sounds: prompts and music from Debian's packages, for the tests of listen"
    if [ -d "$SOUNDS" ]; then
        found "$SOUNDS"
    elif ! command -v apt-get >/dev/null; then
        found "there is no apt-get here: tests that want them are skipped"
    else
        found "fetching: $SOUND_PACKAGES"
        rm -rf "$partial"
        mkdir -p "$partial"
        if ! logged fetch_sounds "$partial"; then
            # The package lists may be missing or too old.
            # shellcheck disable=SC2086
            require_root $SOUND_PACKAGES
            logged apt_get update || true
            logged fetch_sounds "$partial" || fail "apt-get could not download the sounds" "see $LOG"
        fi
        mv "$partial/sounds" "$SOUNDS"
        rm -rf "$partial"
    fi
    step_done
}

set_up_wrk() {
    step "wrk: makes the load in the benchmarks"
    if ! command -v wrk >/dev/null; then
        apt_install "wrk is not installed" wrk
    fi
    found "wrk ($(command -v wrk))"
    step_done
}

set_up_cargo_deny() {
    step "cargo-deny: checks dependencies"
    if ! cargo deny --version >/dev/null 2>&1; then
        found "not installed; cargo builds $CARGO_DENY_VERSION, which takes minutes"
        # It runs for seconds, so it is not worth the time that its release profile takes to build.
        logged env CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
            CARGO_PROFILE_RELEASE_OPT_LEVEL=0 cargo install "cargo-deny@$CARGO_DENY_VERSION" --locked ||
            fail "cargo could not install cargo-deny" "see $LOG, or https://github.com/EmbarkStudios/cargo-deny"
    fi
    found "$(cargo deny --version)"
    step_done
}

set_up_guest_clippy() {
    step "clippy for the guests: the one of the wasm toolchain"
    load_wasm_toolchain || fail "no compiler for $WASM_TARGET" "run scripts/setup.sh toolchain"
    local clippy=${WASM_TOOLCHAIN_CARGO%cargo}cargo-clippy
    if [ ! -x "$clippy" ]; then
        if [ "$WASM_TOOLCHAIN_CARGO" = /usr/bin/cargo ]; then
            apt_install "no clippy beside $WASM_TOOLCHAIN_CARGO" rust-web-clippy
        fi
        [ -x "$clippy" ] || fail "$clippy is missing" "install clippy for that toolchain: rustup component add clippy"
    fi
    found "$clippy"
    step_done
}

# === Which parts ===

usage() {
    sed -n '/^# Usage/,/^#   all/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

ALL_STEPS="compilers wasm_toolchain python demo_model models nextest python_tests node_tests sounds wrk"
ALL_STEPS="$ALL_STEPS servers oha peers exports cargo_deny guest_clippy"
wanted_steps=" "
for part in "${@:-all}"; do
    case $part in
        toolchain) wanted_steps+="compilers wasm_toolchain " ;;
        python) wanted_steps+="python " ;;
        demo-model) wanted_steps+="python demo_model " ;;
        models) wanted_steps+="python models " ;;
        test-tools) wanted_steps+="nextest python_tests node_tests sounds " ;;
        bench-tools) wanted_steps+="python_tests wrk " ;;
        node-tools) wanted_steps+="servers oha " ;;
        peer-tools) wanted_steps+="peers " ;;
        export-tools) wanted_steps+="exports " ;;
        cargo-deny) wanted_steps+="cargo_deny " ;;
        guest-clippy) wanted_steps+="guest_clippy " ;;
        check-tools) wanted_steps+="cargo_deny guest_clippy " ;;
        all)
            # models brings the demo's model too.
            wanted_steps+="compilers wasm_toolchain python models nextest python_tests node_tests sounds wrk "
            wanted_steps+="cargo_deny guest_clippy "
            ;;
        -h | --help | help)
            usage
            exit 0
            ;;
        *)
            echo "scripts/setup.sh: there is no part '$part'" >&2
            usage >&2
            exit 2
            ;;
    esac
done

steps=()
for name in $ALL_STEPS; do
    case $wanted_steps in
        *" $name "*) steps+=("$name") ;;
    esac
done

all_started=$(clock)
steps_total "${#steps[@]}"
for name in "${steps[@]}"; do
    "set_up_$name"
done
echo "set-up done in $(since "$all_started")"
