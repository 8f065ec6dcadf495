"""Between the clients' values and protobuf messages, and how a channel is opened. Pure but for the channel's files."""
from __future__ import annotations

import dataclasses
import json
from typing import List, Optional, Sequence, Tuple, Union

import grpc

from lamella.v1 import generation_pb2 as pb
from lamella.values import Adapter, Answer, CallerLimits, Choice, Limits, Model, TokenLogprob, TokenLogprobs

Prompt = Union[str, Sequence[int]]

# A call is sent again only where nothing of it can have been done: UNAVAILABLE before any message came back.
_SERVICE_CONFIG = {"methodConfig": [{"name": [{"service": "lamella.v1.GenerationService"}],
                                     "retryPolicy": {"maxAttempts": 3, "initialBackoff": "0.2s", "maxBackoff": "2s",
                                                     "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}}]}
CHANNEL_OPTIONS: List[Tuple[str, object]] = [("grpc.max_receive_message_length", 64 << 20),
                                             ("grpc.service_config", json.dumps(_SERVICE_CONFIG))]


def tls_credentials(ca: Optional[str], cert: Optional[str], cert_key: Optional[str]
                    ) -> Optional[grpc.ChannelCredentials]:
    """None without files. ca: PEM file of who may vouch for the server (default: the system's authorities); cert and
    cert_key: PEM files of what the client shows."""
    if ca is None and cert is None and cert_key is None:
        return None
    if (cert is None) != (cert_key is None):
        raise TypeError("cert and cert_key go together")
    return grpc.ssl_channel_credentials(*(None if path is None else _read(path) for path in (ca, cert_key, cert)))


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def call_metadata(key: Optional[str]) -> Optional[Sequence[Tuple[str, str]]]:
    """What says who calls."""
    return None if key is None else (("authorization", f"Bearer {key}"),)


def short(enum, value: int, prefix: str) -> str:
    return enum.Name(value)[len(prefix):].lower()


def logprobs(tokens) -> List[TokenLogprobs]:
    return [TokenLogprobs(TokenLogprob(t.token_id, t.logprob), [TokenLogprob(a.token_id, a.logprob) for a in t.top])
            for t in tokens]


def same_fields(kind, message):
    """A dataclass whose fields have the names of the message's."""
    return kind(**{field.name: getattr(message, field.name) for field in dataclasses.fields(kind)})


def choice(c: pb.Choice) -> Choice:
    return Choice(c.text, list(c.token_ids), short(pb.FinishReason, c.finish_reason, "FINISH_REASON_"),
                  logprobs(c.logprobs), c.stop_string,
                  c.stop_token_id if c.WhichOneof("matched") == "stop_token_id" else None)


_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty",
             "seed", "n")
_STOP = ("max_tokens", "min_tokens", "ignore_eos", "include_stop")
_OUTPUT = ("logprobs", "prompt_logprobs")
_TOP = ("parse_special_tokens", "request_id", "cache_salt")
_PRIORITIES = {"low": pb.PRIORITY_LOW, "normal": pb.PRIORITY_NORMAL, "high": pb.PRIORITY_HIGH}


def request(prompt: Prompt, adapter: str, options: dict) -> pb.GenerateRequest:
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


def whole_request(prompt: Prompt, adapter: str, options: dict) -> pb.GenerateRequest:
    """A request for one message with the whole answer."""
    whole = request(prompt, adapter, options)
    whole.output.final_only = True
    whole.output.token_ids = True
    return whole


def stream_request(prompt: Prompt, adapter: str, options: dict) -> pb.GenerateRequest:
    """A request for the text of one choice, piece by piece."""
    if options.get("n", 1) != 1:
        raise TypeError("generate() yields the text of one choice; complete() takes n")
    return request(prompt, adapter, options)


def answer(finished: pb.Finished) -> Answer:
    first, *more = [choice(c) for c in finished.choices]
    return Answer(**vars(first), more_choices=more, prompt_logprobs=logprobs(finished.started.prompt_logprobs),
                  adapter=finished.started.adapter, adapter_version=finished.started.adapter_version,
                  seed=finished.started.seed, prompt_tokens=finished.usage.prompt_tokens,
                  cached_tokens=finished.usage.cached_tokens, generated_tokens=finished.usage.generated_tokens)


def model(info: pb.GetModelInfoResponse) -> Model:
    return Model(info.model, info.architecture, info.fingerprint, info.context_tokens, info.vocab_size, info.dtype,
                 info.isa, list(info.eos_token_ids), info.server_version, list(info.features),
                 same_fields(Limits, info.limits), same_fields(CallerLimits, info.caller_limits))


def adapter_of(a: pb.UsableAdapter) -> Adapter:
    return Adapter(a.adapter_id, a.alias, a.version, short(pb.Residency, a.residency, "RESIDENCY_"), a.max_rank)
