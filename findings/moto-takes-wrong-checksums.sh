#!/usr/bin/env bash
# moto 5.2.5 (server) and boto3 1.44.8, seen 2026-11-28.
#
# Expected: a PUT whose Content-MD5 or x-amz-checksum-sha256 is not that of the body is refused with 400 BadDigest, as S3 documents it.
# moto refuses what other conditions of a PUT say: with If-None-Match it answers 412 for a key that exists.
#
# Seen: moto stores the body, answers 200, and gives the wrong SHA-256 back later as the object's own.
#
#     If-None-Match of what exists: PreconditionFailed
#     wrong Content-MD5: 200
#     wrong SHA-256: 200
#     stored: b'bread', its SHA-256 by moto is the wrong one: True
#
# Why it matters: a test of an uploader of artifacts that runs against moto passes with a broken checksum, and the same program stores
# nothing in S3.
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


def put(what, **more):
    try:
        answer = s3.put_object(Bucket="artifacts", Key="manifest.json", Body=b"bread", **more)["ResponseMetadata"]["HTTPStatusCode"]
    except ClientError as why:
        answer = why.response["Error"]["Code"]
    print(f"{what}: {answer}")


s3.put_object(Bucket="artifacts", Key="manifest.json", Body=b"bread")
put("If-None-Match of what exists", IfNoneMatch="*")
put("wrong Content-MD5", ContentMD5=digest("md5", b"cake"))
put("wrong SHA-256", ChecksumSHA256=digest("sha256", b"cake"))
stored = s3.get_object(Bucket="artifacts", Key="manifest.json", ChecksumMode="DISABLED")
told = s3.head_object(Bucket="artifacts", Key="manifest.json", ChecksumMode="ENABLED").get("ChecksumSHA256")
print("stored: {}, its SHA-256 by moto is the wrong one: {}".format(stored["Body"].read(), told == digest("sha256", b"cake")))
server.stop()
END

as_described "$(python put.py 2> output)" <<'END'
If-None-Match of what exists: PreconditionFailed
wrong Content-MD5: 200
wrong SHA-256: 200
stored: b'bread', its SHA-256 by moto is the wrong one: True
END
