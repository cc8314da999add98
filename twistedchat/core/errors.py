"""
Every error a person can meet.

The message of each says what happened, to what, and what to do; the docstring of each class is the
sentence that stands for it where there is nothing more to tell.
"""

from __future__ import annotations

__all__ = [
    "AddressError",
    "ChatError",
    "ConfigError",
    "ConnectionReset",
    "HostNotFound",
    "HostUnreachable",
    "NoAnswer",
    "NotSent",
    "PeerRefused",
    "TooMuchToSend",
]


class ChatError(Exception):
    """
    Something went wrong in the chat.
    """


class ConfigError(ChatError):
    """
    The chat cannot start with these settings.
    """


class AddressError(ChatError):
    """
    That is not an address that can be dialled.
    """


class NotSent(ChatError):
    """
    The text did not arrive.

    Attributes:
        unsent: What of the text is still to be sent; empty where it was no text of a person's.
    """

    unsent = ""


class PeerRefused(NotSent):
    """
    Refused: nobody listens on that port.
    """


class HostUnreachable(NotSent):
    """
    Unreachable: there is no way to that host from here.
    """


class NoAnswer(NotSent):
    """
    Timed out: that host did not answer.
    """


class ConnectionReset(NotSent):
    """
    Reset: the other side broke the connection off, and may not have read the text.
    """


class HostNotFound(NotSent):
    """
    Unknown host: no address is known for that name.
    """


class TooMuchToSend(NotSent):
    """
    Too much is waiting to be sent already.
    """
