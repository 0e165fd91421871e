"""Handlers: one family of operations a file, all in one table."""

# Importing a family registers its handlers.
from keras_joslim.graph.handlers import kernels, merging, passing, reshaping
from keras_joslim.graph.handlers.table import Handler, handler_of, handles

__all__ = ["Handler", "handler_of", "handles", "kernels", "merging", "passing", "reshaping"]
