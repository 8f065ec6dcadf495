"""What is refused for want of room or patience, and what each refusal carries. A module for edge.py."""
import pathlib
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from signal import SIGTERM

import grpc
from lamella import LamellaError
from report import Row

import edge_live as live
import calls
import processes
import protocol

TENANTS = {
    "flight": {"max_in_flight": 1}, "minute": {"tokens_per_minute": 60}, "queued": {"max_queued_tokens": 10}, "free": {},
    "stored": {"stored_bytes": "5"}, "daily": {"upload_bytes_per_day": "5"},
}
WANTED = {"TENANT_IN_FLIGHT_LIMIT", "TENANT_TOKENS_PER_MINUTE", "TENANT_QUEUED_TOKENS", "QUEUE_FULL", "TOKENS_PER_MINUTE", "DRAINING",
          "QUOTA_EXCEEDED", "PIN_LIMIT", "ADAPTER_CACHE_FULL"}
WAIT = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
ADAPTERS = 6


def refusals(_quick):
    """Provokes them, and looks at each."""
    refused = []

    def note(call):
        try:
            for _ in call:
                pass
        except grpc.RpcError as error:
            refused.append(LamellaError(error))

    for provoke in (by_tenant, by_queue, by_store, by_adapter_cache):
        provoke(note)
    incomplete = [error for error in refused if not error.reason or error.retry_after is None]
    strange = [error for error in refused if error.code not in WAIT]
    missing = sorted(WANTED - {error.reason for error in refused})
    told = [f"{100 * (1 - len(incomplete) / max(len(refused), 1)):.0f}% of {len(refused)}: {', '.join(sorted({e.reason for e in refused}))}"]
    told += [f"{what}: {', '.join(sorted(names))}" for what, names in (
        ("incomplete", {str(error.reason or error.message) for error in incomplete}), ("not provoked", missing),
        ("of another code", {str(error) for error in strange})) if names]
    return [Row.judge("rejections carrying RetryInfo and ErrorInfo", "100%", "; ".join(told),
                      len(refused) > 0 and not incomplete and not strange and not missing)]


@contextmanager
def with_tenants(*flags):
    """A server that knows TENANTS; a tenant's key is its name."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "credentials.json"
        file.write_text(processes.credentials(TENANTS, roles=("inference", "adapter-writer"), limits=TENANTS))
        with live.served(f"--credentials={file}", *flags) as (server, _), grpc.insecure_channel(server.address) as channel:
            yield server, channel


class Admin:
    """Calls of AdapterAdminService by a method's name and its request's fields."""

    def __init__(self, channel):
        known = protocol.Protocol(live.ROOT / "proto/golden/lamella.desc")
        self._channel = channel
        self._methods = {method.name: method for method in known.methods("lamella.v1.AdapterAdminService")}

    def call(self, name, key="", timeout=60, /, **fields):
        method = self._methods[name]
        body = method.request(**fields).SerializeToString()
        return self._channel.stream_stream(method.path)(iter([body]), metadata=calls.with_key(key), timeout=timeout)


def by_tenant(note):
    with with_tenants("--drain-grace=60s") as (server, channel):
        running = live.generate(channel, 100_000, "flight")
        next(running)
        for _ in range(20):
            note(live.generate(channel, 5, "flight"))
            note(live.generate(channel, 50, "minute"))
        server.signal(SIGTERM)
        server.await_line("draining")
        for _ in range(20):
            note(live.generate(channel, 5, "free"))
        running.cancel()
    with with_tenants("--max-sequences=1", "--nofair-shares") as (_, channel):
        running = live.generate(channel, 100_000, "free")
        next(running)
        with ThreadPoolExecutor(10) as pool:
            done = [pool.submit(note, live.generate(channel, 5, "queued", "ab cab ab")) for _ in range(10)]
            processes.until(lambda: sum(future.done() for future in done) >= 9)  # one waits for the place
            running.cancel()


def by_queue(note):
    with live.served("--max-sequences=1", "--max-queued-requests=1") as (server, _), grpc.insecure_channel(server.address) as channel:
        waiting = [live.generate(channel, 3000) for _ in range(20)]
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(note, waiting))
    with live.served("--tokens-per-minute=100") as (server, _), grpc.insecure_channel(server.address) as channel:
        for _ in range(10):
            note(live.generate(channel, 60))


def by_store(note):
    """Uploads that are refused by what they announce."""
    with with_tenants() as (server, _), grpc.insecure_channel(server.admin) as channel:
        admin = Admin(channel)
        for tenant in ("stored", "daily"):
            for _ in range(5):
                note(admin.call("UploadAdapter", tenant, header={"adapter": "tenants/-/adapters/a", "config_bytes": 10, "weights_bytes": 10}))


def by_adapter_cache(note):
    """Pins beyond their share, and a request whose adapter finds no room for half a minute beside what is pinned and in use."""
    with live.served("--adapter-cache-bytes=128KiB") as (server, folder):  # the third and the sixth take 59,780 bytes each
        live.make_adapters(server, folder, ADAPTERS)
        names = [f"tenants/default/adapters/load-{i}/versions/{live.live_version(server, f'load-{i}')}" for i in range(ADAPTERS)]
        with grpc.insecure_channel(server.admin) as admin_channel, grpc.insecure_channel(server.address) as channel:
            admin = Admin(admin_channel)
            for name in names:
                note(admin.call("PinVersion", name=name))
            running = live.generate(channel, 200_000, adapter="load-2")
            for _ in range(2):
                next(running)  # its adapter is in memory once it has tokens
            note(live.generate(channel, 5, adapter="load-5"))
            running.cancel()
