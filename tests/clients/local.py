"""Helpers for all checks."""
import contextlib
import json
import socket
import time
import urllib.request
import uuid


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait(what, condition, seconds=60):
    """Waits for a condition and returns its value. A server that does not listen yet, or is still starting, is not an error."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            answer = condition()
            if answer:
                return answer
        time.sleep(0.05)
    raise SystemExit(f"waited in vain: {what}")


def upload(url, token, fields, file):
    """Uploads an artifact as the service's own clients do. The fields say of which run it is."""
    boundary = uuid.uuid4().hex
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
    head = "".join(parts) + f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n\r\n'
    body = head.encode() + file + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": f"multipart/form-data; boundary={boundary}"}
    request = urllib.request.Request(f"{url}/api/internal/manifests", body, headers, method="POST")
    assert urllib.request.urlopen(request).status == 201


def graphql(url, token, query, **variables):
    """Asks the Discovery API, and returns the data of the answer, which must be without errors."""
    request = urllib.request.Request(
        f"{url}/graphql", json.dumps({"query": query, "variables": variables}).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
    answer = json.load(urllib.request.urlopen(request))
    assert "errors" not in answer, answer["errors"]
    return answer["data"]
