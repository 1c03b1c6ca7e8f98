#!/usr/bin/env python3
"""Checks that the command, what is built of it beside the engine, the workspace's tests and the guests' tests take the
dependencies with the same features.

Where they do not, each compiles them for itself. host/features and functions/features make them agree; this says what
those lack.
"""

import json
import os
import subprocess
import sys

Features = dict[tuple[str, str], set[tuple[str, ...]]]

# As `make build` has it: all that the command is made of but what carries the engine.
BESIDE_ENGINE = ["build", "--workspace", "--features", "samara-nn/openvino"]
for package in ["samara-compiler", "samara-cli", "samara-tests", "samara-bench"]:
    BESIDE_ENGINE += ["--exclude", package]

# The engine is for wasm only.
GUESTS = ["test", "--manifest-path", "functions/Cargo.toml", "--workspace", "--exclude", "samara-engine", "--no-run"]

# What the guests' tests compile for themselves in any case: tract-linalg, of which the tests of the kernels ask for more; what
# depends on functions/fft; and hashbrown, as projects of `samara new` take it from the guests' lock file, which must not list
# what only a test asks for.
APART = {"hashbrown", "tract-core", "tract-extra", "tract-linalg", "tract-nnef", "tract-onnx-opl"}


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


def lacking(asked: set[tuple[str, ...]], given: set[tuple[str, ...]]) -> str:
    """Which features are asked for and not given."""
    only = {feature for one in asked - given for feature in one}
    return ", ".join(sorted(only - {feature for one in given for feature in one}))


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
        print(f"{package} ({target}): the tests also ask for {lacking(tested, built) or 'another set'}")
    for (package, target), built in sorted(features(BESIDE_ENGINE).items()):
        needed = command.get((package, target), set())
        if built <= needed:
            continue
        differences += 1
        print(f"{package} ({target}): beside the engine it is built without {lacking(needed, built) or 'the set of the command'}")
    if differences:
        print("add these features to host/features/Cargo.toml, so that nothing is compiled twice")

    of_guests = 0
    for (package, target), built in sorted(features(GUESTS).items()):
        there = tests.get((package, target))
        if there is None or built <= there or package.split("@")[0] in APART:
            continue
        of_guests += 1
        print(f"{package} ({target}) is compiled again for the guests' tests")
        if lack := lacking(there, built):
            print(f"  they lack {lack}: add it to functions/features/Cargo.toml")
        if besides := lacking(built, there):
            print(f"  they also ask for {besides}: add it to host/features/Cargo.toml")
    return 1 if differences or of_guests else 0


if __name__ == "__main__":
    sys.exit(main())
