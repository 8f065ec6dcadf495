"""Real processes for tests of the edge: lamella-server, and a proxy with its profile of deploy/proxy in front of it.

Everything listens on loopback, on ports that were free. For the tests of this folder and for scripts/prove.
"""
from __future__ import annotations

import hashlib
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.request

import grpc

ROOT = pathlib.Path(__file__).resolve().parents[3]
PROFILES = ROOT / "deploy/proxy"
TOOLS = ROOT / ".deps/tools/bin"
START_SECONDS = 60


def until(holds, seconds: float = 120) -> None:
    """Asks, with short pauses, until holds() is true. TimeoutError after so long."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"not true within {seconds:g} s")
        time.sleep(0.02)


def credentials(names, tenant: str = "", roles=("inference",), limits=None) -> str:
    """The text of a credentials file in which each caller's key is its name; tenant: of all of them, else each its own."""
    callers = [{"name": name, "sha256": hashlib.sha256(name.encode()).hexdigest(), "tenant": tenant or name, "roles": list(roles)}
               for name in names]
    return json.dumps({"credentials": callers, "tenants": limits or {}})


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Process:
    """A program and what it wrote. Killed if it still runs at the end."""

    def __init__(self, command, **more):
        self._lines: list[str] = []
        self._wrote = threading.Condition()
        self._closed = False
        self.process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self._wrote:
                self._lines.append(line)
                self._wrote.notify_all()
        with self._wrote:
            self._closed = True
            self._wrote.notify_all()

    @property
    def pid(self) -> int:
        return self.process.pid

    def output(self) -> str:
        with self._wrote:
            return "".join(self._lines)

    def await_line(self, text: str) -> str:
        """The first line with `text`. RuntimeError if the program ends without it."""
        with self._wrote:
            seen = 0
            while True:
                for line in self._lines[seen:]:
                    if text in line:
                        return line
                seen = len(self._lines)
                if self._closed:
                    raise RuntimeError(f"{self.process.args[0]} ended: {''.join(self._lines)[-600:]}")
                self._wrote.wait()

    def signal(self, number) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = 120) -> int:
        return self.process.wait(seconds)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join()
        self.process.stdout.close()


class Server(Process):
    """lamella-server on free ports; ready when the constructor returns."""

    def __init__(self, binary, model, *flags):
        super().__init__([binary, f"--model={model}", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0",
                          "--metrics-listen=127.0.0.1:0", *flags])
        line = self.await_line(" ready ")
        told = dict(re.findall(r"(\w+)=(\S+)", line))
        self.address, self.admin, self.metrics_port = told["address"], told["admin"], int(told["metrics_port"])

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=30) as answer:
            return answer.read().decode()

    def metric(self, name: str) -> float:
        """The value of one series, with its labels as they are written; 0 if it is not there."""
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.metrics(), re.MULTILINE)
        return float(found.group(1)) if found else 0.0


def make_certificate(folder: pathlib.Path, name: str) -> tuple[pathlib.Path, pathlib.Path]:
    """A certificate of itself for this machine, and its key."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", str(key),
                    "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key


# profile, how it is run
COMMANDS = {
    "haproxy": ("haproxy.cfg", lambda path: ["haproxy", "-f", path]),
    "nginx": ("nginx.conf", lambda path: ["nginx", "-e", "stderr", "-g", "daemon off;", "-c", path]),
    # Its shared memory and hot restart are not for tests.
    "envoy": ("envoy.yaml", lambda path: ["envoy", "-l", "warn", "--disable-hot-restart", "--concurrency", "2", "-c", path]),
}


def missing(kind: str) -> bool:
    return not (TOOLS / kind).exists()


class Edge(Process):
    """A proxy with its profile, in front of one server.

    changes: pairs of text of the profile and what stands there in this test. Every one must be found. connections: what
    HAProxy accepts; it wants two descriptors for each, and few by default, so that any machine has them.
    """

    def __init__(self, kind: str, server: Server, folder: pathlib.Path, changes=(), connections: int = 400):
        self.kind = kind
        self.folder = pathlib.Path(folder)
        tls, run = self.folder / "tls", self.folder / "run"
        tls.mkdir(exist_ok=True)
        run.mkdir(exist_ok=True)
        self.certificate, key = make_certificate(tls, "edge")
        self.client_certificate, self.client_key = make_certificate(tls, "clients")
        (tls / "tls.pem").write_text(self.certificate.read_text() + key.read_text())
        self.port, self.admin_port = free_port(), free_port()
        profile, command = COMMANDS[kind]
        replaced = [("/etc/lamella/edge", str(tls)), *changes]
        replaced += self._addresses(kind, server)
        if kind == "nginx":
            replaced += [("/run/lamella-edge", str(run)), ("worker_processes auto;", "worker_processes 2; user root;"
                                                           if os.geteuid() == 0 else "worker_processes 2;")]
        if kind == "haproxy":
            replaced.append(("maxconn 8000", f"maxconn {connections}"))
        path = self._render(profile, replaced)
        if kind == "envoy":
            (tls / "certificate.yaml").write_text(
                (PROFILES / "envoy-certificate.yaml").read_text().replace("/etc/lamella/edge", str(tls)))
        argv = command(str(path))
        super().__init__([TOOLS / argv[0], *argv[1:]])
        self._await_port()

    def _addresses(self, kind, server):
        (data, admin) = (address.rpartition(":")[2] for address in (server.address, server.admin))
        if kind == "envoy":
            words = "{{address: {0}, port_value: {1}}}"
            return [(words.format("0.0.0.0", 50443), words.format("127.0.0.1", self.port)),
                    (words.format("0.0.0.0", 50444), words.format("127.0.0.1", self.admin_port)),
                    (words.format("127.0.0.1", 50051), words.format("127.0.0.1", data)),
                    (words.format("127.0.0.1", 50052), words.format("127.0.0.1", admin)),
                    (words.format("127.0.0.1", 9901), words.format("127.0.0.1", free_port()))]
        return [("0.0.0.0:50443", f"127.0.0.1:{self.port}"), ("0.0.0.0:50444", f"127.0.0.1:{self.admin_port}"),
                ("127.0.0.1:50051", f"127.0.0.1:{data}"), ("127.0.0.1:50052", f"127.0.0.1:{admin}")]

    def _render(self, profile, replaced):
        text = (PROFILES / profile).read_text(encoding="utf-8")
        for old, new in replaced:
            if old not in text:
                raise ValueError(f"{profile} has no {old!r}")
            text = text.replace(old, new)
        path = self.folder / profile
        path.write_text(text, encoding="utf-8")
        return path

    def _await_port(self):
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"{self.kind} does not listen: {self.output()[-600:]}") from None
                time.sleep(0.05)

    def channel(self, administration: bool = False, with_certificate: bool = False, options=()) -> grpc.Channel:
        """One connection of its own, TLS, to the data port or the other."""
        credentials = grpc.ssl_channel_credentials(
            self.certificate.read_bytes(), self.client_key.read_bytes() if with_certificate else None,
            self.client_certificate.read_bytes() if with_certificate else None)
        port = self.admin_port if administration else self.port
        return grpc.secure_channel(f"127.0.0.1:{port}", credentials, options=[("grpc.use_local_subchannel_pool", 1), *options])

    def connect_tls(self, source: str = "127.0.0.1") -> ssl.SSLSocket:
        """A bare connection that speaks HTTP/2, from an address of this machine."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=30, source_address=(source, 0))
        return context.wrap_socket(plain, server_hostname="127.0.0.1")

    def rss_bytes(self) -> int:
        """Resident memory of the proxy, its workers included."""
        return sum(rss_bytes(pid) for pid in [self.pid, *children(self.pid)])


def children(pid: int) -> list[int]:
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(entry.parent.name))
    return found


def rss_bytes(pid: int) -> int:
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(re.search(r"VmRSS:\s+(\d+)", text).group(1))


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))
