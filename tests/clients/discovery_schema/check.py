"""Compares the GraphQL schema of the Discovery API with the one that the package metaphor-connectors carries: names, types, nullability.

Everything in that schema must be served with the same type. What is served besides it, or differently, is listed in differences.txt with the
clients that need it. `check.py --list SDL` prints the differences of a schema file, without a service.
"""
import importlib.util
import json
import os
import pathlib
import sys
import urllib.request

import graphql
from graphql.type import is_enum_type, is_input_object_type, is_interface_type, is_object_type, is_scalar_type

HERE = pathlib.Path(__file__).resolve().parent


def reference():
    """The schema file of the package."""
    (folder,) = importlib.util.find_spec("metaphor").submodule_search_locations
    text = (pathlib.Path(folder) / "dbt/cloud/discovery_api/schema.graphql").read_text()
    return graphql.build_schema(text, assume_valid=True)


def served():
    query = graphql.get_introspection_query(descriptions=False)
    request = urllib.request.Request(
        os.environ["DBT_API_URL"] + "/graphql",
        data=json.dumps({"query": query}).encode(),
        headers={"Authorization": f"Bearer {os.environ['DBT_API_TOKEN']}", "Content-Type": "application/json"},
    )
    return graphql.build_client_schema(json.load(urllib.request.urlopen(request))["data"])


def types(schema):
    built_in = graphql.specified_scalar_types.keys()
    return {name: of for name, of in schema.type_map.items() if not name.startswith("__") and name not in built_in}


def fields(of):
    return of.fields if is_object_type(of) or is_interface_type(of) or is_input_object_type(of) else {}


def compare(theirs, ours):
    """Lines that say what is missing (-), different (~) and added (+)."""
    theirs, ours = types(theirs), types(ours)
    for name in sorted(theirs.keys() - ours.keys()):
        yield f"- {name}"
    for name in sorted(ours.keys() - theirs.keys()):
        yield f"+ {name}"
    for name in sorted(theirs.keys() & ours.keys()):
        one, other = theirs[name], ours[name]
        if type(one) is not type(other):
            yield f"~ {name}: another kind of type"
            continue
        if is_scalar_type(one):
            continue
        if is_enum_type(one):
            for value in sorted(one.values.keys() ^ other.values.keys()):
                yield f"{'-' if value in one.values else '+'} {name}.{value}"
            continue
        if not is_input_object_type(one):
            for interface in sorted({of.name for of in one.interfaces} ^ {of.name for of in other.interfaces}):
                yield f"~ {name} implements {interface}"
        for field in sorted(fields(one).keys() - fields(other).keys()):
            yield f"- {name}.{field}"
        for field in sorted(fields(other).keys() - fields(one).keys()):
            yield f"+ {name}.{field}: {fields(other)[field].type}"
        for field in sorted(fields(one).keys() & fields(other).keys()):
            before, after = fields(one)[field], fields(other)[field]
            if str(before.type) != str(after.type):
                yield f"~ {name}.{field}: {before.type} -> {after.type}"
            before, after = getattr(before, "args", {}), getattr(after, "args", {})
            for argument in sorted(before.keys() | after.keys()):
                a, b = before.get(argument), after.get(argument)
                if a is None:
                    yield f"+ {name}.{field}({argument}: {b.type})"
                elif b is None:
                    yield f"- {name}.{field}({argument})"
                elif str(a.type) != str(b.type):
                    yield f"~ {name}.{field}({argument}: {a.type} -> {b.type})"


if sys.argv[1:2] == ["--list"]:
    print("\n".join(compare(reference(), graphql.build_schema(pathlib.Path(sys.argv[2]).read_text()))))
    sys.exit()
listed = (HERE / "differences.txt").read_text().splitlines()
listed = [line for line in listed if line and not line.startswith("#")]
found = list(compare(reference(), served()))
unlisted, gone = sorted(set(found) - set(listed)), sorted(set(listed) - set(found))
assert not unlisted, "not in differences.txt:\n" + "\n".join(unlisted)
assert not gone, "in differences.txt, but not different:\n" + "\n".join(gone)
print(f"discovery_schema: as in metaphor-connectors, except for {len(found)} listed differences")
