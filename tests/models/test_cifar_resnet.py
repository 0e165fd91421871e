"""The CIFAR ResNets have the published sizes, and their shortcuts do what option A says."""

import keras
import numpy as np
import pytest

import keras_joslim
from keras_joslim import models


def macs(model):
    """Multiply-accumulates an image, counted from kernels and output shapes alone."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
            total += layer.kernel.shape.num_elements() * int(np.prod(layer.output.shape[1:-1]))
    return total


@pytest.mark.parametrize(
    ("build", "million_macs", "million_parameters"),
    [
        (models.ResNet20, 40.6, 0.27),
        (models.ResNet32, 68.9, 0.46),
        (models.ResNet44, 97.2, 0.66),
        (models.ResNet56, 125.5, 0.85),
    ],
)
def test_sizes_are_the_published_ones(build, million_macs, million_parameters):
    model = build()
    assert round(macs(model) / 1e6, 1) == million_macs
    trainable = sum(weight.shape.num_elements() for weight in model.trainable_weights)
    assert abs(trainable / 1e6 - million_parameters) < 0.01
    assert model.output_shape == (None, 10)


def test_the_stem_is_a_3x3_convolution_with_batch_norm_and_relu():
    model = models.ResNet20()
    kinds = [type(layer).__name__ for layer in model.layers[1:4]]
    assert kinds == ["Conv2D", "BatchNormalization", "ReLU"]
    assert model.get_layer("stem_conv").kernel_size == (3, 3)
    assert not model.get_layer("stem_conv").use_bias


def test_a_stem_with_strides_halves_the_resolution_and_quarters_the_macs():
    whole, half = models.cifar_resnet(14), models.cifar_resnet(14, stem_strides=2)
    for stage, side in enumerate((16, 8, 4), start=1):
        assert half.get_layer(f"stage{stage}_block2_relu").output.shape[1:3] == (side, side)
    # All but the classifier, 64 to 10, which sees one pixel in both.
    assert 4 * (macs(half) - 640) == macs(whole) - 640
    assert [w.shape for w in half.weights] == [w.shape for w in whole.weights]


def test_a_shortcut_takes_every_second_pixel_and_appends_zero_channels():
    model = models.cifar_resnet(8)
    add = model.get_layer("stage2_block1_add")
    reader = keras.Model(model.input, [model.get_layer("stage1_block1_relu").output, *add.input])
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    before, _, shortcut = (np.asarray(value) for value in reader(images))
    assert shortcut.shape == (2, 16, 16, 32)
    np.testing.assert_array_equal(shortcut[..., :16], before[:, ::2, ::2])
    assert not shortcut[..., 16:].any()


def test_names_are_the_same_whenever_it_is_built():
    names = [[operation.name for operation in models.ResNet20().operations] for _ in range(2)]
    assert names[0] == names[1]
    assert {"stage2_block1_pad", "stage3_block1_pad", "stage2_block1_conv1"} <= set(names[0])
    assert len(set(names[0])) == len(names[0])


def test_only_a_padded_shortcut_orders_channel_groups():
    space = keras_joslim.make_slimmable(models.ResNet20(), min_width=0.316).width_space
    assert [(space.names[narrow], space.names[wide]) for narrow, wide in space.ordering] == [
        ("stem_conv", "stage2_block1_conv2"),
        ("stage2_block1_conv2", "stage3_block1_conv2"),
    ]


def test_saving_keeps_names_and_outputs(tmp_path):
    model = models.cifar_resnet(8, classes=5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    np.testing.assert_array_equal(model(images), loaded(images))
    assert [op.name for op in model.operations] == [op.name for op in loaded.operations]


def test_options():
    model = models.cifar_resnet(
        14, input_shape=(28, 28, 1), classes=7, width=0.5, classifier_activation="softmax", name="n"
    )
    assert model.name == "n"
    assert model.get_layer("stage3_block2_conv2").filters == 32
    output = np.asarray(model(np.ones((3, 28, 28, 1), np.float32)))
    assert output.shape == (3, 7)
    np.testing.assert_allclose(output.sum(-1), 1, rtol=1e-5)


def test_odd_sizes_fit():
    assert models.cifar_resnet(8, input_shape=(33, 27, 3)).output_shape == (None, 10)


@pytest.mark.parametrize("depth", [2, 18, 21])
def test_a_depth_that_does_not_exist_is_refused(depth):
    with pytest.raises(ValueError, match=rf"6n \+ 2.*depth={depth}"):
        models.cifar_resnet(depth)


def test_a_width_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="width=0"):
        models.cifar_resnet(20, width=0)


@pytest.mark.parametrize("strides", [0, 1.5, True])
def test_strides_that_are_no_whole_number_are_refused(strides):
    with pytest.raises(ValueError, match=f"stem_strides={strides}"):
        models.cifar_resnet(20, stem_strides=strides)
