"""The network of the main job: its size, its kinds of blocks, and that it learns digits."""

import keras
import numpy as np
import pytest

import keras_joslim
from keras_joslim import datasets, models


def test_size_is_as_documented():
    model = models.digits_cnn()
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            total += layer.kernel.shape.num_elements() * int(np.prod(layer.output.shape[1:3]))
        elif isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
            total += layer.kernel.shape.num_elements() * int(np.prod(layer.output.shape[1:-1]))
    weights = sum(weight.shape.num_elements() for weight in model.trainable_weights)
    assert f"{total:,} MACs" in models.digits_cnn.__doc__
    assert f"{weights:,} weights" in models.digits_cnn.__doc__


def test_it_has_eight_channel_groups_without_ordering():
    space = keras_joslim.make_slimmable(models.digits_cnn(), min_width=0.25).width_space
    assert len(space) == len(space.searchable) == 8
    assert space.ordering == ()


def test_it_has_every_kind_of_block():
    kinds = [type(layer).__name__ for layer in models.digits_cnn().layers]
    assert kinds.count("Add") == 4
    assert kinds.count("DepthwiseConv2D") == 5
    assert kinds.count("Dense") == 1


def test_width_multiplies_all_channels():
    full, half = models.digits_cnn(), models.digits_cnn(width=0.5)
    for layer in full.layers:
        if type(layer) is keras.layers.Conv2D:
            assert half.get_layer(layer.name).filters == layer.filters // 2
    assert models.digits_cnn(width=0.01).output_shape == (None, 10)


def test_a_width_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="width=-1"):
        models.digits_cnn(width=-1)


def test_it_learns_the_digits_from_the_stream():
    keras.utils.set_random_seed(0)
    data = datasets.load("digits")
    stream = datasets.Stream(data.train.images, data.train.labels, 64, seed=0)
    model = models.build("digits_cnn")
    model.compile(
        keras.optimizers.Adam(0.003),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    model.fit(stream.from_step(0), steps_per_epoch=16, epochs=5, shuffle=False, verbose=0)
    answers = np.asarray(model(data.validation.images)).argmax(-1)
    # By chance 0.1.
    assert np.mean(answers == data.validation.labels) > 0.85
