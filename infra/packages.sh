#!/usr/bin/env bash
# Install the servers of infra/local.sh that pip does not have: PostgreSQL, and Ceph's S3 gateway. On Debian and Ubuntu, as
# root. What is installed already is left alone.
set -euo pipefail

missing=()
compgen -G "/usr/lib/postgresql/*/bin/postgres" >/dev/null || missing+=(postgresql)
for program in radosgw ceph-mon ceph-osd; do
  command -v "$program" >/dev/null || missing+=("$program")
done
for program in curl setpriv; do
  command -v "$program" >/dev/null || missing+=("${program/setpriv/util-linux}")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "error: ${missing[*]} missing, and this is not root on Debian; ask for them, or start PostgreSQL and S3 otherwise" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# The package itself must not start a cluster: local.sh makes its own, in its folder.
[ -e /etc/postgresql-common ] || { mkdir -p /etc/postgresql-common && echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf; }
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
