"""The front: non-dominated, measured as an extracted model is, saved and drawn as it is."""

import dataclasses
import json

import keras
import numpy as np
import pytest

import keras_joslim as kj
from keras_joslim.evaluation import Judge, bootstrap_error


def small_model():
    inputs = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Conv2D(8, 3, strides=2, use_bias=False, name="stem")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.ReLU(name="relu")(x)
    x = keras.layers.Conv2D(12, 3, name="conv")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, keras.layers.Dense(10, name="logits")(x))


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(0)
    data = kj.datasets.load("digits")
    slim = kj.make_slimmable(small_model(), min_width=0.25)
    slim.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    slim.fit(data.train.images, data.train.labels, batch_size=64, epochs=2, verbose=0)
    return slim, data


@pytest.fixture(scope="module")
def front(trained):
    slim, data = trained
    widths = slim.width_space.sample(np.random.default_rng(0), 8)
    validation = (data.validation.images, data.validation.labels)
    return kj.ParetoFront.build(slim, widths, validation, [data.train.images[:256]], progress=False)


def test_points_ascend_in_cost_and_descend_in_loss(front):
    macs = [p.costs["macs"] for p in front]
    losses = [p.validation["loss"] for p in front]
    assert macs == sorted(set(macs))
    assert losses == sorted(set(losses), reverse=True)
    assert [p.name for p in front] == [f"p{i:02d}" for i in range(len(front))]


def test_no_judged_network_dominates_a_point(front):
    for point in front:
        for other in front.history:
            assert other["macs"] >= point.costs["macs"] or other["loss"] > point.validation["loss"]


def test_a_point_is_its_calibrated_model_measured_independently(front, trained):
    _, data = trained
    for point in front:
        logits = np.asarray(front.models[point.name](data.validation.images), np.float64)
        top = logits.max(-1, keepdims=True)
        logs = logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))
        picked = -logs[np.arange(len(logs)), data.validation.labels]
        assert point.validation["loss"] == pytest.approx(picked.mean(), abs=1e-5)
        accuracy = (logits.argmax(-1) == data.validation.labels).mean()
        assert point.validation["accuracy"] == pytest.approx(accuracy, abs=1e-6)
        # The bootstrap error of a mean is close to the textbook one.
        assert point.validation["loss_se"] == pytest.approx(
            picked.std() / np.sqrt(len(picked)), rel=0.15
        )


def test_the_full_and_the_smallest_network_are_always_judged(front, trained):
    slim, _ = trained
    ends = {end.name: end for end in front.ends}
    assert ends["full"].widths == tuple(slim.width_space.full)
    assert ends["smallest"].widths == tuple(slim.width_space.smallest)
    assert set(front.end_models) == {"full", "smallest"}
    assert set(front.models) == {point.name for point in front}


def test_test_data_changes_nothing_but_the_test_results_and_is_measured_once(front, trained):
    slim, data = trained
    noise = np.random.default_rng(0).integers(10, size=len(data.test))
    measured = front.measure_test(slim, (data.test.images, noise))
    assert [p.replace(test={}) for p in measured] == list(front.points)
    assert all(set(p.test) == {"loss", "loss_se", "accuracy"} for p in measured)
    with pytest.raises(ValueError, match="measured once"):
        measured.measure_test(slim, (data.test.images, noise))


def test_save_and_load_keep_everything(front, tmp_path):
    front.save(tmp_path / "front.json")
    loaded = kj.ParetoFront.load(tmp_path / "front.json")
    assert loaded.points == front.points
    assert loaded.ends == front.ends
    assert loaded.history == front.history
    assert kj.WidthSpace.from_dict(loaded.width_space).names == ("stem", "conv")
    with pytest.raises(ValueError, match="not in memory"):
        loaded.measure_test(None, None)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is not JSON"), ("[]", "not a front"), ('{"format": "x"}', "not a front")],
)
def test_a_corrupt_or_foreign_file_is_refused(content, message, tmp_path):
    (tmp_path / "front.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        kj.ParetoFront.load(tmp_path / "front.json")
    with pytest.raises(ValueError, match="There is no front at"):
        kj.ParetoFront.load(tmp_path / "other.json")


def test_widths_of_another_model_are_refused(trained):
    slim, data = trained
    validation = (data.validation.images, data.validation.labels)
    with pytest.raises(ValueError, match=r"one entry a channel group. Received: shape=\(1, 3\)"):
        kj.ParetoFront.build(slim, [[1, 2, 3]], validation, [])


def test_the_figure_shows_every_point_and_the_history(front):
    figure = front.plot()
    history, line = figure.data
    assert len(line.x) == len(front)
    assert len(history.x) + len(line.x) == len(front.history)
    assert json.loads(figure.to_json())["layout"]["xaxis"]["title"]["text"] == "MACs per image"
    accuracy = front.plot(cost="parameters", metric="accuracy")
    assert list(accuracy.data[-1].y) == [p.validation["accuracy"] for p in front]
    with pytest.raises(ValueError, match="no cost 'flops'"):
        front.plot(cost="flops")
    with pytest.raises(ValueError, match="no metric 'f1'"):
        front.plot(metric="f1")


def test_the_figure_draws_the_front_of_each_format_from_its_files():
    def point(name, macs, loss, **deployed):
        results = {key: {"loss": value, "accuracy": 1 - value} for key, value in deployed.items()}
        return kj.front.ParetoPoint(
            name, (macs,), {"macs": macs}, {"loss": loss, "accuracy": 1 - loss}, deployed=results
        )

    front = kj.ParetoFront(
        [
            point("p00", 10, 0.5, fp32=0.5, int8=0.5, fp16=0.5),
            point("p01", 20, 0.375, fp32=0.375, int8=0.75, fp16=0.375),
            point("p02", 30, 0.25, fp32=0.25, int8=0.25),
        ]
    )
    lines = {line.name: line for line in front.plot().data}
    assert lines["int8 files (2 points)"].x == (10, 30)
    assert lines["int8 files (2 points)"].y == (0.5, 0.25)
    assert lines["fp16 files (2 points)"].visible == "legendonly"
    assert not any(name.startswith("fp32") for name in lines)
    accuracy = {line.name: line for line in front.plot(metric="accuracy").data}
    assert accuracy["int8 files (2 points)"].y == (0.5, 0.75)


def test_the_table_has_a_column_for_every_cost_and_what_was_measured(front):
    first = front.points[0].replace(
        costs={"memory": 1234567, "macs": 89},
        deployed={"fp32": {"arena": 7654321}},
        latency={"host": {"fp32": {"min": 0.5, "median": 0.6, "peak_memory": 2222222}}},
    )
    lines = front.with_points([first], ends=()).table().splitlines()
    for column in ("memory bytes", "MACs", "arena bytes", "peak bytes"):
        assert column in lines[0]
    assert "parameters" not in lines[0]
    for figure in ("1,234,567", "89", "7,654,321", "2,222,222"):
        assert figure in lines[2].split()
    assert any("built-in interpreter" in line for line in lines[3:])
    # What is not known is a dash.
    assert front.table().splitlines()[2].split()[-2:] == ["-", "-"]


def test_a_point_is_found_by_name(front):
    assert front["p00"] is front.points[0]
    with pytest.raises(KeyError, match="p99"):
        front["p99"]


def test_data_that_does_not_fit_is_refused(trained):
    slim, data = trained
    with pytest.raises(ValueError, match="of one length"):
        Judge(slim, (data.test.images, data.test.labels[:-1]))
    with pytest.raises(ValueError, match="with labels"):
        Judge(slim, (data.test.images,))
    with pytest.raises(ValueError, match="empty"):
        Judge(slim, [])
    with pytest.raises(ValueError, match="SlimmableModel"):
        kj.ParetoFront.build(small_model(), [], None, [])


def test_bootstrap_error_of_equal_values_is_zero_and_falls_with_more():
    assert bootstrap_error(np.ones(50)) == 0
    values = np.random.default_rng(0).normal(size=4000)
    assert bootstrap_error(values[:100]) > 3 * bootstrap_error(values)


def test_the_table_has_a_column_for_every_metric_of_every_output(front):
    measured = {"loss": 1.0, "loss_se": 0.1, "kind_accuracy": 0.25, "box_mae": 0.125}
    points = [dataclasses.replace(p, validation=measured, test=measured) for p in front.points]
    table = str(kj.ParetoFront(points))
    head, _, first = table.splitlines()[:3]
    assert "test kind acc. %" in head
    assert "test box_mae" in head
    assert "25.00" in first
    assert "0.1250" in first
