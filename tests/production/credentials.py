"""Credentials that the platform gives: web identity (IRSA), task role (ECS) and pod identity (EKS), from an S3 server that has roles."""
import json
import socket

from installation import MANIFEST, Installation
from issuer import AUDIENCE, PROOF, ROLE, SUBJECT, Issuer, keys_of_role, openssl
from packages import pip_package
from postgres import Postgres, newest_installed_postgres
from processes import Machine, check, free_port, wait
from servers import BUCKET, Nats, SeaweedFs

# Where tasks ask. A proxy leads it to the test.
TASKS = "169.254.170.2"


def packages(_whole):
    return [pip_package("seaweedfs")]


class Cloud:
    """An S3 server whose service for tokens (STS) trusts the tokens of an issuer."""

    def __init__(self, machine):
        self.issuer, https, folder = Issuer(machine), free_port(), machine.make_folder("cloud")
        self.certificate = folder / "certificate.pem"
        certify(folder / "key.pem", self.certificate)
        settings = folder / "roles.json"
        settings.write_text(json.dumps(roles(self.issuer)))
        tls = {"s3.port.https": https, "s3.cert.file": self.certificate, "s3.key.file": folder / "key.pem"}
        server = SeaweedFs(machine, tls | {"s3.iam": "true", "s3.iam.config": settings})
        self.sts, self.s3 = f"https://127.0.0.1:{https}", f"http://127.0.0.1:{server.port}"
        wait("SeaweedFS has roles", lambda: socket.create_connection(("127.0.0.1", https), 1).close() is None)
        self.issuer.keys = wait("the role has keys", lambda: keys_of_role(self.s3, self.issuer.token()))

    def other_certificate(self):
        """Returns a certificate that the service for tokens does not have."""
        file = self.certificate.with_name("other.pem")
        if not file.exists():
            certify(self.certificate.with_name("other-key.pem"), file)
        return str(file)

    def bucket(self):
        """Returns the settings of the bucket, without credentials."""
        return {
            "STORAGE_ADAPTER": "s3", "S3_BUCKET_NAME": BUCKET, "S3_REGION": "us-east-1", "S3_ENDPOINT": self.s3,
            "SSL_CERT_FILE": str(self.certificate),
        }

    def web_identity(self, name="token", **claims):
        file = self.issuer.token_file(name, self.issuer.token(**claims))
        return {"AWS_WEB_IDENTITY_TOKEN_FILE": file, "AWS_ROLE_ARN": ROLE, "AWS_ENDPOINT_URL_STS": self.sts}

    def task(self, path="/task"):
        return {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": path, "HTTP_PROXY": self.issuer.url, "NO_PROXY": "127.0.0.1"}

    def pod(self, proof=PROOF):
        file = self.issuer.token_file(f"proof-{proof}", proof)
        return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.issuer.url}/pod", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": file}


def certify(key, certificate):
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tests", "-addext", "subjectAltName=IP:127.0.0.1",
            "-addext", "basicConstraints=CA:FALSE", "-keyout", key, "-out", certificate)


def roles(issuer):
    """Returns the settings of SeaweedFS: the role, who may have it, and what it may do."""
    trust = {"Effect": "Allow", "Principal": {"Federated": "kubernetes"}, "Action": ["sts:AssumeRoleWithWebIdentity"]}
    trust["Condition"] = {"StringEquals": {"oidc:sub": SUBJECT}}
    allowed = {"Effect": "Allow", "Action": ["s3:*", "sts:ValidateSession"], "Resource": ["*"]}
    policy = lambda statement: {"Version": "2012-10-17", "Statement": [statement]}
    provider = {"issuer": issuer.url, "clientId": AUDIENCE, "jwksUri": f"{issuer.url}/keys"}
    return {
        "sts": {"tokenDuration": "1h", "maxSessionLength": "12h", "issuer": "tests", "signingKey": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="},
        "providers": [{"name": "kubernetes", "type": "oidc", "enabled": True, "config": provider}],
        "policy": {"defaultEffect": "Deny", "storeType": "memory"},
        "roles": [{"roleName": "dbt-api", "roleArn": ROLE, "trustPolicy": policy(trust), "attachedPolicies": ["everything"]}],
        "policies": [{"name": "everything", "document": policy(allowed)}],
    }


def run(binary, _whole):
    with Machine("credentials") as machine:
        cloud, server, nats = Cloud(machine), Postgres(machine, "postgres", newest_installed_postgres()), Nats(machine)
        without = Installation(machine, binary, server.url(), nats.url, cloud.bucket())
        good = {"web identity": cloud.web_identity(), "task role": cloud.task(), "pod identity": cloud.pod()}
        without.with_settings(**good["web identity"]).cli("migrate")
        for kind, variables in good.items():
            checked = without.with_settings(**variables).cli("config", "check", "--connect")
            check(checked["credentials"] == kind, "the credentials:", checked)
        check(any(TASKS in path for path in cloud.issuer.asked), "tasks did not ask", TASKS, cloud.issuer.asked)
        for words, variables in (
            ("AWS_ROLE_ARN, AWS_ENDPOINT_URL_STS) refuses access", cloud.web_identity("other", subject="other")),
            ("AWS_ROLE_ARN, AWS_ENDPOINT_URL_STS) refuses access", cloud.web_identity() | {"AWS_ROLE_ARN": f"{ROLE}-other"}),
            ("Failed to read token file '/missing'", cloud.web_identity() | {"AWS_WEB_IDENTITY_TOKEN_FILE": "/missing"}),
            ("invalid peer certificate", cloud.web_identity() | {"SSL_CERT_FILE": cloud.other_certificate()}),
            ("invalid `AWS_ENDPOINT_URL_STS`: expected https://", cloud.web_identity() | {"AWS_ENDPOINT_URL_STS": cloud.s3}),
            ("invalid `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`", cloud.task("task")),
            (f"http://{TASKS}/other", cloud.task("/other")),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE) failed", cloud.pod("other")),
        ):
            without.with_settings(**variables).refuses(words, "config", "check", "--connect")
        installation = without.with_settings(**good["web identity"])
        account = installation.fill()
        service = installation.start("serve").wait_until_it_is_ready()
        token = installation.token(account=account)
        check(service.upload(token, "daily", MANIFEST).status == 201, "an upload was refused")
        service.wait_for_runs(token, 1)
        check(service.process.stop() == 0, "serve ended with an error")
        print(f"SeaweedFS 4.48: {', '.join(good)} give keys, an upload is stored and shown, and what is wrong is named")
