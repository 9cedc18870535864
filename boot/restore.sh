#!/usr/bin/bash
# Restores the data of an image server's zone, in the global zone: restore.sh ZONE DIR
#
# Receives DIR/imgapi/imgapi-data.zfs, which backup.sh has made, beside the dataset zones/ZONE/data; then
# stops the zone if it runs, has the two change places, and starts the zone again if it ran. The data there
# was before stays as zones/ZONE/data-before-STAMP; destroy it when all is well. Whatever fails before the
# new data is in place, the old data is in its place, and the zone runs if it ran. Datasets below that one
# would go aside with it, and no backup has them: if there is one, nothing is done.
#
# Exit status:
#   0    done
#   1    anything else, such as a wrong command line, or a zone that cannot be stopped or started
#   103  there is no such file, no dataset zones/ZONE to receive it in, or datasets below that of the data
#   105  the dataset that is there could not be put aside, or what an earlier run has left not be removed
#   106  the file could not be received
#   108  what was received could not be put in its place
#   130, 143, 129  ended by SIGINT, SIGTERM, SIGHUP
set -o errexit
set -o nounset
set -o pipefail
if [[ "${TRACE:-}" == 1 ]]; then set -o xtrace; fi

fail() {
    local status=$1
    shift
    echo "restore.sh: error: $*" >&2
    exit "$status"
}

if [[ $# -ne 2 ]]; then fail 1 "usage: restore.sh ZONE DIR"; fi
zone=$1
stream=$2/imgapi/imgapi-data.zfs
if [[ ! $zone =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]]; then fail 1 "this is no name of a zone: \"$zone\""; fi
if [[ -z $2 ]]; then fail 1 "the directory has no name"; fi

dataset=zones/$zone/data
received=zones/$zone/data-restored
aside=zones/$zone/data-before-$(date -u +%Y%m%dT%H%M%SZ)
is_received=
is_aside=
is_stopped=

exists() {
    zfs list -H -o name "$1" > /dev/null 2>&1
}

set_property() {
    local name=$1 value=$2
    if [[ "$(zfs get -H -o value "$name" "$received")" != "$value" ]]; then
        zfs set "$name=$value" "$received"
    fi
}

# Whatever happens: there is one dataset in the place of the data, and the zone runs if it ran.
clean_up() {
    local status=$?
    trap - EXIT
    # From here on it is worked to the end.
    trap '' HUP INT TERM
    if [[ -n $is_aside ]] && exists "$aside" && ! exists "$dataset"; then
        if ! zfs rename "$aside" "$dataset"; then
            echo "restore.sh: error: the data is in $aside; name it $dataset" >&2
            exit 108
        fi
    fi
    if [[ -n $is_received ]] && exists "$received" && ! zfs destroy -r "$received"; then
        echo "restore.sh: $received could not be removed; the next run tries again" >&2
    fi
    if [[ -n $is_stopped ]] && ! vmadm start "$zone"; then
        echo "restore.sh: error: the zone could not be started again" >&2
        if [[ $status -eq 0 ]]; then status=1; fi
    fi
    exit "$status"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

if [[ ! -s $stream ]]; then fail 103 "there is no backup $stream"; fi
if ! exists "zones/$zone"; then fail 103 "there is no dataset zones/$zone"; fi
if exists "$dataset"; then
    if ! all=$(zfs list -H -r -t filesystem,volume -o name "$dataset"); then
        fail 103 "the datasets below $dataset could not be listed"
    fi
    below=${all#"$dataset"}
    if [[ -n $below ]]; then
        fail 103 "there are datasets below $dataset, which the zone would not have any more; move what they" \
            "have into $dataset, or out of the zone, and destroy them:${below//$'\n'/ }"
    fi
fi
state=$(vmadm list -H -o state "uuid=$zone")
if [[ -z $state ]]; then fail 1 "there is no zone $zone"; fi

if exists "$received"; then
    echo "Removing $received, which an earlier run has left"
    if ! zfs destroy -r "$received"; then fail 105 "$received could not be removed"; fi
fi

echo "Receiving $stream"
# Before there is any of it: a signal may come in between. Not mounted, as its place is in the zone.
is_received=1
if ! zfs receive -u "$received" < "$stream"; then fail 106 "$stream could not be received"; fi
# The zone mounts it; in this order, as the global zone may not set the first one after the second.
if ! { set_property mountpoint /data && set_property zoned on; }; then
    fail 108 "$received could not be made the data of a zone"
fi

# They would keep what is deleted from now on.
zfs list -H -t snapshot -d 1 -o name "$received" | while read -r snapshot; do
    zfs destroy "$snapshot" < /dev/null || echo "restore.sh: $snapshot could not be removed" >&2
done

if [[ $state != stopped ]]; then
    echo "Stopping the zone"
    is_stopped=1
    if ! vmadm stop "$zone"; then fail 1 "the zone could not be stopped"; fi
fi

if exists "$dataset"; then
    echo "Keeping the data there is as $aside"
    is_aside=1
    if ! zfs rename "$dataset" "$aside"; then fail 105 "$dataset could not be put aside"; fi
fi
if ! zfs rename "$received" "$dataset"; then fail 108 "$received could not be put in the place of $dataset"; fi
is_received=

echo "Done"
if [[ -n $is_aside ]]; then echo "When all is well: zfs destroy -r $aside"; fi
