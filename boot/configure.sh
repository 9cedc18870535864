#!/usr/bin/bash
# Every boot of an image server's zone in a datacenter.
set -o errexit
set -o pipefail
if [[ "${TRACE:-}" == 1 ]]; then set -o xtrace; fi

"${BASH_SOURCE[0]%/*}/standalone/network.sh"
