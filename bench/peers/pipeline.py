"""A typical Python pipeline for manifests: it parses each with dbt-artifacts-parser and copies its nodes to PostgreSQL."""

import json
import pathlib
import sys
import time

import psycopg
from dbt_artifacts_parser.parser import parse_manifest
from psycopg.types.json import Jsonb

TABLE = """
CREATE TEMPORARY TABLE peer_nodes (
    invocation_id text, unique_id text, resource_type text, name text, package_name text, materialized text, depends_on text[], doc jsonb,
    PRIMARY KEY (invocation_id, unique_id)
)
"""
COPY = "COPY peer_nodes FROM STDIN"


def rows(text):
    document = json.loads(text)
    manifest = parse_manifest(document)
    for section in ("nodes", "sources", "macros", "exposures"):
        for unique_id, node in getattr(manifest, section).items():
            depends_on = getattr(node, "depends_on", None)
            yield (
                manifest.metadata.invocation_id,
                unique_id,
                str(node.resource_type),
                node.name,
                node.package_name,
                getattr(getattr(node, "config", None), "materialized", None),
                list(getattr(depends_on, "nodes", None) or []),
                Jsonb(document[section][unique_id]),
            )


def main(url, folder):
    texts = [path.read_text() for path in sorted(pathlib.Path(folder).iterdir())]
    with psycopg.connect(url) as connection:
        connection.execute(TABLE)
        begun = time.monotonic()
        for text in texts:
            with connection.cursor() as cursor, cursor.copy(COPY) as copy:
                for row in rows(text):
                    copy.write_row(row)
            connection.commit()
        seconds = time.monotonic() - begun
    print(json.dumps({"manifests": len(texts), "seconds": seconds}))


main(*sys.argv[1:])
