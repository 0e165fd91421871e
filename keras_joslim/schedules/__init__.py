"""Schedules: Keras callbacks that put widths into training; each is one method."""

from keras_joslim.schedules.fixed import FixedWidths
from keras_joslim.schedules.front_progress import FrontMonitor
from keras_joslim.schedules.joslim import Joslim
from keras_joslim.schedules.learning_rate import WarmupLinearDecay
from keras_joslim.schedules.random import RandomWidths
from keras_joslim.schedules.schedule import NonFiniteLossError, Schedule
from keras_joslim.schedules.uniform import UniformWidths

__all__ = [
    "FixedWidths",
    "FrontMonitor",
    "Joslim",
    "NonFiniteLossError",
    "RandomWidths",
    "Schedule",
    "UniformWidths",
    "WarmupLinearDecay",
]
