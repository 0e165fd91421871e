"""Samples: resumed as if never ended, kept whole, refused where they are of something else."""

import json

import numpy as np
import pytest

from keras_joslim.latency.fit import fit_latency, validate_latency
from keras_joslim.latency.samples import FILE_NAME, Sample, Samples, measure_samples
from tests.latency.networks import chain, widths_in

NETWORK = chain()
ABOUT = {
    "network": {"groups": [["a", 8, 2], ["b", 6, 2]], "layers": [["x", "Conv2D", [[8]]]]},
    "legal": [[2, 4, 6, 8], [2, 4, 6]],
    "format": "fp32",
    "device": {"name": "host"},
    "settings": {"threads": 1, "delegate": "xnnpack", "processes": 2},
    "seed": 0,
}


def truth(widths):
    a, b = np.asarray(widths, float).T
    return 0.2 + 0.01 * a + 2 * (0.02 + 0.003 * a * b)


class Meter:
    """Milliseconds by a formula; it may break down at the nth call."""

    def __init__(self, breaks_at=None):
        self.calls, self.breaks_at = 0, breaks_at

    def __call__(self, files):
        self.calls += 1
        if self.calls == self.breaks_at:
            raise KeyboardInterrupt
        return {n: float(truth(widths_in(path)[None])[0]) for n, path in files.items()}


def measure(directory, meter=None, about=ABOUT, **counts):
    counts = {"count": 50, "held_out": 12} | counts
    return measure_samples(NETWORK, about, meter or Meter(), directory, **counts)


def test_a_measurement_that_was_ended_goes_on_where_it_was(tmp_path):
    whole = measure(tmp_path / "whole")
    # 74 networks are four batches a turn.
    for breaks_at in (2, 5):
        with pytest.raises(KeyboardInterrupt):
            measure(tmp_path / "ended", Meter(breaks_at))
    meter = Meter()
    resumed = measure(tmp_path / "ended", meter)
    files = [(tmp_path / name / FILE_NAME).read_text() for name in ("whole", "ended")]
    assert files[0] == files[1]
    assert resumed == whole
    assert meter.calls == 8 - 1 - 4
    again = Meter()
    assert measure(tmp_path / "ended", again) == whole
    assert again.calls == 0


def test_more_can_be_added(tmp_path):
    measure(tmp_path, count=10, held_out=5)
    more = measure(tmp_path, count=30, held_out=5)
    once = measure(tmp_path / "once", count=30, held_out=5)
    for part in ("fit", "held_out", "again"):
        assert more.part(part)[0].tolist() == once.part(part)[0].tolist()


def test_what_is_in_the_file_is_what_was_measured(tmp_path):
    calls = []
    samples = measure_samples(
        NETWORK, ABOUT, Meter(), tmp_path, 30, 8, on_progress=lambda *a: calls.append(a)
    )
    assert Samples.load(tmp_path / FILE_NAME) == samples
    assert calls[-1] == (2 * 46, 2 * 46)
    widths, latencies = samples.part("fit")
    assert latencies == pytest.approx(truth(widths))
    assert samples.part("again")[0].tolist() == samples.part("held_out")[0].tolist()
    assert len(samples.sentinels) == 2 * 3
    assert all(len(row.times) == 2 for row in samples.rows)
    assert samples.terms == list(NETWORK.terms)


def test_repeatability_and_drift_by_hand():
    about = {**ABOUT, "operators": []}
    rows = [Sample("held_out", (2, 2), (1.0, 1.5)), Sample("held_out", (4, 4), (4.0, 3.0))]
    rows += [
        Sample("again", (2, 2), (1.2,)),
        Sample("again", (4, 4), (2.6,)),
        Sample("fit", (2, 2)),
    ]
    samples = Samples(about, tuple(rows), (2.0, 2.5))
    # Differences 0.2 and 0.4: mean square 0.1, half of it 0.05.
    assert samples.repeatability == pytest.approx(np.sqrt(0.05) / 2.0)
    assert samples.drift == 1.25
    assert Samples(about, tuple(rows[:2])).repeatability is None


@pytest.mark.parametrize("ms", [0.0, -1.0, float("nan"), float("inf"), None, True])
def test_a_latency_that_cannot_be_is_an_error_that_names_the_network(tmp_path, ms):
    def meter(files):
        return dict.fromkeys(files, 1.0) | {list(files)[3]: ms}

    with pytest.raises(ValueError, match=r"above 0. Received: .*widths=\[\d, \d\]"):
        measure(tmp_path, meter)
    assert not (tmp_path / FILE_NAME).exists()


def test_a_slow_minute_of_the_device_does_not_count(tmp_path):
    meter = Meter()

    def slow_in_the_first_turn(files):
        found = meter(files)
        return {name: ms * (3.0 if meter.calls <= 4 else 1.0) for name, ms in found.items()}

    samples = measure(tmp_path, slow_in_the_first_turn)
    widths, latencies = samples.part("fit")
    assert latencies == pytest.approx(truth(widths))
    assert samples.drift == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "int8"}, "samples of format='fp32', now 'int8'"),
        ({"seed": 1}, "samples of seed=0, now 1"),
        ({"device": {"name": "pixel7"}}, "samples of device='host', now 'pixel7'"),
        ({"settings": {**ABOUT["settings"], "threads": 2}}, "threads=1, now 2"),
        ({"legal": [[2, 8], [2, 6]]}, "samples of legal="),
        (
            {"network": {"groups": [["a", 8, 2], ["b", 6, 2]], "layers": [["y", "Dense", [[8]]]]}},
            r"of another network: layer 'x' was \['Conv2D', \[\[8\]\]\], 'y' is \['Dense'",
        ),
        (
            {"network": {"groups": [["a", 8, 1], ["b", 6, 2]], "layers": [["x", "Conv2D", [[8]]]]}},
            "at 2 channels and more of group 'a'; this model goes down to 1",
        ),
    ],
)
def test_samples_of_something_else_are_refused(tmp_path, change, message):
    measure(tmp_path)
    with pytest.raises(ValueError, match=message):
        measure(tmp_path, about={**ABOUT, **change})


def test_names_of_layers_are_no_difference(tmp_path):
    measure(tmp_path, count=10)
    network = {"groups": [["c", 8, 2], ["d", 6, 2]], "layers": [["conv_7", "Conv2D", [[8]]]]}
    measure(tmp_path, about={**ABOUT, "network": network}, count=10)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: c.update(kind="x"), "does not hold latency samples"),
        (lambda c: c.update(schema=99), "schema 99"),
        (lambda c: c.pop("settings"), "settings"),
        (lambda c: c["samples"][0].__setitem__(1, [1.0, -3.0]), "above 0. Received: -3.0"),
        (lambda c: c["samples"][0].__setitem__(1, ["fast"]), "Received: 'fast'"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, spoil, message):
    measure(tmp_path, count=10)
    path = tmp_path / FILE_NAME
    content = json.loads(path.read_text())
    spoil(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        Samples.load(path)


def test_a_file_cut_short_and_none_at_all(tmp_path):
    with pytest.raises(ValueError, match=r"no such file. .*joslim latency sample"):
        Samples.load(tmp_path / FILE_NAME)
    measure(tmp_path, count=10)
    path = tmp_path / FILE_NAME
    path.write_text(path.read_text()[:-20])
    with pytest.raises(ValueError, match="cannot|can be read"):
        Samples.load(path)


# -- fitted ----------------------------------------------------------------------


def test_a_fitted_model_is_the_formula_on_networks_it_never_saw(tmp_path):
    samples = measure(tmp_path, count=60, held_out=30)
    latency = fit_latency(samples)
    widths, expected = samples.part("held_out")
    assert latency(widths) == pytest.approx(expected, rel=0.01)
    validation = validate_latency(latency, samples)
    assert validation.error < 0.01
    assert validation.rank_correlation > 0.95
    assert validation.repeatability == 0.0
    assert validation.error == pytest.approx(
        np.sqrt(np.mean((latency(widths) - expected) ** 2)) / expected.mean()
    )


def test_held_out_networks_are_not_fitted_to(tmp_path):
    samples = measure(tmp_path, count=30, held_out=10)
    rows = tuple(
        Sample(row.part, row.widths, (row.ms * (5.0 if row.part != "fit" else 1.0),))
        for row in samples.rows
    )
    other = Samples(samples.about, rows, samples.sentinels)
    assert fit_latency(other).facts == fit_latency(samples).facts


def test_too_few_samples_are_said(tmp_path):
    samples = measure(tmp_path, count=10, held_out=1)
    with pytest.raises(ValueError, match="20 samples or more.* Received: 10"):
        fit_latency(samples)
    latency = fit_latency(measure(tmp_path, count=30, held_out=1))
    with pytest.raises(ValueError, match="two networks or more must be held out. Received: 1"):
        validate_latency(latency, samples)
