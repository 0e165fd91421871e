"""`import keras_joslim` loads no TensorFlow; each public name is there when it is asked for."""

import ast
import importlib
import pathlib
import pickle
import subprocess
import sys

import pytest

import keras_joslim as kj

INIT = pathlib.Path(kj.__file__)


def in_fresh_process(program, *arguments):
    result = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_the_package_alone_loads_nothing_heavy():
    program = (
        "import sys, keras_joslim\n"
        "heavy = ('tensorflow', 'keras', 'numpy', 'scipy')\n"
        "print('loaded:', *(name for name in heavy if name in sys.modules))\n"
        "print(keras_joslim.ChannelGroup.__name__, 'keras' in sys.modules)\n"
    )
    assert in_fresh_process(program) == ["loaded:", "ChannelGroup", "False"]


def test_every_public_name_is_what_its_module_defines():
    for name in kj.__all__:
        value = getattr(kj, name)
        if name in kj._DEFINED_IN:
            module = importlib.import_module(f"keras_joslim.{kj._DEFINED_IN[name]}")
            assert value is getattr(module, name)
        else:
            assert value is importlib.import_module(f"keras_joslim.{name}")
    assert set(kj.__all__) == set(kj._DEFINED_IN) | (set(kj.__all__) & set(kj._MODULES))
    assert set(kj.__all__) <= set(dir(kj))


def test_a_name_and_a_module_are_never_one_attribute():
    # The import system would put the module in the place of the function of its name.
    modules = {path.stem for path in INIT.parent.iterdir()}
    assert not modules & set(kj._DEFINED_IN)


def test_editors_are_told_of_the_same_names():
    block = next(node for node in ast.parse(INIT.read_text()).body if isinstance(node, ast.If))
    told = {
        (alias.name, node.module.removeprefix("keras_joslim").removeprefix("."))
        for node in block.body
        for alias in node.names
    }
    defined = {(name, kj._DEFINED_IN.get(name, "")) for name in kj.__all__}
    assert told == defined


def test_names_that_there_are_not():
    with pytest.raises(AttributeError, match="module 'keras_joslim' has no attribute 'Slimable'"):
        kj.Slimable  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Slimable' from 'keras_joslim'"):
        from keras_joslim import Slimable  # noqa: F401


def test_all_names_come_by_a_star_and_stay_functions():
    program = (
        "from keras_joslim import *\n"
        "import keras_joslim as kj, keras_joslim.conversion, keras_joslim.front\n"
        "assert make_slimmable is kj.make_slimmable and callable(make_slimmable)\n"
        "assert kj.evaluation.Judge and kj.tflite.export and kj.front.ParetoFront is ParetoFront\n"
        "print(*sorted(name for name in dir() if not name.startswith('_')))\n"
    )
    assert in_fresh_process(program) == sorted([*kj.__all__, "keras_joslim", "kj"])


def test_what_was_pickled_is_found_again(tmp_path):
    space = kj.WidthSpace([kj.ChannelGroup("stem", 8, (4, 8))])
    path = tmp_path / "space.pickle"
    path.write_bytes(pickle.dumps(space))
    program = (
        "import pickle, sys\n"
        "space = pickle.loads(open(sys.argv[1], 'rb').read())\n"
        "print(type(space).__name__, *space.full)\n"
    )
    assert in_fresh_process(program, path) == ["WidthSpace", "8"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "slim.keras"
    kj.make_slimmable(kj.models.digits_cnn(), min_width=0.5).save(path)
    return path


@pytest.mark.parametrize(
    "imports",
    [
        "keras_joslim",
        # A module of ours that is half imported when it asks for Keras.
        "keras_joslim.schedules.schedule",
        *(
            pytest.param(imports, marks=pytest.mark.slow)
            for imports in (
                "keras, keras_joslim",
                "keras_joslim, tensorflow",
                "tensorflow, keras_joslim",
                "keras_joslim.layers.slim_layer",
            )
        ),
    ],
)
def test_keras_finds_the_classes_of_a_saved_model_whatever_was_imported_first(imports, saved):
    program = (
        f"import sys, {imports}\n"
        "import keras\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "watches = [f for f in sys.meta_path if 'registration' in type(f).__module__]\n"
        "print(type(model).__name__, len(watches), 'exec_module' in vars(keras.__spec__.loader))\n"
    )
    assert in_fresh_process(program, saved) == ["SlimmableModel", "0", "False"]


def test_every_module_with_a_registered_class_is_one_that_is_imported():
    from keras_joslim.registration import MODULES

    package = INIT.parent
    for path in package.rglob("*.py"):
        if "@keras.saving.register_keras_serializable" in path.read_text():
            module = ".".join(["keras_joslim", *path.relative_to(package).with_suffix("").parts])
            assert any(f"{module}.".startswith(f"{known}.") for known in MODULES), module


def test_a_keras_that_cannot_be_imported_says_so_itself():
    program = (
        "import sys, keras_joslim\n"
        "sys.modules['tensorflow'] = None\n"
        "try:\n"
        "    import keras\n"
        "except ImportError as error:\n"
        "    print(error.name.split('.')[0])\n"
        "watch = sys.meta_path[0]\n"
        "print(type(watch).__module__, len(watch._importing))\n"
    )
    assert in_fresh_process(program) == ["tensorflow", "keras_joslim.registration", "0"]
