"""Runs pytest on the files given as arguments: the main program of every Bazel test."""

import os
import sys

import pytest


def _forget_editable_installs():
    """Takes the finders of editable installs out of the import system.

    The interpreter may be that of a development environment. Its editable install of the checkout
    would answer for every module that a target forgot to name; only the target shall count.
    """
    sys.meta_path[:] = [
        finder
        for finder in sys.meta_path
        if not getattr(finder, "__module__", "").startswith("__editable__")
    ]
    sys.path[:] = [entry for entry in sys.path if not entry.startswith("__editable__")]


def main(arguments):
    """Returns pytest's exit code."""
    _forget_editable_installs()
    options = ["--config-file=pyproject.toml", "--rootdir=.", "-p", "no:cacheprovider"]
    selected = os.environ.get("TESTBRIDGE_TEST_ONLY")
    if selected:  # bazel test --test_filter=...
        options += ["-k", selected]
    report = os.environ.get("XML_OUTPUT_FILE")
    if report:
        options.append(f"--junit-xml={report}")
    return pytest.main(options + arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
