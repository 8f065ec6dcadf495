"""What the clients give: errors, answers, adapters. Values."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import List, Optional

import grpc

from lamella.rpc.v1 import error_details_pb2


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
    stop_string: str = ""  # what matched, with "stop_string"
    stop_token_id: Optional[int] = None  # and with "stop_token"


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
class Limits:
    """Of one request; max_texts of one call that tokenizes."""

    max_prompt_bytes: int
    max_stop_strings: int
    max_stop_string_bytes: int
    max_stop_token_ids: int
    max_texts: int
    max_n: int
    max_logit_bias: int
    max_logprobs: int
    max_prompt_logprobs: int
    max_cache_salt_bytes: int


@dataclass(frozen=True)
class CallerLimits:
    """Of all requests of the caller's tenant together, and what they have now. 0: no limit of its own."""

    weight: float
    max_in_flight: int
    max_queued_tokens: int
    tokens_per_minute: int
    in_flight: int
    queued_tokens: int


@dataclass(frozen=True)
class Model:
    """The base model that is served. features: what the server can do beyond the first version, by name."""

    name: str
    architecture: str
    fingerprint: str
    context_tokens: int
    vocab_size: int
    dtype: str
    isa: str
    eos_token_ids: List[int]
    server_version: str
    features: List[str]
    limits: Limits
    caller_limits: CallerLimits
