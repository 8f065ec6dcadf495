"""The synchronous client. Thread-safe: one Client serves any number of threads."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Iterator, List, Optional, Sequence, Union

import grpc

from lamella.rpc.v1 import error_details_pb2
from lamella.v1 import generation_pb2 as pb
from lamella.v1 import generation_pb2_grpc

Prompt = Union[str, Sequence[int]]


class LamellaError(Exception):
    """A call that the server refused or failed.

    code: the gRPC status code. reason: stable and UPPER_SNAKE, or "". field: what the caller sent that
    is at fault, or "". retry_after: seconds after which a retry can succeed, or None.
    """

    def __init__(self, error: grpc.RpcError):
        self.code: grpc.StatusCode = error.code()
        self.message: str = error.details() or ""
        self.reason = ""
        self.field = ""
        self.retry_after: Optional[float] = None
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                self._read_details(value)
        super().__init__(f"{self.code.name}: {self.message}" + (f" ({self.reason})" if self.reason else ""))

    def _read_details(self, value: bytes) -> None:
        for detail in error_details_pb2.Status.FromString(value).details:
            name = detail.type_url.rpartition(".")[2]
            if name == "ErrorInfo":
                self.reason = error_details_pb2.ErrorInfo.FromString(detail.value).reason
            elif name == "BadRequest":
                violations = error_details_pb2.BadRequest.FromString(detail.value).field_violations
                self.field = violations[0].field if violations else ""
            elif name == "RetryInfo":
                delay = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay
                self.retry_after = delay.seconds + delay.nanos / 1e9


@dataclass(frozen=True)
class TokenLogprob:
    """A token and the natural logarithm of its probability, of the model's own distribution."""

    token_id: int
    logprob: float


@dataclass(frozen=True)
class TokenLogprobs:
    """A token of a text, and the likeliest tokens in its place, likeliest first."""

    token: TokenLogprob
    top: List[TokenLogprob]


@dataclass
class Choice:
    """One answer to a prompt. logprobs are those of token_ids, if asked for."""

    text: str = ""
    token_ids: List[int] = field(default_factory=list)
    finish_reason: str = ""  # "stop_token", "stop_string" or "length"
    logprobs: List[TokenLogprobs] = field(default_factory=list)


@dataclass
class Answer(Choice):
    """The first choice, and what is true of all. adapter_version is 64 hex digits, or "" for the base model.

    more_choices: the second choice and later ones, with n > 1. prompt_logprobs: of the second token of the
    prompt and later ones, if asked for.
    """

    more_choices: List[Choice] = field(default_factory=list)
    prompt_logprobs: List[TokenLogprobs] = field(default_factory=list)
    adapter: str = ""
    adapter_version: str = ""
    seed: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0


@dataclass(frozen=True)
class Adapter:
    """An adapter that the caller may use. residency is "disk", "host" or "device"."""

    adapter_id: str
    alias: str
    version: str
    residency: str
    max_rank: int


@dataclass(frozen=True)
class Model:
    """The base model that is served."""

    name: str
    architecture: str
    fingerprint: str
    context_tokens: int
    vocab_size: int
    dtype: str
    isa: str


class Client:
    """One connection to a server. Close it, or use it in a `with` block.

    timeout: seconds for each call; None waits for ever.
    """

    def __init__(self, server: str = "127.0.0.1:50051", timeout: Optional[float] = None):
        self._channel = grpc.insecure_channel(server, options=[("grpc.max_receive_message_length", 64 << 20)])
        self._stub = generation_pb2_grpc.GenerationServiceStub(self._channel)
        self._timeout = timeout

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
        if options.get("n", 1) != 1:
            raise TypeError("generate() yields the text of one choice; complete() takes n")
        call = self._stub.Generate(_request(prompt, adapter, options), timeout=self._timeout)
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
        request = _request(prompt, adapter, options)
        request.output.final_only = True
        request.output.token_ids = True
        finished = None
        try:
            for response in self._stub.Generate(request, timeout=self._timeout):
                finished = response.finished
        except grpc.RpcError as error:
            raise LamellaError(error) from None
        assert finished is not None
        first, *more = [_choice(choice) for choice in finished.choices]
        return Answer(**vars(first), more_choices=more, prompt_logprobs=_logprobs(finished.started.prompt_logprobs),
                      adapter=finished.started.adapter, adapter_version=finished.started.adapter_version,
                      seed=finished.started.seed, prompt_tokens=finished.usage.prompt_tokens,
                      cached_tokens=finished.usage.cached_tokens, generated_tokens=finished.usage.generated_tokens)

    def model(self) -> Model:
        """The base model that is served. Raises LamellaError."""
        info = self._call(self._stub.GetModelInfo, pb.GetModelInfoRequest())
        return Model(info.model, info.architecture, info.fingerprint, info.context_tokens, info.vocab_size,
                     info.dtype, info.isa)

    def adapters(self) -> Iterator[Adapter]:
        """The adapters that the caller may use, by name. Raises LamellaError."""
        request = pb.ListUsableAdaptersRequest(page_size=1000)
        while True:
            page = self._call(self._stub.ListUsableAdapters, request)
            for a in page.adapters:
                yield Adapter(a.adapter_id, a.alias, a.version, _short(pb.Residency, a.residency, "RESIDENCY_"),
                              a.max_rank)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def tokenize(self, text: str, *, parse_special_tokens: bool = False) -> List[int]:
        """Token ids, as generate reads the text. Raises LamellaError."""
        request = pb.TokenizeRequest(texts=[text], parse_special_tokens=parse_special_tokens)
        return list(self._call(self._stub.Tokenize, request).texts[0].ids)

    def _call(self, method, request):
        try:
            return method(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise LamellaError(error) from None


def _short(enum, value: int, prefix: str) -> str:
    return enum.Name(value)[len(prefix):].lower()


def _logprobs(tokens) -> List[TokenLogprobs]:
    return [TokenLogprobs(TokenLogprob(t.token_id, t.logprob), [TokenLogprob(a.token_id, a.logprob) for a in t.top])
            for t in tokens]


def _choice(choice: pb.Choice) -> Choice:
    return Choice(choice.text, list(choice.token_ids), _short(pb.FinishReason, choice.finish_reason, "FINISH_REASON_"),
                  _logprobs(choice.logprobs))


_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty",
             "seed", "n")
_STOP = ("max_tokens", "min_tokens", "ignore_eos", "include_stop")
_OUTPUT = ("logprobs", "prompt_logprobs")
_TOP = ("parse_special_tokens", "request_id", "cache_salt")
_PRIORITIES = {"low": pb.PRIORITY_LOW, "normal": pb.PRIORITY_NORMAL, "high": pb.PRIORITY_HIGH}


def _request(prompt: Prompt, adapter: str, options: dict) -> pb.GenerateRequest:
    request = pb.GenerateRequest(adapter_id=adapter)
    if isinstance(prompt, str):
        request.text = prompt
    else:
        request.token_ids.ids.extend(prompt)
    for name, value in options.items():
        if name in _SAMPLING:
            setattr(request.sampling, name, value)
        elif name in _TOP:
            setattr(request, name, value)
        elif name in _STOP:
            setattr(request.stop, name, value)
        elif name in _OUTPUT:
            setattr(request.output, name, value)
        elif name == "priority":
            if value not in _PRIORITIES:
                raise TypeError(f"priority is one of {', '.join(_PRIORITIES)}")
            request.priority = _PRIORITIES[value]
        elif name == "logit_bias":
            for token_id, bias in value.items():
                request.sampling.logit_bias.add(token_id=token_id, bias=bias)
        elif name == "stop":
            if isinstance(value, str):
                raise TypeError("stop is a list of strings, not one string")
            request.stop.strings.extend(value)
        elif name == "stop_token_ids":
            request.stop.token_ids.extend(value)
        else:
            raise TypeError(f"generate() got an unexpected keyword argument '{name}'")
    return request
