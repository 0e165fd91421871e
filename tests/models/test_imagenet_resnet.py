"""The ImageNet ResNets have the published sizes, symmetric padding, and the groups expected."""

import keras
import numpy as np
import pytest

import keras_joslim as kj
from keras_joslim import models

BASIC = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
BOTTLENECK = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def macs_by_the_paper(depth):
    """Multiply-accumulates at 224x224, added up from table 1 of the paper, without a model.

    The stride of a bottleneck block is at its 3x3 convolution.
    """
    total = 7 * 7 * 3 * 64 * 112**2
    before, side = 64, 56
    for stage, blocks in enumerate((BASIC | BOTTLENECK)[depth]):
        inner = 64 * 2**stage
        after = inner if depth in BASIC else 4 * inner
        for block in range(blocks):
            entered, side = side, 56 // 2**stage
            if depth in BASIC:
                total += 9 * (before + inner) * inner * side**2
            else:
                total += before * inner * entered**2 + (9 * inner + after) * inner * side**2
            if block == 0 and before != after:
                total += before * after * side**2
            before = after
    return total + before * 1000


@pytest.mark.parametrize(
    ("build", "depth", "billion_macs", "parameters"),
    [
        (models.ResNet18, 18, 1.81, 11_689_512),
        (models.ResNet34, 34, 3.66, 21_797_672),
        (models.ResNet50, 50, 4.09, 25_557_032),
        pytest.param(models.ResNet101, 101, 7.8, 44_549_160, marks=pytest.mark.slow),
        pytest.param(models.ResNet152, 152, 11.5, 60_192_808, marks=pytest.mark.slow),
    ],
)
def test_sizes_are_the_published_ones(build, depth, billion_macs, parameters):
    model = build()
    assert model.name == f"resnet{depth}"
    assert sum(weight.shape.num_elements() for weight in model.trainable_weights) == parameters
    slim = kj.make_slimmable(model, min_width=0.42)
    macs = kj.costs.MACs(slim)
    full = macs(slim.width_space.full)
    assert full == macs_by_the_paper(depth)
    assert abs(full / 1e9 / billion_macs - 1) < 0.02
    assert macs.searchable_share == 1
    assert len(slim.width_space.searchable) == len(slim.width_space)


def test_docstrings_tell_the_macs():
    for depth in (*BASIC, *BOTTLENECK):
        billions = f"{macs_by_the_paper(depth) / 1e9:.2f}"
        assert f"{billions} billion MACs" in getattr(models, f"ResNet{depth}").__doc__
        assert f"{billions} (" in models.imagenet_resnet.__doc__


# The stem and the sums after it; then in every block its inner channels, and in every later
# stage the channels of its shortcut and of all its sums.
GROUPS_18 = {
    ("stem_conv", 64): (
        "stem_conv",
        "stem_norm",
        "stage1_block1_conv2",
        "stage1_block1_norm2",
        "stage1_block1_add",
        "stage1_block2_conv2",
        "stage1_block2_norm2",
        "stage1_block2_add",
    ),
    ("stage1_block1_conv1", 64): ("stage1_block1_conv1", "stage1_block1_norm1"),
    ("stage1_block2_conv1", 64): ("stage1_block2_conv1", "stage1_block2_norm1"),
    ("stage2_block1_conv1", 128): ("stage2_block1_conv1", "stage2_block1_norm1"),
    ("stage2_block1_shortcut_conv", 128): (
        "stage2_block1_shortcut_conv",
        "stage2_block1_shortcut_norm",
        "stage2_block1_conv2",
        "stage2_block1_norm2",
        "stage2_block1_add",
        "stage2_block2_conv2",
        "stage2_block2_norm2",
        "stage2_block2_add",
    ),
    ("stage2_block2_conv1", 128): ("stage2_block2_conv1", "stage2_block2_norm1"),
    ("stage3_block1_conv1", 256): ("stage3_block1_conv1", "stage3_block1_norm1"),
    ("stage3_block1_shortcut_conv", 256): (
        "stage3_block1_shortcut_conv",
        "stage3_block1_shortcut_norm",
        "stage3_block1_conv2",
        "stage3_block1_norm2",
        "stage3_block1_add",
        "stage3_block2_conv2",
        "stage3_block2_norm2",
        "stage3_block2_add",
    ),
    ("stage3_block2_conv1", 256): ("stage3_block2_conv1", "stage3_block2_norm1"),
    ("stage4_block1_conv1", 512): ("stage4_block1_conv1", "stage4_block1_norm1"),
    ("stage4_block1_shortcut_conv", 512): (
        "stage4_block1_shortcut_conv",
        "stage4_block1_shortcut_norm",
        "stage4_block1_conv2",
        "stage4_block1_norm2",
        "stage4_block1_add",
        "stage4_block2_conv2",
        "stage4_block2_norm2",
        "stage4_block2_add",
    ),
    ("stage4_block2_conv1", 512): ("stage4_block2_conv1", "stage4_block2_norm1"),
}


def test_groups_of_resnet18():
    space = kj.make_slimmable(models.ResNet18(input_shape=(32, 32, 3)), min_width=0.42).width_space
    found = {(group.name, group.size): group.members for group in space.groups}
    assert found == GROUPS_18
    assert list(found) == list(GROUPS_18)
    assert space.ordering == ()
    assert [layer for layer, _ in space.frozen] == ["classifier"]


def test_groups_of_bottleneck_blocks():
    """Two inner groups a block and one for the sums of a stage, all stages and the stem apart."""
    model = models.ResNet50(input_shape=(32, 32, 3), width=0.25)
    space = kj.make_slimmable(model, min_width=0.42).width_space
    streams = {f"stage{stage}_block1_shortcut_conv": 64 * 2 ** (stage - 1) for stage in range(1, 5)}
    inner = {
        f"stage{stage}_block{block}_conv{number}": 16 * 2 ** (stage - 1)
        for stage, blocks in enumerate(BOTTLENECK[50], start=1)
        for block in range(1, blocks + 1)
        for number in (1, 2)
    }
    sizes = {group.name: group.size for group in space.groups}
    assert sizes == {"stem_conv": 16, **streams, **inner}
    for group in space.groups:
        sums = [member for member in group.members if member.endswith("add")]
        stage = int(group.name[5]) if group.name in streams else 0
        assert len(sums) == (BOTTLENECK[50][stage - 1] if stage else 0)


def randomise_norms(model, rng):
    """Scales, offsets and statistics of their own for every channel: a wrong slice shows."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            for weight in layer.weights:
                weight.assign(rng.uniform(0.5, 1.5, weight.shape))


@pytest.mark.parametrize("depth", [18, 50])
def test_a_slimmable_one_equals_the_original_and_what_is_extracted(depth):
    rng = np.random.default_rng(0)
    model = models.imagenet_resnet(depth, input_shape=(64, 64, 3), classes=5)
    randomise_norms(model, rng)
    slim = kj.make_slimmable(model, min_width=0.3)
    images = rng.random((2, 64, 64, 3), np.float32)
    original = np.asarray(model(images))
    np.testing.assert_array_equal(slim(images), original)
    widths = slim.width_space.sample(rng, 1)[0]
    sub = kj.extract(slim, widths)
    answers = np.asarray(sub(images))
    scale = np.abs(answers).max()
    np.testing.assert_allclose(slim(images, widths=widths), answers, rtol=0, atol=1e-5 * scale)
    assert np.abs(answers - original).max() > 0.1 * scale
    assert kj.costs.Parameters(slim, batch_norm="counted")(widths) == sub.count_params()


@pytest.mark.parametrize(
    ("depth", "name"), [(18, "stem_conv"), (18, "stage2_block1_conv1"), (50, "stage2_block1_conv2")]
)
def test_strides_begin_at_the_first_pixel(depth, name):
    """A kernel that is 1 in its middle takes every second pixel, the first among them."""
    model = models.imagenet_resnet(depth, input_shape=(64, 64, 3), classes=2, width=0.25)
    layer = model.get_layer(name)
    kernel = np.zeros(layer.kernel.shape, np.float32)
    middle = kernel.shape[0] // 2
    for channel in range(min(kernel.shape[2:])):
        kernel[middle, middle, channel, channel] = 1
    layer.kernel.assign(kernel)
    pad = model.get_layer(name.replace("conv", "pad"))
    images = np.random.default_rng(0).random((1, 64, 64, 3), np.float32)
    before, after = (
        np.asarray(x) for x in keras.Model(model.input, [pad.input, layer.output])(images)
    )
    assert before[:, ::2, ::2].any()
    channels = min(kernel.shape[2:])
    np.testing.assert_array_equal(after[..., :channels], before[:, ::2, ::2, :channels])


def test_the_pooling_takes_the_greatest_of_a_pixel_and_its_neighbours():
    model = models.ResNet18(input_shape=(32, 32, 3), width=0.25)
    outputs = [model.get_layer("stem_relu").output, model.get_layer("stem_pool").output]
    images = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    before, after = (np.asarray(x) for x in keras.Model(model.input, outputs)(images))
    assert before.shape[1:3] == (16, 16)
    assert after.shape[1:3] == (8, 8)
    for row in range(8):
        for column in range(8):
            rows = slice(max(0, 2 * row - 1), 2 * row + 2)
            columns = slice(max(0, 2 * column - 1), 2 * column + 2)
            greatest = before[:, rows, columns].max((1, 2))
            np.testing.assert_array_equal(after[:, row, column], greatest)


@pytest.mark.parametrize(("depth", "last"), [(18, "norm2"), (50, "norm3")])
def test_zeroed_blocks_start_as_their_shortcut(depth, last):
    options = {"input_shape": (32, 32, 3), "classes": 2, "width": 0.25}
    model = models.imagenet_resnet(depth, zero_last_gamma=True, **options)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    zeroed = [norm.name for norm in norms if not np.asarray(norm.gamma).any()]
    blocks = sum((BASIC | BOTTLENECK)[depth])
    assert len(zeroed) == blocks
    assert all(name.endswith(last) for name in zeroed)
    ends = [model.get_layer(f"stage1_block{number}_relu").output for number in (1, 2)]
    images = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    first, second = (np.asarray(x) for x in keras.Model(model.input, ends)(images))
    assert first.any()
    np.testing.assert_array_equal(first, second)
    ordinary = models.imagenet_resnet(depth, **options)
    assert np.asarray(ordinary.get_layer(f"stage1_block2_{last}").gamma).all()


def test_convolutions_and_norms_are_as_published():
    model = models.ResNet50(input_shape=(32, 32, 3), width=0.5)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            assert not layer.use_bias
        if isinstance(layer, keras.layers.BatchNormalization):
            assert (layer.epsilon, layer.momentum) == (1e-5, 0.9)
    # 256 channels after 1024: by its inputs the spread would be half of this.
    kernel = np.asarray(model.get_layer("stage4_block2_conv1").kernel)
    assert kernel.shape == (1, 1, 1024, 256)
    assert abs(kernel.std() / np.sqrt(2 / 256) - 1) < 0.02
    assert abs(np.asarray(model.get_layer("classifier").kernel).std() / 0.01 - 1) < 0.02


def test_options():
    model = models.imagenet_resnet(
        34, input_shape=(33, 47, 1), classes=7, width=0.1, classifier_activation="softmax", name="n"
    )
    assert model.name == "n"
    assert model.get_layer("stage3_block2_conv2").filters == 26
    output = np.asarray(model(np.ones((3, 33, 47, 1), np.float32)))
    assert output.shape == (3, 7)
    np.testing.assert_allclose(output.sum(-1), 1, rtol=1e-5)


@pytest.mark.parametrize("depth", [0, 20, 200])
def test_a_depth_that_does_not_exist_is_refused(depth):
    with pytest.raises(ValueError, match=rf"18, 34, 50, 101, 152.*`cifar_resnet`.*depth={depth}"):
        models.imagenet_resnet(depth)


def test_a_width_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="width=-0.5"):
        models.imagenet_resnet(18, width=-0.5)
