"""The soak of the edge area: hours of mixed load on one server, its memory and its descriptors. A module for edge.py.

Callers stream from the base and from adapters, some leave in mid-stream, some ask for what is not there; adapters are
uploaded and deleted meanwhile; metrics are scraped. Every answer must be the one that its call deserves.
"""
import json
import math
import random
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import report
from report import Row

import edge_live as live
import processes
import protocol

CALLERS = 6
CHANGES = 25_000  # fill the ring of events that watchers may still read (watch_hub.h), and the pages that SQLite keeps
ADAPTERS = 12
BUCKETS = 20
# 97.5% points of Student's t for 1, 2, ... degrees of freedom: one interval of 95%.
STUDENT = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101)
LEAST_MINUTES = 8  # before that what grows are caches and pools
SETTLED_MINUTES = 45  # a shorter run is judged while they may still grow, as fast as this at most:
SETTLING = 15  # MB/h
MEGABYTE = 1e6


class Callers:
    """Threads that call until they are stopped. `ended` counts; `errors` are answers that a call did not deserve."""

    def __init__(self, server, folder):
        self.ended, self.errors, self._lock = {}, [], threading.Lock()
        self._stop = threading.Event()
        self._server, self._folder = server, folder
        work = [self._call] * CALLERS + [self._scrape, self._churn]
        self._threads = [threading.Thread(target=self._run, args=(one, seed)) for seed, one in enumerate(work)]
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, work, seed):
        draw = random.Random(seed)
        with grpc.insecure_channel(self._server.address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            while not self._stop.is_set():
                try:
                    what = work(channel, draw)
                except Exception as error:  # pylint: disable=broad-except
                    what = f"{work.__name__}: {error}"
                    with self._lock:
                        self.errors.append(what[:200])
                with self._lock:
                    self.ended[what] = self.ended.get(what, 0) + 1

    def _call(self, channel, draw):
        chance = draw.random()
        if chance < 0.05:
            return self._ask_for_nothing(channel)
        tokens = draw.choice([5, 20, 80, 300])
        adapter = f"load-{draw.randrange(ADAPTERS)}" if chance < 0.8 else ""
        call = live.generate(channel, tokens, text="ab " * draw.randrange(1, 60), adapter=adapter)
        if draw.random() < 0.2:
            next(call)
            call.cancel()
            return "cancelled"
        code, got = live.read(call)
        if (code, got) != (grpc.StatusCode.OK, tokens):
            raise RuntimeError(f"{code} after {got} of {tokens} tokens of {adapter or 'the base'}: {call.details()}")
        return "finished"

    @staticmethod
    def _ask_for_nothing(channel):
        code, _ = live.read(live.generate(channel, 5, adapter="nobody"))
        if code != grpc.StatusCode.NOT_FOUND:
            raise RuntimeError(f"{code} for an adapter that is not there")
        return "refused"

    def _churn(self, _channel, draw):
        """An adapter of its own comes, answers and goes."""
        name = f"churn-{draw.randrange(4)}"
        self._lamella("adapters", "upload", str(self._folder / "adapter"), "--id", name, "--alias", "live")
        self._lamella("generate", "ab", "--adapter", name, "--max-tokens", "5", "--ignore-eos")
        self._lamella("adapters", "delete", name, "--force")
        self._stop.wait(2)
        return "churned"

    def _lamella(self, *arguments):
        done = subprocess.run([live.BIN / "lamella", "--server", self._server.address, "--admin", self._server.admin, *arguments],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{arguments[:2]}: {done.stderr.strip()}")

    def _scrape(self, _channel, _draw):
        self._server.metrics()
        self._stop.wait(5)
        return "scraped"


def slope(samples):
    """(slope, half a 95% interval) of bytes a second by least squares, over the least of each of BUCKETS spans: what is
    there even when nothing is on the way. The residuals of spans are taken as independent."""
    begin, end = samples[0][0], samples[-1][0]
    width = (end - begin) / BUCKETS
    points = []
    for i in range(BUCKETS):
        inside = [b for t, b in samples if begin + i * width <= t <= begin + (i + 1) * width]
        if inside:
            points.append((begin + (i + 0.5) * width, min(inside)))
    n = len(points)  # spans without a sample have no point
    if n < 3:
        return 0.0, math.inf
    mean_t, mean_b = sum(t for t, _ in points) / n, sum(b for _, b in points) / n
    spread = sum((t - mean_t) ** 2 for t, _ in points)
    rise = sum((t - mean_t) * (b - mean_b) for t, b in points) / spread
    rest = sum((b - mean_b - rise * (t - mean_t)) ** 2 for t, b in points)
    return rise, STUDENT[n - 3] * math.sqrt(rest / (n - 2) / spread)


def prepare(server, folder):
    """The adapters that callers ask for, and a folder with the one that comes and goes."""
    live.make_adapters(server, folder, ADAPTERS)
    subprocess.run([live.BIN / "lamella", "--admin", server.admin, "adapters", "download", "load-0", "live", str(folder / "adapter")],
                   check=True, capture_output=True)
    config = json.loads((folder / "adapter/adapter_config.json").read_text())
    config["lora_alpha"] = 2 * config["lora_alpha"]  # content of its own
    (folder / "adapter/adapter_config.json").write_text(json.dumps(config))


def fill_what_is_kept(server, changes):
    """An alias is set so often that what the server keeps of late changes, on purpose and up to a bound, is full."""
    request = protocol.Protocol(live.ROOT / "proto/golden/lamella.desc").message("lamella.v1.SetAliasRequest")
    version = live.live_version(server, "load-0")
    body = request(name="tenants/default/adapters/load-0", alias="again", version=version).SerializeToString()
    with grpc.insecure_channel(server.admin) as channel:
        set_alias = channel.unary_unary("/lamella.v1.AdapterAdminService/SetAlias")
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: set_alias(body, timeout=60), range(changes)))


def soak(minutes):
    """One row each for memory, descriptors and answers."""
    figure = f"soak of {minutes:g} minutes: {CALLERS} callers, churn, cancels"
    # Room for all adapters that can be in use at one time, and not for all there are: loads and evictions. Few blocks of keys
    # and values, so that the prefix index is full soon.
    with live.served("--adapter-cache-bytes=384KiB", "--kv-cache-bytes=8MiB") as (server, folder):
        prepare(server, folder)
        fill_what_is_kept(server, CHANGES if minutes >= LEAST_MINUTES else 100)
        callers = Callers(server, folder)
        begin, samples, files = time.monotonic(), [], []
        while time.monotonic() - begin < 60 * minutes and server.process.poll() is None:
            time.sleep(min(1, minutes / 4))
            # The first third fills caches and pools.
            if time.monotonic() - begin > 20 * minutes and server.process.poll() is None:
                samples.append((time.monotonic(), processes.rss_bytes(server.pid)))
                files.append(processes.open_files(server.pid))
        callers.stop()
        if server.process.poll() is not None:
            died = f"the server ended with {server.process.returncode} after {time.monotonic() - begin:.0f} s: {server.output()[-600:].strip()}"
            return [Row.judge(figure, "the server stays up", died, False)]
        evictions = server.metric("lamella_adapter_evictions_total")
        integrity = server.metric("lamella_integrity_failures_total")
    rise, half = (3600 * value / MEGABYTE for value in slope(samples))
    told = ", ".join(f"{count:,} {what}" for what, count in sorted(callers.ended.items()) if what in ("finished", "cancelled", "refused", "churned"))
    memory = f"{rise:+.2f} MB/h, 95% interval {rise - half:+.2f} to {rise + half:+.2f}, of {samples[-1][1] / MEGABYTE:.0f} MB"
    verdict = report.PASS if rise + half < 1 else report.FAIL if rise - half > 1 else report.INCONCLUSIVE
    if verdict == report.FAIL and minutes < SETTLED_MINUTES and rise - half < SETTLING:
        verdict = report.INCONCLUSIVE
    if verdict == report.INCONCLUSIVE:
        memory += "; too short to tell"
    third = len(files) // 3
    first, last = max(files[:third]), max(files[-third:])
    errors = len(callers.errors)
    if minutes < LEAST_MINUTES:
        verdict, memory = report.NOT_RUN, f"takes {LEAST_MINUTES} minutes at least; here {memory}"
    late = all("timed out" in error or "DEADLINE" in error for error in callers.errors)
    return [Row(f"{figure}: slope of resident memory after the first third", "< 1 MB/h", memory, verdict),
            Row.judge(f"{figure}: file descriptors", "flat", f"at most {first} in the first third of it, {last} in the last", last <= first + 2),
            (report.judge_time if late else Row.judge)(
                f"{figure}: answers that a call did not deserve", "0",
                f"{errors}; {told}, {evictions:,.0f} evictions, {integrity:.0f} integrity failures"
                + (f"; first: {callers.errors[0]}" if errors else ""), errors == 0 and integrity == 0 and evictions > 0)]
