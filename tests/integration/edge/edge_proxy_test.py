"""The profiles of deploy/proxy in front of a real server: python3 edge_proxy_test.py SERVER_BINARY MODEL_WRITER [TEST...]

Skips a proxy that scripts/setup.sh --tools did not install, and says so.
"""
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import unittest

import grpc
from lamella import LamellaError
from lamella.v1 import generation_pb2_grpc

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import abuse  # noqa: E402
import calls  # noqa: E402
import processes  # noqa: E402
import raw_http2 as h2  # noqa: E402

SERVING = b"\x08\x01"


def setUpModule():
    global FOLDER, MODEL
    FOLDER = tempfile.TemporaryDirectory(prefix="lamella-edge-")
    MODEL = f"{FOLDER.name}/tiny.gguf"
    subprocess.run([MODEL_WRITER, MODEL], check=True)


def tearDownModule():
    FOLDER.cleanup()


def call_health(channel, **more):
    return channel.unary_unary(calls.CHECK)(b"", timeout=60, **more)


class Stream:
    """A Generate call, read by hand."""

    def __init__(self, channel, tokens, metadata=()):
        self.call = generation_pb2_grpc.GenerationServiceStub(channel).Generate(calls.generate_request(tokens), metadata=metadata,
                                                                                 timeout=300)
        self.tokens, self.finished = 0, 0

    def read_first_tokens(self):
        while self.tokens == 0:
            self._take(next(self.call))

    def read_to_end(self):
        for event in self.call:
            self._take(event)
        return self.call.code()

    def _take(self, event):
        self.tokens += len(event.delta.token_ids)
        self.finished += event.HasField("finished")


class EdgeCases:
    """One class for each proxy: `kind`, how the test makes its limits small, and how too many headers end a call."""

    kind = ""
    too_many_headers = grpc.StatusCode.UNAVAILABLE  # the connection is closed
    small_limits = ()

    def setUp(self):
        if processes.missing(self.kind):
            self.skipTest(f"no {self.kind}: scripts/setup.sh --tools")
        self.folder = tempfile.TemporaryDirectory(prefix=f"lamella-{self.kind}-")
        self.server = processes.Server(SERVER, MODEL, "--dtype=float32", "--threads=1", "--kv-cache-bytes=128MiB",
                                       f"--adapters-store={self.folder.name}/store", "--drain-grace=240s")
        self.addCleanup(self.folder.cleanup)
        self.addCleanup(self.server.stop)

    def start_edge(self, changes=()):
        self.edge = processes.Edge(self.kind, self.server, pathlib.Path(self.folder.name), changes)
        self.addCleanup(self.edge.stop)
        self.channel = self.edge.channel()
        self.addCleanup(self.channel.close)
        # A proxy that asks for health first may not know the server yet.
        processes.until(self.is_serving)

    def is_serving(self):
        try:
            return call_health(self.channel) == SERVING
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            return False

    def accepted(self):
        return self.server.metric("lamella_requests_accepted_total")

    def test_streams_pass_piece_by_piece_and_cancels_reach_the_server(self):
        self.start_edge()
        stream = Stream(self.channel, 200_000)
        stream.read_first_tokens()  # long before the last: nothing holds the answer back
        self.assertEqual(self.server.metric("lamella_running_sequences"), 1)
        stream.call.cancel()
        processes.until(lambda: self.server.metric('lamella_requests_finished_total{reason="cancelled"}') >= 1)
        whole = Stream(self.channel, 300)
        self.assertEqual((whole.read_to_end(), whole.tokens, whole.finished), (grpc.StatusCode.OK, 300, 1))

    def test_metadata_above_the_limit_never_reaches_the_server(self):
        self.start_edge()
        for metadata in ([("x-large", "v" * 20_000)], [(f"x-{i}", "v" * 100) for i in range(200)]):
            with self.assertRaises(grpc.RpcError) as caught:
                Stream(self.channel, 5, metadata).read_to_end()
            self.assertEqual(caught.exception.code(), self.too_many_headers)
            self.assertEqual(self.server.metric('lamella_requests_rejected_total{reason="metadata_too_large"}'), 0)
        self.assertEqual(self.accepted(), 0)
        self.assertEqual(Stream(self.channel, 5).read_to_end(), grpc.StatusCode.OK)

    def test_floods_of_fragmented_headers_are_cut_off(self):
        self.start_edge()
        other = Stream(self.channel, 200_000)
        other.read_first_tokens()
        for acknowledge in (True, False):
            with self.edge.connect_tls() as connection:
                h2.begin(connection, acknowledge)
                sent = h2.send_all_that_goes(connection, h2.fragmented_request(1, calls.GENERATE, 4000, 1000))
                answers = list(h2.read_frames(connection)) if sent < 4_000_000 else self.read_until_refused(connection)
                refused = [a for a in answers if a[0] in (h2.RST_STREAM, h2.GOAWAY, h2.HEADERS)]
                # What the proxy said last may be lost where it closes on data that it has not read.
                self.assertTrue(refused or not abuse.is_open(connection), f"took {sent} bytes without a word")
        self.assertEqual(self.accepted(), 1)  # the other's
        self.assertEqual(self.server.metric('lamella_requests_rejected_total{reason="metadata_too_large"}'), 0)
        tokens = other.tokens
        while other.tokens < tokens + 100:
            other._take(next(other.call))
        other.call.cancel()

    @staticmethod
    def read_until_refused(connection):
        seen = []
        for answer in h2.read_frames(connection):
            seen.append(answer)
            if answer[0] in (h2.RST_STREAM, h2.GOAWAY, h2.HEADERS):
                break
        return seen

    def test_a_drain_through_the_edge_breaks_no_stream(self):
        self.start_edge()
        channels = [self.edge.channel() for _ in range(4)]
        streams = [Stream(channel, 3000) for channel in channels for _ in range(4)]
        for stream in streams:
            stream.read_first_tokens()
        self.server.signal(signal.SIGTERM)
        self.server.await_line("draining")
        with self.assertRaises(grpc.RpcError) as caught:
            Stream(self.channel, 5).read_to_end()
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
        for stream in streams:
            self.assertEqual((stream.read_to_end(), stream.tokens, stream.finished), (grpc.StatusCode.OK, 3000, 1))
        self.assertEqual(self.server.wait(), 0)
        for channel in channels:
            channel.close()

    def test_a_caller_above_the_rate_learns_when_to_come_again(self):
        self.start_edge(self.small_limits)
        refusals = []
        for _ in range(100):
            try:
                call_health(self.channel)
            except grpc.RpcError as error:
                refusals.append(LamellaError(error))
        self.assertGreater(len(refusals), 0)
        for refusal in refusals:
            self.assertEqual((refusal.code, refusal.reason, refusal.retry_after),
                             (grpc.StatusCode.RESOURCE_EXHAUSTED, "EDGE_RATE_LIMIT", 1.0), refusal)

    def test_no_server_is_an_answer_of_its_own(self):
        self.start_edge()
        self.server.signal(signal.SIGKILL)
        self.server.wait()
        with self.assertRaises(grpc.RpcError) as caught:
            call_health(self.channel)
        error = LamellaError(caught.exception)
        self.assertEqual((error.code, error.reason, error.retry_after),
                         (grpc.StatusCode.UNAVAILABLE, "EDGE_UNAVAILABLE", 1.0), error)

    def test_administration_has_its_port_and_wants_a_certificate(self):
        self.start_edge()
        with self.assertRaises(grpc.RpcError) as caught:
            self.channel.unary_unary("/lamella.v1.AdapterAdminService/ListAdapters")(b"", timeout=60)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED)
        with self.edge.channel(administration=True) as stranger, self.assertRaises(grpc.RpcError):
            call_health(stranger)
        with self.edge.channel(administration=True, with_certificate=True) as administrator:
            self.assertEqual(call_health(administrator), SERVING)
            with self.assertRaises(grpc.RpcError) as caught:
                administrator.unary_unary("/lamella.v1.AdapterAdminService/ListAdapters")(b"\xff", timeout=60)
            self.assertEqual(LamellaError(caught.exception).reason, "MALFORMED_REQUEST")


class ExampleConfigTest(unittest.TestCase):
    """deploy/config, read by the server itself."""

    config = processes.ROOT / "deploy/config"

    def test_the_server_starts_with_the_example_credentials(self):
        server = processes.Server(SERVER, MODEL, f"--credentials={self.config}/credentials.json")
        self.addCleanup(server.stop)
        with grpc.insecure_channel(server.address) as channel, self.assertRaises(grpc.RpcError) as caught:
            Stream(channel, 5).read_to_end()
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAUTHENTICATED)

    def test_the_unit_names_flags_that_are_there_and_waits_for_the_drain(self):
        unit = (self.config / "lamella-server.service").read_text()
        given = dict(re.findall(r"^\s+--([a-z-]+)=(\S+)", unit, re.MULTILINE))
        known = subprocess.run([SERVER, "--help"], check=True, capture_output=True, text=True).stdout
        self.assertEqual([flag for flag in given if f"  --{flag}\n" not in known], [])
        self.assertGreater(int(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE).group(1)),
                           int(given["drain-grace"].rstrip("s")) + 2)


class HaproxyTest(EdgeCases, unittest.TestCase):
    kind = "haproxy"
    small_limits = [("http_req_rate(1s)", "http_req_rate(600s)"), ("sc0_http_req_rate gt 400 ", "sc0_http_req_rate gt 20 ")]


class NginxTest(EdgeCases, unittest.TestCase):
    kind = "nginx"
    small_limits = [("rate=200r/s", "rate=1r/m"), ("burst=400", "burst=20")]


class EnvoyTest(EdgeCases, unittest.TestCase):
    kind = "envoy"
    too_many_headers = grpc.StatusCode.INTERNAL  # the stream is reset
    small_limits = [("max_tokens: 400, tokens_per_fill: 200, fill_interval: 1s", "max_tokens: 20, tokens_per_fill: 1, fill_interval: 600s")]


if __name__ == "__main__":
    SERVER, MODEL_WRITER = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
