#!/usr/bin/bash
# First boot of an image server's zone in a datacenter: the datacenter's own library does most of it.
set -o errexit
set -o pipefail
if [[ "${TRACE:-}" == 1 ]]; then set -o xtrace; fi

# For trying it somewhere else; as below in a zone.
root=${IMGAPI_BOOT_ROOT:-}
library=${IMGAPI_BOOT_LIBRARY:-${BASH_SOURCE[0]%/*}/lib/util.sh}
role=imgapi
prefix=${IMGAPI_PREFIX:-/opt/smartdc/$role}
data=${IMGAPI_DATA:-/data/imgapi}
user=${IMGAPI_USER:-nobody}

# Before config-agent writes the configuration there.
echo "Data on the delegated dataset"
dataset=zones/$(zonename)/data
if [[ "$(zfs get -H -o value mountpoint "$dataset")" != /data ]]; then
    zfs set mountpoint=/data "$dataset"
fi

# Put into the image beside this script when it is built.
# shellcheck source=/dev/null
source "$library"
# shellcheck disable=SC2034  # read by the library
CONFIG_AGENT_LOCAL_MANIFESTS_DIRS=$prefix
sdc_common_setup

echo "Directories of the data"
mkdir -p "$data/etc" "$data/images" "$data/archive" "$data/run"
# config-agent writes the configuration as root; all else is the server's.
chown "$user" "$data" "$data"/*
chmod 0750 "$data"

echo "Programs for those who log in"
cat >> "$root/root/.profile" <<PROFILE
export PATH=\$PATH:$prefix/bin
[ -f /root/.mantaprofile ] && . /root/.mantaprofile
PROFILE

echo "Services"
svccfg import "$prefix/smf/manifests/imgapi.xml"

echo "Log rotation"
for name in amon-agent config-agent registrar $role; do
    sdc_log_rotation_add "$name" "/var/svc/log/*$name*.log" 1g
done
sdc_log_rotation_setup_end

# Where the datacenter's monitoring finds the metrics.
mdata-put metricPorts 8881

sdc_setup_complete
