"""The commands of `joslim`, a module each; this is the table of all.

A new command is a module that ends with its `COMMAND`, a line here, and its flags in flags.py. The
modules here load no TensorFlow: the functions in them import what they run, so that help, mistakes
and commands that only read a run are answered at once.
"""

from keras_joslim.app.commands import (
    bundle,
    export,
    front,
    latency,
    plan,
    platforms,
    plot,
    profile,
    run,
    search,
    status,
    train,
)

_IN_ORDER = (
    plan,
    run,
    train,
    status,
    search,
    export,
    profile,
    plot,
    latency,
    platforms,
    front,
    bundle,
)
COMMANDS = {module.COMMAND.name: module.COMMAND for module in _IN_ORDER}
