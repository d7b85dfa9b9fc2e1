#!/usr/bin/env bash
# Builds the pipeline image and runs all of MNIST's DAG in containers of it, as Kubeflow Pipelines would: from idx
# files to an answer of the published model. Needs root on Debian or Ubuntu; elsewhere it says so and succeeds.
#
# No image registry is asked: debootstrap makes the base. MILLRACE_CONTAINERS_DIR keeps the images, so that a second
# run builds only what changed; nothing else stays.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly DIR=${MILLRACE_CONTAINERS_DIR:-/var/tmp/millrace-containers}
readonly UV=${UV:-uv}
readonly CA=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
readonly NEEDED_GB=15
readonly BASE=localhost/debian:trixie-slim
readonly IMAGE=localhost/millrace:test
readonly USER_ID=65532
# Where nodes find their volume unless they are told otherwise.
readonly MOUNT=/millrace
# As strict as a cluster can be.
readonly STRICT=(--rm --user "$USER_ID" --read-only --cap-drop=all --security-opt=no-new-privileges --network=none)

main() {
    check_machine
    prepare
    make_base
    build_image
    check_image
    make_data
    say "compiling mnist"
    in_container millrace compile mnist --image "$IMAGE" --out "$MOUNT/mnist.yaml"
    say "running mnist"
    run_dag "$VOLUME" '{"train_num_epochs": 10, "train_learning_rate": 0.001}' || fail_with_log "mnist failed"
    ask_the_model
    check_that_a_failure_fails
    say "passed"
}

check_machine() {
    ((EUID == 0)) || skip "expected root, to run containers"
    command -v apt-get >/dev/null || skip "expected Debian or Ubuntu, found no apt-get"
    command -v "$UV" >/dev/null || skip "expected uv, found no $UV; 'make containers' brings it"
    mkdir -p "$DIR"
    local free_gb
    free_gb=$(($(df --output=avail --block-size=1G "$DIR" | tail -n 1)))
    [[ -d $DIR/storage ]] || ((free_gb >= NEEDED_GB)) || skip "expected $NEEDED_GB GB free in $DIR, got $free_gb"
    install_tools
}

install_tools() {
    local tools=(podman runc debootstrap)
    type "${tools[@]}" >/dev/null 2>&1 && return
    say "installing ${tools[*]}"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update && apt-get install --yes --no-install-recommends "${tools[@]}" debian-archive-keyring; } \
        >"$DIR/apt.log" 2>&1 || skip "apt-get cannot install them: $(tail -n 1 "$DIR/apt.log")"
}

# What podman keeps lies in DIR; images and settings that the machine has already stay as they are.
prepare() {
    WORK=$(mktemp --directory "$DIR/run.XXXXXX")
    VOLUME=$WORK/volume
    LOG=$WORK/log
    trap clean_up EXIT
    trap 'exit 130' INT TERM
    install --directory --owner="$USER_ID" "$VOLUME" "$WORK/root"
    chmod 755 "$WORK"
    cat >"$WORK/containers.conf" <<'END'
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=10000:10000"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
END
    cat >"$WORK/storage.conf" <<END
[storage]
driver = "overlay"
graphroot = "$DIR/storage"
runroot = "$DIR/state"
END
    export CONTAINERS_CONF=$WORK/containers.conf CONTAINERS_STORAGE_CONF=$WORK/storage.conf TMPDIR=$WORK
    export DOCKER_HOST=unix://$WORK/podman.sock
}

clean_up() {
    [[ -z ${SERVICE:-} ]] || kill "$SERVICE" 2>/dev/null || true
    podman rm --all --force --time 1 >/dev/null 2>&1 || true
    rm -rf "$WORK"
}

make_base() {
    if ! podman image exists "$BASE"; then
        say "making a base image of Debian 13"
        debootstrap --variant=minbase trixie "$WORK/base" "$(debian_mirror)" >"$LOG" 2>&1 ||
            skip "debootstrap: $(tail -n 1 "$LOG")"
        rm -rf "$WORK"/base/{var/cache/apt,var/lib/apt/lists,usr/share/doc,usr/share/man}/*
        tar -C "$WORK/base" -c . | podman import - "$BASE" >"$LOG" 2>&1 || fail_with_log "podman import failed"
        rm -rf "$WORK/base"
    fi
    podman run --rm --network none "$BASE" true >"$LOG" 2>&1 ||
        skip "containers do not start here: $(tail -n 1 "$LOG")"
}

# Prints the mirror that apt uses where apt's is one of Debian's.
debian_mirror() {
    local mirror
    # shellcheck disable=SC2016  # apt's own variable
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 2>/dev/null | grep -m 1 '/debian/$' || true)
    echo "${mirror:-http://deb.debian.org/debian}"
}

build_image() {
    say "building the image"
    podman build --network host --ulimit nofile=20000:20000 --ulimit nproc=10000:10000 \
        --build-arg BASE="$BASE" --secret id=ca,src="$CA" --file docker/Dockerfile --tag "$IMAGE" . >"$LOG" 2>&1 ||
        fail_with_log "podman build failed"
    # What the last build left behind and this one does not use.
    podman image prune --force >/dev/null
    say "built, $(($(podman image inspect --format '{{.Size}}' "$IMAGE") / 1000000)) MB"
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

say() {
    printf 'containers: %s (%d s)\n' "$1" "$SECONDS"
}

skip() {
    say "skipped: $1"
    exit 0
}

fail() {
    say "failed: $1" >&2
    exit 1
}

# For a DAG, shows the log of the node that ran last.
fail_with_log() {
    tac "$LOG" | sed '/Executing task/q' | tac | tail -n 60 >&2
    fail "$1"
}

main
