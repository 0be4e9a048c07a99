#!/usr/bin/env bash
# Copy the data of the servers into a folder, and back: `infra/backup.sh save FOLDER`, `infra/backup.sh load FOLDER`.
# PGHOST, PGPORT, PGUSER, PGPASSWORD and the AWS_ variables say where they are (`infra/local.sh env` prints them). `load` needs
# MLflow and Prefect to be stopped, and replaces their databases by those of the folder.
set -euo pipefail

[ $# = 2 ] && [[ $1 = save || $1 = load ]] || { echo "usage: infra/backup.sh save|load FOLDER" >&2; exit 2; }
folder=$2
python=${STAGE_PYTHON:-$(dirname "$0")/../.venv/bin/python}
databases=(mlflow mlflow_auth prefect)
buckets=(mlflow dvc)

if [ "$1" = save ]; then
  # The databases first: they then refer to no object that the copies of the buckets lack.
  mkdir -p "$folder"
  for database in "${databases[@]}"; do
    pg_dump --format=custom --file="$folder/$database.dump.new" "$database"
    mv "$folder/$database.dump.new" "$folder/$database.dump"
  done
  "$python" "$(dirname "$0")/buckets.py" save "${buckets[@]}" "$folder"
else
  for database in "${databases[@]}"; do
    [ -s "$folder/$database.dump" ] || { echo "error: $folder/$database.dump: not there; is $folder a back-up?" >&2; exit 1; }
  done
  "$python" "$(dirname "$0")/buckets.py" load "${buckets[@]}" "$folder"
  for database in "${databases[@]}"; do
    psql --quiet --dbname=postgres --set=ON_ERROR_STOP=1 --command="DROP DATABASE IF EXISTS $database" \
      --command="CREATE DATABASE $database"
    pg_restore --exit-on-error --no-owner --dbname="$database" "$folder/$database.dump"
  done
fi
