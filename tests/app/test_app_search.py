"""Every method by one config field, searches after training, and nothing chosen by test data."""

import json
import types

import numpy as np
import pytest

from configs.digits import get_config
from keras_joslim.app import main, recipe
from keras_joslim.app.methods import METHODS
from keras_joslim.app.search import search
from keras_joslim.app.train import train, train_weights
from keras_joslim.app.workdir import Workdir
from keras_joslim.datasets import Dataset, Split
from keras_joslim.slimmable_model import SlimmableModel


def _config(method):
    """Fourteen steps of a method on the digits, its numbers small."""
    config = get_config()
    config.method.name = method
    if method == "platforms":
        config.platforms = ({"name": "phone", "cost": "macs", "budgets": 100000},)
    config.method.tau = 2
    config.method.prior_points = 4
    config.method.calibration_size = 60
    config.train.epochs = 1
    config.train.warmup_epochs = 0
    config.train.batch_size = 72
    config.train.steps_per_execution = 1
    config.calibration.batches = 1
    config.search.evaluations = 12
    config.front.networks = 4
    config.slim.choices = 3
    return json.loads(config.to_json())


def _widths(front):
    return [point.widths for point in front], [tuple(e["widths"]) for e in front.history]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of random widths, trained: what searches are made on."""
    workdir = Workdir(tmp_path_factory.mktemp("search") / "run")
    train(workdir, _config("random"), say=lambda *_: None)
    return workdir


# The others go the same way through the same code.
QUICK = ("aows", "autoslim", "joslim", "uniform")
EVERY = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in sorted(METHODS)
]


@pytest.mark.parametrize("method", EVERY)
def test_every_method_is_one_field_and_never_sees_test_data(tmp_path, monkeypatch, method):
    config = _config(method)
    front = train(Workdir(tmp_path / "honest"), config, say=lambda *_: None)
    losses, macs = zip(*((p.validation["loss"], p.costs["macs"]) for p in front))
    assert all(np.diff(macs) > 0)
    assert all(np.diff(losses) < 0)
    # As many networks are judged for each method, besides the ends and what greedy chose.
    assert len(front.history) <= 4 + 2 + (5 if method == "autoslim" else 0)
    epochs = (tmp_path / "honest" / "logs" / "epochs.jsonl").read_text().splitlines()
    assert 0 < json.loads(epochs[-1])["hypervolume"] < 1

    # With noise for test labels every width that was chosen stays the same.
    load = recipe.datasets.load

    def noisy(**options):
        data = load(**options)
        labels = np.random.default_rng(0).permutation(data.test.labels)
        test = Split(data.test.images, labels)
        return Dataset(data.name, data.train, data.validation, test, data.num_classes)

    monkeypatch.setattr(recipe.datasets, "load", noisy)
    other = train(Workdir(tmp_path / "noisy"), config, say=lambda *_: None)
    assert _widths(front) == _widths(other)
    assert [p.validation for p in front] == [p.validation for p in other]
    # The noise was there: test results differ.
    assert [p.test["loss"] for p in front] != [p.test["loss"] for p in other]


@pytest.mark.parametrize(
    ("method", "cost"),
    [("mobo", "macs"), ("nsga2", "parameters"), ("greedy", "parameters"), ("mrf", "macs")],
)
def test_a_search_writes_a_front_beside_the_old_one(trained, method, cost):
    before = trained.front_file.read_bytes()
    main.main(
        ["joslim", "search", f"--workdir={trained.path}", f"--method={method}", f"--cost={cost}"]
    )
    found = Workdir(trained.path, f"{method}-{cost}")
    front = found.front()
    assert front.cost == cost
    assert trained.front_file.read_bytes() == before
    for point in (*front, *front.ends):
        assert (found.place / point.files["keras"]).is_file()
    state = json.loads(found.search_file.read_text())
    measured = len(state["engine"]["history"]["widths"])
    assert measured == 12 or method == "greedy"
    assert all(loss is not None for loss in state["engine"]["history"]["losses"])


def test_the_files_of_a_search_are_exported_profiled_and_drawn(trained):
    name = "--name=small"
    workdir = f"--workdir={trained.path}"
    main.main(["joslim", "search", workdir, "--method=greedy", "--evaluations=8", name])
    main.main(["joslim", "export", workdir, "--formats=fp32", name])
    main.main(["joslim", "profile", workdir, "--processes=1", "--runs=2", name])
    main.main(["joslim", "plot", workdir, name])
    found = Workdir(trained.path, "small")
    for point in found.front():
        assert (found.place / point.files["fp32"]).is_file()
        assert point.latency["host"]["fp32"]["min"] > 0
    assert "run, small" in found.report_file.read_text()
    assert not (trained.path / "manifest.json").exists()


@pytest.mark.parametrize(
    "method",
    ["mobo", *(pytest.param(m, marks=pytest.mark.slow) for m in ("nsga2", "greedy", "mrf"))],
)
def test_a_killed_search_ends_as_if_it_had_not_been(trained, monkeypatch, method):
    straight = search(Workdir(trained.path, f"a-{method}"), method, say=lambda *_: None)

    from keras_joslim.app import search as module

    real, writes = module.atomic.write_json, []

    def killing(path, content):
        real(path, content)
        writes.append(path)
        if len(writes) == 2:
            raise KeyboardInterrupt

    workdir = Workdir(trained.path, f"b-{method}")
    with monkeypatch.context() as patch:
        patch.setattr(module.atomic, "write_json", killing)
        with pytest.raises(KeyboardInterrupt):
            search(workdir, method, say=lambda *_: None)
    assert not workdir.front_file.exists()
    said = []
    again = search(workdir, method, say=said.append)
    assert any("Going on with the search at" in line for line in said)
    assert _widths(again) == _widths(straight)


def test_scores_of_an_ows_run_answer_for_a_budget_chosen_afterwards(tmp_path, monkeypatch):
    config = _config("ows")
    workdir = Workdir(tmp_path / "run")
    workdir.claim(config)
    made = recipe.make_recipe(config)
    train_weights(workdir, made, say=lambda *_: None)
    measured, said = [], []
    losses_at = SlimmableModel.losses_at

    def counted(self, widths, *data):
        measured.extend(np.atleast_2d(widths).tolist())
        return losses_at(self, widths, *data)

    from keras_joslim.app import search as module

    monkeypatch.setattr(SlimmableModel, "losses_at", counted)

    # What would be judged.
    def front_of(workdir, recipe, widths, *_, **__):
        return [types.SimpleNamespace(name="p01", widths=tuple(row)) for row in widths.tolist()]

    monkeypatch.setattr(module, "save_front", front_of)
    front = search(Workdir(workdir.path, "b"), "mrf", budget=9e4, say=said.append)
    widths = np.array([point.widths for point in front])
    assert said[-1] == "They are point p01."
    # The ends alone, to see that the data fits; scores are those of the training.
    assert len(measured) == 2
    assert any("by the scores of the training" in line for line in said)
    np.testing.assert_array_equal(widths, made.schedule.best(9e4).widths[None])
    assert f"The best widths within 90000 MACs cost {made.cost(widths[0])}." in said
    assert made.cost(widths[0]) <= 9e4

    with pytest.raises(ValueError, match="budget=90000.0, now 80000.0.* or another --name"):
        search(Workdir(workdir.path, "b"), "mrf", budget=8e4)
    # Told to, it measures anew.
    search(Workdir(workdir.path, "c"), "mrf", evaluations=5, say=said.append)
    assert "mrf over macs, up to 5 networks" in said[-1]
    assert len(measured) == 2 + 2 + 5


@pytest.mark.parametrize(
    ("method", "budget", "message"),
    [
        ("mrf", 100.0, r"the least cost .* Received: budget=100. The widths of least cost are \["),
        ("greedy", 1e5, "what the search by \"mrf\" looks within.*method='greedy', budget=100000"),
    ],
)
def test_a_budget_that_cannot_be_is_refused_before_anything_is_measured(
    trained, method, budget, message
):
    workdir = Workdir(trained.path, "impossible")
    with pytest.raises(ValueError, match=message):
        search(workdir, method, budget=budget, say=lambda *_: None)
    assert not workdir.place.exists()


def test_an_answer_that_a_cheaper_network_beats_is_said_to_be_none(trained, monkeypatch):
    from keras_joslim.app import search as module

    said, worst = [], {}

    def front_of(workdir, recipe, widths, *_, **__):
        space = recipe.model.width_space
        ends = {"p00": space.smallest, "p01": space.full}
        worst.update({name: float(recipe.cost(row)) for name, row in ends.items()})
        return [
            types.SimpleNamespace(name=n, widths=tuple(w.tolist()), costs={"macs": worst[n]})
            for n, w in ends.items()
        ]

    monkeypatch.setattr(module, "save_front", front_of)
    search(Workdir(trained.path, "beaten"), "mrf", evaluations=6, budget=9e4, say=said.append)
    assert "no point of the front: p00 costs no more" in said[-1]
    assert worst["p00"] < 9e4 < worst["p01"]


def test_a_budget_of_millions_makes_a_name(trained, capsys):
    command = ["joslim", "search", f"--workdir={trained.path}", "--method=mrf", "--evaluations=6"]
    main.main([*command, "--budget=2000000"])
    assert (trained.path / "search" / "mrf-macs-2000000" / "front.json").is_file()
    assert "The best widths within 2000000 MACs cost " in capsys.readouterr().out


def test_other_targets_are_another_search(trained):
    command = ["joslim", "search", f"--workdir={trained.path}", "--method=mobo", "--evaluations=6"]
    main.main([*command, "--targets=gap"])
    assert (trained.path / "search" / "mobo-gap-macs" / "front.json").is_file()


def test_too_few_networks_for_scores_are_refused_before_anything_is_measured(trained):
    workdir = Workdir(trained.path, "two")
    with pytest.raises(ValueError, match="3 networks or more.*Received: evaluations=2"):
        search(workdir, "mrf", evaluations=2, say=lambda *_: None)
    assert not workdir.place.exists()


def test_the_budget_of_aows_is_that_of_the_config(tmp_path):
    config = _config("aows")
    made = recipe.make_recipe(config)
    full = float(made.cost(made.model.width_space.full))
    assert (made.schedule.budget, made.schedule.steps) == (0.5 * full, made.steps)
    config["method"]["budget"] = 54321.0
    assert recipe.make_recipe(config).schedule.budget == 54321.0
    config["method"]["budget"] = 10.0
    with pytest.raises(ValueError, match="No widths cost so little"):
        train(Workdir(tmp_path / "run"), config)
    assert not (tmp_path / "run").exists()


def test_another_search_of_the_same_name_is_refused_by_the_field(trained):
    workdir = Workdir(trained.path, "same")
    search(workdir, "greedy", evaluations=4, say=lambda *_: None)
    with pytest.raises(ValueError, match="method='greedy', now 'mobo'. .*another --name"):
        search(workdir, "mobo", evaluations=4)
    with pytest.raises(ValueError, match="evaluations=4, now not given. Give the same"):
        search(workdir, "greedy")
    said = []
    search(workdir, "greedy", evaluations=4, say=said.append)
    assert "has its front already" in said[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search"], "needs --method, one of mobo, nsga2, greedy"),
        (["search", "--method=hill"], "hill"),
        (["search", "--method=nsga2", "--targets=gap"], "those of --method=mobo"),
        (["plot", "--cost=memory"], "--cost is a flag of `joslim search`"),
        (["search", "--method=mobo", "--name=../x"], "name of a search is made of letters"),
        (["search", "--method=mobo", "--evaluations=0"], "evaluations"),
        (["search", "--method=mrf", "--budget=nan"], "--budget is a number above 0. Received: nan"),
        (["search", "--method=mrf", "--budget=0"], "--budget is a number above 0. Received: 0.0"),
        (["export", "--name=absent"], "no front of a search named 'absent'; there are: "),
        (["train", "--name=x"], "--name is the name of a search; `joslim train` has none"),
    ],
)
def test_what_is_wrong_with_the_command_is_said(trained, arguments, message):
    command = ["joslim", arguments[0], f"--workdir={trained.path}", *arguments[1:]]
    with pytest.raises(ValueError, match=message):
        main.main(command)


@pytest.mark.parametrize("content", ["[]", "{}", "{", '{"settings": {}, "engine": {}}'])
def test_a_search_file_that_cannot_be_read_is_named_with_the_remedy(trained, content):
    workdir = Workdir(trained.path, "broken")
    workdir.place.mkdir(parents=True, exist_ok=True)
    settings = '"method": "greedy", "cost": "macs", "evaluations": null, "targets": "uniform"'
    workdir.search_file.write_text(content.replace('"settings": {}', f'"settings": {{{settings}}}'))
    with pytest.raises(ValueError, match="search.json cannot be taken up .*Remove it to search"):
        search(workdir, "greedy")


@pytest.mark.parametrize(("section", "field"), [("search", "evaluations"), ("front", "networks")])
def test_what_comes_after_the_training_is_looked_at_before_it(tmp_path, section, field):
    config = _config("two_stage")
    config[section][field] = 0
    with pytest.raises(ValueError, match=f"{section}.{field} is a whole number from 1.*=0"):
        train(Workdir(tmp_path / "run"), config)
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_not_trained_cannot_be_searched(tmp_path):
    workdir = Workdir(tmp_path / "run")
    workdir.claim(_config("random"))
    with pytest.raises(ValueError, match="is at step 0 of 14. `joslim train"):
        search(Workdir(workdir.path, "x"), "greedy")


def test_a_method_that_does_not_exist_is_refused_with_those_that_do(tmp_path):
    with pytest.raises(ValueError, match="fixed, uniform, random, .*'simple'"):
        train(Workdir(tmp_path / "run"), _config("simple"))
