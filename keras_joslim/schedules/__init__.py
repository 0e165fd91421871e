"""Schedules: Keras callbacks that put widths into training; each is one method."""

from keras_joslim.schedules.adaptive import AdaptiveWidths
from keras_joslim.schedules.fixed import FixedWidths
from keras_joslim.schedules.front_progress import FrontMonitor
from keras_joslim.schedules.joslim import Joslim
from keras_joslim.schedules.learning_rate import WarmupLinearDecay
from keras_joslim.schedules.platforms import PlatformWidths
from keras_joslim.schedules.random import RandomWidths
from keras_joslim.schedules.schedule import NonFiniteLossError, Schedule
from keras_joslim.schedules.uniform import UniformWidths
from keras_joslim.search.platforms import Platform
from keras_joslim.search.restaurant import restaurant_weights

__all__ = [
    "AdaptiveWidths",
    "FixedWidths",
    "FrontMonitor",
    "Joslim",
    "NonFiniteLossError",
    "Platform",
    "PlatformWidths",
    "RandomWidths",
    "Schedule",
    "UniformWidths",
    "WarmupLinearDecay",
    "restaurant_weights",
]
