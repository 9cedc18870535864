#!/usr/bin/bash
# Backs up the data of an image server's zone, in the global zone: backup.sh ZONE DIR
#
# Sends a snapshot of the dataset zones/ZONE/data to DIR/imgapi/imgapi-data.zfs, which restore.sh takes. The
# zone may run. The file there is replaced once the new one is complete, and on the disk. Datasets below that
# one, which root in the zone can make, are not sent: if there is one, nothing is done.
#
# Exit status:
#   0    done
#   1    anything else, such as a wrong command line or a directory that cannot be made
#   103  there is no such dataset, or there are others below it
#   105  there could be no snapshot of it
#   106  the snapshot could not be sent, or the file not be written
#   108  the snapshot could not be removed, but all else is done
#   130, 143, 129  ended by SIGINT, SIGTERM, SIGHUP
set -o errexit
set -o nounset
set -o pipefail
if [[ "${TRACE:-}" == 1 ]]; then set -o xtrace; fi

fail() {
    local status=$1
    shift
    echo "backup.sh: error: $*" >&2
    exit "$status"
}

if [[ $# -ne 2 ]]; then fail 1 "usage: backup.sh ZONE DIR"; fi
zone=$1
directory=$2/imgapi
if [[ ! $zone =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]]; then fail 1 "this is no name of a zone: \"$zone\""; fi
if [[ -z $2 ]]; then fail 1 "the directory has no name"; fi

dataset=zones/$zone/data
snapshots=$dataset@imgapi-backup-
snapshot=$snapshots$(date -u +%Y%m%dT%H%M%SZ)-$$
stream=$directory/imgapi-data.zfs
temporary=$stream.$zone.$$.tmp
has_snapshot=

# Whatever happens: nothing half-made stays, neither here nor there.
clean_up() {
    local status=$?
    trap - EXIT
    # From here on it is worked to the end.
    trap '' HUP INT TERM
    rm -f "$temporary"
    if [[ -n $has_snapshot ]] && ! zfs destroy "$snapshot"; then
        echo "backup.sh: error: $snapshot could not be removed" >&2
        if [[ $status -eq 0 ]]; then status=108; fi
    fi
    exit "$status"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

if ! zfs list -H -o name "$dataset" > /dev/null; then fail 103 "there is no dataset $dataset"; fi
if ! all=$(zfs list -H -r -t filesystem,volume -o name "$dataset"); then
    fail 103 "the datasets below $dataset could not be listed"
fi
below=${all#"$dataset"}
if [[ -n $below ]]; then
    fail 103 "there are datasets below $dataset, which no backup would have; move what they have into" \
        "$dataset, or out of the zone, and destroy them:${below//$'\n'/ }"
fi
# It has keys and all that nobody else is to read.
umask 077
mkdir -p "$directory"

# Of runs that were killed, or that a loss of power has ended.
remove_leftovers() {
    local left pid
    for left in "$stream.$zone".*.tmp; do
        pid=${left%.tmp}
        if [[ -e $left ]] && ! kill -0 "${pid##*.}" 2> /dev/null; then rm -f "$left"; fi
    done
    zfs list -H -t snapshot -d 1 -o name "$dataset" | while read -r left; do
        if [[ $left == "$snapshots"* ]] && ! kill -0 "${left##*-}" 2> /dev/null; then
            echo "Removing $left, which an earlier run has left"
            zfs destroy "$left" < /dev/null || echo "backup.sh: $left could not be removed" >&2
        fi
    done
}
remove_leftovers

echo "Snapshot $snapshot"
# Before it is made: a signal may come in between.
has_snapshot=1
if ! zfs snapshot "$snapshot"; then
    has_snapshot=
    fail 105 "there could be no snapshot of $dataset"
fi

echo "Sending it to $stream"
if ! zfs send "$snapshot" > "$temporary"; then fail 106 "$snapshot could not be sent"; fi
# Until then a loss of power would leave the new name without the bytes.
if ! { [[ -s $temporary && ! -d $stream ]] && sync && mv -f "$temporary" "$stream" && sync; }; then
    fail 106 "$stream could not be written"
fi
echo "Done"
