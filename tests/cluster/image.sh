#!/usr/bin/env bash
# Builds the pipeline image as `make containers` does, and writes its archive to standard output. Where containers
# cannot run, it says so, succeeds, and writes nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tests/containers/images.sh

exec 3>&1 1>&2
prepare
build "$1"
podman save --format docker-archive "$1" >&3
