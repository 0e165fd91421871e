"""Tells Keras of this library's classes as soon as Keras is there, and not before.

`keras.saving.load_model` finds a class that is not Keras's own by its registered name alone: the
module that defines it must have been imported. `import keras_joslim` imports those modules at once
where Keras is loaded already; else a watch on the import system does, when Keras has been. So the
package costs nothing where no network is touched, and models load whatever was imported first.
"""

import importlib
import importlib.abc
import sys

# Every class that is written into a `.keras` file is defined in one of these.
MODULES = (
    "keras_joslim.label_smoothing",
    "keras_joslim.layers",
    "keras_joslim.schedules.learning_rate",
    "keras_joslim.slimmable_model",
)
# These import each other, and modules of ours import them, while they are half imported themselves:
# the classes wait until none of all these is being imported.
_WATCHED = ("keras", "tensorflow")


def register_classes():
    """Registers the classes with Keras: now if Keras is loaded, else once it is."""
    if "keras" in sys.modules:
        _import_modules()
    else:
        sys.meta_path.insert(0, _Watch())


def _import_modules():
    for name in MODULES:
        importlib.import_module(name)


class _Watch(importlib.abc.MetaPathFinder):
    """Finds what the other finders find; once Keras is there, imports the modules and is gone."""

    def __init__(self):
        self._importing = set()

    def find_spec(self, name, path=None, target=None):
        # Of ours every module, of the others the package: its modules are done when it is.
        if name not in _WATCHED and not name.startswith("keras_joslim."):
            return None
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find else None
            if spec is not None:
                self._follow(spec)
                return spec
        return None

    def _follow(self, spec):
        """Has the loader of `spec` tell when the module is imported."""
        loader = spec.loader
        execute = getattr(loader, "exec_module", None)
        if execute is None:
            return

        def followed(module):
            del loader.exec_module
            self._importing.add(spec.name)
            try:
                execute(module)
            finally:
                self._importing.discard(spec.name)
            if "keras" in sys.modules and not self._importing and self in sys.meta_path:
                sys.meta_path.remove(self)
                _import_modules()

        loader.exec_module = followed
