"""The Python package against a real server: python3 python_client_test.py SERVER_BINARY ADAPTERS_DIR."""
import asyncio
import os
import signal
import subprocess
import sys
import threading
import unittest

from lamella import AsyncClient, Client, LamellaError

SERVER, ADAPTERS = sys.argv[1:3]
CACHE = os.environ.get("LAMELLA_CACHE") or os.path.expanduser("~/.cache/lamella")
BASE = os.environ.get("LAMELLA_TEST_SMOLLM2") or f"{CACHE}/models/smollm2-135m-instruct.gguf"


def setUpModule():
    """One server for all."""
    if not os.path.exists(BASE):
        raise unittest.SkipTest(f"missing {BASE} (scripts/setup.sh --model smollm2)")
    cls = PythonClientTest
    cls.server = subprocess.Popen([SERVER, f"--model={BASE}", f"--adapters-dir={ADAPTERS}", "--listen=127.0.0.1:0",
                                   "--metrics-listen="], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in cls.server.stdout:
        if " address=" in line:
            cls.address = line.split(" address=")[1].split()[0]
            cls.client = Client(cls.address, timeout=60)
            cls.reader = threading.Thread(target=lambda: [cls.lines.append(line) for line in cls.server.stdout])
            cls.reader.start()
            return
    raise RuntimeError("the server ended before it was ready")


def tearDownModule():
    PythonClientTest.client.close()
    PythonClientTest.server.send_signal(signal.SIGTERM)
    PythonClientTest.server.wait(timeout=30)
    PythonClientTest.reader.join()
    PythonClientTest.server.stdout.close()


class PythonClientTest(unittest.TestCase):
    lines = []  # of the server's log, as they come

    def test_stream_is_the_whole_answer_in_pieces(self):
        prompt = "The capital of France is"
        whole = self.client.complete(prompt, max_tokens=5)
        self.assertEqual(whole.finish_reason, "length")
        self.assertEqual(len(whole.token_ids), 5)
        self.assertEqual("".join(self.client.generate(prompt, max_tokens=5)), whole.text)

    def test_adapter_changes_the_answer_and_is_named(self):
        prompt = "English: Mexican Sign Language\nGerman:"
        base = self.client.complete(prompt, max_tokens=8)
        adapted = self.client.complete(prompt, adapter="smollm2-german", max_tokens=8)
        self.assertNotEqual(base.text, adapted.text)
        self.assertEqual(base.adapter_version, "")
        versions = {a.adapter_id: a.version for a in self.client.adapters()}
        self.assertEqual(adapted.adapter_version, versions["smollm2-german"])

    def test_errors_carry_code_reason_and_field(self):
        with self.assertRaises(LamellaError) as caught:
            self.client.complete("x", max_tokens=0)
        self.assertEqual((caught.exception.code.name, caught.exception.reason, caught.exception.field),
                         ("INVALID_ARGUMENT", "OUT_OF_RANGE", "stop.max_tokens"))
        with self.assertRaises(LamellaError) as caught:
            list(self.client.generate("x", adapter="nobody"))
        self.assertEqual(caught.exception.reason, "ADAPTER_NOT_FOUND")

    def test_model_and_tokens(self):
        self.assertEqual(self.client.model().architecture, "LlamaForCausalLM")
        self.assertEqual(self.client.tokenize("The capital of France is"), [504, 3575, 282, 4649, 314])

    def test_logprobs_are_those_of_the_greedy_choice(self):
        answer = self.client.complete("The capital of France is", max_tokens=3, logprobs=2, prompt_logprobs=0)
        self.assertEqual([told.token.token_id for told in answer.logprobs], answer.token_ids)
        for told in answer.logprobs:
            self.assertEqual(told.top[0], told.token)  # greedy takes the likeliest
            self.assertEqual(len(told.top), 2)
            self.assertGreaterEqual(told.top[0].logprob, told.top[1].logprob)
        self.assertEqual([told.token.token_id for told in answer.prompt_logprobs], [3575, 282, 4649, 314])

    def test_bias_and_bans_change_what_is_chosen(self):
        prompt = "The capital of France is"
        plain = self.client.complete(prompt, max_tokens=2)
        other = self.client.complete(prompt, max_tokens=2, logit_bias={plain.token_ids[0]: -100})
        self.assertNotEqual(other.token_ids[0], plain.token_ids[0])
        held = self.client.complete(prompt, max_tokens=2, min_tokens=2, stop_token_ids=[plain.token_ids[0]])
        self.assertEqual(len(held.token_ids), 2)
        self.assertNotIn(plain.token_ids[0], held.token_ids)

    def test_unknown_options_are_refused_here(self):
        with self.assertRaises(TypeError):
            self.client.complete("x", max_token=1)
        with self.assertRaises(TypeError):
            self.client.complete("x", priority="urgent")
        with self.assertRaises(TypeError):
            list(self.client.generate("x", n=2))


class AsyncClientTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.client = AsyncClient(PythonClientTest.address, timeout=60)
        self.addAsyncCleanup(self.client.close)

    async def test_answers_are_those_of_the_synchronous_client(self):
        prompt = "The capital of France is"
        whole = await self.client.complete(prompt, max_tokens=5)
        self.assertEqual(whole, PythonClientTest.client.complete(prompt, max_tokens=5, seed=whole.seed))
        pieces = [piece async for piece in self.client.generate(prompt, max_tokens=5)]
        self.assertEqual("".join(pieces), whole.text)
        self.assertEqual(await self.client.model(), PythonClientTest.client.model())
        self.assertEqual([a async for a in self.client.adapters()], list(PythonClientTest.client.adapters()))
        self.assertEqual(await self.client.tokenize(prompt), [504, 3575, 282, 4649, 314])

    async def test_many_requests_run_at_one_time(self):
        prompts = [f"The number {i} is" for i in range(8)]
        answers = await asyncio.gather(*(self.client.complete(p, max_tokens=4, adapter="smollm2-german")
                                         for p in prompts))
        alone = [await self.client.complete(p, max_tokens=4, adapter="smollm2-german") for p in prompts]
        self.assertEqual([a.text for a in answers], [a.text for a in alone])

    async def test_leaving_a_stream_cancels_it(self):
        stream = self.client.generate("Once upon a time", max_tokens=4000, ignore_eos=True, request_id="left")
        async for _ in stream:
            break
        await stream.aclose()
        while not any("request_id=left" in line and "reason=cancelled" in line for line in PythonClientTest.lines):
            await asyncio.sleep(0.05)

    async def test_errors_carry_code_reason_and_field(self):
        with self.assertRaises(LamellaError) as caught:
            await self.client.complete("x", max_tokens=0)
        self.assertEqual((caught.exception.code.name, caught.exception.reason, caught.exception.field),
                         ("INVALID_ARGUMENT", "OUT_OF_RANGE", "stop.max_tokens"))
        with self.assertRaises(LamellaError) as caught:
            async for _ in self.client.generate("x", adapter="nobody"):
                pass
        self.assertEqual(caught.exception.reason, "ADAPTER_NOT_FOUND")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
