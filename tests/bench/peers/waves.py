"""One wave of requests against a server, the same for every server: C requests at the same moment, each a prompt of
32 random token ids and N forced tokens, greedy, request i on adapter i modulo their number. Standard library only."""
import http.client
import json
import random
import statistics
import threading
import time

PROMPT_TOKENS = 32
TIMEOUT_S = 1800


def server_events(port, path, body):
    """The objects of a stream of server-sent events."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            raise RuntimeError(f"{path}: {response.status} {response.read()[:300]!r}")
        for line in response:
            if line.startswith(b"data: ") and not line.startswith(b"data: [DONE]"):
                yield json.loads(line[6:])
    finally:
        connection.close()


class Stream(threading.Thread):
    """One request: when its tokens came."""

    def __init__(self, start, tokens):
        """`start` waits for the others and returns an iterator of how many tokens arrived."""
        super().__init__()
        self._start, self._tokens = start, tokens
        self.times = []
        self.error = None

    def run(self):
        try:
            for count in self._start():
                self.times += [time.perf_counter()] * count
            if len(self.times) != self._tokens:
                raise RuntimeError(f"{len(self.times)} of {self._tokens} tokens came")
        except Exception as error:  # told by the wave: a thread's own would be lost
            self.error = error


def wave(generate, concurrency, adapters, tokens, rng):
    """generate(prompt, adapter, tokens) yields counts; adapter is an index or None for the base.
    Returns (tok/s while all of them decode, tok/s of all). The first is None if there is no such time because the
    server answers adapters one after the other."""
    barrier = threading.Barrier(concurrency + 1)
    streams = []
    for i in range(concurrency):
        prompt = [rng.randrange(10, 1900) for _ in range(PROMPT_TOKENS)]
        adapter = i % adapters if adapters else None

        def start(prompt=prompt, adapter=adapter):
            barrier.wait()
            return generate(prompt, adapter, tokens)

        streams.append(Stream(start, tokens))
        streams[-1].start()
    barrier.wait()
    begin = time.perf_counter()
    for stream in streams:
        stream.join()
    errors = [stream.error for stream in streams if stream.error is not None]
    if errors:
        raise errors[0]
    wall = time.perf_counter() - begin
    # After the last first token, until the first of them ends.
    last_first = max(stream.times[0] for stream in streams)
    first_last = min(stream.times[-1] for stream in streams)
    counted = sum(last_first < t <= first_last for stream in streams for t in stream.times)
    if counted:
        return counted / (first_last - last_first), concurrency * tokens / wall
    # Requests of one adapter, or none, wait for nobody's adapter.
    if adapters < 2:
        raise RuntimeError("the first request ended before the last one began: ask for more tokens")
    return None, concurrency * tokens / wall


def measure(generate, concurrency, adapters, tokens, waves):
    """Medians over the waves, after one that is not counted; None if a wave has none."""
    rng = random.Random(concurrency * 1000 + adapters)  # no prompt comes twice: nothing may be found again
    wave(generate, concurrency, adapters, tokens, rng)
    results = [wave(generate, concurrency, adapters, tokens, rng) for _ in range(waves)]
    return tuple(None if None in figures else statistics.median(figures) for figures in zip(*results))
