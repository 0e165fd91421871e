"""Commands that touch no network load no TensorFlow, and an error is one line on the terminal."""

import json
import re
import subprocess
import sys

import pytest

from tests.tflite.delivered import exported

PROGRAM = """
import json, sys
from keras_joslim.app.main import run
sys.argv = ["joslim", *json.loads(sys.argv[1])]
code = 0
try:
    run()
except SystemExit as stop:
    code = stop.code
heavy = [name for name in ("tensorflow", "keras", "plotly") if name in sys.modules]
print(json.dumps({"code": code, "heavy": heavy}))
"""


def joslim(*arguments):
    """Exit code, heavy modules that were loaded, lines printed, standard error."""
    program = [sys.executable, "-c", PROGRAM, json.dumps([*map(str, arguments)])]
    result = subprocess.run(program, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    *lines, last = result.stdout.splitlines()
    told = json.loads(last)
    return told["code"], told["heavy"], lines, result.stderr


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return exported(tmp_path_factory.mktemp("startup") / "run").path


@pytest.mark.parametrize("arguments", [["--help"], ["export", "--help"]])
def test_help_loads_nothing(arguments):
    code, heavy, lines, stderr = joslim(*arguments)
    assert (code, heavy, stderr) == (0, [], "")
    assert "  --workdir" in "\n".join(lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plot", "--wrokdir=x"], "joslim: Unknown command line flag 'wrokdir'. Did you mean: "),
        (["fly"], "joslim: Expected one command of plan, run, train, status, "),
        (["train", "--workdir=x", "--points=all"], "joslim: --points is a flag of `joslim export`"),
        (["train", "--workdir=nowhere"], "joslim: There is no run in nowhere: "),
        (["run", "--config=digits", "--config.seeds=2", "--workdir=x"], "joslim: config has no f"),
    ],
)
def test_a_mistake_is_one_line_and_loads_nothing(arguments, message):
    code, heavy, lines, stderr = joslim(*arguments)
    assert (code, heavy, lines) == (2, [], [])
    assert stderr.startswith(message)
    assert stderr.count("\n") == 1
    assert stderr.endswith("\n")


def test_a_front_is_read_ranked_and_bundled_without_tensorflow(workdir, tmp_path):
    code, heavy, lines, stderr = joslim("front", f"--workdir={workdir}", "--by=macs")
    assert (code, heavy, stderr) == (0, [], "")
    assert lines[0].startswith("By macs: ")
    code, heavy, lines, stderr = joslim("front", f"--workdir={workdir}", "--by=nonsense")
    assert (code, heavy, lines) == (2, [], [])
    assert stderr.startswith("joslim: Expected a measure of ")
    for word in ("memory", "arena", "bytes", "latency:<device>"):
        assert word in stderr
    assert stderr.count("\n") == 1
    flags = [f"--workdir={workdir}", f"--output={tmp_path / 'out'}"]
    assert joslim("bundle", *flags)[:2] == (0, [])
    assert joslim("plot", f"--workdir={workdir}")[:2] == (0, ["plotly"])


def test_a_command_that_fails_after_tensorflow_was_loaded_prints_its_line_alone(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    (tmp_path / "thesis.tex").write_text("precious")
    code, heavy, lines, stderr = joslim("train", "--config=digits", f"--workdir={tmp_path}")
    assert (code, heavy, lines) == (2, ["tensorflow", "keras"], [])
    # TensorFlow may say meanwhile, at this level, that it looked for a GPU in vain.
    (said,) = (
        line for line in stderr.splitlines() if not re.match(r"[EWI]\d{4} .*\.cc:\d+\]", line)
    )
    assert said.startswith("joslim: ")
    assert "thesis.tex" in said
