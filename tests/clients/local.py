"""What every check may need of the machine it runs on."""
import contextlib
import socket
import time


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait(what, condition, seconds=60):
    """What the condition gives as soon as it holds. A server that does not listen yet is no error, nor is one that starts."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            answer = condition()
            if answer:
                return answer
        time.sleep(0.05)
    raise SystemExit(f"waited in vain: {what}")
