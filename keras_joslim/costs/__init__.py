"""Costs: functions of widths alone, vectorised over many width vectors."""

from keras_joslim.costs.bilinear import BilinearCost
from keras_joslim.costs.factor import Factor, WidthSum
from keras_joslim.costs.latency import Latency
from keras_joslim.costs.macs import MACs
from keras_joslim.costs.memory import Memory
from keras_joslim.costs.parameters import Parameters

__all__ = ["BilinearCost", "Factor", "Latency", "MACs", "Memory", "Parameters", "WidthSum"]
