"""Carries connections of a TCP port of this host to a Unix socket: through.py SOCKET PORT."""

import asyncio
import sys


async def carry(reader, writer):
    """Copies until one end closes."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def serve(path, port):
    async def come_in(reader, writer):
        inner_reader, inner_writer = await asyncio.open_unix_connection(path)
        await asyncio.gather(carry(reader, inner_writer), carry(inner_reader, writer))

    server = await asyncio.start_server(come_in, "127.0.0.1", port)
    await server.serve_forever()


asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
