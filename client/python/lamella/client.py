"""The synchronous client. Thread-safe: one Client serves any number of threads."""
from __future__ import annotations

from typing import Iterator, List, Optional

import grpc

from lamella import messages
from lamella.messages import Prompt
from lamella.v1 import generation_pb2 as pb
from lamella.v1 import generation_pb2_grpc
from lamella.values import Adapter, Answer, LamellaError, Model


class Client:
    """One connection to a server. Close it, or use it in a `with` block.

    timeout: seconds for each call; None waits for ever. key: of a credential. ca: PEM file with the authority that
    signed the server's certificate (default: the system's); cert, cert_key: PEM files with what the client shows; without
    any of them there is no TLS. Calls that found no server are tried three times.
    """

    def __init__(self, server: str = "127.0.0.1:50051", timeout: Optional[float] = None, *, key: Optional[str] = None,
                 ca: Optional[str] = None, cert: Optional[str] = None, cert_key: Optional[str] = None):
        options = messages.CHANNEL_OPTIONS
        tls = messages.tls_credentials(ca, cert, cert_key)
        self._channel = (grpc.insecure_channel(server, options) if tls is None else
                         grpc.secure_channel(server, tls, options))
        self._stub = generation_pb2_grpc.GenerationServiceStub(self._channel)
        self._call_options = {"timeout": timeout, "metadata": messages.call_metadata(key)}

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()

    def generate(self, prompt: Prompt, *, adapter: str = "", **options: object) -> Iterator[str]:
        """Yields the answer's text piece by piece. Leaving the loop early cancels the request.

        prompt: text, or token ids. options: max_tokens, min_tokens, temperature, top_k, top_p, min_p,
        repetition_penalty, presence_penalty, frequency_penalty, logit_bias (token id to bias), seed, stop (list of
        strings), stop_token_ids, ignore_eos, include_stop, priority ("low", "normal" or "high"), cache_salt,
        parse_special_tokens, request_id. Raises LamellaError.
        """
        call = self._stub.Generate(messages.stream_request(prompt, adapter, options), **self._call_options)
        try:
            for response in call:
                if response.HasField("delta") and response.delta.text:
                    yield response.delta.text
        except grpc.RpcError as error:
            raise LamellaError(error) from None
        finally:
            call.cancel()

    def complete(self, prompt: Prompt, *, adapter: str = "", **options: object) -> Answer:
        """The whole answer at once. Takes what generate takes, and: n (choices), logprobs and prompt_logprobs
        (alternatives to tell of beside each token; 0 tells of the tokens alone). Raises LamellaError.
        """
        finished = None
        try:
            for response in self._stub.Generate(messages.whole_request(prompt, adapter, options), **self._call_options):
                finished = response.finished
        except grpc.RpcError as error:
            raise LamellaError(error) from None
        assert finished is not None
        return messages.answer(finished)

    def model(self) -> Model:
        """The base model that is served. Raises LamellaError."""
        return messages.model(self._call(self._stub.GetModelInfo, pb.GetModelInfoRequest()))

    def adapters(self) -> Iterator[Adapter]:
        """The adapters that the caller may use, by name. Raises LamellaError."""
        request = pb.ListUsableAdaptersRequest(page_size=1000)
        while True:
            page = self._call(self._stub.ListUsableAdapters, request)
            yield from map(messages.adapter_of, page.adapters)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def tokenize(self, text: str, *, parse_special_tokens: bool = False) -> List[int]:
        """Token ids, as generate reads the text. Raises LamellaError."""
        request = pb.TokenizeRequest(texts=[text], parse_special_tokens=parse_special_tokens)
        return list(self._call(self._stub.Tokenize, request).texts[0].ids)

    def _call(self, method, request):
        try:
            return method(request, **self._call_options)
        except grpc.RpcError as error:
            raise LamellaError(error) from None
