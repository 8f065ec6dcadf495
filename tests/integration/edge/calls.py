"""Calls of callers who mean well, for the tests of this folder and for scripts/prove."""
from __future__ import annotations

import threading

import grpc
from lamella.v1 import generation_pb2 as pb

GENERATE = "/lamella.v1.GenerationService/Generate"
MODEL_INFO = "/lamella.v1.GenerationService/GetModelInfo"
CHECK = "/grpc.health.v1.Health/Check"


def generate_request(tokens: int, text: str = "ab", adapter: str = "", logprobs: int = 0) -> pb.GenerateRequest:
    """Greedy, and it does not end before `tokens`; with logprobs each takes hundreds of bytes."""
    request = pb.GenerateRequest(text=text, adapter_id=adapter)
    request.stop.max_tokens = tokens
    request.stop.ignore_eos = True
    request.output.token_ids = True
    if logprobs:
        request.output.logprobs = logprobs
    return request


def with_key(key: str):
    """The metadata of a caller with that key; none for "". """
    return (("authorization", f"Bearer {key}"),) if key else ()


def outcome(channel, path: str = MODEL_INFO, request: bytes = b"", key: str = "") -> tuple[str, str]:
    """Name of the code and message of a call that is read to its end."""
    stream = channel.unary_stream(path)(request, timeout=120, metadata=with_key(key))
    try:
        for _ in stream:
            pass
    except grpc.RpcError as error:
        return error.code().name, error.details()
    return "OK", ""


class Callers:
    """Threads that call until they are stopped, in rounds: GetModelInfo on a connection that stays, and on a fresh one.

    tokens: each round also has a Generate of that many on the one that stays. `failures` are outcomes other than OK.
    """

    def __init__(self, connect, threads: int = 1, key: str = "", tokens: int = 0):
        self.calls, self.failures = 0, []
        self._connect, self._key, self._tokens = connect, key, tokens
        self._rounds, self._changed, self._stopping = [0] * threads, threading.Condition(), False
        self._threads = [threading.Thread(target=self._run, args=(i,)) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def _call(self, channel, *what):
        told = outcome(channel, *what, key=self._key)
        with self._changed:
            self.calls += 1
            if told[0] != "OK":
                self.failures.append(told)

    def _run(self, i):
        with self._connect() as steady:
            while not self._stopping:
                self._call(steady)
                if self._tokens:
                    self._call(steady, GENERATE, generate_request(self._tokens).SerializeToString())
                with self._connect() as fresh:
                    self._call(fresh)
                with self._changed:
                    self._rounds[i] += 1
                    self._changed.notify_all()

    def settle(self) -> None:
        """Until every thread has come through a round that began after this."""
        with self._changed:
            until = [rounds + 2 for rounds in self._rounds]
            self._changed.wait_for(lambda: all(map(int.__ge__, self._rounds, until)))

    def stop(self) -> None:
        self._stopping = True
        for thread in self._threads:
            thread.join()
