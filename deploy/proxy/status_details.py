#!/usr/bin/env python3
"""Prints the `grpc-status-details-bin` values that the proxy profiles send with their own refusals.

usage: PYTHONPATH=client/python python3 deploy/proxy/status_details.py

A proxy that refuses a call speaks as the server does: ErrorInfo with a stable reason, RetryInfo where waiting
helps. The values are constants, so the profiles hold them as text; scripts/check_deploy.sh compares both.
"""
import base64

from lamella.rpc.v1 import error_details_pb2 as rpc

# reason: gRPC code, message, seconds after which a retry can succeed (None: never)
REFUSALS = {
    "EDGE_RATE_LIMIT": (8, "edge: too many requests of this caller", 1),
    "EDGE_UNAVAILABLE": (14, "edge: no server is ready", 1),
    "METADATA_TOO_LARGE": (3, "edge: more than 64 entries or 8 KiB of metadata", None),
}


def encoded(reason: str) -> str:
    """base64 without padding, as gRPC writes binary headers."""
    code, message, seconds = REFUSALS[reason]
    status = rpc.Status(code=code, message=message)
    details = [rpc.ErrorInfo(reason=reason, domain="lamella")]
    if seconds is not None:
        retry = rpc.RetryInfo()
        retry.retry_delay.seconds = seconds
        details.append(retry)
    for detail in details:
        status.details.add(type_url="type.googleapis.com/google.rpc." + type(detail).DESCRIPTOR.name,
                           value=detail.SerializeToString(deterministic=True))
    return base64.b64encode(status.SerializeToString(deterministic=True)).decode().rstrip("=")


if __name__ == "__main__":
    for name in REFUSALS:
        print(name, encoded(name))
