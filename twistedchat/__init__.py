"""
A peer-to-peer chat for the terminal, on Twisted.

The way in is :mod:`twistedchat.tap`, which twistd calls; the rules of the conversation are in
:mod:`twistedchat.core`, without any I/O.
"""

__all__: list[str] = []
