"""Each version of PostgreSQL, with each kind of owner that operators have."""
from installation import ERROR, MANIFEST, SUCCESS, Installation, load_sample, results
from packages import POSTGRES, postgres_package, installed_postgres, postgres_programs
from postgres import Postgres, seconds_of
from processes import Machine, check
from servers import Nats

ROLES = ("dbt_api_projector", "dbt_api_reader", "dbt_api_ingest", "dbt_api_operator")
PASSWORD = "pw"
# What reads or writes tables, and so needs them.
NEEDS_TABLES = (["account", "list"], ["token", "list"], ["dead-letters", "list"], ["replay"], ["prune", "--account", "1", "--keep", "1"],
                ["rebuild", "--verify"], ["account", "add", "Too early"])


def versions(whole):
    return list(POSTGRES) if whole else [min(POSTGRES), max(POSTGRES)]


def packages(whole):
    return [postgres_package(version) for version in versions(whole) if version not in installed_postgres()]


def run(binary, whole):
    for version in versions(whole):
        with Machine(f"postgres-{version}") as machine:
            server = Postgres(machine, f"postgres-{version}", postgres_programs(version, machine))
            for number, case in enumerate(CASES):
                owner = f"owner_{number}"
                seconds = seconds_of(lambda: case(Case(machine, server, owner, binary)))
                print(f"PostgreSQL {server.version()}: {case.__doc__.strip()} ({seconds:.0f} s)", flush=True)


class Case:
    """A database with an owner, and an installation that uses it."""

    def __init__(self, machine, server, owner, binary):
        self.machine, self.server, self.owner, self.database = machine, server, owner, f"database_of_{owner}"
        self.binary, self.major = binary, int(server.version().split(".")[0])

    def make_owner(self, attributes, more=""):
        """Creates the owner and its database, and starts a NATS of its own."""
        self.server.sql(f"CREATE ROLE {self.owner} LOGIN PASSWORD '{PASSWORD}' {attributes}; {more}")
        self.make_database()

    def make_database(self):
        self.server.sql(f"CREATE DATABASE {self.database} OWNER {self.owner}")
        self.install()

    def install(self):
        self.nats = Nats(self.machine.beside(self.owner))
        url = self.server.url(self.database, self.owner, PASSWORD)
        self.installation = Installation(self.machine, self.binary, url, self.nats.url)

    def asks_for_migrate(self):
        """Checks that commands, and the readiness of a service, say what is missing."""
        for arguments in NEEDS_TABLES:
            self.installation.refuses("run `dbt-api migrate`", *arguments)
        service = self.installation.start("api", f"{self.owner}-api-too-early")
        _, ready = service.readiness()
        words = ready["parts"]["database"].get("error") or ""
        check("run `dbt-api migrate`" in words, "the readiness before `migrate`:", ready)
        service.process.stop()

    def print_roles(self):
        """Runs what `migrate --print-roles` prints, as the administrator."""
        code, printed = self.installation.run("migrate", "--print-roles")
        check(code == 0, printed)
        self.server.sql(printed)

    def works(self, sample=False):
        """Checks that what is uploaded is shown, to those who may see it, and that the read model is what the bucket says."""
        installation = self.installation
        account = installation.fill()
        other = installation.fill("Others")
        service = installation.start("serve", f"{self.owner}-serve").wait_until_it_is_ready()
        shows_what_is_uploaded(installation, service, account, other)
        if sample:
            bakery = installation.fill("Bakery")
            token = load_sample(service, installation, bakery, "prod")
            for path in ("jobs/", "runs/", "projects/", "environments/"):
                found = service.get(token, f"/api/v2/accounts/{bakery}/{path}")
                check(found.status == 200 and found.json()["data"], path, found.status, found.body[:300])
        installation.verify()
        check(service.readiness()[1]["status"] == "ready", service.readiness())
        check(service.process.stop() == 0, "serve ended with an error")

    def remove(self):
        """Removes the database, its owner, and the roles, if nothing else needs them."""
        for process in self.nats.processes.values():
            process.kill()
        self.server.sql(f"DROP DATABASE {self.database} WITH (FORCE)")

    def remove_roles(self):
        self.server.sql("".join(f"DROP ROLE {role};" for role in ROLES))


def shows_what_is_uploaded(installation, service, account=1, other=2):
    """Uploads to two environments, and checks who sees what."""
    token, dev = installation.token(account=account), installation.token("--environment", "dev", account=account)
    stranger = installation.token(account=other)
    uploads = ("good", MANIFEST, "prod"), ("good", results(), "prod"), ("bad", results(1), "prod"), ("of dev", MANIFEST, "dev")
    for run, file, environment in uploads:
        answer = service.upload(token, run, file, environment)
        check(answer.status == 201, "an upload is answered with", answer.status, answer.body)
    service.wait_for_runs(token, 3, account=account)
    service.wait_for_runs(dev, 1, account=account)
    _, runs = service.runs(token, account)
    found = {run["trigger"]["cause"]: (run["id"], run["status"]) for run in runs}
    check(found["Airflow: good"][1] == SUCCESS and found["Airflow: bad"][1] == ERROR, found)
    of_prod = f"/api/v2/accounts/{account}/runs/{found['Airflow: good'][0]}"
    stored = service.get(token, f"{of_prod}/artifacts/manifest.json")
    check(stored.status == 200 and stored.body == MANIFEST, "the manifest that was uploaded is answered with", stored.status)
    check(service.get(token, f"/api/v2/accounts/{account}/jobs/").json()["data"], "no jobs")
    for path in ("/", "/artifacts/", "/artifacts/manifest.json"):
        for who, key in (("a token of another environment", dev), ("a token of another account", stranger)):
            check(service.get(key, of_prod + path).status == 404, f"{who} is answered", service.get(key, of_prod + path).status, path)
    listed = service.get(dev, f"/api/v2/accounts/{account}/environments/").json()["data"]
    check([one["slug"] for one in listed if "slug" in one] in ([], ["dev"]) and len(listed) == 1, "environments of a token of dev:", listed)


def without_createrole(case):
    """an owner without CREATEROLE, with roles that an administrator made beforehand"""
    case.make_owner("NOCREATEROLE")
    case.asks_for_migrate()
    case.installation.refuses("dbt-api migrate --print-roles", "migrate")
    case.print_roles()
    case.installation.cli("migrate")
    case.works()
    case.remove()


def roles_of_somebody_else(case):
    """an owner with CREATEROLE, where somebody else made the roles"""
    case.make_owner("CREATEROLE")
    if case.major >= 16:
        # Since 16, CREATEROLE grants only roles that it has with ADMIN OPTION.
        case.installation.refuses("dbt-api migrate --print-roles", "migrate")
        case.print_roles()
    case.installation.cli("migrate")
    case.works()
    case.remove()
    case.remove_roles()


def createrole(case):
    """an owner with CREATEROLE, who makes the roles"""
    case.make_owner("CREATEROLE")
    case.asks_for_migrate()
    case.installation.cli("migrate")
    case.works(sample=True)
    case.remove()
    case.remove_roles()


def master_of_rds(case):
    """an owner like the master user of RDS: CREATEROLE, CREATEDB, member of a group, no superuser"""
    group = "CREATE ROLE rds_superuser; GRANT pg_monitor, pg_signal_backend, pg_checkpoint TO rds_superuser WITH ADMIN OPTION;"
    case.server.sql(f"{group} CREATE ROLE {case.owner} LOGIN PASSWORD '{PASSWORD}' CREATEROLE CREATEDB IN ROLE rds_superuser")
    case.server.sql(f"CREATE DATABASE {case.database}", user=case.owner, password=PASSWORD)
    case.install()
    case.installation.cli("migrate")
    case.works()
    case.remove()
    case.remove_roles()


CASES = (without_createrole, roles_of_somebody_else, createrole, master_of_rds)
