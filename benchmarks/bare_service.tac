"""
The least that twistd can run and that listens: ``BENCH_PORT=7070 twistd -n -y bare_service.tac``.
"""

import os

from twisted.application.internet import TCPServer
from twisted.application.service import Application
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver

application = Application("bare")
TCPServer(int(os.environ["BENCH_PORT"]), Factory.forProtocol(LineReceiver)).setServiceParent(
    application
)
