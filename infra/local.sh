#!/usr/bin/env bash
# The composition of infra/compose.yaml without containers, on loopback and in one folder: PostgreSQL, an S3 store, MLflow
# with basic auth, Prefect and a worker. All of them are real; docs/infra.md says more.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: infra/local.sh COMMAND
  up [SERVICE...]    start all, or these, and wait until they answer; what runs is left alone
  down [SERVICE...]  end all, or these, and whatever they started; data stay
  status             what runs, and where
  env                lines for `eval`: where clients find the servers, with passwords
services: postgres s3 mlflow prefect worker
variables: INFRA_HOME (folder, .local/infra), POSTGRES_PORT, S3_PORT, CEPH_MON_PORT, MLFLOW_PORT, PREFECT_PORT, WORKER_PORT,
  CHECKOUT (that the flows work in; this one), INFRA_S3 (ceph or moto), INFRA_VENV (.venv), INFRA_PATIENCE_S (seconds a start may take)
TEXT
}

fail() {
  echo "error: $*" >&2
  exit 1
}

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
HOME_=$(realpath -m "${INFRA_HOME:-$ROOT/.local/infra}")
BIN=$(realpath -m "${INFRA_VENV:-$ROOT/.venv}")/bin
LOGS=$HOME_/log
CHECKOUT=$(realpath -m "${CHECKOUT:-$ROOT}")
SERVICES=(postgres s3 mlflow prefect worker)
POSTGRES_PORT=${POSTGRES_PORT:-15432}
S3_PORT=${S3_PORT:-17480}
CEPH_MON_PORT=${CEPH_MON_PORT:-16789}
MLFLOW_PORT=${MLFLOW_PORT:-15000}
PREFECT_PORT=${PREFECT_PORT:-14200}
WORKER_PORT=${WORKER_PORT:-18080}
PATIENCE_S=${INFRA_PATIENCE_S:-180}
# shellcheck source=infra/ceph.sh
source "$ROOT/infra/ceph.sh"

# --- processes: each service has its own session; its child processes carry its name in the environment ---

started() { awk '{print $22}' "/proc/$1/stat" 2>/dev/null; }

pid_of() {  # pid of a service that runs; a pid that now belongs to another process does not count
  local pid start
  [ -s "$HOME_/run/$1.pid" ] || return 1
  read -r pid start <"$HOME_/run/$1.pid"
  [ "$(started "$pid")" = "$start" ] && echo "$pid"
}

launch() {  # NAME PORT COMMAND...
  local name=$1 port=$2
  shift 2
  if [ "$port" != - ] && (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    fail "$name: port $port of 127.0.0.1 is taken; set another (infra/local.sh names the variables)"
  fi
  # A shell makes its background processes ignore SIGINT, the signal that stops Prefect's worker.
  INFRA_SERVICE=$HOME_/$name setsid env --default-signal=INT,QUIT "$@" >>"$LOGS/$name.log" 2>&1 </dev/null &
  echo "$! $(started $!)" >"$HOME_/run/$name.pid"
}

await() {  # NAME COMMAND...: until the command succeeds
  local name=$1 until=$((SECONDS + PATIENCE_S))
  shift
  until "$@" >/dev/null 2>&1; do
    pid_of "$name" >/dev/null || fail "$name ended as it started: $(tail -n 3 "$LOGS/$name.log" | tr '\n' ' ')($LOGS/$name.log)"
    [ $SECONDS -lt $until ] || fail "$name does not answer after $PATIENCE_S s; see $LOGS/$name.log"
    sleep 0.5
  done
}

offspring() {  # pids of all processes that carry the name of a service
  grep -lzFx "INFRA_SERVICE=$HOME_/$1" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3
}

end() {  # NAME [SIGNAL]: ask its first process, wait, then end what is left
  local name=$1 pid rest
  if pid=$(pid_of "$name"); then
    kill -"${2:-TERM}" "$pid" 2>/dev/null || true
    for _ in $(seq 100); do pid_of "$name" >/dev/null || break; sleep 0.2; done
  fi
  for signal in TERM KILL; do
    for turn in $(seq 75); do
      rest=$(offspring "$name") || true  # to grep, a process that has just ended is an error
      [ -n "$rest" ] || break
      # Once is enough: a second TERM would interrupt the clean-up.
      # shellcheck disable=SC2086  # a list of numbers
      if [ "$turn" = 1 ]; then kill -$signal $rest 2>/dev/null || true; fi
      sleep 0.2
    done
  done
  if pid=$(pid_of "$name"); then kill -KILL "$pid"; fi
  rm -f "$HOME_/run/$name.pid"
}

# --- services ---

postgres_bin() {
  local folder
  folder=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
  [ -x "$folder/postgres" ] || fail "PostgreSQL is not installed: infra/packages.sh installs it on Debian"
  echo "$folder"
}

as_postgres() {  # the server refuses to run as root
  if [ "$(id -u)" = 0 ]; then setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; else "$@"; fi
}

postgres_up() {
  local bin data=$HOME_/postgres
  bin=$(postgres_bin)
  if [ ! -s "$data/PG_VERSION" ]; then
    mkdir -p "$data"
    if [ "$(id -u)" = 0 ]; then chown postgres: "$data"; fi
    as_postgres test -r "$data" || fail "user postgres cannot reach $data; set INFRA_HOME to a folder that all may enter"
    chmod 700 "$data"
    as_postgres "$bin/initdb" -D "$data" -U diffusionad --auth=trust --encoding=UTF8 --locale=C \
      >>"$LOGS/postgres.log" 2>&1 || fail "initdb failed; see $LOGS/postgres.log"
    # Single-user: the password is set, and asked for, before any port opens.
    echo "ALTER USER diffusionad PASSWORD '$POSTGRES_PASSWORD'" |
      as_postgres "$bin/postgres" --single -D "$data" postgres >>"$LOGS/postgres.log" 2>&1
    echo "host all all 127.0.0.1/32 scram-sha-256" >"$data/pg_hba.conf"
  fi
  if [ "$(id -u)" = 0 ]; then
    launch postgres "$POSTGRES_PORT" setpriv --reuid=postgres --regid=postgres --clear-groups \
      "$bin/postgres" -D "$data" -h 127.0.0.1 -p "$POSTGRES_PORT" -k ''
  else
    launch postgres "$POSTGRES_PORT" "$bin/postgres" -D "$data" -h 127.0.0.1 -p "$POSTGRES_PORT" -k ''
  fi
  await postgres "$bin/psql" -d postgres -c 'SELECT 1'
  if [ ! -e "$HOME_/databases" ]; then
    "$bin/psql" -q -d postgres -f "$ROOT/infra/kubernetes/databases.sql" && touch "$HOME_/databases"
  fi
}

s3_kind() {
  if [ -n "${INFRA_S3:-}" ]; then echo "$INFRA_S3"
  elif command -v radosgw ceph-mon ceph-osd >/dev/null && [ "$(command -v radosgw ceph-mon ceph-osd | wc -l)" = 3 ]; then echo ceph
  else echo moto; fi
}

s3_up() {
  if [ "$(s3_kind)" = ceph ]; then
    pid_of ceph-osd >/dev/null || ceph_start
    export CEPH_CONF=$HOME_/ceph/ceph.conf
    ceph_user >>"$LOGS/s3.log" 2>&1
    launch s3 "$S3_PORT" radosgw -f -n client.rgw.a
  else
    echo "note: no Ceph here (infra/packages.sh): moto stands in for S3; it takes any password and forgets at the end" >&2
    launch s3 "$S3_PORT" "$BIN/moto_server" -H 127.0.0.1 -p "$S3_PORT"
  fi
  await s3 curl -s "$AWS_ENDPOINT_URL"
  "$BIN/python" "$ROOT/infra/buckets.py" make mlflow dvc 2>>"$LOGS/s3.log" || fail "the buckets cannot be made; see $LOGS/s3.log"
}

mlflow_up() {
  # Passwords in variables, PGPASSWORD too: everybody can read a command line.
  MLFLOW_BACKEND_STORE_URI=postgresql:///mlflow MLFLOW_AUTH_CONFIG_PATH=$ROOT/infra/mlflow_auth.ini \
    MLFLOW_AUTH_ADMIN_PASSWORD=$MLFLOW_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY=$MLFLOW_SECRET_KEY \
    MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
    launch mlflow "$MLFLOW_PORT" "$BIN/mlflow" server --host 127.0.0.1 --port "$MLFLOW_PORT" --workers 1 \
    --artifacts-destination s3://mlflow/artifacts --app-name basic-auth
  await mlflow curl -sf "$MLFLOW_TRACKING_URI/health"
}

prefect_up() {
  PREFECT_SERVER_DATABASE_CONNECTION_URL=postgresql+asyncpg://diffusionad:$POSTGRES_PASSWORD@127.0.0.1:$POSTGRES_PORT/prefect \
    PREFECT_SERVER_API_AUTH_STRING=$PREFECT_API_AUTH_STRING \
    PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=prefect.server.concurrency.lease_storage.filesystem \
    launch prefect "$PREFECT_PORT" "$BIN/prefect" server start --host 127.0.0.1 --port "$PREFECT_PORT"
  await prefect curl -sf "$PREFECT_API_URL/health"
}

worker_up() {
  PREFECT_WORKER_WEBSERVER_PORT=$WORKER_PORT PREFECT_FLOWS_HEARTBEAT_FREQUENCY=30 PREFECT_CLIENT_MAX_RETRIES=8 \
    PATH=$BIN:$PATH STAGE_PYTHON=$BIN/python PYTHONPATH=$CHECKOUT \
    launch worker "$WORKER_PORT" "$BIN/prefect" worker start --pool diffusionad --type process --with-healthcheck
  await worker curl -sf "http://127.0.0.1:$WORKER_PORT/health"
}

# --- the whole ---

secrets() {  # made once, for this folder
  if [ ! -s "$HOME_/secrets" ]; then
    (
      umask 077
      for name in POSTGRES_PASSWORD S3_ACCESS_KEY S3_SECRET_KEY MLFLOW_PASSWORD MLFLOW_SECRET_KEY PREFECT_PASSWORD; do
        echo "$name=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')"
      done >"$HOME_/secrets"
    )
  fi
  # shellcheck source=/dev/null
  source "$HOME_/secrets"
}

settings() {  # what servers and clients read; `env` prints the same
  cat <<TEXT
export MLFLOW_TRACKING_URI=http://127.0.0.1:$MLFLOW_PORT
export MLFLOW_TRACKING_USERNAME=admin
export MLFLOW_TRACKING_PASSWORD=$MLFLOW_PASSWORD
export MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD=false
export MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD=false
export PREFECT_API_URL=http://127.0.0.1:$PREFECT_PORT/api
export PREFECT_API_AUTH_STRING=admin:$PREFECT_PASSWORD
export PREFECT_HOME=$HOME_/prefect
export CHECKOUT=$CHECKOUT
export PREFECT_SERVER_ANALYTICS_ENABLED=false
export DO_NOT_TRACK=true
export MLFLOW_DISABLE_TELEMETRY=true
export PGHOST=127.0.0.1
export PGPORT=$POSTGRES_PORT
export PGUSER=diffusionad
export PGPASSWORD=$POSTGRES_PASSWORD
export AWS_ENDPOINT_URL=http://127.0.0.1:$S3_PORT
export AWS_ACCESS_KEY_ID=$S3_ACCESS_KEY
export AWS_SECRET_ACCESS_KEY=$S3_SECRET_KEY
export AWS_DEFAULT_REGION=us-east-1
export AWS_EC2_METADATA_DISABLED=true
export AWS_REQUEST_CHECKSUM_CALCULATION=when_required
export AWS_RESPONSE_CHECKSUM_VALIDATION=when_required
TEXT
}

up() {
  local name starting=()
  [ -x "$BIN/prefect" ] && [ -x "$BIN/mlflow" ] || fail "$BIN holds no prefect and mlflow: make setup-dev, or set INFRA_VENV"
  for name in "$@"; do
    if pid_of "$name" >/dev/null; then continue; fi
    case $name in
      s3 | mlflow | prefect) start "$name" & starting+=($!) ;;  # they need PostgreSQL, not each other
      *)
        await_all
        start "$name"
        ;;
    esac
  done
  await_all
}

start() {
  "$1_up"
  echo "$1 is up"
}

await_all() {
  local pid
  for pid in "${starting[@]}"; do wait "$pid" || exit 1; done
  starting=()
}

down() {
  local index name
  for ((index = $#; index > 0; index--)); do
    name=${!index}
    case $name in
      postgres) end postgres INT ;;  # TERM would wait for all clients to leave
      *) end "$name" ;;
    esac
    # The gateway alone can go and come back; its store ends with the whole.
    if [ "$name" = s3 ] && [ $# = ${#SERVICES[@]} ]; then end ceph-osd; end ceph-mon; fi
    echo "$name is down"
  done
}

status() {
  local name pid
  for name in postgres ceph-mon ceph-osd s3 mlflow prefect worker; do
    if pid=$(pid_of "$name"); then echo "$name runs, process $pid"
    elif [ "${name#ceph}" = "$name" ]; then echo "$name does not run"; fi
  done
  printf '\nPostgreSQL 127.0.0.1:%s\nS3         %s (%s)\nMLflow     %s\nPrefect    %s\nlogs       %s\n' \
    "$POSTGRES_PORT" "$AWS_ENDPOINT_URL" "$(s3_kind)" "$MLFLOW_TRACKING_URI" "${PREFECT_API_URL%/api}" "$LOGS"
}

command=${1:-}
[ $# -gt 0 ] && shift
case $command in up | down | status | env) ;; *) usage >&2; exit 2 ;; esac
for name in "$@"; do
  case " ${SERVICES[*]} " in *" $name "*) ;; *) fail "no service \`$name\`; there are ${SERVICES[*]}" ;; esac
done
mkdir -p "$LOGS" "$HOME_/run" "$HOME_/prefect"
secrets
eval "$(settings)"
case $command in
  up) if [ $# -gt 0 ]; then up "$@"; else up "${SERVICES[@]}"; fi ;;
  down) if [ $# -gt 0 ]; then down "$@"; else down "${SERVICES[@]}"; fi ;;
  status) status ;;
  env) settings ;;
esac
