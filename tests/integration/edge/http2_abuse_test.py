"""What clients that mean harm do to a server without a proxy (abuse.py): python3 http2_abuse_test.py SERVER_BINARY MODEL_WRITER

After each attack, and while it lasts, another client's calls succeed; nothing of a flood reaches the engine.
"""
import pathlib
import subprocess
import sys
import tempfile
import unittest

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import abuse  # noqa: E402
import calls  # noqa: E402
import processes  # noqa: E402

SCALE = 0.1


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
        self.others = calls.Callers(self.connect_well)
        self.addCleanup(self.others.stop)

    def tearDown(self):
        self.others.settle()
        self.assertEqual(self.others.failures, [])
        self.assertIsNone(self.server.process.poll(), self.server.output())

    def connect_well(self):
        return grpc.insecure_channel(self.server.address, options=[("grpc.use_local_subchannel_pool", 1)])

    def connect(self):
        return abuse.connect_plain(self.server.address)

    def accepted(self):
        return self.server.metric("lamella_requests_accepted_total")

    def test_floods_of_headers_reach_no_handlers_work(self):
        refused = 'lamella_calls_refused_total{reason="metadata_too_large"}'
        # Of 100 bytes and one more for the table's rules: below, around and far above the limits.
        for entries, size in ((100, 100), (200, 1000), (1000, 1000), (4000, 1000)):
            for acknowledge in (True, False):
                abuse.headers_with_work(self.connect, entries, size, acknowledge)
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
            processes.until(lambda: self.server.metric("lamella_stalled_streams_total") >= 2)

        abuse.slow_readers(self.connect, SCALE, until_taken_away)

    def test_idle_connections_keep_nobody_out(self):
        self.assertGreater(abuse.idle_connections(self.connect, 0.02, self.others.settle), 0)


if __name__ == "__main__":
    SERVER, MODEL_WRITER = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1], verbosity=2)
