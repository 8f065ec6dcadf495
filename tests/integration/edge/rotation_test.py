"""Certificates and credentials that change under load: python3 rotation_test.py SERVER_BINARY MODEL_WRITER [--rounds=N] [--json]

Callers whose key is in every file, on connections that stay and on fresh ones, while certificate, key and credentials are
replaced, file by file and in any order: no call may fail. --json prints the figures.
"""
import argparse
import json
import pathlib
import ssl
import subprocess
import sys
import tempfile
import unittest

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import calls  # noqa: E402
import processes  # noqa: E402

CALLERS = 2


class RotationTest(unittest.TestCase):
    figures = {}

    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="lamella-rotation-")
        self.addCleanup(self.temporary.cleanup)
        self.folder = pathlib.Path(self.temporary.name)
        subprocess.run([MODEL_WRITER, self.folder / "tiny.gguf"], check=True)
        self.pairs = [processes.make_certificate(self.folder, f"server-{i}") for i in range(ROUNDS + 1)]
        self.trusted = b"".join(certificate.read_bytes() for certificate, _ in self.pairs)
        self.write_credentials(0)
        self.write_pair(0)
        self.server = processes.Server(
            SERVER, self.folder / "tiny.gguf", "--dtype=float32", "--threads=1", "--kv-cache-bytes=64MiB",
            f"--tls-cert={self.folder}/cert.pem", f"--tls-key={self.folder}/key.pem", f"--credentials={self.folder}/credentials.json")
        self.addCleanup(self.server.stop)

    def write_credentials(self, i):
        text = processes.credentials(("steady", f"key-{i}"), tenant="anna", limits={"anna": {"weight": 1 + i}})
        (self.folder / "credentials.json").write_text(text)

    def write_pair(self, i):
        """Not in one step, and in each order in turn: the server sees what does not fit together."""
        certificate, key = self.pairs[i]
        steps = [("cert.pem", certificate), ("key.pem", key)]
        for name, source in steps if i % 2 else reversed(steps):
            (self.folder / name).write_bytes(source.read_bytes())

    def connect(self):
        return grpc.secure_channel(self.server.address, grpc.ssl_channel_credentials(self.trusted),
                                   options=[("grpc.use_local_subchannel_pool", 1)])

    def shown(self):
        """The certificate that a new connection is shown."""
        host, port = self.server.address.rsplit(":", 1)
        return ssl.get_server_certificate((host, int(port)))

    def rotate(self, i):
        taken = self.server.metric("lamella_credentials_reloads_total")
        self.write_credentials(i)
        self.write_pair(i)
        processes.until(lambda: self.server.metric("lamella_credentials_reloads_total") > taken)
        with self.connect() as channel:
            self.assertEqual(calls.outcome(channel, key=f"key-{i}")[0], "OK", "the new key counts")
            self.assertEqual(calls.outcome(channel, key=f"key-{i - 1}")[0], "UNAUTHENTICATED", "the old key does not")
        wanted = self.pairs[i][0].read_text().strip()
        processes.until(lambda: self.shown().strip() == wanted)

    def test_no_call_fails(self):
        callers = calls.Callers(self.connect, CALLERS, key="steady", tokens=20)
        try:
            for i in range(1, ROUNDS + 1):
                self.rotate(i)
        finally:
            callers.stop()
        self.figures.update(rotations=ROUNDS, calls=callers.calls, failed=len(callers.failures),
                            refused_sets=int(self.server.metric("lamella_tls_reload_failures_total")))
        self.assertEqual(callers.failures, [])
        self.assertGreater(callers.calls, 0)
        self.assertEqual(self.server.metric("lamella_tls_stale"), 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("server_binary")
    parser.add_argument("model_writer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    SERVER, MODEL_WRITER, ROUNDS = options.server_binary, options.model_writer, options.rounds
    program = unittest.main(argv=sys.argv[:1], verbosity=0 if options.json else 2, exit=False)
    if options.json:
        print(json.dumps({**RotationTest.figures, "ok": program.result.wasSuccessful()}))
    sys.exit(not program.result.wasSuccessful())
