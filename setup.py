"""Builds and describes the distribution keras_joslim.

Two folders stand at the top of the checkout and are installed inside the package:
`tflite/` as `keras_joslim.tflite` (another distribution owns the import name `tflite`) and
`configs/` as `keras_joslim.configs` (so that an installed `joslim` has the recipes without a
checkout). `package_dir` says so, for wheels and for editable installs alike.
"""

import pathlib

import setuptools

HERE = pathlib.Path(__file__).parent

PACKAGE_DIR = {
    "keras_joslim": "keras_joslim",
    "keras_joslim.tflite": "tflite",
    "keras_joslim.configs": "configs",
}

INSTALL_REQUIRES = [
    # The backend: tracing, tf.data, the TFLite converter. 2.21 is what the converter was tried on.
    "tensorflow>=2.21,<3",
    # Layers, models, fit. Slimmable layers override parts of the trainer and of BatchNormalization
    # that changed between minor releases; 3.15 is the first one tested.
    "keras>=3.15,<4",
    # Widths, costs, history, fronts.
    "numpy>=2.0",
    # Linear algebra and L-BFGS of the Gaussian process; quasi-random candidates.
    "scipy>=1.13",
    # The handwritten digits that the main job trains on are embedded in it.
    "scikit-learn>=1.5",
    # The command line. Not >=2: tensorflow-model-optimization (extra qat) wants ~=1.2.
    "absl-py>=1.4",
    # Recipes as ConfigDict, `--config.train.epochs=2` overrides.
    "ml_collections>=1.0",
    # The LiteRT interpreter that checks and times each file; tf.lite.Interpreter is deprecated.
    "ai-edge-litert>=2.1",
    # Writes the one file of many widths. No new install: tensorflow and ai-edge-litert need it too.
    "flatbuffers>=24.3",
    # Plots of the front, in a notebook and as one HTML file.
    "plotly>=6.0",
    # One BLAS thread for the search's small matrices: more threads only get in each other's way.
    "threadpoolctl>=3.1",
    # Progress of the long loops outside fit.
    "tqdm>=4.66",
]

# The data set "glyphs", which draws its images. Not plain dependencies: few need them.
GLYPHS = [
    # Comes with the fonts (DejaVu, STIX).
    "matplotlib>=3.9",
    # FreeType draws the characters; fonts of fractional size since 10.1.
    "pillow>=10.1",
]

# What a training writes for TensorBoard, which TensorFlow no longer brings along. matplotlib and
# pillow draw its figures.
TENSORBOARD = ["tensorboard>=2.17", *GLYPHS]

# `NSGA2Search`, which Once-for-All networks are searched with: the best-kept implementation there
# is. Not a plain dependency: it brings autograd, cma, moocore (LGPL) and matplotlib along. Earlier
# releases draw from numpy's global generator: a search resumed with them would not be the same.
NSGA2 = ["pymoo>=0.6.2"]

# The data set "tfds": where TFDS has put its records and what its classes are called. Not a plain
# dependency: it brings pyarrow, etils and a dozen more along, and its records are read without it
# too (the data set "tfrecord").
TFDS = ["tensorflow-datasets>=4.9.10"]

EXTRAS_REQUIRE = {
    "glyphs": GLYPHS,
    # Quantisation-aware training, clustering, pruning. Not a plain dependency: importing it makes
    # tf.keras tf_keras for the whole process (TF_USE_LEGACY_KERAS=1), it pulls tf_keras in, and it
    # holds absl-py at 1.4, where constraints.txt has 2: it installs beside all else, but without
    # those constraints. The tests that train skip themselves without it.
    "qat": [
        "tensorflow-model-optimization>=0.8.1",
        "tf_keras>=2.21,<3",
    ],
    # Full int8 files by LiteRT Quantizer (ai-edge-quantizer was its name). Not a plain dependency:
    # it wants one release of ai-edge-litert and no other, and the converter makes int8 files too.
    # Its interface moves between minor releases. Tests that quantise skip themselves without it.
    "quantizer": ["litert-quantizer>=0.11,<0.12"],
    "nsga2": NSGA2,
    "tensorboard": TENSORBOARD,
    "tfds": TFDS,
    "test": [
        *NSGA2,
        *TENSORBOARD,
        # Carries an adb for Linux on x86-64, which drives loopback phones; it is never imported.
        "adbutils>=2.12",
        # The wheel check builds sdist and wheel as a release does, but with the environment's own
        # setuptools, so that it runs off line too.
        "build>=1.2",
        "setuptools>=77",
        # Properties over random widths and graphs.
        "hypothesis>=6.120",
        # Another reading of tflite/manifest.schema.json than the manifest's own checks.
        "jsonschema>=4.23",
        # CP-SAT, an independent optimiser of the width MRF. Later releases want a protobuf older
        # than the pinned one; 9.10 is not built for Python 3.13, where its tests skip.
        "ortools>=9.10,<9.11; python_version < '3.13'",
        # Requirements and versions in tests/packaging.
        "packaging>=24",
        "pytest>=8.3",
        # The suite on two cores: half the time.
        "pytest-xdist>=3.6",
        "ruff>=0.9",
    ],
}


def packages():
    """The folders to install, by import name."""
    found = set(setuptools.find_packages(include=["keras_joslim", "keras_joslim.*"]))
    for name, folder in PACKAGE_DIR.items():
        found |= {name, *(f"{name}.{inside}" for inside in setuptools.find_packages(folder))}
    return sorted(found)


setuptools.setup(
    name="keras_joslim",
    version="0.1.0",
    description="Slimmable Keras models: weights and widths trained jointly, exported to TFLite",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The keras_joslim authors",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords="keras, tensorflow, tflite, slimmable networks, neural architecture search, pruning",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    python_requires=">=3.11,<3.14",
    packages=packages(),
    package_dir=PACKAGE_DIR,
    package_data={"keras_joslim.tflite": ["manifest.schema.json"]},
    install_requires=INSTALL_REQUIRES,
    extras_require=EXTRAS_REQUIRE,
    entry_points={"console_scripts": ["joslim = keras_joslim.app.main:run"]},
    # Not the default `build/`: where case does not count it is the same name as the file BUILD.
    options={"build": {"build_base": "_setuptools"}},
    zip_safe=False,
)
