"""What OpenMetadata's pipelines need of an OpenMetadata server: it finds tables, and keeps what is sent to it."""
import http.server
import json
import threading
import urllib.parse
import uuid


def id_of(fqn):
    return str(uuid.uuid5(uuid.NAMESPACE_URL, fqn))


class OpenMetadata:
    """Listens on a free port. `tables` are the fully qualified names of the tables that it has."""

    def __init__(self, version, tables):
        self.version, self.tables = version, tables
        self.entities, self.lineage, self.statuses, self.observed = {}, [], {}, {}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                url = urllib.parse.urlsplit(self.path)
                path = urllib.parse.unquote(url.path.removeprefix("/api/v1/"))
                found = outer.find(self.command, path, dict(urllib.parse.parse_qsl(url.query)), body)
                content = json.dumps(found if found is not None else {"code": 404, "message": "not found"}).encode()
                self.send_response(200 if found is not None else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = answer

            def log_message(self, *arguments):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_port}/api"
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def find(self, method, path, query, body):
        """Answers a request; None is 404."""
        kind, _, rest = path.partition("/")
        match method, kind:
            case "GET", "system":
                return {"version": self.version, "revision": "", "timestamp": 0}
            case "GET", "services" if rest.startswith("testConnectionDefinitions/"):
                steps = [{"name": name, "description": name, "mandatory": True} for name in ("CheckAccess", "GetJobs", "GetRuns")]
                return {"name": "DBTCloud", "steps": steps}
            case "GET", "search":
                # The name of the service can be a wildcard.
                wanted = query["fieldValue"].split(".")[1:]
                tables = [table for table in self.tables if table.lower().split(".")[1:] == [part.lower() for part in wanted]]
                return {"hits": {"hits": [{"_source": {"fullyQualifiedName": table}} for table in tables]}}
            case "GET", "tables" if (fqn := rest.removeprefix("name/")) in self.tables:
                return {"id": id_of(fqn), "name": fqn.rsplit(".", 1)[1], "fullyQualifiedName": fqn, "columns": []}
            case "GET", _ if path in self.entities:
                return self.entities[path]
            case "PUT", "lineage" if rest:
                _, _, source, _, _, target = rest.split("/")
                self.lineage.append((source, target, body))
                return {}
            case "PUT", "lineage":
                edge, names = body["edge"], {id_of(table): table for table in self.tables}
                self.lineage.append((names[edge["fromEntity"]["id"]], names[edge["toEntity"]["id"]], edge["lineageDetails"]))
                return {}
            case "PUT", "services" | "pipelines" if rest in ("", "pipelineServices"):
                return self.keep(path, body)
            case "PUT", "pipelines" if rest.endswith("/status"):
                name = rest.removesuffix("/status")
                self.statuses.setdefault(name, []).append(body)
                return self.entities[f"pipelines/name/{name}"]
            case "PUT", "tables":
                table, _, _ = rest.partition("/")
                self.observed[table] = body
                return {"id": table, "name": "table", "columns": []}
        return None

    def keep(self, path, body):
        """Keeps an entity, under the name that it can be asked for by."""
        fqn = f"{body['service']}.{body['name']}" if "service" in body else body["name"]
        entity = body | {"id": id_of(fqn), "fullyQualifiedName": fqn}
        if "service" in body:
            entity["service"] = {"id": id_of(body["service"]), "type": "pipelineService", "name": body["service"]}
        self.entities[f"{path}/name/{fqn}"] = entity
        return entity
