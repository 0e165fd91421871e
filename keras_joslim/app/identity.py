"""What all workers of a run must agree on: the config and the code."""

import functools
import hashlib
import importlib
import importlib.util
import pathlib

from keras_joslim.config_difference import first_difference

# The folders that hold the sources. In a wheel the second is inside the first, as the recipes are,
# whose content is in the config.
_PACKAGES = ("keras_joslim", "keras_joslim.tflite")
_APART = ("tflite", "configs")
_LIBRARIES = {"tensorflow": "TensorFlow", "keras": "Keras", "numpy": "NumPy"}


def identity(config, devices):
    """Who a worker is, to be compared with the others.

    Args:
        config: JSON dict of the run.
        devices: number of its devices.

    Returns:
        A JSON dict.
    """
    import keras_joslim

    return {
        "config": config,
        "devices": devices,
        "code": {
            "keras_joslim": keras_joslim.__version__,
            "sources": source_digest(),
            **{name: importlib.import_module(name).__version__ for name in _LIBRARIES},
        },
    }


@functools.cache
def source_digest():
    """A hash over the installed sources of this library, 12 hexadecimal digits."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        for folder in importlib.util.find_spec(package).submodule_search_locations:
            for path in sorted(pathlib.Path(folder).rglob("*.py")):
                name = path.relative_to(folder)
                if package != _PACKAGES[0] or name.parts[0] not in _APART:
                    digest.update(f"{package}/{name.as_posix()}\0".encode())
                    digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def disagreement(identities):
    """What some worker has otherwise than worker 0, as a sentence; `None` if all agree.

    Args:
        identities: what `identity` gave on every worker, worker 0 first.
    """
    own = identities[0]
    for index, other in enumerate(identities):
        if other["code"] != own["code"]:
            return (
                f"worker {index} runs {_code(other['code'])}, worker 0 {_code(own['code'])}. "
                "Install the same on all"
            )
        difference = first_difference(own["config"], other["config"])
        if difference:
            field, expected, received = difference
            return (
                f"worker {index} has {field}={received!r}, worker 0 has {expected!r}. Start all "
                "with the same config"
            )
        if other["devices"] != own["devices"]:
            return (
                f"worker {index} has {other['devices']} devices, worker 0 has {own['devices']}. "
                "TensorFlow wants as many on each: hide some by CUDA_VISIBLE_DEVICES"
            )
    return None


def _code(code):
    libraries = ", ".join(f"{shown} {code.get(name)}" for name, shown in _LIBRARIES.items())
    return f"keras_joslim {code['keras_joslim']} (sources {code['sources']}) with {libraries}"
