"""All of keras.applications: converted, narrowed, extracted, counted, trained and saved.

Small ones and four of the others in every run, all of them in `make test-all`.
JOSLIM_ROTATION=<number> says which two; continuous integration makes it of the commit.
"""

import gc
import os

import keras
import numpy as np
import pytest

import keras_joslim as kj
from tests.costs.counts import kernel_macs, nodes
from tests.graph.applications import ALWAYS, ROTATING, case_of, exported, in_rotation, turns

ROTATION = int(os.environ.get("JOSLIM_ROTATION", "0"))
EVERY_TIME = (*ALWAYS, *in_rotation(ROTATION))


def parameters():
    """The models; those that are not checked every time are slow."""
    marks = {True: (), False: (pytest.mark.slow,)}
    return [pytest.param(n, marks=marks[n in EVERY_TIME], id=n) for n in sorted(ALWAYS + ROTATING)]


@pytest.fixture(params=parameters(), scope="module")
def case(request):
    yield case_of(request.param)
    # A model is a circle of references, and the largest hold gigabytes.
    keras.backend.clear_session()
    gc.collect()


def test_all_that_keras_exports_is_checked(capsys):
    assert set(ALWAYS) | set(ROTATING) == exported()
    assert len(ALWAYS) + len(ROTATING) == len(exported())
    for start in range(turns()):
        rounds = [in_rotation(start + i) for i in range(turns())]
        assert {name for each in rounds for name in each} == set(ROTATING)
        assert all(len(set(each)) == 2 for each in rounds)
    with capsys.disabled():
        print(f"\nJOSLIM_ROTATION={ROTATION}: {', '.join(in_rotation(ROTATION))}")


def test_full_width_is_the_original(case):
    found = np.asarray(case.slim(case.images))
    assert np.isfinite(found).all()
    error = np.abs(found - case.expected).max() / np.abs(case.expected).max()
    assert error <= case.tolerance


def test_share_of_macs_that_is_searchable(case):
    share = kj.costs.MACs(case.slim).searchable_share
    assert share == pytest.approx(narrowed_share(case.slim, case.smallest))
    assert share >= 0.95


@pytest.mark.parametrize(
    ("build", "skip"),
    [
        (keras.applications.MobileNet, ("conv_pw_[4567]",)),
        (keras.applications.ResNet50, ("conv3_block*", "conv2_block1_1_conv")),
    ],
)
def test_share_of_macs_where_much_stays_at_full_width(build, skip):
    model = build(weights=None, input_shape=(32, 32, 3), classes=5)
    slim = kj.make_slimmable(model, skip=skip)
    share = kj.costs.MACs(slim).searchable_share
    smallest = kj.extract(slim, slim.width_space.smallest)
    assert share == pytest.approx(narrowed_share(slim, smallest))
    assert 0.3 < share < 0.9


def narrowed_share(slim, smallest):
    """Share of MACs in layers whose kernels are smaller in the smallest network, by shapes."""
    narrow_shapes = {layer.name: kernel_shapes(layer) for layer in smallest.layers}
    macs = {True: 0, False: 0}
    for node in nodes(slim.network):
        layer = node.operation
        pixels = int(np.prod(node.outputs[0].shape[1:-1]))
        for shape, narrow in zip(
            kernel_shapes(layer), narrow_shapes.get(layer.name, ()), strict=True
        ):
            macs[shape != narrow] += pixels * int(np.prod(shape))
    return macs[True] / sum(macs.values())


def kernel_shapes(layer):
    weights = getattr(layer, "weights", ())
    return [tuple(weight.shape) for weight in weights if "kernel" in weight.name]


def test_extracted_networks_and_their_costs(case):
    slim, space = case.slim, case.slim.width_space
    macs, parameters = kj.costs.MACs(slim), kj.costs.Parameters(slim, "counted")
    outputs = []
    (sampled,) = space.sample(case.rng, 1)
    subs = ((space.smallest, case.smallest), (sampled, kj.extract(slim, sampled)))
    for widths, sub in subs:
        outputs.append(np.asarray(slim(case.images, widths)))
        scale = np.abs(outputs[-1]).max()
        np.testing.assert_allclose(sub(case.images), outputs[-1], rtol=0, atol=1e-5 * scale)
        assert parameters(widths) == sub.count_params()
        assert macs(widths) == kernel_macs(sub)
        assert macs(widths) < macs(space.full)
    # Outputs follow the widths and the images, or their equality would say little. (Through the
    # smallest network, its norms not calibrated, next to nothing of the images comes.)
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-2 * np.abs(outputs).max()
    for each in (outputs[1], case.expected):
        assert np.ptp(each, axis=0).max() > 1e-2 * np.abs(each).max()


def test_a_sandwich_step_changes_every_kernel(case):
    slim = case.slim
    before = slim.get_weights()
    slim.compile(
        keras.optimizers.SGD(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    history = slim.fit(case.images, case.labels, batch_size=len(case.images), verbose=0).history
    kernels = [weight for weight in slim.trainable_weights if "kernel" in weight.name]
    old = {weight.path: value for weight, value in zip(slim.weights, before, strict=True)}
    same = [w.path for w in kernels if np.array_equal(w.numpy(), old[w.path])]
    slim.set_weights(before)
    assert same == []
    assert all(np.isfinite(values).all() for values in history.values())


def test_a_saved_model_is_the_same(case, tmp_path):
    slim = case.slim
    path = tmp_path / "slim.keras"
    slim.save(path)
    loaded = keras.saving.load_model(path)
    # A gigabyte of the largest.
    path.unlink()
    assert loaded.width_space == slim.width_space
    widths = slim.width_space.sample(case.rng, 1)[0]
    np.testing.assert_array_equal(loaded(case.images, widths), slim(case.images, widths))
