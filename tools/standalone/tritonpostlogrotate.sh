#!/usr/bin/env bash
# Offers a log for upload once it was rotated: with the node that was installed with the code, else with the one in PATH.
set -o errexit
set -o nounset
if [[ "${TRACE:-}" == 1 ]]; then set -o xtrace; fi

here=$(cd -P "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
prefix=${IMGAPI_PREFIX:-${here%/tools/standalone}}
node=$prefix/build/node/bin/node
if [[ ! -x $node ]]; then node=node; fi
exec "$node" "$prefix/lib/cli/log-tools.js" tritonpostlogrotate "$@"
