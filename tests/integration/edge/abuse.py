"""What clients that mean harm do to an HTTP/2 server, one function for each way.

Each takes `connect`, which makes a new bare connection, and `scale`, 1 for all of it and less for a short run. They come
from an address of their own (ATTACKER), so that limits by address do not hit others. They end by themselves, whatever the
server does with them.
"""
from __future__ import annotations

import socket
import ssl
import struct

import raw_http2 as h2
from calls import GENERATE, generate_request

ATTACKER = "127.0.0.2"


def connect_plain(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=30, source_address=(ATTACKER, 0))


def message(body: bytes) -> bytes:
    """A gRPC message, not compressed."""
    return b"\x00" + struct.pack(">I", len(body)) + body


def _attack(connect, frames, acknowledge=True):
    """One connection that sends what it is given until it is cut off."""
    try:
        with connect() as connection:
            h2.begin(connection, acknowledge)
            h2.send_all_that_goes(connection, frames)
    except OSError:
        pass  # refused at the door


def fragmented_headers(connect, scale):
    """Megabytes of metadata in CONTINUATION frames."""
    for _ in range(max(1, int(20 * scale))):
        _attack(connect, h2.fragmented_request(1, GENERATE, 1000, 1000))


def headers_with_work(connect, entries: int, entry_bytes: int, acknowledge: bool) -> int:
    """One request of so many metadata entries with work behind it, read until its end. The bytes that the peer took."""
    with connect() as connection:
        h2.begin(connection, acknowledge)
        frames = list(h2.fragmented_request(1, GENERATE, entries, entry_bytes))
        frames[0] = h2.frame(h2.HEADERS, 0, 1, h2.request_headers(GENERATE))
        frames.append(h2.frame(h2.DATA, h2.END_STREAM, 1, message(generate_request(3).SerializeToString())))
        sent = h2.send_all_that_goes(connection, frames)
        for kind, flags, stream, _ in h2.read_frames(connection):
            if kind == h2.GOAWAY or (stream == 1 and (kind == h2.RST_STREAM or flags & h2.END_STREAM)):
                break
    return sent


def unacknowledged_headers(connect, scale):
    """The same by a client that never acknowledges the server's settings."""
    for _ in range(max(1, int(20 * scale))):
        _attack(connect, h2.fragmented_request(1, GENERATE, 4000, 1000), acknowledge=False)


def endless_headers(connect, scale):
    """CONTINUATION frames without an end, each of a few bytes."""

    def frames():
        yield h2.frame(h2.HEADERS, 0, 1, h2.request_headers(GENERATE))
        for i in range(int(100_000 * scale)):
            yield h2.frame(h2.CONTINUATION, 0, 1, h2.header(f"a{i}", ""))

    for _ in range(2):
        _attack(connect, frames())


def resets(connect, scale):
    """Requests that are taken back at once."""
    block = h2.request_headers(GENERATE)

    def frames():
        for stream in range(1, int(40_000 * scale), 2):
            yield h2.frame(h2.HEADERS, h2.END_HEADERS, stream, block) + h2.frame(h2.RST_STREAM, 0, stream, b"\0\0\0\x08")

    for _ in range(2):
        _attack(connect, frames())


def pings(connect, scale):
    """Pings whose answers nobody reads."""
    _attack(connect, (h2.frame(h2.PING, 0, 0, i.to_bytes(8, "big")) for i in range(int(100_000 * scale))))


def settings(connect, scale):
    """Settings, each of which wants to be acknowledged."""
    _attack(connect, (h2.frame(h2.SETTINGS, 0, 0) for _ in range(int(100_000 * scale))))


def slow_readers(connect, scale, hold):
    """Streams of long answers that nobody reads, while hold() runs."""
    body = message(generate_request(3000, logprobs=20).SerializeToString())
    connections = []
    try:
        for _ in range(max(2, int(16 * scale))):
            try:
                connection = connect()
                connections.append(connection)
                h2.begin(connection)
                h2.send_all_that_goes(connection, [h2.frame(h2.HEADERS, h2.END_HEADERS, 1, h2.request_headers(GENERATE)),
                                                   h2.frame(h2.DATA, h2.END_STREAM, 1, body)])
            except OSError:
                continue
        hold()
    finally:
        for connection in connections:
            connection.close()


def idle_connections(connect, scale, hold):
    """Connections on which nothing happens, while hold() runs. Returns how many were open together at the end."""
    connections = []
    try:
        for _ in range(int(10_000 * scale)):
            try:
                connections.append(connect())
            except OSError:
                continue
        hold()
        return sum(is_open(connection) for connection in connections)
    finally:
        for connection in connections:
            connection.close()


def is_open(connection):
    """Whether the peer has not closed it. What it sent is read and lost."""
    connection.settimeout(0)
    try:
        while connection.recv(65536):
            pass
        return False
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False
