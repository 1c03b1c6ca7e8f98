#!/usr/bin/env bash
# The demo behind `make run`: compiles EfficientNet-Lite0 into a component, serves it, asks it what the sample
# photos show, and stops the server.
#
# SAMARA_LISTEN   the server's address (default: 127.0.0.1:8080, or a free port when that one is taken)
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/step.sh
. scripts/step.sh
trap 'unexpected "$BASH_COMMAND"' ERR

MODEL=efficientnet-lite0
ONNX=models/.cache/$MODEL.onnx
LABELS=models/.cache/labels/imagenet-1k.txt
PHOTOS=models/.cache/photos
COMPONENT=target/models/$MODEL.wasm
LOG=target/run-server.log
PYTHON=.venv/bin/python
SAMARA=${CARGO_TARGET_DIR:-target}/release/samara
READY_WITHIN=60

server=

# Runs however the script ends, so that no server stays behind.
stop_server() {
    local waited=0
    if [ -z "$server" ]; then
        return
    fi
    kill -TERM "$server" 2>/dev/null || true
    while kill -0 "$server" 2>/dev/null; do
        if [ "$waited" -ge 100 ]; then
            kill -KILL "$server" 2>/dev/null || true
        fi
        waited=$((waited + 1))
        sleep 0.1
    done
    wait "$server" 2>/dev/null || true
    server=
}
trap stop_server EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Whether something listens at HOST PORT.
answers() {
    (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null
}

# Whether the server at HOST PORT says that its models are ready.
is_ready() {
    local status
    # shellcheck disable=SC2016 # the inner shell expands them
    status=$(bash -c 'exec 3<>"/dev/tcp/$0/$1" &&
        printf "GET /v2/health/ready HTTP/1.1\r\nHost: %s:%s\r\nConnection: close\r\n\r\n" "$0" "$1" >&3 &&
        read -r -t 2 line <&3 && printf "%s" "$line"' "$1" "$2" 2>/dev/null) || return 1
    case $status in
        "HTTP/1."?" 200"*) return 0 ;;
        *) return 1 ;;
    esac
}

choose_address() {
    if [ -n "${SAMARA_LISTEN:-}" ]; then
        address=$SAMARA_LISTEN
        host=${address%:*}
        port=${address##*:}
        if answers "$host" "$port"; then
            fail "$address is taken: something else listens there" \
                "stop it, or choose another address with SAMARA_LISTEN"
        fi
        return
    fi
    host=127.0.0.1
    port=8080
    if answers "$host" "$port"; then
        found "$host:$port is taken by another program; taking a free port instead"
        port=$("$PYTHON" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
    fi
    address=$host:$port
}

wait_until_ready() {
    local deadline=$((SECONDS + READY_WITHIN))
    until is_ready "$host" "$port"; do
        if ! kill -0 "$server" 2>/dev/null; then
            server=
            sed 's/^/      | /' "$LOG" >&2
            fail "the server ended before it was ready" "its messages are above, and in $LOG"
        fi
        if [ "$SECONDS" -ge "$deadline" ]; then
            tail -n 25 "$LOG" | sed 's/^/      | /' >&2
            fail "the server was not ready within $READY_WITHIN s" "its messages are above, and in $LOG"
        fi
        sleep 0.05
    done
}

for needed in "$SAMARA" "$PYTHON" "$ONNX" "$LABELS"; do
    if [ ! -e "$needed" ]; then
        fail "$needed is missing" "run: make run, which builds and fetches everything first"
    fi
done

steps_total 4

step "compile $ONNX into $COMPONENT"
mkdir -p target/models
if [ "$COMPONENT" -nt "$SAMARA" ] && [ "$COMPONENT" -nt "$ONNX" ] && [ "$COMPONENT" -nt "$LABELS" ]; then
    found "it is there, and newer than what it is made of"
else
    "$SAMARA" compile "$ONNX" --output "$COMPONENT" --name "$MODEL" --version 1 \
        --input input=1,3,224,224 --simd relaxed --labels "$LABELS" </dev/null
fi
step_done

step "serve it"
choose_address
"$SAMARA" serve "$COMPONENT" --listen "$address" </dev/null >"$LOG" 2>&1 &
server=$!
wait_until_ready
found "ready at http://$address, process $server, messages in $LOG"
step_done

step "ask what the photos show"
# Chelsea the cat first.
photos=("$PHOTOS/chelsea.png")
for photo in "$PHOTOS"/*; do
    [ "$photo" = "$PHOTOS/chelsea.png" ] || photos+=("$photo")
done
"$PYTHON" models/classify.py "${photos[@]}" --url "http://$address" --model "$MODEL" --labels "$LABELS" --top 3 \
    </dev/null || fail "the photos could not be classified" "the server's messages are in $LOG"
step_done

step "stop the server"
stop_server
step_done
