"""The loss of PostgreSQL's primary: the standby is promoted, and writers find it, by an address that moves or as one of several hosts."""
import time

from installation import Installation
from postgres import MovingAddress, Postgres, newest_installed_postgres
from processes import Machine, check, wait
from servers import Nats
from traffic import Probe, Reader, Uploads, audit

UPLOADS = 300
# From the promotion until a fresh upload is shown.
SHOWN_WITHIN = 10


def packages(_whole):
    return []


def url_of_both(primary, standby):
    return primary.url().replace(primary.host(), f"{primary.host()},{standby.host()}")


def moving_url(primary, standby):
    return primary.url().replace(primary.host(), MovingAddress(primary, standby).host())


def run(binary, _whole):
    for name, url in (("one address that moves", moving_url), ("several hosts", url_of_both)):
        with Machine("failover") as machine:
            primary = Postgres(machine, "primary", newest_installed_postgres())
            standby = Postgres(machine, "standby", primary.programs, primary)
            installation = Installation(machine, binary, primary.url(), Nats(machine).url)
            installation = installation.with_settings(DB_URL=url(primary, standby))
            print(f"Primary killed, standby promoted, {name} in DB_URL: {fail_over(installation, primary, standby)}")


def fail_over(installation, primary, standby):
    """Kills the primary in the middle of uploads, and returns what became of them."""
    installation.cli("migrate")
    installation.fill()
    token = installation.token()
    dev = next(one["id"] for one in installation.cli("environment", "list", "--account", "1") if one["slug"] == "dev")
    services = [installation.start("serve", f"serve{number}").wait_until_it_is_ready() for number in (1, 2)]
    uploads = Uploads(services, token)
    reader = Reader(services, token, uploads)
    uploads.allow(UPLOADS // 3)
    uploads.wait_for(UPLOADS // 3)
    uploads.allow(UPLOADS)
    primary.process.kill()
    standby.promote()
    wait("the standby is promoted", lambda: not standby.is_standby())
    promoted = time.monotonic()
    for service in services:
        Probe([service], [service], uploads, dev).seconds_until_shown(promoted)
    seconds = time.monotonic() - promoted
    uploads.wait_for(UPLOADS)
    uploads.end()
    outcome = audit(installation, services[0], uploads, reader)
    reader.end()
    check(not uploads.refused, "uploads are not accepted while PostgreSQL fails over:", dict(uploads.refused))
    check(seconds <= SHOWN_WITHIN, f"writers took {seconds:.1f} s to find the standby, expected at most {SHOWN_WITHIN} s")
    return f"uploads are shown after {seconds:.1f} s; {outcome}"
