# One-node Ceph on loopback, a real S3 server from Debian's packages: sourced by local.sh, which sets the variables.
# Objects lie in a BlueStore file below $HOME_/ceph and outlive a restart.

ceph_configure() {
  local folder=$HOME_/ceph
  export CEPH_CONF=$folder/ceph.conf
  [ -s "$CEPH_CONF" ] && return
  mkdir -p "$folder"/{mon,osd,run}
  cat >"$CEPH_CONF" <<CONF
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon initial members = a
mon host = v1:127.0.0.1:$CEPH_MON_PORT/0
auth cluster required = none
auth service required = none
auth client required = none
public network = 127.0.0.0/8
ms bind msgr2 = false
run dir = $folder/run
admin socket = $folder/run/\$name.asok
pid file = $folder/run/\$name.pid
log file =
log to stderr = true
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
osd objectstore = bluestore
bluestore block size = ${CEPH_BYTES:-10737418240}
osd memory target = 939524096
osd class load list = *
osd class default list = *
osd class update on start = false
osd crush update on start = false
[mon.a]
mon data = $folder/mon
mon addr = v1:127.0.0.1:$CEPH_MON_PORT
[osd.0]
osd data = $folder/osd
[client.rgw.a]
rgw frontends = beast endpoint=127.0.0.1:$S3_PORT
rgw dynamic resharding = false
CONF
  local fsid
  fsid=$(awk '/^fsid/ {print $3}' "$CEPH_CONF")
  monmaptool --create --clobber --fsid "$fsid" --addv a "[v1:127.0.0.1:$CEPH_MON_PORT]" "$folder/monmap"
  ceph-mon -i a --mkfs --monmap "$folder/monmap"
}

ceph_start() {
  ceph_configure >>"$LOGS/ceph-mon.log" 2>&1
  if ! pid_of ceph-mon >/dev/null; then launch ceph-mon "$CEPH_MON_PORT" ceph-mon -f -i a; fi
  await ceph-mon timeout 10 ceph status
  if [ ! -e "$HOME_/ceph/osd/ready" ]; then
    {
      ceph osd create
      ceph-osd -i 0 --mkfs
      ceph osd crush add osd.0 1 root=default host=local
      touch "$HOME_/ceph/osd/ready"
    } >>"$LOGS/ceph-osd.log" 2>&1
  fi
  launch ceph-osd - ceph-osd -f -i 0
  await ceph-osd eval 'timeout 10 ceph osd stat | grep -q "1 up"'
}

ceph_user() {
  radosgw-admin user info --uid=diffusionad >/dev/null 2>&1 ||
    radosgw-admin user create --uid=diffusionad --display-name=diffusionad \
      --access-key="$S3_ACCESS_KEY" --secret-key="$S3_SECRET_KEY"
}
