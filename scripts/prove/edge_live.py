"""Rows of the edge area that need a server, callers and proxies: a module for edge.py.

The server is lamella-server over a model that is made here: two small layers, thousands of tokens a second, so that what is
measured is the edge and not the arithmetic.
"""
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import report
from report import Row

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "client/python"), str(ROOT / "tests/integration/edge")]
import abuse as attacks  # noqa: E402
import calls  # noqa: E402
import processes  # noqa: E402
from lamella.v1 import generation_pb2_grpc  # noqa: E402

BIN = ROOT / "build/release/bin"
TARGETS = ["lamella-server", "lamella", "lamella-load", "write_tiny_model"]
PROXIES = ("envoy", "haproxy", "nginx")
WATCH = "/grpc.health.v1.Health/Watch"
NOT_SERVING = b"\x08\x02"
SMALL_KV = "--kv-cache-bytes=16MiB"  # 65,536 tokens


@contextmanager
def served(*flags):
    """A server over the small model, with a store; yields it and its folder. Of two equal flags the last counts."""
    with tempfile.TemporaryDirectory(prefix="lamella-prove-edge-") as folder:
        model = f"{folder}/tiny.gguf"
        subprocess.run([BIN / "write_tiny_model", model], check=True)
        server = processes.Server(BIN / "lamella-server", model, "--dtype=float32", "--threads=1", "--kv-cache-bytes=256MiB",
                                  f"--adapters-store={folder}/store", *flags)
        try:
            yield server, pathlib.Path(folder)
        finally:
            server.stop()


def make_adapters(server, folder, count):
    """Adapters load-0, load-1, ... of a few ranks, with the alias live."""
    subprocess.run([BIN / "lamella-load", "make-adapters", f"--model={folder}/tiny.gguf", f"--adapters={count}",
                    f"--server={server.address}", f"--admin={server.admin}", "--ranks=4,8,16"], check=True, capture_output=True)


def live_version(server, adapter):
    """The digest of the version that the alias live of an adapter means."""
    shown = subprocess.run([BIN / "lamella", "--admin", server.admin, "adapters", "get", adapter, "live", "--output=json"], check=True,
                           capture_output=True, text=True)
    return json.loads(shown.stdout)["version"]


@contextmanager
def proxied(kind, server, folder, connections=400):
    edge = processes.Edge(kind, server, folder, connections=connections)
    try:
        with edge.channel() as channel:
            grpc.channel_ready_future(channel).result(60)
            processes.until(lambda: healthy(channel))
        yield edge
    finally:
        edge.stop()


def healthy(channel):
    try:
        return channel.unary_unary(calls.CHECK)(b"", timeout=60) == b"\x08\x01"
    except grpc.RpcError:
        return False


def generate(channel, tokens, key="", text="ab", adapter=""):
    """The call of a stream of `tokens` tokens."""
    request = calls.generate_request(tokens, text, adapter)
    return generation_pb2_grpc.GenerationServiceStub(channel).Generate(request, metadata=calls.with_key(key), timeout=300)


def read(call):
    """(code, tokens) of a call that is read to its end."""
    tokens = 0
    try:
        for event in call:
            tokens += len(event.delta.token_ids)
    except grpc.RpcError:
        pass
    return call.code(), tokens


class Load:
    """Short streams, one after the other, by some callers, until it is stopped. Counts by how they ended.

    Callers mean well: they stay below the edge's rate and rest after a refusal.
    """

    def __init__(self, channel, callers):
        self.codes, self._lock, self._stop = {}, threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(channel,)) for _ in range(callers)]
        for thread in self._threads:
            thread.start()

    def _run(self, channel):
        while not self._stop.is_set():
            code, tokens = read(generate(channel, 50))
            good = code != grpc.StatusCode.OK or tokens == 50
            self._stop.wait(0.02 if code == grpc.StatusCode.OK else 0.2)
            with self._lock:
                self.codes[code if good else "cut short"] = self.codes.get(code if good else "cut short", 0) + 1

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return self.codes


def metadata(_quick):
    """Floods of headers straight at the server, each with a request behind it that would be work."""
    sizes = [(40, 100), (100, 100), (200, 1000), (1000, 1000), (4000, 1000)]
    with served() as (server, _):
        sent = 0
        for entries, size in sizes:
            for acknowledge in (True, False):
                sent += attacks.headers_with_work(lambda: attacks.connect_plain(server.address), entries, size, acknowledge)
        accepted = server.metric("lamella_requests_accepted_total")
        refused = server.metric('lamella_requests_rejected_total{reason="metadata_too_large"}')
        expected = 2  # 40 entries of 100 bytes are within the limit: the control
    return [Row.judge("metadata above the limit reaching a handler's work", "0 of 8, and the 2 below it served",
                      f"{accepted - expected:.0f}; {refused:.0f} refused by the handlers, the rest by gRPC, {sent / 1e6:.1f} MB sent",
                      accepted == expected)]


def use_all_memory(channel):
    """Uses every block of keys and values once, so that what grows later is neither the prefix index nor first allocations."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: read(generate(channel, 3000, text="ab" * (i + 1))), range(30)))


def attack_all(server, connect, scale, good_channel, idle_scale):
    """Every attack, while another client works. (codes of its calls, peak resident bytes, idle connections that stayed)."""
    load = Load(good_channel, 2)
    peak = [processes.rss_bytes(server.pid)]

    def sample():
        peak.append(processes.rss_bytes(server.pid))
        time.sleep(0.5)

    for attack in (attacks.fragmented_headers, attacks.unacknowledged_headers, attacks.endless_headers, attacks.resets, attacks.pings,
                   attacks.settings):
        attack(connect, scale)
        sample()
    attacks.slow_readers(connect, scale, sample)
    stayed = attacks.idle_connections(connect, idle_scale, sample)
    sample()
    return load.stop(), max(peak), stayed


def tell(codes):
    names = {getattr(code, "name", code): count for code, count in codes.items()}
    return ", ".join(f"{count} {name}" for name, count in sorted(names.items()))


def abuse(quick):
    """The same attacks through each edge, and straight at the server."""
    scale, idle = (0.1, 0.05) if quick else (1, 1)
    rows = []
    for kind in PROXIES[:1] if quick else PROXIES:
        figure = f"raw HTTP/2 abuse through {kind}: growth of the server's memory, calls of others"
        if processes.missing(kind):
            rows.append(Row.not_run(figure, "<= 10%, 0 failed", f"no {kind}: scripts/setup.sh --tools"))
            continue
        with served(SMALL_KV) as (server, folder), proxied(kind, server, folder, connections=4000) as edge, edge.channel() as good:
            use_all_memory(good)
            before, edge_before = processes.rss_bytes(server.pid), edge.rss_bytes()
            codes, peak, stayed = attack_all(server, lambda: edge.connect_tls(attacks.ATTACKER), scale, good, idle)
            growth, edge_growth = peak / before - 1, (edge.rss_bytes() - edge_before) / 1e6
        failed = sum(count for code, count in codes.items() if code != grpc.StatusCode.OK)
        rows.append(Row.judge(figure, "<= 10%, 0 failed",
                              f"{100 * growth:.1f}% of {before / 1e6:.0f} MB; the edge's own {edge_growth:+.0f} MB; others: {tell(codes)}; "
                              f"{stayed} idle connections left", growth <= 0.10 and failed == 0 and len(codes) > 0))
    with served(SMALL_KV) as (server, _), grpc.insecure_channel(server.address) as good:
        use_all_memory(good)
        before = processes.rss_bytes(server.pid)
        codes, peak, stayed = attack_all(server, lambda: attacks.connect_plain(server.address), scale, good, idle)
        alive = server.process.poll() is None and read(generate(good, 50)) == (grpc.StatusCode.OK, 50)
    failed = sum(count for code, count in codes.items() if code != grpc.StatusCode.OK)
    rows.append(Row.judge("the same straight at the server", "stays up, growth reported",
                          f"{'up' if alive else 'down'}; {100 * (peak / before - 1):.0f}% of {before / 1e6:.0f} MB at the peak; others: "
                          f"{tell(codes)} ({failed} failed); {stayed} idle connections left", alive))
    return rows


def drain(quick):
    """SIGTERM while streams run and others come, through each edge."""
    rows = []
    streams, tokens = (16, 1500) if quick else (48, 4000)
    for kind in PROXIES[:1] if quick else PROXIES:
        figure = f"SIGTERM with {streams} running streams under load, through {kind}; NOT_SERVING by a watch straight at the server"
        goal = "0 broken that could end within grace; NOT_SERVING <= 100 ms"
        if processes.missing(kind):
            rows.append(Row.not_run(figure, goal, f"no {kind}: scripts/setup.sh --tools"))
            continue
        with served("--drain-grace=240s") as (server, folder), proxied(kind, server, folder) as edge, edge.channel() as channel:
            rows += drain_row(figure, goal, server, channel, streams, tokens)
    return rows


def drain_row(figure, goal, server, channel, streams, tokens):
    running = [generate(channel, tokens) for _ in range(streams)]
    for call in running:
        next(call)  # Started: accepted
    load = Load(channel, 4)
    with grpc.insecure_channel(server.address) as direct:
        watch = direct.unary_stream(WATCH)(b"", timeout=300)
        next(watch)
        time.sleep(0.5)
        begin = time.monotonic()
        server.signal(signal.SIGTERM)
        while next(watch) != NOT_SERVING:
            pass
        noticed = time.monotonic() - begin
        watch.cancel()
    with ThreadPoolExecutor(streams) as pool:
        ended = list(pool.map(read, running))
    codes = load.stop()
    status = server.wait(300)
    broken = sum(end != (grpc.StatusCode.OK, tokens) for end in ended)
    others = sum(count for code, count in codes.items() if code not in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE))
    measured = (f"{broken} of {streams} broken; {1000 * noticed:.0f} ms; short streams meanwhile: {tell(codes)}; exit status {status}")
    if broken or others or status:
        return [Row.judge(figure, goal, measured, False)]
    return [report.judge_time(figure, goal, measured, noticed <= 0.1)]
