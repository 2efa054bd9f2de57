"""PgBouncer as DB_URL: refused with words, in each mode and with each way to make it accept connections."""
import concurrent.futures
import itertools

from installation import SUCCESS, results
from pooled import DATABASE, MODES, OWNER, start
from postgres import PgBouncer, pgbouncer_version
from processes import Machine, check, wait

# What an operator tries one after the other: the defaults, what lets the owner connect, and what makes all connections possible.
IGNORED = ((), ("extra_float_digits",), ("extra_float_digits", "options"))
# The message of a connection that PgBouncer refuses, and that of dbt-api if PgBouncer drops what was asked for: of commands, and of roles.
REFUSED, DROPPED, ROLE = "unsupported startup parameter", "did not reach PostgreSQL", "expected the role"
# What each of them says besides.
ADVICE = "set DB_URL to PostgreSQL itself"
SEARCH_PATH = "read_model, ids, directory, public"
# Mode, what is ignored, and whether an operator has set the search path, which is lost with `options`.
WHOLE = [case for case in itertools.product(MODES, IGNORED, (False, True)) if "options" in case[1] or not case[2]]
SHORT = [("session", (), False), ("session", IGNORED[2], True), ("transaction", IGNORED[2], True)]
PATHS = ("runs/", "runs/1/", "jobs/", "environments/", "runs/1/artifacts/manifest.json")
# Those that PostgreSQL's own role would let through.
COMMANDS = (["account", "list"], ["token", "list"], ["rebuild", "--accept-differences"], ["replay"],
            ["prune", "--account", "1", "--keep", "1", "--apply"], ["migrate"], ["config", "check", "--connect"])


def packages(_whole):
    return []


def run(binary, whole):
    with Machine("poolers") as machine:
        server, direct, service = start(machine, binary)
        check(service.process.stop() == 0, "serve ended with an error")
        tokens = direct.token(), direct.token("--environment", "dev")
        shown = 3
        for mode, ignored, mended in WHOLE if whole else SHORT:
            is_set = f"SET search_path = {SEARCH_PATH}" if mended else "RESET search_path"
            server.sql(f"ALTER DATABASE {DATABASE} {is_set}")
            name = "-".join([mode, *ignored, *(["search_path"] if mended else [])])
            pooler = PgBouncer(machine, f"pgbouncer-{name}", server, OWNER, mode, ignored)
            refused(direct, pooler, name, tokens)
            shown += 1
            pooler.process.kill()
        server.sql(f"ALTER DATABASE {DATABASE} RESET search_path")
        service = direct.start("serve", "direct-again")
        runs = service.wait_for_runs(tokens[0], shown)
        check(all(run["status"] == SUCCESS for run in runs if "through" in run["trigger"]["cause"]), "uploads through a pooler:", runs)
        direct.verify()
    print(f"PgBouncer {pgbouncer_version()} as DB_URL, {' and '.join(MODES)} mode: nothing is read, uploads are stored and shown afterwards")


def refused(direct, pooler, name, tokens):
    """Checks that nothing is read or written through the pooler, and that uploads are stored."""
    is_dropped = "options" in pooler.ignored
    words = ROLE if is_dropped else REFUSED
    through = direct.with_settings(DB_URL=pooler.url(DATABASE, OWNER))
    for arguments in COMMANDS:
        code, printed = through.run(*arguments)
        check(code == 1 and (DROPPED if is_dropped else REFUSED) in printed and ADVICE in printed, name, arguments, code, printed)
    service = through.start("serve", f"serve-{name}")
    wait("the readiness names it", lambda: names_it(service, words), 20)
    # A read waits some seconds for a connection.
    with concurrent.futures.ThreadPoolExecutor(len(tokens) * len(PATHS)) as clients:
        asked = [(path, clients.submit(service.get, token, f"/api/v2/accounts/1/{path}")) for token in tokens for path in PATHS]
        for path, answer in asked:
            answer = answer.result()
            check(answer.status == 503, f"through PgBouncer ({name}), {path} is answered with", answer.status, answer.body[:300])
    answer = service.upload(tokens[0], f"through {name}", results())
    check(answer.status == 201, f"through PgBouncer ({name}), an upload is answered with", answer.status, answer.body)
    # What it says is in the log, too, where people look first.
    check(words in service.process.text(), f"the log does not say {words!r}")
    check(service.process.stop() == 0, "serve ended with an error")


def names_it(service, words):
    _, ready = service.readiness()
    said = ready["parts"]["database"].get("error") or ""
    return ready["status"] == "degraded" and words in said and ADVICE in said
