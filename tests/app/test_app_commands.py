"""The table of commands: what each says of itself, the flags it takes and those it refuses."""

import dataclasses

import pytest

from keras_joslim.app import choices, command_line, format_packages, main, search
from keras_joslim.app.command import Command, UsageError
from keras_joslim.app.commands import COMMANDS
from keras_joslim.app.flags import COMMON, FLAGS
from keras_joslim.app.workdir import Workdir
from keras_joslim.search.joslim_settings import TARGETS
from tests.tflite.delivered import exported

NAMES = ["run", "train", "search", "export", "profile", "plot", "front", "bundle"]
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


def command(*arguments):
    return main.main(["joslim", *map(str, arguments)])


def printed(capsys, *arguments):
    command(*arguments)
    return capsys.readouterr().out.splitlines()


def flags_of(lines):
    return [line.split()[0] for line in lines if line.startswith("  --")]


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], []])
def test_help_lists_the_commands_one_line_each_and_what_all_take(arguments, capsys):
    lines = printed(capsys, *arguments)
    assert lines[0].startswith("Trains a slimmable network")
    assert f"  --{'workdir':<16} Directory of the run; required." in lines
    start = lines.index("Commands:") + 1
    listed = lines[start : lines.index("", start)]
    names = [line.split()[0] for line in listed if not line.startswith("   ")]
    assert names == list(COMMANDS)
    assert [name for name in names if name in NAMES] == NAMES
    assert flags_of(lines) == ["--workdir", "--help"]
    assert max(map(len, lines)) <= 96


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_shows_its_flags_alone_and_an_example_that_is_right(name, capsys):
    lines = printed(capsys, name, "--help")
    found = COMMANDS[name]
    assert lines[0] == f"joslim {name}: {found.summary}"
    where = ["workdir"] if found.needs_workdir else []
    assert flags_of(lines) == [f"--{flag}" for flag in (*where, *found.flags, "help")]
    assert max(map(len, lines)) <= 100
    example = lines[-1].removeprefix("Example: joslim ").split()
    assert example[0] == name
    given = {word.partition("=")[0].removeprefix("--") for word in example if "--" in word}
    assert {flag for flag in given if "." not in flag} <= {*COMMON, *found.flags}
    assert ("workdir" in given) == found.needs_workdir


def test_help_says_the_defaults_and_the_fields_of_a_recipe(capsys):
    lines = printed(capsys, "profile", "--help")
    assert (
        f"  --{'processes':<16} Fresh processes a file (default: from the config; latency 5)."
        in lines
    )
    text = " ".join(" ".join(lines).split())
    assert "for example, --config.train.epochs=20." in text
    formats = "fp32, fp16, dynamic, int8, litert_int8, int16x8, qat, cluster, prune"
    assert f"Number formats of {formats} (default: export those of the config" in text
    assert "flagfile" not in text
    lines = printed(capsys, "train", "--help", "--config=digits", "--config.train.epochs=3")
    assert "--config.train.epochs" in flags_of(lines)


def test_every_flag_is_one_of_a_command():
    taken = {flag for found in COMMANDS.values() for flag in found.flags}
    assert taken - {"config"} == set(FLAGS) - set(COMMON)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--points=all"], "--points is a flag of `joslim export` and `joslim bundle`. R"),
        (["run", "--single_file"], "--single_file is a flag of `joslim export`. Received: .*run`"),
        (["plot", "--formats=fp32"], "--formats is a flag of `joslim export`, `joslim profile`, "),
        (["export", "--device=host"], "--device is a flag of `joslim profile`.*Received: .*export"),
        (["train", "--processes=2"], "--processes is a flag of .*`joslim profile`"),
        (["plot", "--nooperators"], "--operators is a flag of `joslim profile`"),
        (["train", "--evaluations=3"], "`joslim train` takes fields of its config, such as"),
        (["plot", "--config=digits"], "`joslim plot` takes the run's own config: leave out --conf"),
        (["export", "--strategy=mirrored"], "--strategy is a flag of `joslim train`. Received: "),
        (["plan", "--config=digits"], "--workdir .* of a run; `joslim plan` needs and makes none"),
    ],
)
def test_a_flag_of_another_command_is_refused_with_those_that_take_it(arguments, message):
    with pytest.raises(UsageError, match=message):
        command(*arguments, "--workdir=x")


@pytest.mark.parametrize("name", ["train", "run"])
@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ("tpu", "--strategy=tpu: Slimmable networks do not train on TPUs: .*docs/many_devices.md"),
        ("multi_worker", "--strategy=multi_worker: Several workers need .* TF_CONFIG, .*Example: "),
        ("ddp", "strategy.*should be one of.*none.*mirrored.*multi_worker.*tpu"),
    ],
)
def test_strategies_that_cannot_be_had_are_refused_at_once(name, strategy, message, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UsageError, match=message):
        command(name, "--config=digits", "--workdir=x", f"--strategy={strategy}")


def test_a_plan_needs_a_recipe():
    with pytest.raises(UsageError, match="`joslim plan` needs --config=FILE"):
        command("plan")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--cost=watts"], "A cost is one of macs, parameters, memory or latency:FILE. .*'watts'"),
        (["--cost=latency:"], "macs, parameters, memory or latency:FILE. Received: .*'latency:'"),
        (["--budget=-1"], "budget"),
        (["--budget=5"], "--budget is that of --method=mrf. Received: 'nsga2'"),
        (["--budget_ms=5"], "--budget_ms is that of --method=mrf. Received: 'nsga2'"),
    ],
)
def test_costs_and_budgets_that_make_no_sense_are_refused(flags, message, tmp_path):
    Workdir(tmp_path).claim({"cost": "macs"})
    with pytest.raises(UsageError, match=message):
        command("search", f"--workdir={tmp_path}", "--method=nsga2", *flags)


def test_costs_of_a_file_are_spelled_with_it():
    for name in ("macs", "parameters", "memory", "latency:pixel7.json", "latency:a:b"):
        assert choices.checked_cost(name) == name
    assert choices.cost_kind("latency:a:b") == "latency"
    assert choices.cost_kind("memory") == "memory"
    for name in ("MACs", "latency", "latency:", "", None, 3):
        with pytest.raises(ValueError, match="Received: cost="):
            choices.checked_cost(name)


@pytest.mark.parametrize(
    ("flags", "passed"),
    [
        (["--method=greedy"], ("greedy-macs", "greedy", None, None, "uniform", None)),
        (["--method=mobo", "--targets=gap"], ("mobo-gap-macs", "mobo", None, None, "gap", None)),
        (
            ["--method=nsga2", "--cost=memory", "--evaluations=7", "--name=small"],
            ("small", "nsga2", "memory", 7, "uniform", None),
        ),
        (
            ["--method=mrf", "--cost=latency:/tmp/a.json", "--budget_ms=2.5"],
            ("mrf-latency-2.5", "mrf", "latency:/tmp/a.json", None, "uniform", 2.5),
        ),
        (
            ["--method=mrf", "--budget=3e8"],
            ("mrf-macs-300000000", "mrf", None, None, "uniform", 3e8),
        ),
    ],
)
def test_a_search_gets_what_was_given_under_a_name_without_files(
    flags, passed, tmp_path, monkeypatch
):
    Workdir(tmp_path).claim({"cost": "macs"})

    class SearchedError(Exception):
        pass

    def record(workdir, method, cost=None, evaluations=None, targets="uniform", budget=None):
        raise SearchedError(workdir.search, method, cost, evaluations, targets, budget)

    monkeypatch.setattr(search, "search", record)
    with pytest.raises(SearchedError) as caught:
        command("search", f"--workdir={tmp_path}", *flags)
    assert caught.value.args == passed


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--budget_ms=5"], "--budget_ms is for --cost=latency:FILE, .*Received: cost='macs'"),
        (
            ["--budget_ms=5", "--cost=parameters"],
            "other costs have --budget. Received: cost='parameters'",
        ),
        (["--cost=memory"], "needs a cost that is a sum over layers; memory is a peak"),
        (["--budget_ms=5", "--budget=5"], "--budget and --budget_ms say the same: give one"),
    ],
)
def test_milliseconds_are_a_budget_of_a_latency_model(flags, message, tmp_path):
    Workdir(tmp_path).claim({"cost": "macs"})
    with pytest.raises(UsageError, match=message):
        command("search", f"--workdir={tmp_path}", "--method=mrf", *flags)


def test_the_targets_are_those_of_the_engine():
    assert choices.TARGETS == TARGETS


def test_a_command_is_an_entry_of_the_table(monkeypatch, capsys, tmp_path):
    """With a second word, as `joslim latency sample`; what it gets is what was given."""
    got = []
    made = Command(
        "latency",
        summary="a latency model",
        usage="[--device=host]",
        example="sample --workdir=x",
        flags=("device",),
        run=got.append,
        actions=("sample", "fit"),
    )
    monkeypatch.setitem(COMMANDS, "latency", made)
    command("latency", "fit", f"--workdir={tmp_path}", "--device=android")
    (request,) = got
    assert (request.action, request.flags.device, request.config) == ("fit", "android", None)
    assert request.workdir.path == tmp_path
    assert ["latency", "a", "latency", "model"] in map(str.split, printed(capsys, "--help"))
    assert "usage: joslim latency sample|fit --workdir=DIRECTORY [--device=host]" in printed(
        capsys, "latency", "--help"
    )
    for words in (["latency"], ["latency", "fly"]):
        with pytest.raises(UsageError, match="`joslim latency` and one of sample, fit. Received"):
            command(*words, "--workdir=x")
    with pytest.raises(UsageError, match="Expected one command of .*, bundle"):
        command("latency", "fit", "more", "--workdir=x")
    with pytest.raises(UsageError, match="--points is a flag of .*Received: `joslim latency`"):
        command("latency", "fit", "--points=all", "--workdir=x")


def test_what_does_not_fit_is_told_before_keras_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(main, "_load_keras", lambda: pytest.fail("Keras was loaded"))
    for name in ("train", "export"):
        with pytest.raises(ValueError, match="There is no run in"):
            command(name, f"--workdir={tmp_path}")
    with pytest.raises(ValueError, match="There is no run in"):
        command("search", f"--workdir={tmp_path}", "--method=nsga2", "--cost=macs")
    Workdir(tmp_path).claim({"cost": "macs"})
    with pytest.raises(ValueError, match="has no front yet"):
        command("export", f"--workdir={tmp_path}")

    def missing():
        raise ValueError("not installed")

    # Nor is a package found to be missing after the training.
    monkeypatch.setattr(format_packages, "require_tfmot", missing)
    place = f"--workdir={tmp_path / 'new'}"
    formats = "--config.export.formats=('fp32','qat')"
    with pytest.raises(ValueError, match="not installed"):
        command("run", "--config=digits", place, formats)
    with pytest.raises(ValueError, match="not installed"):
        command("run", "--config=digits", place, "--formats=prune")
    assert not (tmp_path / "new").exists()
    workdir = exported(tmp_path / "old")
    with pytest.raises(ValueError, match="not installed"):
        command("export", f"--workdir={workdir.path}", "--formats=qat")


def test_export_and_profile_take_other_fields_of_theirs(tmp_path, monkeypatch):
    """What is run is stood in for: what matters is the config that the run then has."""
    arguments = ["joslim", "train", "--workdir=x", "--config=digits"]
    _, request = command_line.parse(arguments)
    workdir = exported(tmp_path / "run")
    workdir.config_file.unlink()
    workdir.front_file.rename(tmp_path / "front.json")
    for path in sorted(workdir.path.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    workdir.claim(request.config)
    (tmp_path / "front.json").rename(workdir.front_file)
    for name in ("export", "profile"):
        runs = dataclasses.replace(COMMANDS[name], loads_keras=False)
        monkeypatch.setitem(COMMANDS, name, runs)
    monkeypatch.setattr("keras_joslim.app.commands.export.export_files", lambda request: None)
    monkeypatch.setattr("keras_joslim.app.commands.profile.profile_files", lambda request: None)
    given = [f"--workdir={workdir.path}", "--config=digits"]
    command("export", *given, "--config.export.fine_tuning.steps=7")
    assert workdir.config()["export"]["fine_tuning"]["steps"] == 7
    command("profile", *given, "--config.profile.runs=9")
    assert workdir.config()["profile"]["runs"] == 9
    with pytest.raises(ValueError, match="seed was 0, now 3"):
        command("export", *given, "--config.seed=3")
    with pytest.raises(ValueError, match="There is no run in"):
        command("profile", f"--workdir={tmp_path / 'other'}", "--config=digits")
    assert not (tmp_path / "other").exists()
