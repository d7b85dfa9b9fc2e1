#!/usr/bin/env bash
# Builds the pipeline image and runs all of MNIST's DAG in containers of it, as Kubeflow Pipelines would: from idx
# files to an answer of the published model. Then the same with a project that `millrace init` writes, in an image of
# its own, whose test runs as its workflow says. Where containers cannot run, images.sh says so and succeeds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tests/containers/images.sh

readonly UV=${UV:-uv}
readonly IMAGE=localhost/millrace:test
readonly PROJECT_IMAGE=localhost/my-reviews:latest
# What the Dockerfile of a project installs by; no registry is asked for it.
readonly PYTHON_IMAGE=docker.io/library/python:3.13-slim
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
    in_container "$IMAGE" millrace compile mnist --image "$IMAGE" --out "$MOUNT/mnist.yaml"
    say "running mnist"
    run_dag mnist "$VOLUME" '{"train_num_epochs": 10, "train_learning_rate": 0.001}' || fail_with_log "mnist failed"
    ask_the_model
    check_that_a_failure_fails
    run_a_project
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

# Runs a command in the image $1; it reads and writes the volume alone.
in_container() {
    podman run "${STRICT[@]}" --volume "$VOLUME:$MOUNT" --workdir "$MOUNT" --entrypoint env "$@" >"$LOG" 2>&1 ||
        fail_with_log "'${*:2}' failed"
}

make_data() {
    say "writing the data"
    in_container "$IMAGE" python -c "
from pathlib import Path
from pipelines.datasets import demo
demo.make_data(Path('$MOUNT/data/mnist'))"
}

# Runs a compiled task $1 with the volume $2 and the parameters $3; tells how each node ended.
run_dag() {
    serve_docker_api
    timeout --kill-after=10 1500 "$UV" run --quiet --no-project --script tests/containers/run_dag.py \
        "$VOLUME/$1.yaml" "$WORK/root" "$2" "$MOUNT" "$3" 2>&1 | tee "$LOG" | sed --unbuffered --quiet \
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
    in_container "$IMAGE" millrace predict mnist "$MOUNT/data/mnist/digit.png" --models "$MOUNT/models"
    grep --quiet 'Prediction is "7"' "$LOG" || fail_with_log "expected the digit 7"
    say "$(tail -n 1 "$LOG")"
}

check_that_a_failure_fails() {
    say "running mnist without data, which has to fail"
    install --directory --owner="$USER_ID" "$WORK/empty"
    ! run_dag mnist "$WORK/empty" '{}' || fail_with_log "expected a failure"
    grep --quiet 'Inner task failed: .*example-gen' "$LOG" || fail_with_log "expected example-gen to fail"
}

run_a_project() {
    write_a_project
    make_python
    say "testing the project as its workflow does"
    follow_the_workflow
    say "building the project's image"
    (cd "$VOLUME/my-reviews" && docker build --build-arg "IMAGE=$IMAGE" --tag "$PROJECT_IMAGE" .) >"$LOG" 2>&1 ||
        fail_with_log "the project's image cannot be built"
    in_container "$PROJECT_IMAGE" millrace tasks show my-reviews
    in_container "$PROJECT_IMAGE" millrace compile my-reviews --image "$PROJECT_IMAGE" --out my_reviews.yaml \
        --set train.num_steps=4 --set train.global_batch_size=4 --set blessing.threshold=0
    say "running my-reviews"
    run_dag my_reviews "$VOLUME" '{}' || fail_with_log "my-reviews failed"
    in_container "$PROJECT_IMAGE" millrace predict my-reviews "They said good." --models models
    grep --quiet -E 'Prediction is "(yes|no)"' "$LOG" || fail_with_log "expected yes or no"
    say "$(tail -n 1 "$LOG")"
}

write_a_project() {
    say "writing a project"
    install --directory --owner="$USER_ID" "$VOLUME/data/my_reviews"
    local number
    {
        echo review,liked
        for number in {1..30}; do
            printf '"They said ""%s"" %d times.",%s\n' good "$number" yes bad "$number" no
        done
    } >"$VOLUME/data/my_reviews/reviews.csv"
    in_container "$IMAGE" millrace init my-reviews --from data/my_reviews/reviews.csv --text review --label liked
}

make_python() {
    podman image exists "$PYTHON_IMAGE" && return
    say "making an image of Python with pip"
    install -D --mode=644 "$CA" "$WORK/python/ca.crt"
    cat >"$WORK/python/Dockerfile" <<END
FROM $BASE
COPY ca.crt /etc/ssl/given.crt
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates python3-pip
ENV PIP_CERT=/etc/ssl/given.crt
END
    docker build --tag "$PYTHON_IMAGE" "$WORK/python" >"$LOG" 2>&1 || fail_with_log "podman build failed"
}

# Runs the commands of the project's workflow as they stand there.
follow_the_workflow() {
    local commands
    commands=$(sed -n 's/^ *- run: //p' "$VOLUME/my-reviews/.github/workflows/ci.yml")
    [[ $(wc -l <<<"$commands") == 2 ]] || fail "expected two commands in the workflow, got: $commands"
    export IMAGE
    export -f docker
    (cd "$VOLUME/my-reviews" && bash -e -c "$commands") >"$LOG" 2>&1 || fail_with_log "the workflow failed"
    grep --quiet ' 1 passed' "$LOG" || fail_with_log "expected one test to pass"
}

docker() {
    local options=()
    [[ $1 != build ]] || options=(--network host --ulimit nofile=20000:20000 --ulimit nproc=10000:10000)
    podman "$1" "${options[@]}" "${@:2}"
}

main
