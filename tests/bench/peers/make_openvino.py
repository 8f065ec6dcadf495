#!/usr/bin/env python3
"""Writes the base that make_models.py made in OpenVINO's own format, for bench_openvino.py.

usage: make_openvino.py MODELS_DIR

Run with the Python of the peer openvino. MODELS_DIR/base becomes MODELS_DIR/openvino, weights in float16 as the exporter has
no bfloat16; OpenVINO computes in bfloat16. What is there stays.
"""
import json
import os
import subprocess
import sys
import tempfile


def main():
    models = os.path.abspath(sys.argv[1])
    target = f"{models}/openvino"
    if os.path.exists(f"{target}/openvino_model.bin"):
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in os.listdir(f"{models}/base"):
            os.symlink(f"{models}/base/{name}", f"{folder}/{name}")
        with open(f"{folder}/tokenizer_config.json", "w", encoding="utf-8") as file:
            json.dump({"tokenizer_class": "PreTrainedTokenizerFast"}, file)
        exporter = os.path.join(os.path.dirname(sys.executable), "optimum-cli")
        subprocess.run([exporter, "export", "openvino", "-m", folder, "--task", "text-generation-with-past",
                        "--weight-format", "fp16", target], check=True)


main()
