"""Bad input to the command `joslim`: one clear line, exit code 2, nothing lost."""

import json
import weakref

import pytest

from keras_joslim.app.main import UsageError, main, run
from keras_joslim.app.workdir import Workdir

pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

CONFIG = {"seed": 0, "train": {"epochs": 2, "batch_size": 8}}


def command(*arguments):
    return main(["joslim", *map(str, arguments)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["fly", "--workdir=x"],
            "Expected one command of plan, run, train, status, search, export",
        ),
        (["run", "train", "--workdir=x"], "Expected one command"),
        (["export"], "needs --workdir"),
        (["run", "--workdir=x"], "needs --config=FILE.*there is no run in x to go on with"),
        (["run", "--workdir=x", "--config.seed=2"], "--config.seed .*give the recipe too"),
        (["export", "--workdir=x", "--formats=fp8"], r"--formats: .* out of \['fp32', 'fp16', "),
        (
            ["train", "--config=digits", "--config.export.formats=('fp8',)", "--workdir=x"],
            r"config.export.formats: .* out of \['fp32', .*\]. Received: format='fp8'",
        ),
        (["run", "--config=configs/nothing.py", "--workdir=x"], "no recipe 'configs/nothing.py'"),
        (["plot", "--wrokdir=x"], "wrokdir.*`joslim plot --help` lists the flags"),
        (["--wrokdir=x"], "wrokdir.*`joslim --help` lists the flags"),
        (["profile", "--workdir=x", "--processes=0"], "processes"),
        (["front", "--workdir=x"], "`joslim front` needs --by=MEASURE"),
        (["plot", "--workdir=x", "--by=bytes"], "--by is a flag of `joslim front`"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        command(*arguments)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--config.train.epoch=2", "config.train has no field 'epoch'. Did you mean 'epochs'?"),
        ("--config.tain.epochs=2", "config has no field 'tain'. Did you mean 'train'?"),
        ("--config.train.zzz=2", "config.train has no field 'zzz'."),
        ("--config.seed.zzz=2", "config.seed has no field 'zzz'."),
    ],
)
def test_an_unknown_field_of_the_config_is_refused_by_name(argument, message, tmp_path):
    with pytest.raises(UsageError) as caught:
        command("run", "--config=configs/digits.py", f"--workdir={tmp_path / 'run'}", argument)
    assert str(caught.value) == f"{message} (`joslim run --help` lists the flags)"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("cifar_resnet.py:resnet57", "cifar_resnet.py:resnet57: Expected one of .*'resnet57'"),
        ("digits.py:large", r"digits.py:large: TypeError: get_config\(\) takes 0 positional"),
    ],
)
def test_a_recipe_that_raises_is_quoted_without_its_traceback(recipe, message):
    with pytest.raises(UsageError, match=message) as caught:
        command("run", f"--config=configs/{recipe}", "--workdir=x")
    assert "Traceback" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("step", ["export", "profile", "plot", "train"])
def test_a_step_on_a_directory_without_a_run_says_so(step, tmp_path):
    with pytest.raises(ValueError, match="There is no run in"):
        command(step, f"--workdir={tmp_path}")


@pytest.mark.parametrize("step", ["export", "profile", "plot"])
def test_a_step_that_comes_too_early_says_which_comes_first(step, tmp_path):
    Workdir(tmp_path).claim(CONFIG)
    with pytest.raises(ValueError, match="has no front yet. `joslim train"):
        command(step, f"--workdir={tmp_path}")


def _begun(path, config=CONFIG):
    """A workdir with a checkpoint."""
    Workdir(path).claim(config)
    (path / "checkpoint" / "step-000000001").mkdir(parents=True)


def test_a_workdir_of_another_config_is_refused_naming_the_field(tmp_path):
    _begun(tmp_path)
    other = {**CONFIG, "train": {"epochs": 3, "batch_size": 8}}
    with pytest.raises(ValueError, match=r"train\.epochs was 2, now 3"):
        Workdir(tmp_path).claim(other)
    Workdir(tmp_path).claim(CONFIG)


def test_a_finished_run_is_not_claimed_by_another_config(tmp_path):
    Workdir(tmp_path).claim(CONFIG)
    Workdir(tmp_path).front_file.write_text("{}")
    with pytest.raises(ValueError, match="seed was 0, now 1"):
        Workdir(tmp_path).claim({**CONFIG, "seed": 1})
    assert Workdir(tmp_path).config() == CONFIG


def test_a_run_takes_new_fields_of_export_and_profile(tmp_path):
    old = {**CONFIG, "export": {"formats": ["fp32"]}, "profile": {"runs": 50}}
    new = {**CONFIG, "export": {"formats": ["fp16"]}, "profile": {"runs": 5, "num_threads": 2}}
    _begun(tmp_path, old)
    Workdir(tmp_path).claim(new)
    assert Workdir(tmp_path).config() == new
    with pytest.raises(ValueError, match="seed was 0, now 3"):
        Workdir(tmp_path).claim({**old, "seed": 3})
    assert Workdir(tmp_path).config() == new


def test_a_workdir_in_which_nothing_is_trained_takes_another_config(tmp_path):
    Workdir(tmp_path).claim(CONFIG)
    (tmp_path / "checkpoint").mkdir()
    Workdir(tmp_path).claim({**CONFIG, "seed": 1})
    assert Workdir(tmp_path).config() == {**CONFIG, "seed": 1}


def test_run_without_a_config_goes_on_with_that_of_the_run(tmp_path, monkeypatch):
    """The training is stood in for: what matters is the config that it gets."""
    from keras_joslim.app import train

    class TrainedError(Exception):
        pass

    def record(workdir, config, strategy):
        raise TrainedError(config)

    monkeypatch.setattr(train, "train", record)
    Workdir(tmp_path).claim(CONFIG)
    with pytest.raises(TrainedError) as caught:
        command("run", f"--workdir={tmp_path}")
    assert caught.value.args == (CONFIG,)


@pytest.mark.parametrize("step", ["train", "plot"])
def test_a_workdir_that_is_a_file_is_refused(step, tmp_path):
    (tmp_path / "notes.txt").write_text("precious")
    with pytest.raises(ValueError, match="notes.txt is a file, not a directory. Name a directory"):
        command(step, f"--workdir={tmp_path / 'notes.txt'}")


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


class Held:
    """Stands for an iterator of `tf.data`."""


def test_what_an_error_held_is_given_up_before_the_process_ends(monkeypatch, capsys):
    """Threads that call into an interpreter that ends never come back, and are waited for."""
    seen = []

    def fails(argv):
        held = Held()
        held.itself = held  # As frames and errors are, no count of references frees it.
        seen.append(weakref.ref(held))
        raise ValueError("no such thing")

    monkeypatch.setattr("keras_joslim.app.main.main", fails)
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 2
    assert ended.value.__context__ is None
    assert seen[0]() is None
    assert capsys.readouterr().err == "joslim: no such thing\n"
