"""Make the buckets that are not there yet: `python infra/buckets.py NAME...`; where and who, the AWS_ variables say."""

import sys

import boto3

if __name__ == "__main__":
    client = boto3.client("s3")
    there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    for name in sys.argv[1:]:
        if name not in there:
            client.create_bucket(Bucket=name)
