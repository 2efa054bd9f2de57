#!/usr/bin/env bash
# moto 5.2.5 (server) and boto3 1.44.8, seen 2026-11-28.
#
# Expected: a PUT whose Content-MD5 or x-amz-checksum-sha256 does not match the body is refused with 400 BadDigest, as S3 documents. moto
# does check other conditions of a PUT: with If-None-Match, it answers 412 for an existing key.
#
# Seen: moto stores the body and answers 200.
#
#     If-None-Match of what exists: PreconditionFailed
#     wrong Content-MD5: 200
#     wrong SHA-256: 200
#     stored: b'milk'
#
# Why it matters: a test of an artifact uploader passes against moto even if its checksums are wrong, while S3 stores nothing from the same
# program.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
install_packages "moto[server,s3]==5.2.5" boto3==1.44.8

cat > put.py <<'END'
import base64
import hashlib

import boto3
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer


def digest(kind, body):
    return base64.b64encode(hashlib.new(kind, body).digest()).decode()


server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
s3 = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1",
                  aws_access_key_id="none", aws_secret_access_key="none")
s3.create_bucket(Bucket="artifacts")


def put(what, body, **more):
    try:
        answer = s3.put_object(Bucket="artifacts", Key="manifest.json", Body=body, **more)["ResponseMetadata"]["HTTPStatusCode"]
    except ClientError as why:
        answer = why.response["Error"]["Code"]
    print(f"{what}: {answer}")


s3.put_object(Bucket="artifacts", Key="manifest.json", Body=b"bread")
put("If-None-Match of what exists", b"rolls", IfNoneMatch="*")
put("wrong Content-MD5", b"flour", ContentMD5=digest("md5", b"cake"))
put("wrong SHA-256", b"milk", ChecksumSHA256=digest("sha256", b"cake"))
print("stored:", s3.get_object(Bucket="artifacts", Key="manifest.json")["Body"].read())
server.stop()
END

as_described "$(python put.py 2> output)" <<'END'
If-None-Match of what exists: PreconditionFailed
wrong Content-MD5: 200
wrong SHA-256: 200
stored: b'milk'
END
