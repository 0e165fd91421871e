"""Width search engines: ask for widths, tell losses. Pure numpy and scipy."""

from keras_joslim.search.history import History
from keras_joslim.search.joslim_search import JoslimSearch
from keras_joslim.search.pareto import front_indices, gap_areas, hypervolume, non_dominated

__all__ = [
    "History",
    "JoslimSearch",
    "front_indices",
    "gap_areas",
    "hypervolume",
    "non_dominated",
]
