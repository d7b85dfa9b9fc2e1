#!/usr/bin/env bash
# Builds the pipeline image and runs all of MNIST's DAG in containers of it, as Kubeflow Pipelines would: from idx
# files to an answer of the published model. Where containers cannot run, images.sh says so and succeeds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tests/containers/images.sh

readonly UV=${UV:-uv}
readonly IMAGE=localhost/millrace:test
# Where nodes find their volume unless they are told otherwise.
readonly MOUNT=/millrace

main() {
    command -v "$UV" >/dev/null || skip "expected uv, found no $UV; 'make containers' brings it"
    prepare
    build "$IMAGE"
    check_image
    VOLUME=$WORK/volume
    install --directory --owner="$USER_ID" "$VOLUME" "$WORK/root"
    make_data
    say "compiling mnist"
    in_container millrace compile mnist --image "$IMAGE" --out "$MOUNT/mnist.yaml"
    say "running mnist"
    run_dag "$VOLUME" '{"train_num_epochs": 10, "train_learning_rate": 0.001}' || fail_with_log "mnist failed"
    ask_the_model
    check_that_a_failure_fails
    say "passed"
}

check_image() {
    podman run --rm --network none --entrypoint sh "$IMAGE" -c '! command -v cc gcc c++ g++ clang ld pip uv' ||
        fail "expected no compiler and no installer in the image"
    local fastest_ms=60000 start_ms elapsed_ms
    for _ in 1 2 3; do
        start_ms=$(date +%s%3N)
        podman run "${STRICT[@]}" "$IMAGE" --help >"$LOG" 2>&1 || fail_with_log "'millrace --help' failed"
        elapsed_ms=$(($(date +%s%3N) - start_ms))
        fastest_ms=$((elapsed_ms < fastest_ms ? elapsed_ms : fastest_ms))
    done
    say "'millrace --help' takes $fastest_ms ms"
    ((fastest_ms < 2000)) || fail "expected 'millrace --help' within 2000 ms, got $fastest_ms"
}

# Reads and writes the volume alone.
in_container() {
    podman run "${STRICT[@]}" --volume "$VOLUME:$MOUNT" --entrypoint env "$IMAGE" "$@" >"$LOG" 2>&1 ||
        fail_with_log "'$*' failed"
}

make_data() {
    say "writing the data"
    in_container python -c "
from pathlib import Path
from pipelines.datasets import demo
demo.make_data(Path('$MOUNT/data/mnist'))"
}

# Runs mnist.yaml with the volume $1 and the parameters $2; tells how each node ended.
run_dag() {
    serve_docker_api
    timeout --kill-after=10 1500 "$UV" run --quiet --no-project --script tests/containers/run_dag.py \
        "$VOLUME/mnist.yaml" "$WORK/root" "$1" "$MOUNT" "$2" 2>&1 | tee "$LOG" | sed --unbuffered --quiet \
        "s/.*Task [^']*'\(.*\)'.* finished with status .*\(SUCCESS\|FAILURE\).*/    \1: \2/p"
}

serve_docker_api() {
    [[ -z ${SERVICE:-} ]] || return 0
    export DOCKER_HOST=unix://$WORK/podman.sock
    podman system service --time=0 "$DOCKER_HOST" >"$WORK/service.log" 2>&1 &
    SERVICE=$!
    for _ in {1..50}; do
        [[ -S $WORK/podman.sock ]] && return
        sleep 0.2
    done
    fail "podman's socket did not appear: $(tail -n 1 "$WORK/service.log")"
}

ask_the_model() {
    [[ -f $VOLUME/models/mnist/1/saved_model.pb ]] || fail "expected version 1 in models/mnist, found none"
    in_container millrace predict mnist "$MOUNT/data/mnist/digit.png" --models "$MOUNT/models"
    grep --quiet 'Prediction is "7"' "$LOG" || fail_with_log "expected the digit 7"
    say "$(tail -n 1 "$LOG")"
}

check_that_a_failure_fails() {
    say "running mnist without data, which has to fail"
    install --directory --owner="$USER_ID" "$WORK/empty"
    ! run_dag "$WORK/empty" '{}' || fail_with_log "expected a failure"
    grep --quiet 'Inner task failed: .*example-gen' "$LOG" || fail_with_log "expected example-gen to fail"
}

main
