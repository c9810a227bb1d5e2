#!/usr/bin/env python3
"""The host's side of a guest test: runs named commands that the guest asks for, and keeps paths that it can cut.

usage: hooks.py [--hook NAME=COMMAND]... [--path NAME=PORT]...

A path is a free port of 127.0.0.1 whose connections are passed on to another port there. Prints one line: the port of
the control connection, then NAME=LISTENING_PORT of each path. On the control port, one line a connection:

  hook NAME             runs the command; the answer is its output and, last, 'status N'
  path down|up NAME     ends the path's connections and refuses new ones, or lets them through again; 'status 0'

A guest can run only what was named here.
"""

import argparse
import contextlib
import socket
import subprocess
import threading

DEADLINE_S = 300
OUTPUT_BYTES_MAX = 8000
PIECE = 256 << 10


class Path:
    """Connections to a port, which the guest can cut."""

    def __init__(self, port):
        self._port, self._is_up = port, True
        self._connections, self._lock = set(), threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.listening_port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def set_up(self, is_up):
        """Opens or cuts it."""
        with self._lock:
            self._is_up = is_up
            ended = [] if is_up else list(self._connections)
        for connection in ended:
            hang_up(connection)

    def _accept(self):
        while True:
            client, _ = self._listener.accept()
            try:
                if not self._is_up:
                    raise ConnectionRefusedError
                server = socket.create_connection(("127.0.0.1", self._port), 5)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            for connection in (client, server):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._connections |= {client, server}
            for ends in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source, sink):
        with contextlib.suppress(OSError):
            while piece := source.recv(PIECE):
                sink.sendall(piece)
        for connection in (source, sink):
            hang_up(connection)
        with self._lock:
            self._connections -= {source, sink}


def hang_up(connection):
    """Ends both directions."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def run(command):
    """Runs a hook's command; the answer."""
    done = subprocess.run(
        command,
        shell=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=DEADLINE_S,
    )
    return done.stdout[-OUTPUT_BYTES_MAX:] + b"\nstatus %d\n" % done.returncode


def answer(client, hooks, paths):
    """Serves one control connection."""
    with client, client.makefile() as lines:
        match lines.readline().split():
            case ["hook", name] if name in hooks:
                client.sendall(run(hooks[name]))
            case ["path", ("up" | "down") as state, name] if name in paths:
                paths[name].set_up(state == "up")
                client.sendall(b"status 0\n")
            case _:
                client.sendall(b"no such hook or path\n")


def main():
    """Listens until it is killed."""
    parser = argparse.ArgumentParser(usage=__doc__)
    pair = {"type": lambda text: tuple(text.split("=", 1)), "action": "append", "default": []}
    parser.add_argument("--hook", **pair)
    parser.add_argument("--path", **pair)
    arguments = parser.parse_args()
    paths = {name: Path(int(port)) for name, port in arguments.path}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        told = [f"{name}={path.listening_port}" for name, path in paths.items()]
        print(listener.getsockname()[1], *told, flush=True)
        while True:
            client, _ = listener.accept()
            threading.Thread(target=answer, args=(client, dict(arguments.hook), paths), daemon=True).start()


if __name__ == "__main__":
    main()
