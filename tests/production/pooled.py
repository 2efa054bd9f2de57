"""What the subjects about poolers begin with: an installation whose user owns its database, and is not a superuser."""
from databases import shows_what_is_uploaded
from installation import Installation
from postgres import PASSWORD, QUOTED, Postgres, newest_installed_postgres
from servers import Nats

OWNER, DATABASE = "owner", "app"
MODES = ("session", "transaction")


def start(machine, binary):
    """Returns PostgreSQL, an installation with two accounts that connects to it directly, and its service."""
    server = Postgres(machine, "primary", newest_installed_postgres())
    server.sql(f"CREATE ROLE {OWNER} LOGIN CREATEROLE PASSWORD '{PASSWORD}'; CREATE DATABASE {DATABASE} OWNER {OWNER}")
    installation = Installation(machine, binary, server.url(DATABASE, OWNER, QUOTED), Nats(machine).url)
    installation.cli("migrate")
    installation.fill()
    installation.fill("Others")
    service = installation.start("serve", "direct").wait_until_it_is_ready()
    shows_what_is_uploaded(installation, service)
    return server, installation, service
