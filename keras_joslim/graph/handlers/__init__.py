"""Handlers: one family of operations a file, all in one table."""

# Importing a family registers its handlers.
from keras_joslim.graph.handlers import kernels, merging, norms, passing, reshaping, splitting
from keras_joslim.graph.handlers.registration import register_handler
from keras_joslim.graph.handlers.table import Handler, handler_of, handles, output_layouts

__all__ = [
    "Handler",
    "handler_of",
    "handles",
    "kernels",
    "merging",
    "norms",
    "output_layouts",
    "passing",
    "register_handler",
    "reshaping",
    "splitting",
]
