"""
What the chat means, without any I/O.

Nothing in here imports Twisted, opens a socket or a file, starts a thread, draws a random number or
reads a clock: bytes, text and the time come in as arguments, and values go out.
"""
