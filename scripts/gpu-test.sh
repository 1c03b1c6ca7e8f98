#!/usr/bin/env bash
# The check behind `make gpu-test`: graphs on an NVIDIA GPU. Without one it says so, checks nothing and ends with 0.
#
#   GPU_PYTHON   a Python that has what tests/gpu/requirements.txt asks for, instead of a new environment with that
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/step.sh
. scripts/step.sh
trap 'unexpected "$BASH_COMMAND"' ERR

SAMARA=${CARGO_TARGET_DIR:-target}/release/samara
VENV=.venv-gpu
STAMP=$VENV/requirements.txt
WANTED=tests/gpu/requirements.txt

if ! command -v nvidia-smi >/dev/null || ! gpus=$(nvidia-smi -L 2>/dev/null) || [ -z "$gpus" ]; then
    echo "There is no NVIDIA GPU here (nvidia-smi finds none): NOTHING WAS CHECKED."
    exit 0
fi
[ "${1:-}" = "--probe" ] && exit 10

if [ -n "${GPU_PYTHON:-}" ]; then
    steps_total 1
    step "the checks, in $GPU_PYTHON"
    "$GPU_PYTHON" tests/gpu/check.py "$SAMARA"
    step_done
    exit
fi

steps_total 2
step "ONNX Runtime for CUDA, in $VENV"
if cmp -s "$WANTED" "$STAMP"; then
    found "requirements unchanged: $WANTED"
else
    found "installing: $WANTED (some 2 GB)"
    "${PYTHON:-python3}" -m venv --clear "$VENV"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-input -r "$WANTED" ||
        fail "pip could not install the requirements" "a package index must be reachable"
    cp "$WANTED" "$STAMP"
fi
step_done
step "the checks"
"$VENV/bin/python" tests/gpu/check.py "$SAMARA"
step_done
