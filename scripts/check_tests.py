#!/usr/bin/env python3
"""Fails when a *_test.cc or fuzz target on disk is named by no CMakeLists.txt, or a source by none."""
import os
import subprocess
import sys


def tracked(*patterns):
    return subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
                          check=True, capture_output=True, text=True).stdout.split()


def main():
    words = set()
    for path in tracked("CMakeLists.txt", "*/CMakeLists.txt"):
        folder = os.path.dirname(path)
        with open(path, encoding="utf-8") as f:
            for word in f.read().replace("(", " ").replace(")", " ").split():
                words.add(os.path.normpath(os.path.join(folder, word.strip('"'))))
    sources = tracked("*.cc")
    orphans = [path for path in sources if path not in words]
    for path in orphans:
        print(f"{path}: no CMakeLists.txt builds it")
    if not orphans:
        print(f"orphans: none among {len(sources)} sources")
    return 1 if orphans else 0


sys.exit(main())
