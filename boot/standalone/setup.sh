#!/usr/bin/bash
# First boot of a standalone zone. What an earlier, interrupted run has done stays as it is: so does the data
# of a zone that was given a new image, which lies on a dataset of its own.
set -o errexit
set -o pipefail
if [[ "${TRACE:-}" == 1 ]]; then set -o xtrace; fi

# For trying it somewhere else; empty in a zone.
root=${IMGAPI_BOOT_ROOT:-}
prefix=${IMGAPI_PREFIX:-/opt/smartdc/imgapi}
data=${IMGAPI_DATA:-/data/imgapi}
user=${IMGAPI_USER:-nobody}
zone=$(zonename)

step() {
    echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) $*"
}

step "data on the delegated dataset"
dataset=zones/$zone/data
if [[ "$(zfs get -H -o value mountpoint "$dataset")" != /data ]]; then
    zfs set mountpoint=/data "$dataset"
fi

alias=$(mdata-get sdc:alias || echo standalone)
name=imgapi-$alias-${zone%%-*}
step "host name $name"
hostname "$name"
echo "$name" > "$root/etc/nodename"

step "programs for those who log in"
profile=$root/root/.profile
marker="# image server"
if ! grep -qsx "$marker" "$profile"; then
    cat >> "$profile" <<PROFILE
$marker
export PATH=\$PATH:$prefix/bin
case \$- in *i*) eval "\$($prefix/bin/manta-env)" ;; esac
PROFILE
fi
cat > "$root/etc/motd" <<MOTD
    Image server $alias, in $prefix with its data in $data.
    imgapi-standalone-status tells how it is, imgapiadm help what can be done.
MOTD

# HAProxy starts as root, with what nobody else may write: of the data of a zone before this one, too.
front=$data/etc/haproxy.cfg
if [[ ! -L $data/etc && ( -L $front || ( -e $front && ! -O $front ) ) ]]; then
    mv -f "$front" "$front.old"
fi

step "key, certificate and configuration"
"$prefix/bin/imgapi-standalone-setup" --user "$user" --data-dir "$data" --hostname "$name" --front haproxy

step "key for Manta's tools"
mkdir -p "$root/root/.ssh"
chmod 0700 "$root/root/.ssh"
for key in "$data"/etc/imgapi-*.id_ecdsa{,.pub}; do
    if [[ -e $key ]]; then ln -sf "$key" "$root/root/.ssh/"; fi
done

step "log rotation: a file an hour, kept for a week, and uploaded if there is a Manta"
mkdir -p "$root/var/log/triton"
rotate() {
    local name=$1 files=$2
    # shellcheck disable=SC2016  # logadm fills in the name of the node
    logadm -w "$name" -C 168 -c -p 1h -t "/var/log/triton/${name}_"'$nodename_%FT%H:%M:%S.log' \
        -a "$prefix/tools/standalone/tritonpostlogrotate.sh -q $name" "$files"
}
for name in imgapi haproxy; do rotate $name "/var/svc/log/*$name*.log"; done
for name in imgapi-backup imgapi-logupload; do
    # Rotated from the first hour on, whatever was done by then.
    touch "$root/var/log/$name.log"
    rotate $name "/var/log/$name.log"
done

step "hourly and daily tasks"
# Lines of an earlier run, or of an image before this one, go.
others=$(crontab -l 2> /dev/null |
    grep -v -e logadm -e imgapi-standalone-backup -e tritonlogupload -e fetch-pkg-vulnerabilities || true)
{
    if [[ -n $others ]]; then echo "$others"; fi
    echo "0 * * * * /usr/sbin/logadm"
    echo "1 * * * * $prefix/tools/standalone/tritonlogupload.sh -q -a 5 >> /var/log/imgapi-logupload.log 2>&1"
    echo "17 * * * * $prefix/bin/imgapi-standalone-backup -y >> /var/log/imgapi-backup.log 2>&1"
    # The list of known vulnerabilities, for "pkg_admin audit".
    packages=/opt/local/sbin/pkg_admin
    echo "0 5 * * * [ ! -x $packages ] || $packages fetch-pkg-vulnerabilities > /dev/null 2>&1"
} | crontab -

step "services"
mkdir -p "$prefix/etc/standalone"
# A copy: the service user may put another file where this one is made. To change it, edit either and copy.
if [[ ! -L $front && -O $front ]]; then
    rm -f "$prefix/etc/standalone/haproxy.cfg"
    install -m 0644 "$front" "$prefix/etc/standalone/haproxy.cfg"
else
    echo "$front is not a file of root's" >&2
    exit 1
fi
svccfg import "$prefix/smf/manifests/imgapi.xml"
svccfg import "$prefix/smf/manifests/haproxy-standalone.xml"

touch "$root/var/svc/setup_complete"
step "done"
