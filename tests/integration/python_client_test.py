"""The Python package against a real server: python3 python_client_test.py SERVER_BINARY ADAPTERS_DIR."""
import os
import signal
import subprocess
import sys
import unittest

from lamella import Client, LamellaError

SERVER, ADAPTERS = sys.argv[1:3]
CACHE = os.environ.get("LAMELLA_CACHE") or os.path.expanduser("~/.cache/lamella")
BASE = os.environ.get("LAMELLA_TEST_SMOLLM2") or f"{CACHE}/models/smollm2-135m-instruct.gguf"


class PythonClientTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not os.path.exists(BASE):
            raise unittest.SkipTest(f"missing {BASE} (scripts/setup.sh --model smollm2)")
        cls.server = subprocess.Popen([SERVER, f"--model={BASE}", f"--adapters-dir={ADAPTERS}", "--listen=127.0.0.1:0",
                                       "--metrics-listen="], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in cls.server.stdout:
            if " address=" in line:
                cls.client = Client(line.split(" address=")[1].split()[0], timeout=60)
                return
        raise RuntimeError("the server ended before it was ready")

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.send_signal(signal.SIGTERM)
        cls.server.communicate(timeout=30)

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

    def test_bias_changes_what_is_chosen(self):
        prompt = "The capital of France is"
        plain = self.client.complete(prompt, max_tokens=2)
        other = self.client.complete(prompt, max_tokens=2, logit_bias={plain.token_ids[0]: -100})
        self.assertNotEqual(other.token_ids[0], plain.token_ids[0])

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


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
