#!/usr/bin/env bash
# Offers a log for upload once it was rotated: with the node that was installed with the code, else with the one in PATH.
set -o errexit
set -o nounset
if [[ "${TRACE:-}" == 1 ]]; then set -o xtrace; fi

here=$(cd -P "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
prefix=${IMGAPI_PREFIX:-${here%/tools/standalone}}
node=$prefix/build/node/bin/node
if [[ ! -x $node ]]; then node=node; fi
# Without a compiler: Debian's logrotate.service, and so all that logrotate runs, may not make memory executable
# (MemoryDenyWriteExecute), without which Node.js ends at its start. Some versions warn unless told of both.
options=(--jitless)
if "$node" --v8-options | grep -e --expose-wasm > /dev/null; then options+=(--no-expose-wasm); fi
exec "$node" "${options[@]}" "$prefix/lib/cli/log-tools.js" tritonpostlogrotate "$@"
