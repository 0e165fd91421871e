"""Models by name: logits of the right shape, and clear refusals."""

import keras
import pytest

from keras_joslim import models


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("digits_cnn", {"input_shape": (8, 8, 1), "classes": 10}),
        ("cifar_resnet", {"depth": 8, "input_shape": (32, 32, 3), "classes": 100}),
        ("imagenet_resnet", {"depth": 18, "input_shape": (32, 32, 3), "classes": 10}),
        ("mobilenet", {"input_shape": (32, 32, 3), "classes": 10, "alpha": 0.25}),
        ("mobilenet_v2", {"input_shape": (32, 32, 3), "classes": 10, "alpha": 0.35}),
        ("mobilenet_v3_large", {"input_shape": (32, 32, 3), "classes": 10, "alpha": 0.5}),
        ("mobilenet_v3_small", {"input_shape": (32, 32, 3), "classes": 10, "alpha": 0.5}),
    ],
)
def test_every_name_gives_logits_of_the_classes(name, options):
    model = models.build(name, **options)
    assert model.input_shape == (None, *options["input_shape"])
    assert model.output_shape == (None, options["classes"])
    config = model.layers[-1].get_config()
    assert config["activation"] == "linear"


def test_mobilenets_are_those_of_keras_for_imagenet_unless_told():
    model = models.build("mobilenet_v2")
    assert model.input_shape == (None, 224, 224, 3)
    assert model.count_params() == keras.applications.MobileNetV2(weights=None).count_params()


@pytest.mark.parametrize("size", ["small", "large"])
def test_the_third_mobilenets_have_a_size_and_leave_the_scale_of_images_alone(size):
    model = models.build(f"mobilenet_v3_{size}")
    assert model.input_shape == (None, 224, 224, 3)
    # The stock model begins by scaling bytes, which would shrink scaled images to nothing.
    assert not any(isinstance(layer, keras.layers.Rescaling) for layer in model.layers)
    scaling = models.build(f"mobilenet_v3_{size}", include_preprocessing=True)
    assert isinstance(scaling.layers[1], keras.layers.Rescaling)
    assert model.count_params() == scaling.count_params()


def test_softmax_on_request():
    model = models.build("digits_cnn", classifier_activation="softmax")
    assert model.layers[-1].get_config()["activation"] == "softmax"


def test_an_unknown_name_is_refused_with_the_known_ones():
    known = r"'cifar_resnet', 'digits_cnn', 'imagenet_resnet', 'mobilenet'.*name='vgg'"
    with pytest.raises(ValueError, match=known):
        models.build("vgg")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("digits_cnn", {"depth": 20}, r"'digits_cnn' has no option 'depth'; .*depth=20"),
        ("mobilenet_v2", {"weights": "imagenet"}, "no option 'weights'"),
        ("mobilenet", {"include_top": False}, "no option 'include_top'"),
        ("cifar_resnet", {"classes": 10}, "'cifar_resnet' needs the option 'depth'"),
        ("imagenet_resnet", {}, "'imagenet_resnet' needs the option 'depth'"),
        ("mobilenet_v3_small", {"pooling": "avg"}, "no option 'pooling'; it takes .*'alpha'"),
    ],
)
def test_options_that_do_not_fit_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        models.build(name, **options)
