"""MobileNet, MobileNetV2 and CIFAR ResNet-20: converted, narrowed, extracted, saved."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_joslim as kj
from tests.graph.networks import arrays, examples, randomised, some_widths

CHECK_FILE = """
import sys
import numpy as np
import keras
path, images, expected = sys.argv[1:]
model = keras.models.load_model(path)
np.testing.assert_allclose(model(np.load(images)), np.load(expected), rtol=1e-6, atol=1e-6)
assert not [name for name in sys.modules if name.startswith("keras_joslim")]
print("stock Keras alone")
"""


def mobilenet():
    return keras.applications.MobileNet((64, 64, 3), alpha=0.25, weights=None, classes=10)


def mobilenet_v2():
    return keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, classes=10)


def resnet20():
    return kj.models.cifar_resnet(20)


@pytest.fixture(params=[mobilenet, mobilenet_v2, resnet20])
def model(request):
    return randomised(request.param())


def test_at_full_width_and_narrow(model):
    slim = kj.make_slimmable(model, min_width=0.3)
    x = examples(model, batch=2)
    np.testing.assert_array_equal(slim(x), model(x))
    for widths in some_widths(slim.width_space, 2):
        sub = kj.extract(slim, widths)
        expected = slim(x, widths).numpy()
        scale = max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(sub(x), expected, rtol=1e-6, atol=1e-6 * scale)
        assert sub.count_params() < model.count_params()
        kinds = {type(op).__module__ for op in sub.operations}
        assert not any("joslim" in kind for kind in kinds)


def test_training_at_full_width_is_the_stock_models():
    """52 norms deep: a layer keeps to 1e-5, here the rounding of 52 layers adds up.

    Enough pixels that no norm divides by a variance next to nothing. The fused kernel of
    oneDNN adds pixel by pixel, so that it rounds some five times as much as the stock path.
    """
    model = keras.applications.MobileNetV2((64, 64, 3), 0.35, weights=None, classes=10)
    slim = kj.make_slimmable(model, min_width=0.3)
    x = examples(model, batch=16)
    expected = arrays(model(x, training=True))
    for path, value in arrays(slim(x, training=True)).items():
        np.testing.assert_allclose(value, expected[path], atol=1e-4)
    found, expected = _moving_statistics(slim.network), _moving_statistics(model)
    assert len(expected) == 2 * 52
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-4, atol=1e-4)


def _moving_statistics(model):
    return {
        (layer.name, weight.name): weight.numpy()
        for layer in model.layers
        for weight in layer.weights
        if weight.name.startswith("moving")
    }


def test_groups_of_mobilenet():
    """A stem and 13 blocks: the depthwise convolution belongs to what comes before it."""
    space = kj.make_slimmable(mobilenet()).width_space
    assert len(space) == 14
    assert not space.ordering
    assert space.groups[1].members == (
        "conv_pw_1",
        "conv_pw_1_bn",
        "conv_dw_2",
        "conv_dw_2_bn",
    )
    # The classifier is a 1x1 convolution, followed by a Reshape and a softmax.
    assert [name for name, reason in space.frozen if "never slimmed" in reason]
    assert "conv_preds" not in {m for group in space.groups for m in group.members}


def test_groups_of_mobilenet_v2():
    """Stem with the first depthwise, 16 expansions, 7 residual stages, the last convolution."""
    space = kj.make_slimmable(mobilenet_v2(), divisor=8).width_space
    assert len(space) == 1 + 16 + 7 + 1
    assert not space.ordering
    members = [group.members for group in space.groups]
    stage = next(each for each in members if "block_3_project" in each)
    assert stage == (
        "block_3_project",
        "block_3_project_BN",
        "block_4_project",
        "block_4_project_BN",
        "block_4_add",
        "block_5_project",
        "block_5_project_BN",
        "block_5_add",
    )
    assert ("block_4_expand", "block_4_expand_BN", "block_4_depthwise") == next(
        each for each in members if "block_4_expand" in each
    )[:3]
    assert space.frozen == (("predictions", space.frozen[0][1]),)


def test_groups_of_cifar_resnet():
    """Three residual stages, ordered by their padded shortcuts, and nine free inner widths."""
    space = kj.make_slimmable(resnet20()).width_space
    assert len(space) == 3 + 9
    stages = [
        next(i for i, g in enumerate(space.groups) if f"stage{s}_block1_conv2" in g.members)
        for s in (1, 2, 3)
    ]
    assert set(space.ordering) == {(stages[0], stages[1]), (stages[1], stages[2])}
    assert [space.groups[i].size for i in stages] == [16, 32, 64]
    assert "stem_conv" in space.groups[stages[0]].members
    inner = [g for i, g in enumerate(space.groups) if i not in stages]
    assert sorted(g.name for g in inner) == sorted(
        f"stage{s}_block{b}_conv1" for s in (1, 2, 3) for b in (1, 2, 3)
    )


def test_skipping_the_first_stage_leaves_the_others_free():
    space = kj.make_slimmable(resnet20(), skip=("stem_conv",)).width_space
    assert len(space) == 2 + 9
    second = next(g for g in space.groups if "stage2_block1_conv2" in g.members)
    # Sixteen channels stay, and their shortcut fits into the second stage at any width.
    assert second.legal == tuple(range(16, 33))


def test_an_extracted_file_needs_keras_alone(tmp_path):
    model = randomised(resnet20())
    slim = kj.make_slimmable(model, min_width=0.3)
    sub = kj.extract(slim, slim.width_space.sample(np.random.default_rng(0), 1)[0], name="point")
    assert sub.name == "point"
    x = examples(model, batch=2)
    sub.save(tmp_path / "point.keras")
    np.save(tmp_path / "images.npy", x)
    np.save(tmp_path / "expected.npy", sub(x))
    files = [str(tmp_path / name) for name in ("point.keras", "images.npy", "expected.npy")]
    result = subprocess.run(
        [sys.executable, "-c", CHECK_FILE, *files], capture_output=True, text=True, check=False
    )
    assert result.stdout.strip() == "stock Keras alone", result.stderr


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = randomised(kj.models.cifar_resnet(8))
    finally:
        keras.config.set_dtype_policy("float32")
    slim = kj.make_slimmable(model, min_width=0.3)
    x = examples(model, batch=2)
    expected, found = model(x), slim(x)
    assert found.dtype == expected.dtype == policy.removeprefix("mixed_")
    np.testing.assert_array_equal(np.asarray(found, np.float32), np.asarray(expected, np.float32))
    widths = slim.width_space.uniform(0.5)
    sub = kj.extract(slim, widths)
    assert {layer.dtype_policy.name for layer in sub.layers} == {"float32"}
    # What is extracted is what a network of single precision and the same weights has there.
    single = kj.models.cifar_resnet(8)
    single.set_weights(model.get_weights())
    expected = kj.extract(kj.make_slimmable(single, min_width=0.3), widths)(x)
    np.testing.assert_array_equal(sub(x), expected)
    # Which the half precision rounds, and no more.
    half = np.asarray(slim(x, widths), np.float32)
    difference = np.linalg.norm(half - expected) / np.linalg.norm(expected)
    assert 0 < difference < (0.01 if policy == "mixed_float16" else 0.08)


def test_one_trace_for_all_widths():
    slim = kj.make_slimmable(randomised(resnet20()), min_width=0.3)
    traces = []

    def call(x, widths):
        traces.append(1)
        return slim(x, widths)

    function = tf.function(call)
    x = tf.random.normal((2, 32, 32, 3))
    for widths in some_widths(slim.width_space, 5):
        outputs = function(x, tf.constant(widths, tf.int32))
        np.testing.assert_allclose(outputs, slim(x, widths), rtol=1e-4, atol=1e-4)
    assert len(traces) == 1
