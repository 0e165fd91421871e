"""`joslim latency`: sampled, fitted, validated, and then a cost of searches and trainings."""

import json
import re

import numpy as np
import pytest

from configs.digits import get_config
from keras_joslim import latency
from keras_joslim.app import main
from keras_joslim.app.train import train
from keras_joslim.app.workdir import Workdir
from keras_joslim.latency import meters

SETTINGS = {"threads": 1, "delegate": "xnnpack", "processes": 1}


def _config():
    config = get_config()
    config.method.name = "random"
    config.method.calibration_size = 60
    config.train.epochs = 1
    config.train.warmup_epochs = 0
    config.train.batch_size = 72
    config.calibration.batches = 1
    config.search.evaluations = 12
    config.front.networks = 4
    config.slim.choices = 3
    return json.loads(config.to_json())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trained run."""
    workdir = Workdir(tmp_path_factory.mktemp("latency") / "run")
    train(workdir, _config(), say=lambda *_: None)
    return workdir


@pytest.fixture(scope="module")
def measured(run):
    """A run with a latency model that was really measured, and what the commands printed."""
    sizes = ["--samples=24", "--held_out=6", "--processes=1"]
    _joslim("sample", run, *sizes)
    return run


def _joslim(action, run, *flags):
    main.main(["joslim", "latency", action, f"--workdir={run.path}", *flags])


def test_a_model_is_measured_fitted_validated_and_searched_by(measured, capsys):
    place = measured.path / "latency" / "host.fp32.xnnpack.1"
    samples = latency.Samples.load(place / "samples.json")
    assert [len(samples.part(part)[0]) for part in ("fit", "held_out", "again")] == [24, 6, 6]
    _joslim("fit", measured)
    said = capsys.readouterr().out
    assert "Fitted to 24 samples" in said
    assert f"latency:{place / 'latency.json'}" in said
    _joslim("validate", measured)
    said = capsys.readouterr().out
    assert re.search(r"6 networks held out.* repeatability of one measurement \d+\.\d%", said)
    assert "plotly" in (place / "validation.html").read_text(encoding="utf-8")
    assert json.loads((place / "validation.json").read_text())["error"] >= 0
    assert "The model was fitted" not in said
    # Measured more, and not fitted since.
    content = (place / "latency.json").read_text(encoding="utf-8")
    older = json.loads(content)
    older["fit"]["samples"] = 20
    (place / "latency.json").write_text(json.dumps(older), encoding="utf-8")
    _joslim("validate", measured)
    assert "The model was fitted to 20 samples of 24" in capsys.readouterr().out
    (place / "latency.json").write_text(content, encoding="utf-8")

    cost = f"latency:{place / 'latency.json'}"
    command = ["joslim", "search", f"--workdir={measured.path}", f"--cost={cost}"]
    main.main([*command, "--method=greedy", "--evaluations=8"])
    front = Workdir(measured.path, "greedy-latency").front()
    assert front.cost == "latency"
    said = capsys.readouterr().out
    fitted = [point.costs["latency"] for point in front]
    assert fitted == sorted(fitted)
    assert all(isinstance(ms, float) and 0 < ms < 10 for ms in fitted)
    assert "ms fitted" in said
    assert f"{fitted[0]:.4f}" in said
    model = latency.fit(place)
    assert fitted == pytest.approx([model(np.array(point.widths)) for point in front])

    budget = (fitted[0] + fitted[-1]) / 2
    main.main([*command, "--method=mrf", f"--budget_ms={budget}", "--name=within"])
    chosen = Workdir(measured.path, "within").front()
    assert min(point.costs["latency"] for point in chosen) <= budget
    main.main(["joslim", "front", f"--workdir={measured.path}", "--name=within", "--by=latency"])
    assert f"{chosen.points[0].costs['latency']:.4f}" in capsys.readouterr().out


def test_a_training_may_have_the_latency_as_its_cost(measured, tmp_path):
    place = measured.path / "latency" / "host.fp32.xnnpack.1"
    _joslim("fit", measured)
    config = _config()
    config["cost"] = f"latency:{place / 'latency.json'}"
    config["method"] |= {"name": "joslim", "tau": 2, "prior_points": 4}
    front = train(Workdir(tmp_path / "run"), config, say=lambda *_: None)
    assert front.cost == "latency"
    rows = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    assert all(0 < json.loads(row)["latency"] < 10 for row in rows)
    config["slim"]["min_width"] = 0.1
    with pytest.raises(ValueError, match="this model goes down to"):
        train(Workdir(tmp_path / "narrower"), config, say=lambda *_: None)


def test_sampling_that_was_killed_goes_on(run, tmp_path, monkeypatch):
    place = tmp_path / "samples"
    flags = [f"--directory={place}", "--samples=24", "--held_out=6", "--processes=1"]
    calls = []

    def broken(*arguments):
        meter, device, settings = host(*arguments)

        def until_the_second(files):
            calls.append(len(files))
            if len(calls) == 2:
                raise KeyboardInterrupt
            return dict.fromkeys(files, 1.0)

        return until_the_second, device, settings

    host = meters.host_meter
    monkeypatch.setattr(meters, "host_meter", broken)
    with pytest.raises(KeyboardInterrupt):
        _joslim("sample", run, *flags)
    rows = latency.Samples.load(place / "samples.json").rows
    assert [len(rows), sum(len(row.times) for row in rows)] == [36, 20]
    _joslim("sample", run, *flags)
    rows = latency.Samples.load(place / "samples.json").rows
    assert [len(row.times) for row in rows] == 36 * [1]
    # As many are held out as before, where nothing is said of them.
    _joslim("sample", run, f"--directory={place}", "--samples=25", "--processes=1")
    rows = latency.Samples.load(place / "samples.json").rows
    assert [row.part for row in rows].count("held_out") == 6
    # Each batch has the full network in it.
    assert calls == [21, 17, 17, 2]


def test_a_run_need_not_be_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        meters,
        "host_meter",
        lambda *_: (lambda files: dict.fromkeys(files, 2.0), {"name": "host"}, SETTINGS),
    )
    new = Workdir(tmp_path / "new")
    _joslim("sample", new, "--config=configs/digits.py", "--samples=20", "--held_out=0")
    assert "Measured: 20 sub-networks, 0 of those" in capsys.readouterr().out
    assert new.config()["model"]["name"] == "digits_cnn"
    _joslim("fit", new)
    with pytest.raises(ValueError, match="two networks or more must be held out"):
        _joslim("validate", new)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fit", "--samples=3"], "--samples is a flag of `joslim latency sample`"),
        (["sample", "--formats=fp32,int8"], "of one of --formats. Received: fp32,int8"),
        (["sample", "--device=android"], "--device=android needs --benchmark_binary=PATH"),
        (["sample", "--serial=x"], "--serial is for phones: give --device=android too"),
        (["sample", "--formats=qat"], "qat"),
        (["sample", "--samples=19"], "20 samples or more.*samples=19, held_out=200"),
        (["sample", "--held_out=1"], "2 held out or more.*held_out=1"),
        (["sample", "--delegate=gpu"], "xnnpack or none"),
        (["fit"], r"There are no latency samples in .*joslim latency sample"),
        ([], "sample|fit|validate"),
    ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, capsys, words, message):
    workdir = Workdir(tmp_path / "run")
    workdir.claim(_config())
    command = ["joslim", "latency", *words, f"--workdir={workdir.path}"]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as caught:
        main.run()
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert re.search(message, said)
    assert said.count("\n") == 1


def test_several_models_must_be_told_apart(tmp_path):
    workdir = Workdir(tmp_path / "run")
    workdir.claim(_config())
    for name in ("a", "b"):
        (workdir.path / "latency" / name).mkdir(parents=True)
        (workdir.path / "latency" / name / "samples.json").write_text("{}")
    with pytest.raises(ValueError, match=r"several: give one of them by --directory. .*a, .*b$"):
        _joslim("fit", workdir)
