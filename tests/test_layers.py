"""
The core stays pure: each of its modules can be imported where there is no Twisted and no network.

The rules for single imports are in `pyproject.toml`, under importlinter; this is the proof that
they are enough, and that nothing comes in by a side door.
"""

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

CHECKOUT = Path(__file__).resolve().parent.parent

# Runs in a process of its own. The libraries that the core may use are loaded first, because some
# of them want a forbidden module for themselves. Then all forbidden modules are hidden, loaded or
# not.
IMPORT_THE_CORE = """
import importlib
import pkgutil
import sys

import cryptography.hazmat.primitives.asymmetric.ed25519
import cryptography.x509
import msgspec
import msgspec.json
import segno
import typing_extensions
import wcwidth

FORBIDDEN = {
    "OpenSSL", "asyncio", "concurrent", "logging", "multiprocessing", "platformdirs",
    "prompt_toolkit", "queue", "select", "selectors", "socket", "sqlite3", "ssl", "subprocess",
    "threading", "twisted", "zeroconf", "zope",
}


class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in FORBIDDEN:
            raise ImportError("the core may not import " + name)


for name in list(sys.modules):
    if name.partition(".")[0] in FORBIDDEN:
        del sys.modules[name]
sys.meta_path.insert(0, Wall())

try:
    import twisted
except ImportError:
    pass
else:
    sys.exit("the wall does not hold")

import twistedchat.core

print(twistedchat.core.__name__)
for module in pkgutil.walk_packages(twistedchat.core.__path__, "twistedchat.core."):
    importlib.import_module(module.name)
    print(module.name)
"""


class CoreTests(SynchronousTestCase):
    """
    `twistedchat.core`, behind a wall.
    """

    def test_without_twisted_every_module_imports(self) -> None:
        """
        Every module of the core loads where Twisted, threads and sockets cannot be imported.
        """
        # A measuring process would load, and need, what is hidden here.
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")
        }

        outcome = subprocess.run(
            [sys.executable, "-c", IMPORT_THE_CORE],
            cwd=CHECKOUT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

        self.assertEqual(0, outcome.returncode, outcome.stderr)
        files = set((CHECKOUT / "twistedchat" / "core").rglob("*.py"))
        self.assertEqual(len(files), len(outcome.stdout.splitlines()), outcome.stdout)
