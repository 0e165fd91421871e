"""Models by name: logits of the right shape, and clear refusals."""

import keras
import pytest

from keras_joslim import models


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("digits_cnn", {"input_shape": (8, 8, 1), "classes": 10}),
        ("cifar_resnet", {"depth": 8, "input_shape": (32, 32, 3), "classes": 100}),
        ("mobilenet", {"input_shape": (32, 32, 3), "classes": 10, "alpha": 0.25}),
        ("mobilenet_v2", {"input_shape": (32, 32, 3), "classes": 10, "alpha": 0.35}),
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


def test_softmax_on_request():
    model = models.build("digits_cnn", classifier_activation="softmax")
    assert model.layers[-1].get_config()["activation"] == "softmax"


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'cifar_resnet', 'digits_cnn', 'mobilenet'.*name='vgg'"):
        models.build("vgg")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("digits_cnn", {"depth": 20}, r"'digits_cnn' has no option 'depth'; .*depth=20"),
        ("mobilenet_v2", {"weights": "imagenet"}, "no option 'weights'"),
        ("mobilenet", {"include_top": False}, "no option 'include_top'"),
        ("cifar_resnet", {"classes": 10}, "'cifar_resnet' needs the option 'depth'"),
    ],
)
def test_options_that_do_not_fit_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        models.build(name, **options)
