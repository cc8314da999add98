"""
A program that does nothing but look for others on the local network, and say whom it finds.

It is run with its port, the private half of its key in hexadecimal digits, and, where not all are
to be used, our own IP addresses. Each line that it writes is everybody who is there, as JSON: a
list of ``[hint, salt, [address, ...]]``.
"""

import json
import secrets
import sys
from typing import IO, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.interfaces import IReactorCore, IReactorTime
from twisted.logger import globalLogBeginner, textFileLogObserver

from twistedchat.core.hints import SALT_LENGTH
from twistedchat.core.identity import Identity
from twistedchat.core.nearby import Record
from twistedchat.discovery.lan import Lan


def show(records: list[Record]) -> None:
    """
    Write who is there.
    """
    found = [
        [record.hint, record.salt.hex(), [str(address) for address in record.addresses]]
        for record in records
    ]
    print(json.dumps(found), flush=True)  # noqa: T201 (it is what this program is for)


def main(port: str, secret: str, *interfaces: str) -> None:
    """
    Look until there is a signal to end.
    """
    from twisted.internet import reactor

    globalLogBeginner.beginLoggingTo(
        [textFileLogObserver(cast(IO[str], sys.stderr))], redirectStandardIO=False
    )
    identity = Identity(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret)))
    lan = Lan(
        cast(IReactorTime, reactor),
        identity.key,
        int(port),
        show,
        salt=secrets.token_bytes(SALT_LENGTH),
        interfaces=interfaces or None,
    )
    core = cast(IReactorCore, reactor)
    core.callWhenRunning(lan.startService)
    core.addSystemEventTrigger("before", "shutdown", lan.stopService)
    core.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
