#!/usr/bin/env python3
"""The host's side of a guest test: runs named commands that the guest asks for.

usage: hooks.py NAME=COMMAND...

Listens on a free port of 127.0.0.1 and prints it. One line a connection: 'hook NAME'. The answer is the command's
output and, last, 'status N'. A guest can run only what was named here.
"""

import socket
import subprocess
import sys
import threading

DEADLINE_S = 300
OUTPUT_BYTES_MAX = 8000


def answer(client, commands):
    """Serves one connection."""
    with client, client.makefile() as lines:
        words = lines.readline().split()
        if len(words) != 2 or words[0] != "hook" or words[1] not in commands:
            client.sendall(b"no such hook\n")
            return
        done = subprocess.run(
            commands[words[1]],
            shell=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=DEADLINE_S,
        )
        client.sendall(done.stdout[-OUTPUT_BYTES_MAX:] + b"\nstatus %d\n" % done.returncode)


def main():
    """Listens until it is killed."""
    commands = dict(argument.split("=", 1) for argument in sys.argv[1:])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            client, _ = listener.accept()
            threading.Thread(target=answer, args=(client, commands), daemon=True).start()


if __name__ == "__main__":
    main()
