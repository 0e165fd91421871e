"""Costs at any widths equal counts made on the extracted model by other means."""

import keras
import numpy as np
import pytest

import keras_joslim as kj
from keras_joslim.costs import MACs, Parameters
from tests.costs.counts import kernel_macs, nodes, profiled_macs
from tests.graph.families import ALL
from tests.graph.networks import NETWORKS, randomised, some_widths

layers = keras.layers


# The profiler knows no dense layer on rank 3, and does not see into the function in which
# Keras hides a grouped convolution: such networks are counted from shapes alone.
UNPROFILED = ("masked", "reshaped", "squeeze_and_excitation_by_reshape")
# Layers that stay stock and hold weights of other names: counted in test_stock_macs.py.
OTHER_KERNELS = ("einsum_across_axes", "attention", "unknown_layer")


@pytest.mark.parametrize("name", ALL)
def test_hand_built_networks(name):
    slim = kj.make_slimmable(ALL[name]().model, min_width=0.2)
    macs, counted = MACs(slim), Parameters(slim, batch_norm="counted")
    rows = [slim.width_space.full, *some_widths(slim.width_space, 1)]
    for widths in rows:
        sub = kj.extract(slim, widths)
        if name not in OTHER_KERNELS:
            assert macs(widths) == kernel_macs(sub)
        assert counted(widths) == sub.count_params()
    if name in NETWORKS and name not in (*UNPROFILED, *OTHER_KERNELS):
        assert macs(rows[-1]) == profiled_macs(kj.extract(slim, rows[-1]))


@pytest.mark.parametrize(
    "build",
    [
        lambda: keras.applications.MobileNetV2((32, 32, 3), 0.35, weights=None, classes=10),
        lambda: keras.applications.MobileNet((64, 64, 3), 0.25, weights=None, classes=10),
        lambda: kj.models.cifar_resnet(20),
    ],
    ids=["mobilenet_v2", "mobilenet", "resnet20"],
)
def test_real_networks(build):
    slim = kj.make_slimmable(build(), min_width=0.3)
    macs, counted = MACs(slim), Parameters(slim, batch_norm="counted")
    folded = Parameters(slim)
    for widths in some_widths(slim.width_space, 1):
        sub = kj.extract(slim, widths)
        assert macs(widths) == profiled_macs(sub) == kernel_macs(sub)
        assert counted(widths) == sub.count_params()
        assert folded(widths) == folded_constants(sub)


def folded_constants(model):
    """Constants left after BatchNormalization is folded away, graph edge by graph edge.

    A norm that alone reads a linear kernel layer becomes that layer's bias. Any other one
    is a scale and an offset a channel.
    """
    readers = {}
    for node in nodes(model):
        for tensor in node.input_tensors:
            readers.setdefault(id(tensor), []).append(node)
    total, seen = 0, set()
    for node in nodes(model):
        layer = node.operation
        if id(layer) in seen or not isinstance(layer, layers.Layer):
            continue
        seen.add(id(layer))
        if not isinstance(layer, layers.BatchNormalization):
            total += sum(int(np.prod(weight.shape)) for weight in layer.weights)
            continue
        source = node.input_tensors[0]
        producer = source._keras_history.operation
        channels = node.outputs[0].shape[-1]
        has_kernel = any("kernel" in weight.name for weight in producer.weights)
        linear = getattr(producer, "activation", None) in (None, keras.activations.linear)
        if has_kernel and linear and len(readers[id(source)]) == 1:
            total += 0 if getattr(producer, "use_bias", False) else channels
        else:
            total += 2 * channels
    return total


def biased_and_shared():
    """Norms of every kind: after a bias, without one, after an activation, read twice."""
    inputs = keras.Input((8, 8, 3))
    x = layers.BatchNormalization(name="first")(inputs)
    x = layers.BatchNormalization()(layers.Conv2D(6, 3, use_bias=False, padding="same")(x))
    x = layers.BatchNormalization()(layers.Conv2D(6, 3, padding="same")(x))
    x = layers.BatchNormalization()(layers.Conv2D(6, 3, activation="relu")(x))
    y = layers.Conv2D(5, 3, use_bias=False)(x)
    y = layers.Concatenate()([layers.BatchNormalization(scale=False)(y), y])
    y = layers.BatchNormalization()(layers.DepthwiseConv2D(3, use_bias=False)(y))
    y = layers.BatchNormalization(center=False)(layers.SeparableConv2D(4, 1, use_bias=False)(y))
    y = layers.GlobalAveragePooling2D()(y)
    y = layers.BatchNormalization()(layers.Dense(7, use_bias=False)(y))
    return keras.Model(inputs, layers.Dense(2)(layers.ReLU()(y)))


def test_folded_parameters():
    slim = kj.make_slimmable(biased_and_shared(), min_width=0.2)
    folded = Parameters(slim)
    for widths in [slim.width_space.full, *some_widths(slim.width_space, 3)]:
        assert folded(widths) == folded_constants(kj.extract(slim, widths))
    full = slim.width_space.full
    by_hand = (
        2 * 3  # `first`: a scale and an offset
        + (9 * 3 * 6 + 6)  # folded into a bias that was not there
        + (9 * 6 * 6 + 6)  # folded into the bias
        + (9 * 6 * 6 + 6 + 2 * 6)  # after an activation
        + (9 * 6 * 5 + 2 * 5)  # its convolution is read twice
        + (9 * 10 + 10)
        + (10 + 10 * 4 + 4)
        + (4 * 7 + 7)
        + (7 * 2 + 2)
    )
    assert folded(full) == by_hand


def test_macs_by_hand():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, strides=2, padding="same", name="conv")(inputs)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same")(x)
    x = layers.SeparableConv2D(5, 3, padding="valid", name="separable")(x)
    x = layers.Flatten()(x)
    slim = kj.make_slimmable(keras.Model(inputs, layers.Dense(4)(x)), min_width=0.2)
    assert slim.width_space.names == ("conv", "separable")
    macs = MACs(slim)

    def by_hand(a, b):
        pixels = 16
        return (
            pixels * 9 * 3 * a  # convolution, every second pixel
            + pixels * 9 * 2 * a  # depthwise, two outputs an input
            + 4 * 9 * 2 * a  # separable: depthwise part on 2x2 pixels
            + 4 * 2 * a * b  # its 1x1 convolution
            + 4 * b * 4  # dense after Flatten
        )

    for a in (1, 3, 6):
        for b in (1, 4, 5):
            assert macs([a, b]) == by_hand(a, b)


def test_published_numbers():
    slim = kj.make_slimmable(keras.applications.MobileNetV2(weights=None), min_width=0.42)
    macs, parameters = MACs(slim), Parameters(slim, batch_norm="counted")
    space = slim.width_space
    assert macs(space.full) == 300_774_272
    assert parameters(space.full) == 3_538_984
    # The smallest MobileNetV2 of US-Net and Joslim: about 59 million.
    assert abs(macs(space.uniform(0.42)) / 1e6 - 59) < 2
    assert 0.99 < macs(space.smallest) / macs(space.uniform(0.42)) <= 1


@pytest.mark.parametrize(("depth", "million"), [(20, 40.6), (32, 68.9), (44, 97.2), (56, 125.5)])
def test_cifar_resnets(depth, million):
    slim = kj.make_slimmable(kj.models.cifar_resnet(depth))
    assert round(MACs(slim)(slim.width_space.full) / 1e6, 1) == million


def test_many_at_once_are_one_by_one():
    slim = kj.make_slimmable(kj.models.cifar_resnet(20), min_width=0.3)
    rows = slim.width_space.sample(np.random.default_rng(0), 500)
    for cost in (MACs(slim), Parameters(slim), Parameters(slim, "counted")):
        many = cost(rows)
        assert many.shape == (500,)
        assert many.dtype == np.int64
        assert many.tolist() == [cost(row) for row in rows]
        assert np.ndim(cost(rows[0])) == 0
        # Narrower is cheaper, in every group.
        full = slim.width_space.full
        for i in range(len(full)):
            less = full.copy()
            less[i] -= 1
            assert cost(less) < cost(full)


def test_the_model_is_never_touched():
    slim = kj.make_slimmable(randomised(NETWORKS["concatenation"]().model), min_width=0.2)
    slim.compile("sgd", "mse")
    before = [w.numpy() for w in slim.variables]
    rows = slim.training_widths.copy()
    macs = MACs(slim)
    first = macs(slim.width_space.smallest)
    # A forward pass at other widths changes no count either.
    slim(np.ones((1, 8, 8, 3), np.float32), slim.width_space.full)
    assert macs(slim.width_space.smallest) == first
    for weight, value in zip(slim.variables, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)
    np.testing.assert_array_equal(slim.training_widths, rows)


@pytest.mark.parametrize("widths", [[4], [4, 5, 6, 7], [[[4, 6, 5]]], 4])
def test_widths_of_another_length_are_refused(widths):
    slim = kj.make_slimmable(NETWORKS["concatenation"]().model)
    with pytest.raises(ValueError, match=r"shape \(3,\) or \(n, 3\). Received: shape="):
        MACs(slim)(widths)


def test_an_unknown_way_to_count_is_refused():
    slim = kj.make_slimmable(NETWORKS["plain"]().model)
    with pytest.raises(ValueError, match="'folded' or 'counted'. Received: batch_norm='free'"):
        Parameters(slim, batch_norm="free")


def test_macs_need_a_static_shape_and_parameters_do_not():
    inputs = keras.Input((None, None, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, name="free")(inputs))
    slim = kj.make_slimmable(keras.Model(inputs, layers.Dense(2)(x)))
    with pytest.raises(ValueError, match="'free' has no static shape.*inputs of fixed sizes"):
        MACs(slim)
    assert Parameters(slim)(slim.width_space.full) == 27 * 4 + 4 + 10


def test_names_and_units():
    slim = kj.make_slimmable(NETWORKS["plain"]().model)
    assert (MACs(slim).name, MACs(slim).unit) == ("macs", "MACs")
    assert (Parameters(slim).name, Parameters(slim).unit) == ("parameters", "parameters")
