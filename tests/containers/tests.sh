#!/usr/bin/env bash
# Runs tests on Python 3.13 and the newer locked stack, in a container as strict as those of the nodes. Where containers
# cannot run, images.sh says so and succeeds.
#
#   tests.sh LIMIT_S [ARGUMENT OF PYTEST ...]
#
# The checkout is mounted, and so are the real data, where MILLRACE_TEST_DATA or ../shared/data has them. Both have to
# be readable for everyone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tests/containers/images.sh

readonly LIMIT_S=$1
readonly IMAGE=localhost/millrace:tests
readonly DATA=${MILLRACE_TEST_DATA:-../shared/data}

main() {
    prepare
    build "$IMAGE" --target tests
    install --directory --owner="$USER_ID" "$WORK/tmp"
    local volumes=(--volume "$PWD:/src:ro" --volume "$WORK/tmp:/tmp")
    [[ ! -d $DATA ]] || volumes+=(--volume "$(realpath "$DATA"):/data:ro" --env MILLRACE_TEST_DATA=/data)
    say "testing"
    local code=0
    # As in `make unit`. An interrupted pytest still tells what failed.
    timeout --foreground --signal=INT --kill-after=60 "$LIMIT_S" \
        podman run "${STRICT[@]}" "${volumes[@]}" "$IMAGE" -p no:cacheprovider --durations=10 \
        -n 2 --dist loadfile --no-loadscope-reorder "$@" || code=$?
    ((code != 124)) || fail "expected the tests to end within $LIMIT_S s; they were interrupted"
    ((code == 0)) || fail "pytest ended with $code"
    say "passed"
}

main "${@:2}"
