#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""scenarios.py [--kernel SERIES] [--vcpus N] FOLDER PLAN [NAME...]: reads and checks
FOLDER/*.yaml, and writes one file PLAN/<kernel>-<vcpus>.json for each boot that is
needed. --kernel overrides the kernels that scenarios name. tests/scenarios/README.md describes the format."""
import argparse
import json
import os
import sys

import yaml

KERNELS = ["6.1", "6.12"]
KEYS = {  # key: (type, default); no default: required
    "name": (str,), "proves": (str,), "guest": (str,), "kernels": (list, KERNELS),
    "vcpus": (int, 2), "expect": (list, []), "forbid": (list, []), "chain": (list, None),
    "paths": (dict, {}), "silent": (bool, True), "seconds": (int, 60), "bytes": (int, 4096), "shim": (dict, {}),
}
SHIM_KEYS = {"missed": str, "reused": str, "lost": str, "expect": list, "forbid": list, "chain": list}


class Loader(yaml.SafeLoader):
    """Without floats: 5.10 is a kernel series, not five and a tenth."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, regex) for tag, regex in resolvers if not tag.endswith(":float")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()}


def read(path):
    """Returns the scenario in the file, or raises ValueError."""
    with open(path) as file:
        scenario = yaml.load(file, Loader)
    if not isinstance(scenario, dict):
        raise ValueError("not a mapping")
    for key in scenario.keys() - KEYS.keys():
        raise ValueError(f"unknown key '{key}'")
    for key, (kind, *default) in KEYS.items():
        if key not in scenario:
            if not default:
                raise ValueError(f"no '{key}'")
            scenario[key] = default[0]
        elif not isinstance(scenario[key], kind):
            raise ValueError(f"'{key}' is no {kind.__name__}")
    for key, value in scenario["shim"].items():
        if not isinstance(value, SHIM_KEYS.get(key, ())):
            raise ValueError(f"shim: no such key, or of the wrong type: '{key}'")
    if scenario["name"] != os.path.basename(path).removesuffix(".yaml"):
        raise ValueError("name and file name differ")
    for record in scenario["expect"] + scenario["forbid"]:
        if not isinstance(record, dict) or "type" not in record:
            raise ValueError(f"a record to match needs a type: {record}")
    if (scenario["chain"] or scenario["paths"]) and not scenario["expect"]:
        raise ValueError("a chain or path needs an expected record to end in")
    return scenario


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("plan")
    parser.add_argument("--kernel")
    parser.add_argument("--vcpus", type=int)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    plans, errors, found = {}, [], set()
    for name in sorted(os.listdir(options.folder)):
        path = os.path.join(options.folder, name)
        if not name.endswith(".yaml") or options.names and name.removesuffix(".yaml") not in options.names:
            continue
        found.add(name.removesuffix(".yaml"))
        try:
            scenario = read(path)
        except (ValueError, yaml.YAMLError) as error:
            errors.append(f"{path}: {error}")
            continue
        for kernel in [options.kernel] if options.kernel else map(str, scenario["kernels"]):
            if options.vcpus in (None, scenario["vcpus"]):
                plans.setdefault((kernel, scenario["vcpus"]), []).append(scenario)
    errors += [f"no scenario '{name}'" for name in options.names if name not in found]
    if errors:
        sys.exit("\n".join(errors))
    for (kernel, vcpus), scenarios in plans.items():
        with open(f"{options.plan}/{kernel}-{vcpus}.json", "w") as file:
            json.dump(scenarios, file)


main()
