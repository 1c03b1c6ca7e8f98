# shellcheck shell=bash
# Numbered and timed steps. Sourced by the scripts beside it.
#
#   steps_total N       how many steps will follow
#   step TITLE          opens a step: prints its number and title
#   found TEXT          says what the open step found or does
#   step_done           closes the step and prints how long it took
#   fail WHAT [REMEDY]  ends the script: which step failed, why, and what to install or do
#
# Written for bash 3.2 and later, so that it also runs on macOS.

STEP_NUMBER=0
STEP_TOTAL=0
STEP_TITLE=
STEP_STARTED=0

# Seconds since the epoch, with a fraction where bash offers one.
clock() {
    local LC_ALL=C
    if [ -n "${EPOCHREALTIME:-}" ]; then
        printf '%s\n' "$EPOCHREALTIME"
    else
        date +%s
    fi
}

# since START: the time from START until now, for people: "0.4 s", "3 min 12 s".
since() {
    LC_ALL=C awk -v a="$1" -v b="$(clock)" 'BEGIN {
        d = b - a
        if (d < 60) printf "%.1f s\n", d
        else printf "%d min %d s\n", int(d / 60), int(d) % 60
    }'
}

steps_total() {
    STEP_NUMBER=0
    STEP_TOTAL=$1
}

step() {
    STEP_NUMBER=$((STEP_NUMBER + 1))
    STEP_TITLE=$1
    STEP_STARTED=$(clock)
    printf '[%d/%d] %s\n' "$STEP_NUMBER" "$STEP_TOTAL" "$STEP_TITLE"
}

found() {
    printf '      %s\n' "$1"
}

step_done() {
    found "done in $(since "$STEP_STARTED")"
    STEP_TITLE=
}

fail() {
    {
        if [ -n "$STEP_TITLE" ]; then
            printf '      FAILED after %s, at step %d/%d (%s):\n' \
                "$(since "$STEP_STARTED")" "$STEP_NUMBER" "$STEP_TOTAL" "$STEP_TITLE"
        fi
        printf '      error: %s\n' "$1"
        if [ -n "${2:-}" ]; then
            printf '      what to do: %s\n' "$2"
        fi
    } >&2
    trap - ERR
    exit 1
}

# For `trap 'unexpected "$BASH_COMMAND"' ERR`: no command fails without a word.
unexpected() {
    local status=$?
    fail "a command failed with status $status: $1" "read the output above it"
}
