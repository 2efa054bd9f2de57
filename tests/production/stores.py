"""A bucket that ignores `If-None-Match: *`, on which the safety of uploads and numbers depends."""
from installation import Installation, form, results, send
from packages import s3rver_package
from postgres import Postgres, newest_installed_postgres
from processes import Machine, check, wait
from servers import Nats, S3rver

WORDS = "ignores `If-None-Match: *`: use a store that supports conditional writes"
WRITING = (
    ["account", "add", "Another"], ["project", "add", "--account", "1", "--name", "Other", "--slug", "other"],
    ["environment", "add", "--account", "1", "--project", "1", "--name", "Other", "--slug", "other"],
    ["token", "create", "--account", "1", "--name", "another"], ["token", "delete", "TOKEN"],
)


def packages(_whole):
    return [s3rver_package()]


def run(binary, _whole):
    with Machine("stores") as machine:
        server, nats = Postgres(machine, "postgres", newest_installed_postgres()), Nats(machine)
        good = Installation(machine, binary, server.url(), nats.url)
        good.cli("migrate")
        good.fill()
        token = good.token()
        token_id = good.cli("token", "list")[0]["id"]
        bad = good.with_settings(**S3rver(machine).variables())
        for arguments in WRITING:
            bad.refuses(WORDS, *(token_id if word == "TOKEN" else word for word in arguments))
        bad.refuses(WORDS, "config", "check", "--connect")
        bad.refuses(WORDS, "status")
        service = bad.start("serve")
        wait("the log names the bucket", lambda: any("ERROR" in line and WORDS in line for line in service.process.text().splitlines()), 10)
        for run in range(20):
            status = service.upload(token, f"refused {run}", results()).status
            check(status == 503, "an upload is answered with", status)
        body, headers = form({"tag": "refused"}, b"{}", "refused.json")
        status = send(service.url, "POST", "/api/v2/datacoves/environments/prod/files", token, body, headers).status
        check(status == 503, "the upload of a file is answered with", status)
        code, ready = service.readiness()
        check(code == 503 and WORDS in ready["parts"]["bucket"]["error"], "the readiness:", code, ready)
        check(service.runs(token) == (0, []), "runs are shown that were refused")
        print(f"s3rver 3.7.1: ERROR in the log, 21 uploads answered with 503, {len(WRITING)} commands that write are refused")
