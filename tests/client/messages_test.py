"""What the Python clients make of a server's messages. Needs no server."""
import unittest

from lamella import messages
from lamella.v1 import generation_pb2 as pb


class MessagesTest(unittest.TestCase):
    def test_an_answer_says_what_ended_it(self):
        finished = pb.Finished()
        finished.choices.add(index=0, finish_reason=pb.FINISH_REASON_STOP_STRING, stop_string="\n")
        finished.choices.add(index=1, finish_reason=pb.FINISH_REASON_STOP_TOKEN, stop_token_id=0)
        finished.choices.add(index=2, finish_reason=pb.FINISH_REASON_LENGTH)
        answer = messages.answer(finished)
        self.assertEqual((answer.finish_reason, answer.stop_string, answer.stop_token_id), ("stop_string", "\n", None))
        ends = [(c.finish_reason, c.stop_string, c.stop_token_id) for c in answer.more_choices]
        self.assertEqual(ends, [("stop_token", "", 0), ("length", "", None)])

    def test_a_model_has_what_the_server_told(self):
        info = pb.GetModelInfoResponse(model="tiny", server_version="1.2.3", eos_token_ids=[7], features=["n"])
        info.limits.max_n = 16
        info.caller_limits.weight = 2.5
        info.caller_limits.tokens_per_minute = 9000
        model = messages.model(info)
        self.assertEqual((model.name, model.server_version, model.eos_token_ids, model.features),
                         ("tiny", "1.2.3", [7], ["n"]))
        self.assertEqual((model.limits.max_n, model.limits.max_texts), (16, 0))
        self.assertEqual((model.caller_limits.weight, model.caller_limits.tokens_per_minute), (2.5, 9000))


if __name__ == "__main__":
    unittest.main()
