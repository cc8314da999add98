"""
The state directory: where a node keeps what it must find again.

Any number of nodes can share one directory: what belongs to a single node lies in a folder named
after its listening port.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from twistedchat.core.errors import ConfigError
from twistedchat.store.files import write_private

__all__ = ["Settings", "StateDirectory"]


class Settings(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    The answers that were given last, offered again at the next start.

    Attributes:
        team: The team name.
        port: The listening port.
    """

    team: str | None = None
    port: int | None = None


class StateDirectory:
    """
    A private folder (0700) of private files (0600).
    """

    def __init__(self, path: Path) -> None:
        """
        Make the directory where there is none.

        Args:
            path: Where.

        Raises:
            ConfigError: It cannot be made or written to.
        """
        self.path = path
        self._make(path)

    def node_folder(self, port: int) -> Path:
        """
        The folder of the node that listens on a port.

        Args:
            port: Its port.

        Returns:
            An existing folder.

        Raises:
            ConfigError: It cannot be made or written to.
        """
        folder = self.path / str(port)
        self._make(folder)
        return folder

    def read_settings(self) -> Settings:
        """
        Read what was remembered.

        Returns:
            The settings, empty ones where there are none yet.

        Raises:
            ConfigError: The file is there, but cannot be understood.
        """
        file = self.path / "settings.json"
        try:
            return msgspec.json.decode(file.read_bytes(), type=Settings)
        except FileNotFoundError:
            return Settings()
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"The settings in {file} cannot be read ({error}). Mend that file or delete it."
            ) from error

    def write_settings(self, settings: Settings) -> None:
        """
        Remember settings: the file is replaced whole, or not at all.

        Args:
            settings: What to remember.

        Raises:
            ConfigError: The disk does not take it.
        """
        file = self.path / "settings.json"
        try:
            write_private(file, msgspec.json.encode(settings))
        except OSError as error:
            raise ConfigError(
                f"The settings cannot be written to {file} ({error.strerror}). "
                "Make room there, or choose another place with --state."
            ) from error

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"The state directory {folder} cannot be made ({error.strerror}). "
                "Choose another place with --state."
            ) from error
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise ConfigError(
                f"The state directory {folder} cannot be written to. "
                "Give yourself the right to, or choose another place with --state."
            )
