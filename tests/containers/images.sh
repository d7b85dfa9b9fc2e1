# Sourced by the scripts beside it: brings podman and the images, and cleans up in the end. Needs root on Debian or
# Ubuntu; elsewhere it says so and succeeds.
#
# No image registry is asked: debootstrap makes the base. MILLRACE_CONTAINERS_DIR keeps the images, so that a second
# run builds only what changed; nothing else stays.
# shellcheck shell=bash

readonly DIR=${MILLRACE_CONTAINERS_DIR:-/var/tmp/millrace-containers}
readonly CA=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
readonly NEEDED_GB=15
readonly BASE=localhost/debian:trixie-slim
readonly USER_ID=65532
# As strict as a cluster can be.
# shellcheck disable=SC2034
readonly STRICT=(--rm --user "$USER_ID" --read-only --cap-drop=all --security-opt=no-new-privileges --network=none)

prepare() {
    check_machine
    make_folder
    make_base
}

check_machine() {
    ((EUID == 0)) || skip "expected root, to run containers"
    command -v apt-get >/dev/null || skip "expected Debian or Ubuntu, found no apt-get"
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
make_folder() {
    WORK=$(mktemp --directory "$DIR/run.XXXXXX")
    LOG=$WORK/log
    trap clean_up EXIT
    trap 'exit 130' INT TERM
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

# Builds the image $1, with podman's options in the other arguments.
build() {
    say "building $1"
    podman build --network host --ulimit nofile=20000:20000 --ulimit nproc=10000:10000 \
        --build-arg BASE="$BASE" --secret id=ca,src="$CA" --file docker/Dockerfile --tag "$@" . >"$LOG" 2>&1 ||
        fail_with_log "podman build failed"
    # What the last build left behind and this one does not use.
    podman image prune --force >/dev/null
    say "built, $(($(podman image inspect --format '{{.Size}}' "$1") / 1000000)) MB"
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
