#!/usr/bin/bash
# Room for many connections and for far ones: buffers of 2 MB, long queues of connections not yet accepted.
# Lost with each boot of a zone.
set -o errexit
if [[ "${TRACE:-}" == 1 ]]; then set -o xtrace; fi

ipadm set-prop -t -p max_buf=2097152 tcp || true
ipadm set-prop -t -p send_buf=2097152 tcp || true
ipadm set-prop -t -p recv_buf=2097152 tcp || true
ndd -set /dev/tcp tcp_conn_req_max_q 2048 || true
ndd -set /dev/tcp tcp_conn_req_max_q0 8192 || true
