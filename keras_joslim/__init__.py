"""keras_joslim: one training run gives a family of mobile networks.

What a name needs is imported when it is first asked for: `import keras_joslim` alone, or a command
that only reads a run, does not load TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING

from keras_joslim.registration import register_classes

if TYPE_CHECKING:
    from keras_joslim import costs, datasets, latency, layers, models, schedules, search
    from keras_joslim.batch_norm import calibrate_batch_norm
    from keras_joslim.channel_layout import ChannelLayout
    from keras_joslim.checkpoint import Checkpoint
    from keras_joslim.conversion import extract, make_slimmable
    from keras_joslim.front import ParetoFront, ParetoPoint
    from keras_joslim.graph.handlers import register_handler
    from keras_joslim.label_smoothing import SmoothedCrossentropy
    from keras_joslim.platform_choice import platform_points
    from keras_joslim.schedules import (
        AdaptiveWidths,
        FixedWidths,
        FrontMonitor,
        Joslim,
        NonFiniteLossError,
        Platform,
        PlatformWidths,
        RandomWidths,
        Schedule,
        UniformWidths,
    )
    from keras_joslim.search.restaurant import restaurant_weights
    from keras_joslim.slimmable_model import SlimmableModel
    from keras_joslim.watching.run_log import RunLog
    from keras_joslim.width_search import search_widths
    from keras_joslim.width_space import ChannelGroup, WidthSpace

__version__ = "0.1.0"

__all__ = [
    "AdaptiveWidths",
    "ChannelGroup",
    "ChannelLayout",
    "Checkpoint",
    "FixedWidths",
    "FrontMonitor",
    "Joslim",
    "NonFiniteLossError",
    "ParetoFront",
    "ParetoPoint",
    "Platform",
    "PlatformWidths",
    "RandomWidths",
    "RunLog",
    "Schedule",
    "SlimmableModel",
    "SmoothedCrossentropy",
    "UniformWidths",
    "WidthSpace",
    "calibrate_batch_norm",
    "costs",
    "datasets",
    "extract",
    "latency",
    "layers",
    "make_slimmable",
    "models",
    "platform_points",
    "register_handler",
    "restaurant_weights",
    "schedules",
    "search",
    "search_widths",
]

# Public name -> the module that defines it.
_DEFINED_IN = {
    "AdaptiveWidths": "schedules",
    "ChannelGroup": "width_space",
    "ChannelLayout": "channel_layout",
    "Checkpoint": "checkpoint",
    "FixedWidths": "schedules",
    "FrontMonitor": "schedules",
    "Joslim": "schedules",
    "NonFiniteLossError": "schedules",
    "ParetoFront": "front",
    "ParetoPoint": "front",
    "Platform": "schedules",
    "PlatformWidths": "schedules",
    "RandomWidths": "schedules",
    "RunLog": "watching.run_log",
    "Schedule": "schedules",
    "SlimmableModel": "slimmable_model",
    "SmoothedCrossentropy": "label_smoothing",
    "UniformWidths": "schedules",
    "WidthSpace": "width_space",
    "calibrate_batch_norm": "batch_norm",
    "extract": "conversion",
    "make_slimmable": "conversion",
    "platform_points": "platform_choice",
    "register_handler": "graph.handlers",
    "restaurant_weights": "search.restaurant",
    "search_widths": "width_search",
}
# Modules that are there as attributes without an import of their own, as in `kj.costs.MACs`.
_MODULES = (
    *("costs", "datasets", "evaluation", "front", "graph", "latency", "layers", "models"),
    *("preprocessing", "schedules", "search", "tflite", "width_space"),
)


def __getattr__(name):
    if name in _DEFINED_IN:
        value = getattr(importlib.import_module(f"{__name__}.{_DEFINED_IN[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__, *_MODULES})


register_classes()
