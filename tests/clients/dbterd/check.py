"""Checks dbterd: the diagram from the Discovery API is the one from files, over several pages and with both algorithms.

The files are also downloaded by dbterd, from a run. The project has an account of its own, because it is larger than that of the other checks.
"""
import copy
import difflib
import json
import logging
import os
import pathlib
import sys
import urllib.request

import dbterd
from dbterd.cli.main import DbterdRunner

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from local import account  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[3]
logging.getLogger("dbterd").setLevel(logging.WARNING)
MODELS = 501  # beside those of the fixture: more than the 500 that dbterd asks for
TEST = "test.shop.relationships_stg_orders_customer_id__customer_id__ref_customers_.ce85de0fbf"


def project():
    """Returns the manifest and the catalog of the fixture with many models, relationships of several kinds, and linked semantic models."""
    manifest = json.loads((ROOT / "fixtures/manifests/v12-1.12.0.json").read_bytes())
    catalog = json.loads((ROOT / "fixtures/catalog/v1-1.12.0.json").read_bytes())
    nodes, tables = manifest["nodes"], catalog["nodes"]

    def add_test(name, parents, model, meta, to, field):
        test = copy.deepcopy(nodes[TEST])
        test |= {"unique_id": f"test.shop.relationships_{name}.0123456789", "name": f"relationships_{name}", "meta": meta}
        test["config"]["meta"] = meta
        test["depends_on"]["nodes"] = parents
        test["test_metadata"]["kwargs"] |= {"to": to, "field": field, "model": "{{ get_where_subquery(ref('%s')) }}" % model}
        nodes[test["unique_id"]] = test

    for number in range(MODELS):
        name = f"orders_{number:03}"
        unique_id = f"model.shop.{name}"
        nodes[unique_id] = copy.deepcopy(nodes["model.shop.orders"]) | {"unique_id": unique_id, "name": name, "alias": name}
        tables[unique_id] = copy.deepcopy(tables["model.shop.orders"]) | {"unique_id": unique_id}
        add_test(f"{name}_customers", ["model.shop.customers", unique_id], name, {}, "ref('customers')", "customer_id")
    # The model that is referred to can come second, be the same, or the relationship be of another kind.
    add_test("turned", ["model.shop.orders_000", "model.shop.orders"], "orders_000", {}, "ref('orders')", "order_id")
    add_test("same", ["model.shop.orders"], "orders", {}, "ref('orders')", "order_id")
    add_test("one", ["model.shop.orders", "model.shop.orders_001"], "orders_001", {"relationship_type": "one-to-one"}, "ref('orders')", "order_id")
    add_test("hidden", ["model.shop.orders", "model.shop.orders_002"], "orders_002", {"ignore_in_erd": 1}, "ref('orders')", "order_id")

    # Without an entry in the catalog, dbterd takes columns from the manifest only in the mode for files.
    tables["model.shop.customers"] = copy.deepcopy(tables["seed.shop.raw_customers"]) | {"unique_id": "model.shop.customers"}

    semantic = manifest["semantic_models"]
    orders = semantic["semantic_model.shop.orders"]
    # dbterd does not ask for the expressions of entities, so that these must have the names of their columns.
    orders["entities"].append(orders["entities"][0] | {"name": "customer_id", "type": "foreign", "expr": None})
    customers = copy.deepcopy(orders) | {"unique_id": "semantic_model.shop.customers", "name": "customers"}
    customers["depends_on"]["nodes"] = ["model.shop.customers"]
    customers["entities"] = [orders["entities"][0] | {"name": "customer_id", "type": "primary", "expr": None}]
    semantic["semantic_model.shop.customers"] = customers
    return manifest, catalog


account_id, environment, token = account("diagrams", project())
request = urllib.request.Request(f"{os.environ['DBT_API_URL']}/api/v2/accounts/{account_id}/runs/", headers={"Authorization": f"Token {token}"})
[run] = json.load(urllib.request.urlopen(request))["data"]
cloud = ["--dbt-cloud-host-url", os.environ["DBT_API_HOST"], "--dbt-cloud-service-token", token]
files = ["run", "--dbt-cloud", "--dbt-cloud-account-id", account_id, "--dbt-cloud-run-id", str(run["id"])]
metadata = ["run-metadata", "--dbt-cloud-environment-id", environment]


def draw(*arguments):
    DbterdRunner().invoke([*arguments, *cloud, "-t", "dbml", "-rt", "model", "-rt", "source", "-o", ".", "-ofn", "erd.dbml"])
    return pathlib.Path("erd.dbml").read_text()


pathlib.Path("target").mkdir()
# dbterd's own query does not ask for the parents of models, but it takes a query that does.
queries = pathlib.Path(dbterd.__file__).parent / "include/graphql_queries"
query = (queries / "erd_query__test_relationship.gql").read_text().replace("database, schema, alias,", "database, schema, alias, parents { uniqueId },")
pathlib.Path("parents.gql").write_text(query)


def compare(mine, theirs, references):
    counts = mine.count("\nTable "), mine.count("\nRef: ")
    assert counts == (MODELS + 6, references), counts
    difference = list(difflib.unified_diff(mine.splitlines(), theirs.splitlines(), "files", "metadata", n=0, lineterm=""))
    assert not difference, "\n".join(difference[:40])


tests = draw(*files, "--with-dependencies")
assert tests.count("\nDep {") == MODELS + 3
compare(tests, draw(*metadata, "--with-dependencies", "--dbt-cloud-query-file-path", "parents.gql"), MODELS + 4)
compare(tests[:tests.index("//Deps")].rstrip(), draw(*metadata).rstrip(), MODELS + 4)
compare(draw(*files, "--algo", "semantic"), draw(*metadata, "--algo", "semantic"), 1)
print(f"dbterd: the same diagrams of {MODELS + 6} tables from files and from the Discovery API")
