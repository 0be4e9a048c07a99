"""Buckets of an S3 store; the AWS_ variables say where and who.

`python infra/buckets.py make NAME...` makes those that are not there, `save NAME... FOLDER` copies what they hold into
a folder, `load NAME... FOLDER` copies it back. An object of the same name and size counts as copied.
"""

import sys
from pathlib import Path
from typing import Any

import boto3


def main() -> None:
    """Do what the command line says."""
    client = boto3.client("s3")
    command, *names = sys.argv[1:]
    if command == "make":
        make(client, names)
        return
    *names, folder = names
    make(client, names)
    for name in names:
        {"save": save, "load": load}[command](client, name, Path(folder, name))


def make(client: Any, names: list[str]) -> None:  # noqa: ANN401  # boto3 makes its classes as it runs
    """Make buckets."""
    there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    for name in sorted(set(names) - there):
        client.create_bucket(Bucket=name)


def save(client: Any, name: str, folder: Path) -> None:  # noqa: ANN401
    """Copy a bucket into a folder; what the bucket no longer has stays there."""
    for key, size in sizes(client, name).items():
        file = folder / key
        if not file.is_file() or file.stat().st_size != size:
            file.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(name, key, str(file))


def load(client: Any, name: str, folder: Path) -> None:  # noqa: ANN401
    """Copy a folder into a bucket; what else the bucket has stays there."""
    there = sizes(client, name)
    for file in sorted(folder.rglob("*")):
        key = file.relative_to(folder).as_posix()
        if file.is_file() and there.get(key) != file.stat().st_size:
            client.upload_file(str(file), name, key)


def sizes(client: Any, name: str) -> dict[str, int]:  # noqa: ANN401
    """Return the size of each object of a bucket."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=name)
    return {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}


if __name__ == "__main__":
    main()
