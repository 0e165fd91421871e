"""Bazel runs tests from BUILD, and buildifier has nothing to say about it."""

import pathlib
import shutil
import subprocess

import pytest

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).resolve().parents[2]
# One of each kind: numpy only, a top-level module, the folder that a rule places.
TARGETS = ("//:test_joslim_search", "//:test_width_space", "//:test_tflite_convert")


@pytest.mark.skipif(not shutil.which("bazel"), reason="needs bazel (Debian: bazel-bootstrap)")
def test_bazel_runs_tests(tmp_path):
    result = subprocess.run(
        ["bazel", f"--output_user_root={tmp_path}", "--batch", "test", *TARGETS],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Executed 3 out of 3 tests: 3 tests pass." in result.stdout + result.stderr


@pytest.mark.skipif(not shutil.which("npx"), reason="needs npx of Node.js, and a registry")
def test_buildifier_finds_nothing():
    result = subprocess.run(
        ["make", "--no-print-directory", "buildifier"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
