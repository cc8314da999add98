"""
The other yardstick: a chat with one thread per connection, as the programs of the family are made.

It asks for a name and a port, listens with a backlog of five, gives every connection a thread of
its own which reads with ``recv(1024)`` and prints, and sends from a menu. It stands in for the
reference program where that is not at hand, and speaks its wire format: ``LISTENING_PORT:port|
TEAM_NAME:name|text``. Start it through ``line_by_line.py``.
"""

from __future__ import annotations

import socket
import threading


class ThreadedChat:
    """
    The whole chat: who was heard, what arrives and what is sent.
    """

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self.heard: dict[tuple[str, int], str] = {}
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("", port))
        self.listener.listen(5)

    def accept_forever(self) -> None:
        """
        Give each connection a thread.
        """
        while True:
            connection, (ip, _) = self.listener.accept()
            threading.Thread(target=self.read, args=(connection, ip), daemon=True).start()

    def read(self, connection: socket.socket, ip: str) -> None:
        """
        Print what a connection brings until it ends.

        Args:
            connection: What was accepted; closed at the end.
            ip: Where it comes from.
        """
        with connection:
            while chunk := connection.recv(1024):
                port, name, text = 0, "unknown", chunk.decode(errors="replace").strip()
                fields = text.split("|", 2)
                if len(fields) == 3 and fields[0].startswith("LISTENING_PORT:"):
                    port = int(fields[0].partition(":")[2])
                    name = fields[1].partition(":")[2]
                    text = fields[2]
                print(f"{name} at {ip}:{port} says: {text}")
                if text.lower() == "exit":
                    self.heard.pop((ip, port), None)
                    return
                self.heard[ip, port] = name

    def send(self, ip: str, port: int, text: str) -> None:
        """
        Send one message on a connection of its own.

        Args:
            ip: Where to.
            port: The port there.
            text: What to say.
        """
        frame = f"LISTENING_PORT:{self.port}|TEAM_NAME:{self.name}|{text}"
        try:
            with socket.create_connection((ip, port)) as connection:
                connection.sendall(frame.encode())
        except OSError as problem:
            print(f"Not sent: {problem}")
        else:
            print(f"Sent to {ip}:{port}")
            self.heard[ip, port] = ""


def main() -> None:
    """
    Ask, listen, and serve the menu until 0 is chosen or the input ends.
    """
    chat = ThreadedChat(input("Name: "), int(input("Port: ")))
    threading.Thread(target=chat.accept_forever, daemon=True).start()
    while (choice := input("1 send, 2 list, 0 quit: ").strip()) != "0":
        if choice == "1":
            chat.send(input("Address: "), int(input("Port: ")), input("Text: "))
        elif choice == "2":
            for (ip, port), name in chat.heard.items():
                print(f"{ip}:{port} {name}")


if __name__ == "__main__":
    main()
