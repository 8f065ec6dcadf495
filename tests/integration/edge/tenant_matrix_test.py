"""Two tenants and every method: what one has, the other cannot tell from what nobody has.

    python3 tenant_matrix_test.py SERVER_BINARY MODEL_WRITER DESCRIPTOR_SET [--json]

Methods come from the descriptors: one that names something and is not tried here fails the test. --json prints the figures.
"""
import hashlib
import json
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import unittest

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import processes  # noqa: E402
import protocol  # noqa: E402

ROLES = ["inference", "adapter-writer"]
# These name nothing that belongs to a tenant.
NAMELESS = {"Tokenize", "Detokenize", "GetModelInfo", "ListUsableAdapters"}
SECRET, ABSENT = "secret", "absent"  # of one length: names travel in messages


def adapter_files():
    """An adapter of rank 4 on one module of the tiny model."""
    config = json.dumps({"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8}).encode()
    prefix = "base_model.model.model.layers.0.self_attn.q_proj."
    tensors = {prefix + "lora_A.weight": [4, 32], prefix + "lora_B.weight": [32, 4]}
    header, data = {}, b""
    for name, shape in tensors.items():
        values = struct.pack("<128f", *[0.01 * (i % 7) for i in range(128)])
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    return config, struct.pack("<Q", len(text)) + text + data


class TenantMatrixTest(unittest.TestCase):
    figures = {"methods": 0, "comparisons": 0, "counters": 0, "observable": 0}

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="lamella-matrix-")
        cls.addClassCleanup(cls.folder.cleanup)
        model, credentials = f"{cls.folder.name}/tiny.gguf", pathlib.Path(cls.folder.name) / "credentials.json"
        subprocess.run([MODEL_WRITER, model], check=True)
        credentials.write_text(processes.credentials(("anna", "ben"), roles=ROLES))
        cls.server = processes.Server(SERVER, model, "--dtype=float32", "--threads=1", "--kv-cache-bytes=16MiB",
                                      f"--credentials={credentials}", f"--adapters-store={cls.folder.name}/store")
        cls.addClassCleanup(cls.server.stop)
        cls.protocol = protocol.Protocol(DESCRIPTORS)
        cls.methods = [method for service in cls.protocol.services for method in cls.protocol.methods(service)]
        cls.channels = {"lamella.v1.GenerationService": grpc.insecure_channel(cls.server.address),
                        "lamella.v1.AdapterAdminService": grpc.insecure_channel(cls.server.admin)}
        for channel in cls.channels.values():
            cls.addClassCleanup(channel.close)
        cls.version = cls.upload()

    @classmethod
    def method(cls, name):
        return next(method for method in cls.methods if method.name == name)

    @classmethod
    def upload(cls):
        method = cls.method("UploadAdapter")
        config, weights = adapter_files()
        header = method.request()
        header.header.adapter = f"tenants/-/adapters/{SECRET}"
        header.header.alias = "live"
        header.header.config_bytes, header.header.weights_bytes = len(config), len(weights)
        parts = [header.SerializeToString(), method.request(config=config).SerializeToString(),
                 method.request(weights=weights).SerializeToString()]
        answer = cls.ask(method, parts, "anna")
        assert answer.code == grpc.StatusCode.OK, answer
        return method.response.FromString(answer.responses[-1]).result.version.name.rpartition("/")[2]

    @classmethod
    def ask(cls, method, requests, key="ben", enough=1 << 30):
        return protocol.call(cls.channels[method.service], method, requests, key, enough=enough)

    def request(self, method, tenant, adapter, version):
        """A request that names these, wherever it can; None if it names nothing."""
        request, named = method.request(), False
        for field in request.DESCRIPTOR.fields:
            full = f"tenants/{tenant}/adapters/{adapter}"
            of_version = "Version" in method.name and method.name != "ListVersions"
            if method.name == "GetTenantUsage":
                request.name = f"tenants/{tenant}"
            elif field.name == "name":
                request.name = f"{full}/versions/{version}" if of_version else full
            elif field.name == "parent":
                request.parent = full if method.name == "ListVersions" else f"tenants/{tenant}"
            elif field.name == "header":
                request.header.adapter = full
                request.header.config_bytes = request.header.weights_bytes = 10
            elif field.name == "adapter_id":
                request.adapter_id, request.text = adapter, "ab"
                request.stop.max_tokens = 1
            elif field.name == "alias":
                request.alias = "live"
                continue
            elif field.name == "version" and method.name == "SetAlias":
                request.version = version
                continue
            else:
                continue
            named = True
        return request.SerializeToString() if named else None

    def told(self, answer, names):
        """An answer with the names that the caller sent taken out, and what differs between any two calls."""
        text, details = answer.message, answer.details
        for name in names:
            # Long names are cut in messages.
            for length in range(len(name), min(len(name), 8) - 1, -1):
                text = text.replace(name[:length], "NAME")
                details = details.replace(name[:length].encode(), b"NAME")
        details = re.sub(rb"request_id\x12\x10[0-9a-f]{16}", b"request_id", details)
        return answer.code, text, details, answer.responses

    def compare(self, method, *candidates):
        """All of (tenant, adapter, version) get one answer, and it is no success that tells of them."""
        answers = []
        for tenant, adapter, version in candidates:
            request = self.request(method, tenant, adapter, version)
            answers.append(self.told(self.ask(method, [request], enough=1), (tenant, adapter, version)))
            self.figures["comparisons"] += 1
            if answers[-1] != answers[0]:
                self.figures["observable"] += 1
            self.assertEqual(answers[-1], answers[0], f"{method.name} {tenant} {adapter}")
        code = answers[0][0]
        self.assertIn(code, (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED), f"{method.name}: {answers[0]}")

    def naming_methods(self):
        return [method for method in self.methods if method.name not in NAMELESS]

    def candidates(self, method):
        """Groups of (tenant, adapter, version), of which nobody but anna may know which are there."""
        other = hashlib.sha256(b"other").hexdigest()
        if method.name == "Generate":
            return [[("anna", form.format(name), self.version) for name in (SECRET, ABSENT)]
                    for form in ("{}", "{}@live", "{}@sha256:" + self.version[:12])]
        groups = [[("anna", SECRET, self.version), ("anna", ABSENT, self.version), ("anna", SECRET, other), ("zoes", SECRET, self.version)]]
        if method.name != "GetTenantUsage" and method.request.DESCRIPTOR.fields_by_name.get("name"):
            groups.append([("-", SECRET, self.version), ("-", ABSENT, self.version), ("ben", SECRET, other)])
        return groups

    def series(self):
        """Each series of /metrics that a call can move, and its value, once nothing moves any more."""
        seen = [None]

        def settled():
            pairs = re.findall(r"^((?:lamella_|vllm:)\S*) (\S+)$", self.server.metrics(), re.MULTILINE)
            # This one's value is the time of the scrape.
            seen.append({name: "" if name.startswith("vllm:lora_requests_info") else value for name, value in pairs})
            return seen[-1] == seen[-2]

        processes.until(settled)
        return seen[-1]

    def moved_by(self, method, candidate):
        """By how much a call changes which series; a new one counts even at 0."""
        before = self.series()
        self.ask(method, [self.request(method, *candidate)], enough=1)
        return {name: float(value or 0) - float(before.get(name) or 0) for name, value in self.series().items() if value != before.get(name)}

    def usage_of_anna(self):
        method = self.method("GetTenantUsage")
        answer = self.ask(method, [self.request(method, "anna", "", "")], "anna")
        usage = method.response.FromString(answer.responses[0])
        usage.ClearField("read_time")
        return usage

    def test_every_method_that_names_something_is_tried(self):
        for method in self.methods:
            request = self.request(method, "anna", SECRET, self.version)
            self.assertEqual(request is None, method.name in NAMELESS, method.path)

    def test_foreign_and_unknown_names_get_one_answer(self):
        for method in self.naming_methods():
            self.figures["methods"] += 1
            for candidates in self.candidates(method):
                self.compare(method, *candidates)

    def test_foreign_and_unknown_names_move_the_same_counters(self):
        before = self.usage_of_anna()
        for method in self.naming_methods():
            for first, *others in self.candidates(method):
                wanted = self.moved_by(method, first)
                for candidate in others:
                    moved = self.moved_by(method, candidate)
                    self.figures["counters"] += 1
                    self.figures["observable"] += moved != wanted
                    self.assertEqual(moved, wanted, f"{method.name} {first} {candidate}")
                if method.name == "Generate":
                    self.assertIn('lamella_requests_rejected_total{reason="adapter_not_found"}', wanted)
        self.assertEqual(self.usage_of_anna(), before)  # what others ask for is no use of hers

    def test_lists_and_watches_of_ones_own_tell_of_nobody_else(self):
        for name, field in (("ListUsableAdapters", None), ("ListAdapters", "tenants/-"), ("ListMisfits", "tenants/-"),
                            ("WatchAdapters", "tenants/-"), ("GetTenantUsage", "tenants/-")):
            method = self.method(name)
            request = method.request()
            if field:
                setattr(request, "name" if name == "GetTenantUsage" else "parent", field)
            answer = self.ask(method, [request.SerializeToString()], enough=1)
            self.assertEqual(answer.code, grpc.StatusCode.OK, (name, answer))
            for response in answer.responses:
                self.figures["comparisons"] += 1
                for secret in (SECRET, self.version, "anna"):
                    self.assertNotIn(secret.encode(), response, name)
        own = self.method("ListAdapters").request(parent="tenants/-")
        answer = self.ask(self.method("ListAdapters"), [own.SerializeToString()], "anna")
        self.assertIn(SECRET.encode(), answer.responses[0])  # whose it is sees it


if __name__ == "__main__":
    SERVER, MODEL_WRITER, DESCRIPTORS = sys.argv[1:4]
    program = unittest.main(argv=sys.argv[:1], verbosity=0 if "--json" in sys.argv else 2, exit=False)
    if "--json" in sys.argv:
        print(json.dumps({**TenantMatrixTest.figures, "ok": program.result.wasSuccessful()}))
    sys.exit(not program.result.wasSuccessful())
