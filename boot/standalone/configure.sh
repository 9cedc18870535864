#!/usr/bin/bash
# Every boot of a standalone zone.
set -o errexit
set -o pipefail
if [[ "${TRACE:-}" == 1 ]]; then set -o xtrace; fi

"${BASH_SOURCE[0]%/*}/network.sh"
