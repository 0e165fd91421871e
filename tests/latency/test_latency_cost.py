"""A latency model as a cost: a sum of look-ups, the same as tables, read back as it was."""

import itertools
import json

import numpy as np
import pytest

from keras_joslim.costs import Latency, WidthSum
from keras_joslim.latency.figure import draw
from keras_joslim.latency.fit import validate_latency
from keras_joslim.latency.samples import Sample, Samples
from keras_joslim.search import GreedySearch, JoslimSearch, WidthMRF
from keras_joslim.width_space import ChannelGroup, WidthSpace

SPACE = WidthSpace([ChannelGroup("a", 8, (2, 4, 6, 8)), ChannelGroup("b", 6, (2, 3, 6))])
FACTS = {
    "network": {"groups": [["a", 8, 2], ["b", 6, 2]], "layers": []},
    "format": "fp32",
    "device": {"name": "host"},
    "settings": {"threads": 1, "delegate": "xnnpack"},
    "fit": {},
    "constant": 0.5,
    "operators": [
        {"name": "1", "signature": "s", "axes": [{"groups": {"0": 1.0}, "constant": 0.0}]},
        {
            "name": "2",
            "signature": "p",
            "axes": [
                {"groups": {"0": 1.0}, "constant": 0.0},
                {"groups": {"1": 1.0}, "constant": 0.0},
            ],
        },
        {
            "name": "3",
            "signature": "s",
            "axes": [{"groups": {"0": 1.0, "1": 1.0}, "constant": 2.0}],
        },
    ],
    "tables": {
        "s": {"widths": [[2.0, 10.0, 18.0]], "ms": [1.0, 2.0, 4.0]},
        "p": {"widths": [[2.0, 8.0], [2.0, 6.0]], "ms": [[1.0, 3.0], [2.0, 8.0]]},
    },
}


def by_hand(a, b):
    single = lambda w: float(np.interp(w, [2, 10, 18], [1, 2, 4]))  # noqa: E731
    u, v = (a - 2) / 6, (b - 2) / 4
    pair = (1 - u) * (1 - v) * 1 + (1 - u) * v * 3 + u * (1 - v) * 2 + u * v * 8
    return 0.5 + single(a) + single(a + b + 2) + pair


ALL = np.array(list(itertools.product(*SPACE.legal)))


def test_it_is_the_sum_of_what_its_operators_take():
    latency = Latency(FACTS)
    expected = [by_hand(a, b) for a, b in ALL.tolist()]
    assert latency(ALL) == pytest.approx(expected)
    assert latency(ALL[3]) == pytest.approx(expected[3])
    assert isinstance(latency(ALL[3]), float)


def test_its_factors_add_up_to_it():
    latency = Latency(FACTS)
    factors = latency.factors(SPACE.legal)
    assert {factor.groups for factor in factors} == {
        (),
        (0,),
        (0, 1),
        (WidthSum(((0, 1), (1, 1))),),
    }
    assert WidthMRF(SPACE, factors).cost(ALL) == pytest.approx(latency(ALL))


def test_a_group_read_and_written_is_a_diagonal():
    facts = json.loads(json.dumps(FACTS))
    facts["operators"][1]["axes"][1] = {"groups": {"0": 1.0}, "constant": 0.0}
    latency = Latency(facts)
    assert WidthMRF(SPACE, latency.factors(SPACE.legal)).cost(ALL) == pytest.approx(latency(ALL))


@pytest.mark.parametrize("widths", [[8], [8, 6, 1], [[[8, 6]]], 8])
def test_widths_of_another_length_are_refused(widths):
    with pytest.raises(ValueError, match=r"shape \(2,\) or \(n, 2\). Received: shape="):
        Latency(FACTS)(widths)


def test_searches_run_on_it_unchanged():
    latency = Latency(FACTS)
    greedy = GreedySearch(SPACE, latency)
    joslim = JoslimSearch(SPACE, latency, prior_points=3, seed=0)
    for engine in (greedy, joslim):
        for _ in range(4):
            engine.ask(2)
            engine.tell(1.0 / np.sqrt(latency(engine.history.widths)))
        assert engine.history.costs == pytest.approx(latency(engine.history.widths))


def test_it_is_read_back(tmp_path):
    latency = Latency(FACTS)
    latency.save(tmp_path / "latency.json")
    again = Latency.read(tmp_path / "latency.json")
    assert again.facts == FACTS
    assert again(ALL).tolist() == latency(ALL).tolist()
    assert repr(again) == "Latency(host, fp32, xnnpack, threads=1)"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: c.update(kind="x"), "not a latency model of `joslim latency fit`"),
        (lambda c: c.pop("tables"), "tables"),
        (lambda c: c["tables"]["s"].update(ms=[1.0, float("nan"), 2.0]), "no numbers"),
        (lambda c: c["operators"][0].update(axes=[{"groups": {"7": 1.0}, "constant": 0}]), "Index"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, spoil, message):
    path = tmp_path / "latency.json"
    Latency(FACTS).save(path)
    content = json.loads(path.read_text())
    spoil(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        Latency.read(path)


def test_a_file_that_is_not_there_says_how_to_make_one(tmp_path):
    with pytest.raises(ValueError, match=r"no such file. `joslim latency sample`"):
        Latency.read(tmp_path / "latency.json")


def test_the_picture_has_every_network_and_both_figures():
    rng = np.random.default_rng(0)
    rows = [
        Sample("held_out", tuple(w), (by_hand(*w) * float(rng.uniform(0.9, 1.1)),))
        for w in ALL.tolist()
    ]
    about = {**FACTS, "legal": [list(legal) for legal in SPACE.legal], "seed": 0}
    validation = validate_latency(Latency(FACTS), Samples(about, tuple(rows)))
    figure = draw(validation, Latency(FACTS))
    assert figure.data[1].x.tolist() == [row.ms for row in rows]
    assert figure.data[1].y == pytest.approx([by_hand(*w) for w in ALL.tolist()])
    assert f"{validation.error:.1%}" in figure.layout.title.text
    assert validation.to_dict()["predicted"] == pytest.approx(validation.predicted)
