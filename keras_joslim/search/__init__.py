"""Width search engines: ask for widths, tell losses. Pure numpy and scipy."""

from keras_joslim.search.adaptive_sampler import AdaptiveSampler
from keras_joslim.search.greedy_search import GreedySearch
from keras_joslim.search.history import History
from keras_joslim.search.joslim_search import JoslimSearch
from keras_joslim.search.mrf_search import MRFSearch
from keras_joslim.search.nsga2_search import NSGA2Search
from keras_joslim.search.pareto import front_indices, gap_areas, hypervolume, non_dominated
from keras_joslim.search.platform_sampler import PlatformSampler
from keras_joslim.search.platforms import Platform, PlatformTarget, platform_targets
from keras_joslim.search.random_search import RandomSearch
from keras_joslim.search.restaurant import restaurant_weights
from keras_joslim.search.thinned_space import thinned
from keras_joslim.search.width_mrf import ScoredWidths, WidthMRF

__all__ = [
    "AdaptiveSampler",
    "GreedySearch",
    "History",
    "JoslimSearch",
    "MRFSearch",
    "NSGA2Search",
    "Platform",
    "PlatformSampler",
    "PlatformTarget",
    "RandomSearch",
    "ScoredWidths",
    "WidthMRF",
    "front_indices",
    "gap_areas",
    "hypervolume",
    "non_dominated",
    "platform_targets",
    "restaurant_weights",
    "thinned",
]
