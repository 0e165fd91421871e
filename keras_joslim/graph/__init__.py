"""A Keras functional graph -> channel groups -> slimmable network -> stock sub-network."""

from keras_joslim.graph.convert import slimmable_network
from keras_joslim.graph.extract import extract_network
from keras_joslim.graph.groups import NetworkGroups, find_groups
from keras_joslim.graph.walk import functional_graph, layers_in_order, run

__all__ = [
    "NetworkGroups",
    "extract_network",
    "find_groups",
    "functional_graph",
    "layers_in_order",
    "run",
    "slimmable_network",
]
