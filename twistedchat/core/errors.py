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
    "InvalidInvite",
    "InvalidKey",
    "LocalProtocolError",
    "NoAnswer",
    "NotSent",
    "NotTrusted",
    "PeerRefused",
    "ProtocolError",
    "RemoteProtocolError",
    "StoreError",
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


class InvalidKey(ChatError):
    """
    That is not a device key.
    """


class InvalidInvite(ChatError):
    """
    That is not an invite.
    """


class StoreError(ChatError):
    """
    What has to be kept could not be written to the disk, or read from it.
    """


class ProtocolError(ChatError):
    """
    The rules of a session were broken. Never raised itself.
    """


class LocalProtocolError(ProtocolError):
    """
    We wanted to say in a session what may not be said there: a mistake of ours.
    """


class RemoteProtocolError(ProtocolError):
    """
    The peer broke the rules of a session, which has ended with that.

    Attributes:
        code: Which rule, in a word; it goes into the log and to the peer.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


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


class NotTrusted(NotSent):
    """
    Not sent: who answers there is not who it should be.
    """


class TooMuchToSend(NotSent):
    """
    Too much is waiting to be sent already.
    """
