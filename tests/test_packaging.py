"""
Cheap guards for what makes an installation whole; `packaging_check.py` tries the installations.
"""

import ast
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.packaging_check import name_of

CHECKOUT = Path(__file__).resolve().parent.parent

# Joined here, because this file is searched too.
REGISTRY_HOSTS = [
    ".".join(labels)
    for labels in [
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("anaconda", "org"),
        ("npmjs", "org"),
    ]
]

# What the package imports and another one that it needs brings along.
BROUGHT_ALONG = {
    "ifaddr": "zeroconf",
    "pyopenssl": "twisted",  # its extra "tls"
    "zope-interface": "twisted",
}

LOAD_THE_PLUGIN = """
import runpy
import sys

runpy.run_path("twisted/plugins/p2pchat.py")
print(*sorted({"twisted.internet.reactor", "twistedchat.tap"} & set(sys.modules)))
"""


def read(name: str) -> str:
    """
    Read a file of the checkout.

    Args:
        name: its path, from the top of the checkout.

    Returns:
        The whole text.
    """
    return (CHECKOUT / name).read_text(encoding="utf-8")


def list_tracked_files() -> list[Path]:
    """
    List what git keeps of the checkout.

    Returns:
        The paths of all tracked files that are there.

    Raises:
        SkipTest: this is no git checkout, or there is no git.
    """
    if not (CHECKOUT / ".git").exists():
        raise SkipTest("this is no git checkout")
    try:
        listing = subprocess.run(
            ["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise SkipTest(f"git does not answer: {error}") from error
    paths = [CHECKOUT / name for name in listing.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def requirements() -> set[str]:
    """
    Tell what the package needs.

    Returns:
        The names of the distributions in `pyproject.toml`.
    """
    project = tomllib.loads(read("pyproject.toml"))["project"]
    return {name_of(line) for line in project["dependencies"]}


class PluginTests(SynchronousTestCase):
    """
    `twisted/plugins/p2pchat.py`, which every Twisted program on the machine imports.
    """

    def test_checkout_has_no_init_of_twisted(self) -> None:
        """
        No `__init__.py` stands where ours would replace Twisted's own.
        """
        inits = sorted((CHECKOUT / "twisted").rglob("__init__.py"))

        self.assertEqual([], inits)

    def test_loading_brings_neither_reactor_nor_tap(self) -> None:
        """
        Finding the plugin costs other programs nothing and chooses no reactor for them.
        """
        outcome = subprocess.run(
            [sys.executable, "-c", LOAD_THE_PLUGIN],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
        )

        self.assertEqual((0, ""), (outcome.returncode, outcome.stdout.strip()), outcome.stderr)


class SchemaTests(SynchronousTestCase):
    """
    The data files of the package.
    """

    def test_schema_is_package_data(self) -> None:
        """
        What the journal is made with is installed: the pattern in `pyproject.toml` finds it.
        """
        settings = tomllib.loads(read("pyproject.toml"))["tool"]["setuptools"]
        patterns = settings["package-data"]["twistedchat"]
        package = CHECKOUT / "twistedchat"
        found = {path for pattern in patterns for path in package.glob(pattern)}
        others = {path for path in package.rglob("*") if path.is_file() and path.suffix != ".py"}

        self.assertIn(package / "store" / "schema" / "journal-v1.sql", found)
        self.assertEqual(found, {path for path in others if path.suffix != ".pyc"})


class RequirementsTests(SynchronousTestCase):
    """
    The lists of what is installed.
    """

    def test_every_import_is_required(self) -> None:
        """
        What the package imports is named in `pyproject.toml`, or comes with what is.
        """
        names: set[str] = set()
        for file in (CHECKOUT / "twistedchat").rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                match node:
                    case ast.Import():
                        names.update(alias.name.partition(".")[0] for alias in node.names)
                    case ast.ImportFrom(module=str(module)):
                        names.add(module.partition(".")[0])
        owners = packages_distributions()
        imported = {
            name_of(owner)
            for name in names - sys.stdlib_module_names
            # Several distributions can share a name, as our plugin does with Twisted.
            for owner in (["zope.interface"] if name == "zope" else owners[name])
        } - {"twistedchat"}

        self.assertEqual(set(BROUGHT_ALONG), imported - requirements())
        self.assertLessEqual(set(BROUGHT_ALONG.values()), requirements())
        self.assertEqual(set(), requirements() - imported)

    def test_every_requirement_has_a_version(self) -> None:
        """
        What `pyproject.toml` asks for is pinned in `requirements.txt`.
        """
        pinned = {name_of(line) for line in read("requirements.txt").splitlines()}

        self.assertEqual(set(), requirements() - pinned)

    def test_every_requirement_is_pinned(self) -> None:
        """
        Each line of both lists names one version, and none names a place to get it from.
        """
        pinned = re.compile(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*")

        for name in ["requirements.txt", "requirements-dev.txt"]:
            lines = [line.partition("#")[0].strip() for line in read(name).splitlines()]
            others = [line for line in lines if line and not pinned.fullmatch(line)]

            self.assertEqual(
                ["-r requirements.txt"] if name == "requirements-dev.txt" else [], others
            )

    def test_no_tracked_file_names_a_registry(self) -> None:
        """
        Where packages come from is the business of the machine, so no file names a registry.
        """
        found = [
            f"{path.relative_to(CHECKOUT)}: {host}"
            for path in list_tracked_files()
            for host in REGISTRY_HOSTS
            if host.encode() in path.read_bytes()
        ]

        self.assertEqual([], found)


class CommandsTests(SynchronousTestCase):
    """
    The commands that people and build servers are told to use.
    """

    def test_readme_commands_are_targets(self) -> None:
        """
        `make run` and `make test`, as the README tells them, are in the Makefile.
        """
        targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
        told = set(re.findall(r"(?:^\s*(?:\$ )?|`)make ([a-z]+)", read("README.md"), re.MULTILINE))

        self.assertLessEqual({"run", "test"}, told)
        self.assertLessEqual({"run", "test"}, targets)

    def test_build_server_runs_make_test_alone(self) -> None:
        """
        `.ci/run` does what everybody can do by hand: go to the checkout and `make test`.
        """
        lines = [line.partition("#")[0].strip() for line in read(".ci/run").splitlines()]
        commands = [line for line in lines if line]

        self.assertEqual(["set -eu", 'cd "$(dirname "$0")/.."', "make test"], commands)


# What is called like a bound and is none: where a row of text is broken.
NO_BOUNDS = {("core.layout", "LONGEST_WORD")}


class LimitsTests(SynchronousTestCase):
    """
    The table of limits in `docs/threats.md`.
    """

    def rows(self) -> list[tuple[str, str, str, str]]:
        """
        The value, the module, the name and the tests of each limit.
        """
        row = r"\| ([^|]*) \| [^|]* \| `([\w.]+)\.(\w+)` \| ([^|]*) \|$"
        found: list[tuple[str, str, str, str]] = re.findall(
            row, read("docs/threats.md"), re.MULTILINE
        )
        self.assertGreater(len(found), 20)
        return found

    def test_every_limit_is_in_the_code_and_tested(self) -> None:
        """
        Each row names a constant that there is, and tests that there are.
        """
        for _, module, name, tests in self.rows():
            self.assertTrue(hasattr(import_module(f"twistedchat.{module}"), name), name)
            for test in tests.split(", "):
                found = re.fullmatch(r"`(test_\w+)\.(test_\w+)`", test)
                assert found is not None, (name, test)
                self.assertIn(f"def {found[2]}(", read(f"tests/{found[1]}.py"))

    def test_values_are_those_of_the_code(self) -> None:
        """
        What a row says in plain numbers is what the constant is.
        """
        units = {"": 1, "s": 1, "ms": 1, "KiB": 1024, "MiB": 1024 * 1024, "MB": 1_000_000}
        compared = 0
        for value, module, name, _ in self.rows():
            written = re.fullmatch(r"([\d.,]+)(?: (\w+))?", value)
            if written is not None and (unit := written[2] or "") in units:
                meant = float(written[1].replace(",", "")) * units[unit]
                self.assertEqual(meant, getattr(import_module(f"twistedchat.{module}"), name), name)
                compared += 1

        self.assertGreater(compared, len(self.rows()) - 6)

    def test_every_bound_of_the_code_has_a_row(self) -> None:
        """
        A public constant that is called a bound is in the table.
        """
        rows = {(module, name) for _, module, name, _ in self.rows()} | NO_BOUNDS
        package = CHECKOUT / "twistedchat"
        for path in sorted(package.rglob("*.py")):
            module = ".".join(path.relative_to(package).with_suffix("").parts)
            if module.startswith(("simulator.", "testing")):
                continue
            bound = r"^((?:MOST|LONGEST|LARGEST)_(?!PORT\b)[A-Z_]+)(?:: .*)? = "
            for name in re.findall(bound, path.read_text(encoding="utf-8"), re.MULTILINE):
                self.assertIn((module, name), rows)
