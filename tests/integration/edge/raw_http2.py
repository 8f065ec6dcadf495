"""HTTP/2 by hand, as clients that mean harm speak it: frames, literal headers, nothing more (RFC 9113, RFC 7541)."""
from __future__ import annotations

import socket
import struct
from typing import Iterator

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _string(text: str) -> bytes:
    raw = text.encode()
    if len(raw) < 127:
        return bytes([len(raw)]) + raw
    rest, length = len(raw) - 127, b"\x7f"
    while rest >= 128:
        length += bytes([rest % 128 + 128])
        rest //= 128
    return length + bytes([rest]) + raw


def header(name: str, value: str) -> bytes:
    """A literal that no table remembers."""
    return b"\x00" + _string(name) + _string(value)


def request_headers(path: str) -> bytes:
    return b"".join(header(*pair) for pair in ((":method", "POST"), (":scheme", "https"), (":path", path), (":authority", "edge"),
                                               ("content-type", "application/grpc"), ("te", "trailers")))


def begin(connection: socket.socket, acknowledge: bool = True) -> None:
    connection.sendall(PREFACE + frame(SETTINGS, 0, 0) + (frame(SETTINGS, ACK, 0) if acknowledge else b""))


def fragmented_request(stream: int, path: str, entries: int, entry_bytes: int) -> Iterator[bytes]:
    """A request whose metadata comes in one CONTINUATION frame for each entry."""
    yield frame(HEADERS, END_STREAM, stream, request_headers(path))
    for i in range(entries):
        last = END_HEADERS if i == entries - 1 else 0
        yield frame(CONTINUATION, last, stream, header(f"x-{i}", "v" * entry_bytes))


def send_all_that_goes(connection: socket.socket, frames) -> int:
    """Sends until the peer has enough; the bytes that it took."""
    sent = 0
    try:
        for piece in frames:
            connection.sendall(piece)
            sent += len(piece)
    except OSError:
        pass
    return sent


def read_frames(connection: socket.socket) -> Iterator[tuple[int, int, int, bytes]]:
    """(kind, flags, stream, payload) until the peer closes."""
    buffer = b""
    while True:
        while len(buffer) >= 9:
            length = int.from_bytes(buffer[:3], "big")
            if len(buffer) < 9 + length:
                break
            yield buffer[3], buffer[4], int.from_bytes(buffer[5:9], "big") & 0x7FFFFFFF, buffer[9:9 + length]
            buffer = buffer[9 + length:]
        try:
            more = connection.recv(65536)
        except OSError:
            return
        if not more:
            return
        buffer += more
