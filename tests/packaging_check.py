"""
Install and uninstall twistedchat in each way that people do, and look at what is left.

The ways are: `pip install .`, an editable install, the wheel and the sdist. After each, `twistd`
must know `p2pchat` and run it, and Twisted's own files must be as they were; after each uninstall
nothing of ours may remain. All of it happens in a temporary folder, on a copy of the checkout.

`make packaging` runs this; so does `python tests/packaging_check.py` in the checkout's environment.
Exit status 1 means that something is wrong, and the last lines say what.
"""

import contextlib
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path, PurePosixPath

CHECKOUT = Path(__file__).resolve().parent.parent

# Where git cannot say what belongs to the checkout, this does not.
NOT_OURS = shutil.ignore_patterns(
    ".git", ".venv", "*.egg-info", "build", "dist", "__pycache__", "dropin.cache", ".*_cache"
)

# What the sdist must bring besides the package: tests and docs are easily left out.
SDIST_NEEDS = [
    "LICENSE",
    "Makefile",
    "README.md",
    "pyproject.toml",
    "requirements-dev.txt",
    "requirements.txt",
    "setup.py",
    "tests/__init__.py",
    "tests/packaging_check.py",
    "twisted/plugins/p2pchat.py",
]


class PackagingError(Exception):
    """
    An installation is not as it should be.
    """


def run(*command: str | Path, cwd: Path, typed: str = "") -> str:
    """
    Run a command to its end.

    Args:
        command: the program and its arguments.
        cwd: where it runs.
        typed: what it can read.

    Returns:
        What it wrote to both of its outputs.

    Raises:
        PackagingError: it did not succeed.
    """
    # What our caller measures or has on its path must not leak into the installation on trial.
    # And byte code is written, as it is for everybody: uninstalling has to find it.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COVERAGE_", "MAKE", "MFLAGS", "PYTHON", "VIRTUAL_ENV"))
    }
    outcome = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        input=typed,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if outcome.returncode != 0:
        words = " ".join(str(word) for word in command)
        raise PackagingError(f"{words}\nexit status {outcome.returncode}\n{outcome.stdout}")
    return outcome.stdout


def expect(is_so: bool, otherwise: str) -> None:
    """
    Go on only if something is so.

    Args:
        is_so: what was found.
        otherwise: what to tell if it is not.

    Raises:
        PackagingError: it is not.
    """
    if not is_so:
        raise PackagingError(otherwise)


def copy_checkout(folder: Path) -> None:
    """
    Copy the checkout as it would be committed now, so that nothing is built in the original.

    Args:
        folder: where to; it does not exist yet.
    """
    if not (CHECKOUT / ".git").exists() or shutil.which("git") is None:
        shutil.copytree(CHECKOUT, folder, ignore=NOT_OURS)
        return
    listing = run("git", "ls-files", "-coz", "--exclude-standard", cwd=CHECKOUT)
    for name in sorted(set(listing.split("\0")) - {""}):
        if (CHECKOUT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, folder / name)


def list_package(top: Path) -> set[str]:
    """
    List the files that make up an installed twistedchat.

    Args:
        top: a copy of the checkout in which nothing has been run.

    Returns:
        Their paths as a wheel writes them.
    """
    files = [path for path in (top / "twistedchat").rglob("*") if path.is_file()]
    return {path.relative_to(top).as_posix() for path in files} | {"twisted/plugins/p2pchat.py"}


@dataclass(frozen=True, slots=True)
class Environment:
    """
    A virtual environment with all that twistedchat needs, but without twistedchat.
    """

    folder: Path

    @property
    def python(self) -> Path:
        """
        Its interpreter.
        """
        return self.folder / "bin" / "python"

    def create(self, requirements: Path) -> None:
        """
        Make it.

        Args:
            requirements: what to install.
        """
        # Without a pip of its own, which takes longer to install than all the rest.
        run(sys.executable, "-m", "venv", "--without-pip", self.folder, cwd=self.folder.parent)
        self.pip("install", "--no-compile", "-r", requirements)

    def pip(self, *words: str | Path) -> None:
        """
        Run the pip of our own interpreter on this environment.

        Args:
            words: a pip command.
        """
        pip = (sys.executable, "-m", "pip", "--python", self.python)
        run(*pip, "--quiet", "--disable-pip-version-check", *words, cwd=self.folder.parent)

    def fingerprint(self) -> dict[str, str]:
        """
        Tell the state of every file, save those that running programs rewrite.

        Returns:
            A digest for each path.
        """
        return {
            path.relative_to(self.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.folder.rglob("*")
            if path.is_file() and path.suffix != ".pyc" and path.name != "dropin.cache"
        }

    def is_listed(self) -> bool:
        """
        Ask twistd whether it knows us; this also refreshes its cache of plugins.

        Returns:
            True if `twistd --help` lists `p2pchat`.
        """
        answer = run(self.folder / "bin" / "twistd", "--help", cwd=self.folder.parent)
        expect("Commands:" in answer, f"twistd lists no commands at all:\n{answer}")
        expect(
            re.search(r"^ +web ", answer, re.MULTILINE) is not None, "Twisted's plugins are gone"
        )
        return re.search(r"^ +p2pchat ", answer, re.MULTILINE) is not None

    def list_leftovers(self) -> list[str]:
        """
        Look for whatever carries our name.

        Returns:
            The paths found.
        """
        return [
            path.relative_to(self.folder).as_posix()
            for path in sorted(self.folder.rglob("*"))
            if "twistedchat" in path.name or "p2pchat" in path.name
        ]


def check_run(environment: Environment) -> None:
    """
    Run what is installed: a node that shows its invite and quits, on loopback alone.

    For that it needs all that it imports, and the data files of the package.

    Args:
        environment: where it is installed.

    Raises:
        PackagingError: it did not work.
    """
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    state = environment.folder.parent / "state"
    twistd = (environment.folder / "bin" / "twistd", "-n", "p2pchat")
    where = ("--port", str(port), "--interface", "127.0.0.1", "--no-lan", "--state", state)
    # Not in the checkout, where Python would find the package without any installation.
    here = environment.folder.parent
    answer = run(*twistd, *where, "--team", "Emu", cwd=here, typed="i\n0\n")
    shutil.rmtree(state)
    expect(f"&at=127.0.0.1:{port}" in answer, f"a node shows no invite:\n{answer}")


def check_installation(environment: Environment, *source: str | Path) -> None:
    """
    Install, look, uninstall, look again.

    Args:
        environment: where to.
        source: what to install, as pip is told.

    Raises:
        PackagingError: something is not as it should be.
    """
    before = environment.fingerprint()

    environment.pip("install", "--no-deps", "--no-build-isolation", *source)
    during = environment.fingerprint()
    harmed = sorted(path for path, digest in before.items() if during.get(path) != digest)
    expect(not harmed, f"installing changed files of others: {harmed}")
    expect(environment.is_listed(), "`twistd --help` does not list p2pchat")
    check_run(environment)

    environment.pip("uninstall", "--yes", "twistedchat")
    expect(not environment.is_listed(), "`twistd --help` still lists p2pchat")
    after = environment.fingerprint()
    changed = sorted(path for path, _ in before.items() ^ after.items())
    expect(not changed, f"after the uninstall these files differ from before: {changed}")
    leftovers = environment.list_leftovers()
    expect(not leftovers, f"after the uninstall these remain: {leftovers}")


def build(checkout: Path, folder: Path) -> tuple[Path, Path]:
    """
    Build an sdist, and a wheel from that sdist.

    Args:
        checkout: what to build.
        folder: where to put them.

    Returns:
        The paths of the wheel and of the sdist.
    """
    command = (sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, checkout)
    run(*command, cwd=folder.parent)
    wheels, sdists = list(folder.glob("*.whl")), list(folder.glob("*.tar.gz"))
    expect(len(wheels) == len(sdists) == 1, f"built: {wheels + sdists}")
    return wheels[0], sdists[0]


def name_of(requirement: str) -> str:
    """
    Tell what a requirement is about.

    Args:
        requirement: a line such as ``Twisted[tls]>=26.10``.

    Returns:
        The name of the distribution, in the form in which names are compared.
    """
    name = re.split(r"[^A-Za-z0-9._-]", requirement.strip())[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def check_wheel(wheel: Path, checkout: Path, package: set[str]) -> None:
    """
    See that a wheel holds the package, all of it, and nothing else, and names all that it needs.

    Args:
        wheel: the file.
        checkout: the copy that it was made from.
        package: what it must hold.

    Raises:
        PackagingError: something is missing or too much.
    """
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        told = Parser().parsestr(archive.read(metadata).decode()).get_all("Requires-Dist") or []
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    needed = set(map(name_of, project["dependencies"]))
    told_always = {name_of(line) for line in told if "extra ==" not in line}
    expect(needed == told_always, f"the wheel needs {needed}, but says {told_always}")
    missing, extra = sorted(package - names), sorted(names - package)
    expect(not missing, f"the wheel lacks {missing} (a data file? see package-data)")
    expect(not extra, f"the wheel holds too much: {extra}")


def check_sdist(sdist: Path, checkout: Path, package: set[str]) -> None:
    """
    See that an sdist holds what is needed to build, test and read the project.

    Args:
        sdist: the file.
        checkout: the copy that it was made from.
        package: the files of the package itself.

    Raises:
        PackagingError: something is missing or too much.
    """
    with tarfile.open(sdist) as archive:
        members = [PurePosixPath(member.name) for member in archive if member.isfile()]
    names = {PurePosixPath(*path.parts[1:]).as_posix() for path in members}
    inside = [path for folder in ("docs", "tests") for path in (checkout / folder).rglob("*")]
    expect((checkout / "docs").is_dir(), "there is no docs folder")
    needed = package | set(SDIST_NEEDS)
    needed |= {path.relative_to(checkout).as_posix() for path in inside if path.is_file()}
    missing = sorted(needed - names)
    expect(not missing, f"the sdist lacks {missing} (see MANIFEST.in)")
    rubbish = sorted(name for name in names if name.endswith((".pyc", "dropin.cache")))
    rubbish += sorted(names & {"twisted/__init__.py", "twisted/plugins/__init__.py"})
    expect(not rubbish, f"the sdist holds too much: {rubbish}")


def main() -> int:
    """
    Make all checks, one after the other, and stop at the first that fails.

    Returns:
        The exit status.
    """
    with tempfile.TemporaryDirectory(prefix="twistedchat-packaging-") as name:
        top = Path(name).resolve()
        checkout, editable, dist = top / "checkout", top / "editable", top / "dist"
        environment = Environment(top / "environment")
        built: list[Path] = []
        package: set[str] = set()

        def prepare() -> None:
            copy_checkout(checkout)
            # Apart from the first copy, where building leaves a folder that would be found again.
            copy_checkout(editable)
            package.update(list_package(checkout))
            environment.create(checkout / "requirements.txt")
            expect(not environment.is_listed(), "p2pchat is known before anything was installed")

        def build_both() -> None:
            built.extend(build(checkout, dist))
            check_wheel(built[0], checkout, package)
            check_sdist(built[1], checkout, package)

        steps: list[tuple[str, Callable[[], None]]] = [
            ("a fresh environment", prepare),
            ("pip install .", lambda: check_installation(environment, checkout)),
            ("pip install -e .", lambda: check_installation(environment, "-e", editable)),
            ("build wheel and sdist", build_both),
            ("pip install the wheel", lambda: check_installation(environment, built[0])),
            ("pip install the sdist", lambda: check_installation(environment, built[1])),
        ]
        for title, step in steps:
            started = time.monotonic()
            try:
                step()
            except PackagingError as failure:
                print(f"packaging: {title}: FAILED", flush=True)
                print(failure, file=sys.stderr)
                return 1
            print(f"packaging: {title}: ok ({time.monotonic() - started:.1f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
