"""keras_joslim: one training run gives a family of mobile networks."""

from keras_joslim import costs, datasets, layers, models, schedules, search
from keras_joslim.batch_norm import calibrate_batch_norm
from keras_joslim.channel_layout import ChannelLayout
from keras_joslim.checkpoint import Checkpoint
from keras_joslim.front import ParetoFront, ParetoPoint
from keras_joslim.graph.handlers import register_handler
from keras_joslim.make_slimmable import extract, make_slimmable
from keras_joslim.schedules import (
    FixedWidths,
    FrontMonitor,
    Joslim,
    NonFiniteLossError,
    RandomWidths,
    Schedule,
    UniformWidths,
)
from keras_joslim.slimmable_model import SlimmableModel
from keras_joslim.width_search import search_widths
from keras_joslim.width_space import ChannelGroup, WidthSpace

__version__ = "0.1.0"

__all__ = [
    "ChannelGroup",
    "ChannelLayout",
    "Checkpoint",
    "FixedWidths",
    "FrontMonitor",
    "Joslim",
    "NonFiniteLossError",
    "ParetoFront",
    "ParetoPoint",
    "RandomWidths",
    "Schedule",
    "SlimmableModel",
    "UniformWidths",
    "WidthSpace",
    "calibrate_batch_norm",
    "costs",
    "datasets",
    "extract",
    "layers",
    "make_slimmable",
    "models",
    "register_handler",
    "schedules",
    "search",
    "search_widths",
]
