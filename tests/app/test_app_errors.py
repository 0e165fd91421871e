"""Bad input to the command `joslim`: one clear line, exit code 2, nothing lost."""

import json
import subprocess
import sys

import pytest

from keras_joslim.app.main import UsageError, main
from keras_joslim.app.workdir import Workdir

pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

CONFIG = {"seed": 0, "train": {"epochs": 2, "batch_size": 8}}


def command(*arguments):
    return main(["joslim", *map(str, arguments)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fly", "--workdir=x"], "Expected one command of run, train, export, profile, plot"),
        (["run", "train", "--workdir=x"], "Expected one command"),
        (["export"], "needs --workdir"),
        (["run", "--workdir=x"], "needs --config"),
        (["run", "--config=configs/nothing.py", "--workdir=x"], "no recipe 'configs/nothing.py'"),
        (["plot", "--wrokdir=x"], "wrokdir"),
        (["profile", "--workdir=x", "--processes=0"], "processes"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        command(*arguments)


def test_an_unknown_field_of_the_config_is_refused_by_name(monkeypatch, tmp_path):
    arguments = [
        "joslim",
        "run",
        "--config=configs/digits.py",
        f"--workdir={tmp_path / 'run'}",
        "--config.train.epoch=2",
    ]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(UsageError, match="epoch"):
        main(arguments)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("step", ["export", "profile", "plot", "train"])
def test_a_step_on_a_directory_without_a_run_says_so(step, tmp_path):
    with pytest.raises(ValueError, match="There is no run in"):
        command(step, f"--workdir={tmp_path}")


@pytest.mark.parametrize("step", ["export", "profile", "plot"])
def test_a_step_that_comes_too_early_says_which_comes_first(step, tmp_path):
    Workdir(tmp_path).claim(CONFIG)
    with pytest.raises(ValueError, match="has no front yet. `joslim train"):
        command(step, f"--workdir={tmp_path}")


def test_a_workdir_of_another_config_is_refused_naming_the_field(tmp_path):
    Workdir(tmp_path).claim(CONFIG)
    other = {**CONFIG, "train": {"epochs": 3, "batch_size": 8}}
    with pytest.raises(ValueError, match=r"train\.epochs was 2, now 3"):
        Workdir(tmp_path).claim(other)
    Workdir(tmp_path).claim(CONFIG)


def test_a_workdir_of_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match=r"not empty and not a run's.*thesis\.tex"):
        Workdir(tmp_path).claim(CONFIG)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("content", ["{", "[]", '{"format": "other"}', '{"config": {}}'])
def test_a_corrupt_or_foreign_config_json_is_refused(content, tmp_path):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match="is not the config of a keras_joslim run"):
        Workdir(tmp_path).config()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("{}", "not a front"),
        (json.dumps({"format": "keras_joslim front", "version": 99}), "format version 99"),
        (json.dumps({"format": "keras_joslim front", "version": 1}), "lacks something"),
    ],
)
def test_a_corrupt_or_foreign_front_json_is_refused(content, message, tmp_path):
    workdir = Workdir(tmp_path)
    workdir.claim(CONFIG)
    workdir.front_file.write_text(content)
    with pytest.raises(ValueError, match=message):
        workdir.front()


def test_the_program_prints_one_line_and_exits_with_2(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "keras_joslim.app.main", "plot", f"--workdir={tmp_path}"],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    lines = [line for line in result.stderr.splitlines() if line.startswith("joslim:")]
    assert len(lines) == 1
    assert "There is no run in" in lines[0]
    assert "Traceback" not in result.stderr
