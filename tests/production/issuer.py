"""An issuer of OpenID Connect, as Kubernetes is for the tokens of its service accounts, and the address at which containers ask for keys."""
import base64
import http.server
import json
import subprocess
import threading
import time
import urllib.parse
import xml.etree.ElementTree

from installation import send

AUDIENCE, SUBJECT, PROOF = "sts.amazonaws.com", "system:serviceaccount:dbt:dbt-api", "proof"
ROLE = "arn:aws:iam::role/dbt-api"


def encoded(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def openssl(*words, **more):
    return subprocess.run(["openssl", *map(str, words)], capture_output=True, check=True, **more).stdout


class Issuer:
    """Answers with its public key, which a service for tokens (STS) asks for, and with keys of a role, for which containers ask."""

    def __init__(self, machine):
        self.folder, self.asked, self.keys = machine.make_folder("issuer"), [], {}
        self.key = self.folder / "key.pem"
        openssl("genrsa", "-out", self.key, 2048)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def discovery(self):
        return {"issuer": self.url, "jwks_uri": f"{self.url}/keys", "id_token_signing_alg_values_supported": ["RS256"]}

    def public_keys(self):
        modulus = openssl("rsa", "-in", self.key, "-noout", "-modulus").decode().strip().partition("=")[2]
        return {"keys": [{"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", "n": encoded(bytes.fromhex(modulus)), "e": "AQAB"}]}

    def token(self, subject=SUBJECT):
        now = int(time.time())
        claims = {"iss": self.url, "sub": subject, "aud": AUDIENCE, "iat": now, "exp": now + 3600}
        parts = [{"alg": "RS256", "typ": "JWT", "kid": "1"}, claims]
        signed = ".".join(encoded(json.dumps(part).encode()) for part in parts)
        return f"{signed}.{encoded(openssl('dgst', '-sha256', '-sign', self.key, input=signed.encode()))}"

    def token_file(self, name, token):
        file = self.folder / name
        file.write_text(token)
        return str(file)


def handler_of(issuer):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            issuer.asked.append(self.path)
            # A client that has a proxy names the host, too.
            path = urllib.parse.urlsplit(self.path).path
            is_proven = path == "/task" or self.headers["Authorization"] == PROOF
            known = {"/.well-known/openid-configuration": issuer.discovery, "/keys": issuer.public_keys}
            known |= {name: lambda: issuer.keys for name in ("/task", "/pod") if is_proven}
            answer = known.get(path)
            self.send_response(200 if answer else 403)
            self.end_headers()
            self.wfile.write(json.dumps(answer() if answer else {}).encode())

        def log_message(self, *_words):
            pass

    return Handler


def keys_of_role(sts, token):
    """Asks for the keys of the role, as web identities do, and returns them in the form in which containers get them."""
    query = urllib.parse.urlencode({
        "Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleArn": ROLE, "RoleSessionName": "test", "WebIdentityToken": token,
    })
    answer = send(sts, "POST", "/", body=query, headers={"Content-Type": "application/x-www-form-urlencoded"})
    if answer.status != 200:
        raise OSError(f"{sts} answers with {answer.status}: {answer.body[:500]}")
    found = {part.tag.rpartition("}")[2]: part.text for part in xml.etree.ElementTree.fromstring(answer.body).iter()}
    return {
        "AccessKeyId": found["AccessKeyId"], "SecretAccessKey": found["SecretAccessKey"], "Token": found["SessionToken"],
        "Expiration": found["Expiration"],
    }
