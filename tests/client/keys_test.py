"""lamella keys create, as a user runs it: python3 keys_test.py LAMELLA_BINARY"""
import hashlib
import json
import os
import stat
import subprocess
import sys
import tempfile
import unittest


def run(*arguments):
    return subprocess.run([CLI, "keys", "create", *arguments], capture_output=True, text=True, check=False)


class KeysTest(unittest.TestCase):
    def test_the_entry_knows_the_key_by_its_hash_alone(self):
        told = json.loads(run("anna-app", "--tenant", "anna", "--output=json").stdout)
        self.assertEqual(told["entry"], {"name": "anna-app", "sha256": hashlib.sha256(told["key"].encode()).hexdigest(),
                                         "tenant": "anna", "roles": ["inference"]})
        self.assertEqual(len(told["key"]), 64)
        text = run("anna-app", "--tenant", "anna").stdout
        self.assertIn("key    ", text)
        self.assertIn('"tenant":"anna"', text)

    def test_no_two_keys_are_equal(self):
        keys = {json.loads(run("a", "--tenant=t", "--output=json").stdout)["key"] for _ in range(4)}
        self.assertEqual(len(keys), 4)

    def test_roles_are_those_that_were_given(self):
        told = json.loads(run("a", "--tenant=t", "--role=operator", "--role=inference", "--output=json").stdout)
        self.assertEqual(told["entry"]["roles"], ["operator", "inference"])

    def test_a_key_file_is_its_owners_and_never_replaced(self):
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/key"
            told = json.loads(run("a", "--tenant=t", "--key-file", path, "--output=json").stdout)
            self.assertNotIn("key", told)
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
            with open(path, encoding="ascii") as file:
                self.assertEqual(hashlib.sha256(file.read().strip().encode()).hexdigest(), told["entry"]["sha256"])
            again = run("a", "--tenant=t", "--key-file", path)
            self.assertEqual((again.returncode, again.stdout), (2, ""))

    def test_wrong_usage_ends_with_status_two(self):
        for arguments in ((), ("a",), ("A", "--tenant=t"), ("a", "--tenant=-"), ("a", "--tenant=t", "--role=root")):
            self.assertEqual(run(*arguments).returncode, 2, arguments)


if __name__ == "__main__":
    CLI = sys.argv[1]
    unittest.main(argv=sys.argv[:1])
