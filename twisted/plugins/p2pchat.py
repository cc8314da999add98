"""
Where twistd learns that there is a `p2pchat` command.

Every Twisted program on the machine imports this module when it looks for plugins. So it imports
nothing heavy and never the reactor; :mod:`twistedchat.tap` is loaded only when the command is used.
There must be no `__init__.py` beside it: that file is Twisted's own.
"""

from twisted.application.service import ServiceMaker

p2pchat = ServiceMaker(
    "Peer-to-peer chat", "twistedchat.tap", "Run a peer-to-peer chat node.", "p2pchat"
)
