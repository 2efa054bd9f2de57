"""Reads from elsewhere than the primary (DB_READ_URL): through PgBouncer, and from a hot standby."""
import concurrent.futures
import re
import threading

from installation import results
from pooled import DATABASE, MODES, OWNER, start
from postgres import PASSWORD, QUOTED, PgBouncer, Postgres, pgbouncer_version
from processes import Machine, check, wait

# sqlx asks for it. The role, the search path and the time limits are set in each transaction.
IGNORED = ("extra_float_digits",)
READS, AT_ONCE = 200, 16
# How long a standby that lags is read from, and by which metric this is known.
LAG_BOUND, LAG_METRIC = 15, "dbt_api_replica_lag_seconds"
VALUES = {"account_id": "1", "slug": "prod", "project_slug": "tests", "unique_id": "model.shop.orders", "path": "manifest.json"}
# PgBouncer with `max_prepared_statements`.
KEEPS_STATEMENTS, LOST = (1, 21), "max_prepared_statements"
RUNS = "/api/v2/accounts/1/runs/"
# They are about now.
AGES = re.compile(rb'"[a-z_]*humanized":"[^"]*"')


def packages(_whole):
    return []


def run(binary, _whole):
    with Machine("replicas") as machine:
        primary, installation, service = start(machine, binary)
        for mode in MODES:
            reads_through_a_pooler(machine, installation, primary, service, mode)
        # So that a change of the primary cancels reads at once.
        settings = ("max_standby_streaming_delay=100ms", "hot_standby_feedback=off")
        standby = Postgres(machine, "standby", primary.programs, primary, settings)
        reads_from_a_standby(installation, primary, standby, service)
        another_user_is_not_missed(installation, primary)
        stranger = Postgres(machine, "stranger", primary.programs)
        is_named(installation, standby.url(DATABASE, OWNER, QUOTED), None)
        closed = "EXECUTE ON FUNCTION pg_control_system(), pg_walfile_name(pg_lsn)"
        primary.sql(f"REVOKE {closed} FROM PUBLIC", DATABASE)
        primary.wait_for_standby(standby)
        is_named(installation, standby.url(DATABASE, OWNER, QUOTED), None)
        primary.sql(f"GRANT {closed} TO PUBLIC", DATABASE)
        primary.wait_for_standby(standby)
        is_named(installation, stranger.url(), "expected the system identifier")
        standby.sql("SELECT pg_wal_replay_pause()")
        primary.sql("CREATE TABLE later (id bigint)", DATABASE)
        is_named(installation, standby.url(DATABASE, OWNER, QUOTED), "behind the primary", DB_READ_MAX_LAG_SECONDS="1")
        standby.sql("SELECT pg_wal_replay_resume()")
        standby.promote()
        wait("the standby is promoted", lambda: not standby.is_standby())
        former = primary.url(DATABASE, OWNER, QUOTED)
        is_named(installation, former, "accepts writes and is not the primary", DB_URL=standby.url(DATABASE, OWNER, QUOTED))
        print("config check --connect names a server of another installation, a standby that lags, and a former primary")
        check(service.process.stop() == 0, "serve ended with an error")


def reads_through_a_pooler(machine, installation, primary, service, mode):
    """Reads through PgBouncer see what they may see, many at once."""
    pooler = PgBouncer(machine, f"pgbouncer-{mode}", primary, OWNER, mode, IGNORED, pool_size=10)
    api = installation.start("api", f"api-{mode}", DB_READ_URL=pooler.url(DATABASE, OWNER))
    keeps_statements = mode == "session" or tuple(map(int, pgbouncer_version().split("."))) >= KEEPS_STATEMENTS
    if keeps_statements:
        api.wait_until_it_is_ready()
    else:
        wait("the readiness names what is lost", lambda: LOST in (api.readiness()[1]["parts"]["replica"].get("error") or ""), 20)
    token, dev, stranger = tokens(installation)
    total, runs = service.runs(token)
    shown = [[(run["id"], run["status"], run["trigger"]) for run in of] for of in (runs, api.runs(token)[1])]
    check(shown[0] == shown[1], f"through PgBouncer ({mode}), other runs are shown:", *shown)
    of_prod = f"/api/v2/accounts/1/runs/{number_of(runs, 'good')}/"
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as clients:
        wanted = [(token, RUNS, total, 200), (dev, RUNS, 1, 200), (dev, of_prod, None, 404),
                  (stranger, of_prod, None, 404)]
        asked = [(wanted[turn % 4], clients.submit(api.get, *wanted[turn % 4][:2])) for turn in range(READS)]
        for (_, path, count, status), answer in asked:
            answer = answer.result()
            check(answer.status == status, f"through PgBouncer ({mode}), {path} is answered with", answer.status, answer.body[:300])
            found = answer.json()["extra"]["pagination"]["total_count"] if count else None
            check(found == count, f"through PgBouncer ({mode}), {path} shows {found} runs, expected {count}")
    check(api.process.stop() == 0, "api ended with an error")
    is_named(installation, pooler.url(DATABASE, OWNER), None if keeps_statements else LOST)
    pooler.process.kill()
    print(f"PgBouncer {pgbouncer_version()} as DB_READ_URL, {mode} mode: {READS} reads, {AT_ONCE} at once, each token sees what it may")


def is_named(installation, url, words, **settings):
    """Checks what `config check --connect` says about the server for reads. Without words, nothing may be wrong with it."""
    checked = installation.with_settings(DB_READ_URL=url, **settings)
    code, printed = checked.run("config", "check", "--connect")
    check(code == (1 if words else 0) and (words or "") in printed, f"expected {words!r} about {url}:", code, printed)


def another_user_is_not_missed(installation, primary):
    """A user that may not take the role of reads: the primary is read, and readiness says why."""
    user = "somebody"
    primary.sql(f"CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}'")
    url = primary.url(DATABASE, user, QUOTED)
    is_named(installation, url, "permission denied to set role")
    api = installation.start("api", "api-another-user", DB_READ_URL=url)
    token = installation.token(scope="read")
    named = lambda: "permission denied to set role" in (api.readiness()[1]["parts"]["replica"].get("error") or "")
    wait("the readiness names it", named, 20)
    is_read = lambda: re.search(r"^dbt_api_replica_is_read (\S+)$", api.get(None, "/metrics").body.decode(), re.MULTILINE)[1]
    wait("the metric says that the primary is read", lambda: is_read() == "0", 5)
    answers = [api.get(token, RUNS) for _ in range(20)]
    check(all(answer.status == 200 for answer in answers), "reads are answered with", [answer.status for answer in answers])
    slowest = max(answer.seconds for answer in answers)
    check(slowest < 5, f"a read waits {slowest:.1f} s for the server that cannot be used")
    check(api.process.stop() == 0, "api ended with an error")
    print("a user that may not take the role of reads is named, and the primary is read")


def tokens(installation):
    """Returns the keys of a token of the account, of one of an environment of it, and of one of another account."""
    return (installation.token(scope="read"), installation.token("--environment", "dev", scope="read"),
            installation.token(account=2, scope="read"))


def number_of(runs, name):
    return next(run["id"] for run in runs if run["trigger"]["cause"] == f"Airflow: {name}")


def reads_from_a_standby(installation, primary, standby, service):
    # Tokens that may upload read the primary.
    token, uploader = installation.token(scope="read"), installation.token()
    api = installation.start("api", "api-standby", DB_READ_URL=standby.url(DATABASE, OWNER, QUOTED), DB_READ_MAX_LAG_SECONDS=str(LAG_BOUND)).wait_until_it_is_ready()
    of_primary = installation.start("api", "api-primary").wait_until_it_is_ready()
    compared = answers_as_the_primary(primary, standby, of_primary, api, token)
    check(of_primary.process.stop() == 0, "api ended with an error")
    print(f"A hot standby as DB_READ_URL: {compared}")
    use_is_noted(installation, api)
    print("  the use of a token is noted on the primary")
    reads_survive_changes(installation, api, token)
    standby.sql("SELECT pg_wal_replay_pause()")
    deleted_token_is_refused(installation, api)
    nothing_stale_is_unchanged(installation, primary, standby, service, api, token, uploader)
    print("  while the replay pauses: a deleted token is refused at once, no stale 304, the lag is bounded and a metric")
    reads_continue_without_the_primary(installation, primary, api, token)
    print("  while the primary is down: the standby is read, a deleted token is refused")
    check(api.process.stop() == 0, "api ended with an error")


def answers_as_the_primary(primary, standby, of_primary, api, token):
    """Compares the answers to all GET requests, and returns how many there are, as a sentence."""
    document = api.get(token, "/api/v2/openapi").json()
    primary.wait_for_standby(standby)
    paths, found = [path for path, methods in document["paths"].items() if "get" in methods], 0
    for template in paths:
        path = re.sub(r"\{(\w+)\}", lambda parameter: VALUES.get(parameter[1], "1"), template)
        path += {"lineage": "?unique_id=model.shop.orders", "changes": "?from=1"}.get(template.rsplit("/", 1)[1], "")
        first, second = of_primary.get(token, path), api.get(token, path)
        check(first.status == second.status, f"{path}: {first.status} at the primary, {second.status} at the standby:", second.body[:300])
        same = AGES.sub(b"", first.body) == AGES.sub(b"", second.body)
        check(same or first.status != 200, f"{path} is answered differently at the standby:", first.body[:1000], second.body[:1000])
        found += first.status == 200
    return f"{len(paths)} GET routes are answered as on the primary, {found} of them with 200"


def use_is_noted(installation, api):
    """A token that is only used at the standby was used, says the primary."""
    token = installation.new_token(scope="read")
    wait("the new token is accepted", lambda: api.get(token["key"], RUNS).status == 200, 5)
    wait("its use is noted", lambda: [one for one in installation.cli("token", "list") if one["id"] == token["id"] and one["last_used_at"]], 70)


def reads_survive_changes(installation, api, token):
    """What the primary changes cancels reads of a standby. They are tried again."""
    ended, answers = threading.Event(), []

    def read():
        while not ended.is_set():
            answers.append(api.get(token, "/api/v2/accounts/1/runs/?include_related=%5B%22trigger%22%2C%22job%22%5D").status)

    readers = [threading.Thread(target=read) for _ in range(8)]
    for reader in readers:
        reader.start()
    for _ in range(3):
        installation.cli("rebuild")
    ended.set()
    for reader in readers:
        reader.join()
    failed = [status for status in answers if status != 200]
    check(answers, "nothing was read while the read model was replaced")
    check(not failed, f"{len(failed)} of {len(answers)} reads fail while the read model is replaced:", failed[:5])
    print(f"  {len(answers)} reads while the read model was replaced three times: all answered with 200")


def deleted_token_is_refused(installation, api):
    token = installation.new_token(scope="read")
    wait("the new token is accepted", lambda: api.get(token["key"], RUNS).status == 200, 5)
    installation.cli("token", "delete", token["id"])
    status = api.get(token["key"], RUNS).status
    check(status == 401, "a deleted token is answered with", status)


def reads_continue_without_the_primary(installation, primary, api, token):
    """The standby is read while the primary is down, and the bucket knows the tokens that are deleted meanwhile."""
    deleted, total = installation.new_token(scope="read"), api.runs(token)[0]
    wait("the new token is accepted", lambda: api.get(deleted["key"], RUNS).status == 200, 5)
    primary.process.kill()
    wait("reads come from the standby", lambda: api.get(token, RUNS).status == 200, 10)
    check(api.runs(token)[0] == total, "while the primary is down, other runs are shown")
    _, ready = api.readiness()
    check(ready["status"] == "degraded" and ready["parts"]["replica"]["status"] == "ok", "the readiness:", ready)
    installation.cli("token", "delete", deleted["id"])
    status = api.get(deleted["key"], RUNS).status
    check(status == 401, "a token that was deleted while the primary was down is answered with", status)
    primary.start()
    api.wait_until_it_is_ready()


def nothing_stale_is_unchanged(installation, primary, standby, service, api, token, uploader):
    """An answer that a client keeps is never called unchanged when the primary has something newer."""
    path = "/api/v2/accounts/1/runs/?order_by=-id"
    before = api.get(token, path)
    total = before.json()["extra"]["pagination"]["total_count"]
    check(service.upload(uploader, "while the replay pauses", results()).status == 201, "an upload is refused")
    service.wait_for_runs(token, total + 1)
    stale = api.get(token, path, if_none_match=before.headers["etag"])
    check(stale.status == 200, "a tag from before an upload is answered with", stale.status)
    check(stale.json()["extra"]["pagination"]["total_count"] == total, "the standby is not read")
    lag = lambda: float(re.search(rf"^{LAG_METRIC} (\S+)$", api.get(None, "/metrics").body.decode(), re.MULTILINE)[1])
    wait(f"{LAG_METRIC} is at least a second", lambda: lag() >= 1)
    check(api.runs(uploader)[0] == total + 1, "a client that uploads does not see what it has uploaded")
    check(api.runs(installation.token(scope="read"))[0] == total + 1, "a token that the standby does not know yet is not read on the primary")
    # A standby that lags for too long is not read from.
    api.wait_for_runs(token, total + 1, LAG_BOUND + 30)
    standby.sql("SELECT pg_wal_replay_resume()")
    primary.wait_for_standby(standby)
    again = api.get(token, path, if_none_match=stale.headers.get("etag", "none"))
    newest = again.json()["extra"]["pagination"]["total_count"] if again.status == 200 else stale.json()["extra"]["pagination"]["total_count"]
    check(newest == total + 1, "an answer of the standby that was old is called unchanged:", again.status)
