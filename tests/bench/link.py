"""A link of a limited rate and delay between a client and a server on this host: a relay of TCP connections.

Every byte waits half a round trip each way; downwards all connections share the rate. A new connection costs the round
trip that its handshake would take. What went through is counted.
"""
import asyncio
import threading
import time

PIECE = 16384


class Link:
    def __init__(self, target_port, mbit, rtt_ms):
        self.target, self.rate, self.delay = target_port, mbit * 125000.0, rtt_ms / 2e3
        self.free_at = 0.0  # when the way down is free
        self.bytes, self.connections, self.turns = 0, 0, 0
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()
        threading.Thread(target=self.run, args=(ready,), daemon=True).start()
        ready.wait()

    def run(self, ready):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self.serve, "127.0.0.1", 0, limit=PIECE))
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        self.loop.run_forever()

    def forget(self):
        self.bytes = self.connections = self.turns = 0

    async def serve(self, reader, writer):
        self.connections += 1
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target, limit=PIECE)
        except OSError:
            writer.close()
            return
        shaken = time.monotonic() + 2 * self.delay
        await asyncio.gather(self.pump(reader, up_writer, False, shaken), self.pump(up_reader, writer, True, 0.0),
                             return_exceptions=True)

    async def pump(self, reader, writer, down, not_before):
        queue = asyncio.Queue()
        task = asyncio.create_task(self.deliver(queue, writer, down))
        while True:
            try:
                data = await reader.read(PIECE)
            except OSError:
                data = b""
            now = time.monotonic()
            if down:
                self.free_at = max(self.free_at, now) + len(data) / self.rate
                arrives = self.free_at + self.delay
            else:
                self.turns += bool(data)
                arrives = max(now, not_before) + self.delay
            await queue.put((arrives, data))
            if not data:
                break
        await task

    async def deliver(self, queue, writer, down):
        try:
            while True:
                arrives, data = await queue.get()
                wait = arrives - time.monotonic()
                if wait > 0:
                    await asyncio.sleep(wait)
                if not data:
                    break
                writer.write(data)
                await writer.drain()
                if down:
                    self.bytes += len(data)
        except OSError:
            pass
        writer.close()
