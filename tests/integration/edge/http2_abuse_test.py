"""What clients that mean harm do to a server without a proxy (abuse.py): python3 http2_abuse_test.py SERVER_BINARY MODEL_WRITER

After each attack, and while it lasts, another client's calls succeed; nothing of a flood reaches the engine.
"""
import pathlib
import subprocess
import sys
import tempfile
import threading
import unittest

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import abuse  # noqa: E402
import processes  # noqa: E402
import raw_http2 as h2  # noqa: E402

MODEL_INFO = "/lamella.v1.GenerationService/GetModelInfo"
SCALE = 0.1


class Others:
    """A well-behaved client: a call on one connection, a call on a fresh one, and again."""

    def __init__(self, address):
        self.address, self.calls, self.errors = address, 0, []
        self._came_back, self._stopping = threading.Condition(), False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _call(self, channel):
        try:
            channel.unary_unary(MODEL_INFO)(b"", timeout=120)
        except grpc.RpcError as error:
            self.errors.append(f"{error.code().name}: {error.details()}")
        with self._came_back:
            self.calls += 1
            self._came_back.notify_all()

    def _run(self):
        with grpc.insecure_channel(self.address) as steady:
            while not self._stopping:
                self._call(steady)
                with grpc.insecure_channel(self.address, options=[("grpc.use_local_subchannel_pool", 1)]) as fresh:
                    self._call(fresh)

    def settle(self):
        """Until calls of both kinds that began after this have come back."""
        with self._came_back:
            until = self.calls + 4
            while self.calls < until:
                self._came_back.wait()

    def stop(self):
        self._stopping = True
        self._thread.join()


class Http2AbuseTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="lamella-abuse-")
        cls.addClassCleanup(cls.folder.cleanup)
        subprocess.run([MODEL_WRITER, f"{cls.folder.name}/tiny.gguf"], check=True)

    def setUp(self):
        self.server = processes.Server(SERVER, f"{self.folder.name}/tiny.gguf", "--dtype=float32", "--threads=1",
                                       "--kv-cache-bytes=256MiB", "--max-write-stall=500ms")
        self.addCleanup(self.server.stop)
        self.others = Others(self.server.address)
        self.addCleanup(self.others.stop)

    def tearDown(self):
        self.others.settle()
        self.assertEqual(self.others.errors, [])
        self.assertIsNone(self.server.process.poll(), self.server.output())

    def connect(self):
        return abuse.connect_plain(self.server.address)

    def accepted(self):
        return self.server.metric("lamella_requests_accepted_total")

    def test_floods_of_headers_reach_no_handlers_work(self):
        refused = 'lamella_calls_refused_total{reason="metadata_too_large"}'
        body = abuse.message(abuse.generate_body(3))
        # Of 100 bytes and one more for the table's rules: below, around and far above the limits.
        for entries, size in ((100, 100), (200, 1000), (1000, 1000), (4000, 1000)):
            for acknowledge in (True, False):
                with self.connect() as connection:
                    h2.begin(connection, acknowledge)
                    frames = list(h2.fragmented_request(1, abuse.GENERATE, entries, size))
                    frames[0] = h2.frame(h2.HEADERS, 0, 1, h2.request_headers(abuse.GENERATE))
                    h2.send_all_that_goes(connection, [*frames, h2.frame(h2.DATA, h2.END_STREAM, 1, body)])
                    for kind, flags, stream, _ in h2.read_frames(connection):
                        if kind == h2.GOAWAY or (stream == 1 and (kind == h2.RST_STREAM or flags & h2.END_STREAM)):
                            break
        self.assertEqual(self.accepted(), 0)
        # gRPC lets at least the unacknowledged ones through: without the wrapper they would have been served.
        self.assertGreater(self.server.metric(refused), 0)
        for attack in (abuse.fragmented_headers, abuse.unacknowledged_headers, abuse.endless_headers):
            attack(self.connect, SCALE)
        self.assertEqual(self.accepted(), 0)

    def test_floods_of_frames_leave_the_server_up(self):
        for attack in (abuse.resets, abuse.pings, abuse.settings):
            attack(self.connect, SCALE)
            self.others.settle()

    def test_streams_that_nobody_reads_are_taken_away(self):
        def until_taken_away():
            while self.server.metric("lamella_stalled_streams_total") < 2:
                pass

        abuse.slow_readers(self.connect, SCALE, until_taken_away)

    def test_idle_connections_keep_nobody_out(self):
        self.assertGreater(abuse.idle_connections(self.connect, 0.02, self.others.settle), 0)


if __name__ == "__main__":
    SERVER, MODEL_WRITER = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1], verbosity=2)
