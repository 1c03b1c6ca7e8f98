#!/usr/bin/env python3
"""Checks that building the command and testing the workspace compile the dependencies with the same features.

Where they do not, each of the two compiles them for itself. host/features makes them agree; this says what it lacks.
"""

import json
import os
import subprocess
import sys

Features = dict[tuple[str, str], set[tuple[str, ...]]]


def features(arguments: list[str]) -> Features:
    """The features of every dependency, as a package and its target, in the build that cargo plans."""
    # The plan of a build is not a stable output of cargo yet.
    environment = dict(os.environ, RUSTC_BOOTSTRAP="1")
    command = ["cargo", *arguments, "--release", "--unit-graph", "-Zunstable-options"]
    output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout
    found: Features = {}
    for unit in json.loads(output)["units"]:
        package = unit["pkg_id"].rsplit("#", 1)[-1]
        if unit["mode"] == "build" and unit["pkg_id"].startswith("registry"):
            found.setdefault((package, unit["target"]["name"]), set()).add(tuple(sorted(unit["features"])))
    return found


def main() -> int:
    """Prints each difference; 1 if there is one."""
    command = features(["build", "--package", "samara-cli"])
    tests = features(["test", "--workspace", "--no-run"])
    differences = 0
    for (package, target), built in sorted(command.items()):
        tested = tests.get((package, target), built)
        if built <= tested and len(built) == len(tested):
            continue
        differences += 1
        lacking = {feature for one in tested - built for feature in one}
        lacking -= {feature for one in built for feature in one}
        print(f"{package} ({target}): the tests also ask for {', '.join(sorted(lacking)) or 'another set'}")
    if differences:
        print("add these features to host/features/Cargo.toml, so that nothing is compiled twice")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
