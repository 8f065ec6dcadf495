#!/usr/bin/env python3
"""Fails when a room includes what it must not know.

usage: scripts/check_layers.py [--print]

A room is a folder; ROOMS names, for each, the rooms it may include from (itself always) and the
third-party headers that are kept to it. The table is docs/architecture.md's, in the form a machine
can check.
"""
import re
import subprocess
import sys

# room: rooms it may include from
ROOMS = {
    "common/base": [],
    "common/formats": ["common/base"],
    "adapters_store": ["common/base", "common/formats"],
    "server/core": ["common/base"],
    "server/kernels": [],
    "server/kernels_torch": ["server/kernels"],
    "server/sampling": ["server/core"],
    "server/telemetry": ["common/base", "server/core"],
    "server/tokenizer": ["common/base", "common/formats"],
    "server/cache": ["common/base", "server/core"],
    "server/lora": ["common/base", "common/formats", "adapters_store", "server/core", "server/cache",
                    "server/kernels", "server/telemetry"],
    "server/model": ["common/base", "common/formats", "server/core", "server/kernels", "server/kernels_torch",
                     "server/sampling", "server/lora"],
    "server/engine": ["common/base", "server/core", "server/cache", "server/tokenizer", "server/telemetry"],
    "server/config": ["common/base", "server/kernels"],
    "server/api": ["common/base", "common/formats", "server/core", "server/engine", "server/telemetry",
                   "server/tokenizer", "adapters_store", "proto"],
    "server/tracing": ["server/core", "server/telemetry", "proto"],
    "proto": [],
    "client": ["common/base", "proto"],
    # Offline commands work on a store's folder, or compute what adapters take, without a server.
    "client/cli": ["client", "common/base", "common/formats", "adapters_store", "server/lora", "server/kernels"],
}
# The composition root joins everything; tests may look anywhere.
FREE = ("server/server.h", "server/server.cc", "server/main.cc", "server/adapter_rooms.h", "server/adapter_rooms.cc",
        "server/record_keepers.h", "server/record_keepers.cc", "server/executor_options.h", "server/executor_options.cc",
        "server/store_upkeep.h", "server/store_upkeep.cc", "server/tenant_standings.h", "server/tenant_standings.cc")

# header prefix: rooms that may include it
OUTSIDE = {
    "ATen/": ["server/model", "server/kernels_torch"],
    "c10/": ["server/model", "server/kernels_torch"],
    "torch/": [],
    "grpcpp/": ["server/api", "server/tracing", "client"],
    "google/protobuf/": ["server/api", "client"],
    "lamella/v1/": ["server/api", "client"],
    "lamella/otlp/": ["server/tracing"],
    "lamella/rpc/": ["server/api", "client"],
    "grpc/": ["server/api", "client"],
    "sqlite3.h": ["adapters_store"],
    "prometheus/": ["server/telemetry"],
    "nlohmann/": ["common/formats", "server/tokenizer", "client", "client/cli"],
    "spdlog/": ["common/base"],
    "pcre2.h": ["server/tokenizer"],
    "utf8proc.h": ["server/tokenizer"],
    "re2/": ["common/formats"],
    "CLI/": ["client", "client/cli"],
    "openssl/": ["common/formats"],
}
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)
ROOM_NAMES = sorted(ROOMS, key=len, reverse=True)


def room_of(path):
    return next((room for room in ROOM_NAMES if path.startswith(room + "/")), None)


def check(path):
    room = room_of(path)
    if room is None or path in FREE:
        return []
    with open(path, encoding="utf-8") as f:
        includes = INCLUDE.findall(f.read())
    faults = []
    for include in includes:
        target = room_of(include)
        if target is not None and target != room and target not in ROOMS[room]:
            faults.append(f"{path}: {room} must not include from {target}: {include}")
        for prefix, allowed in OUTSIDE.items():
            if include.startswith(prefix) and room not in allowed:
                faults.append(f"{path}: {prefix} is not for {room}: {include}")
    return faults


def main():
    files = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.h", "*.cc"],
                           check=True, capture_output=True, text=True).stdout.split()
    files = [f for f in files if not f.startswith("tests/")]
    if "--print" in sys.argv:
        for room, below in ROOMS.items():
            print(f"{room:22} -> {', '.join(below) or '-'}")
        return 0
    faults = [fault for path in files for fault in check(path)]
    unplaced = [f for f in files if room_of(f) is None and f not in FREE]
    faults += [f"{path}: is in no room" for path in unplaced]
    print("\n".join(faults) if faults else f"layers: {len(files)} files, no arrow points the wrong way")
    return 1 if faults else 0


sys.exit(main())
