"""Fine-tuning for a number format with tensorflow-model-optimization, in a process of its own.

Quantisation-aware training (Jacob et al., "Quantization and training of neural networks for
efficient integer-arithmetic-only inference", CVPR 2018), weight clustering and magnitude pruning
of one extracted point, from its own weights, distilled from the full network.
"""

import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from keras_joslim.tflite.convert import float32_copy
from keras_joslim.tflite.formats import FormatError, find_format
from keras_joslim.tflite.integer_only import check_integer_only
from keras_joslim.tflite.operators import check_operators
from keras_joslim.tflite.qat.description import describe
from keras_joslim.tflite.qat.losses import loss_specs
from keras_joslim.tflite.qat.settings import MODES, FineTuning
from keras_joslim.tflite.qat.weight_statistics import Kernel, kernel_statistics
from keras_joslim.tflite.quiet import CHATTER
from keras_joslim.tflite.signature import by_name, input_names, output_names
from keras_joslim.tflite.verify import Difference, DisagreementError, compare

# Lines of a failed process's standard error that are shown.
_TAIL = 12


class FineTuningError(FormatError):
    """The process that fine-tunes a network failed; `format` is what it was to make."""


class FineTuningTimeoutError(FineTuningError):
    """The process that fine-tunes a network took longer than it was given."""


@dataclasses.dataclass(frozen=True)
class FineTuned:
    """A fine-tuned network.

    Attributes:
        data: the TFLite file as bytes.
        losses: tuple of floats, the training loss before each step.
        kernels: tuple of `Kernel`: what the file holds of each, distinct weights and zeros
            among it.
        difference: the `Difference` between the file and the network it was made from, on some of
            the training images.
    """

    data: bytes
    losses: tuple
    kernels: tuple[Kernel, ...]
    difference: Difference

    def facts(self):
        """What a manifest tells of the training, a JSON object."""
        others = [k for k in self.kernels if k.operator != "DEPTHWISE_CONV_2D"]
        size = sum(kernel.size for kernel in self.kernels)
        return {
            # Of the file from the network that was trained, as a share of the largest output.
            "difference": self.difference.max_relative,
            # Most distinct weights of a kernel, depthwise ones aside; share of zeros of them all.
            "distinct": max((kernel.distinct for kernel in others), default=0),
            "sparsity": sum(kernel.zeros for kernel in self.kernels) / max(size, 1),
        }


def quantization_aware(model, fine_tuning, mode="qat", tolerance=None):
    """Fine-tunes a model for a number format and converts it to TFLite.

    The model is written down, rebuilt in tf_keras by a fresh process (tensorflow-model-optimization
    knows no Keras 3), prepared there, trained for some steps and converted. This process and its
    environment stay as they are. BatchNormalization is folded into the kernels first: the network
    trains in the form in which it runs, on its calibrated statistics.

    Args:
        model: the stock `keras.Model`, functional or Sequential; its own weights are the start.
        fine_tuning: `FineTuning`.
        mode: "qat": int8 faked in training, for an int8 file. "cluster": each kernel's weights
            share a few values. "prune": the smallest weights of each kernel become zero. The last
            two leave depthwise kernels alone.
        tolerance: `Tolerance` between the file and the network it was made from; by default that
            of the format.

    Returns:
        A `FineTuned`. Inputs and outputs of the file are int8, or float32 without
        `fine_tuning.int8`.

    Raises:
        ValueError: data that do not fit; a layer that is not known (the message names it), for
            which the format "int8" is offered instead; the extra `qat` is not installed.
        FormatError: an operator that stayed in floating point.
        FineTuningError: the process failed; `FineTuningTimeoutError`: it took too long.
        DisagreementError: the file does not compute what the trained network computes.

    Example:

    >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> tuned = quantization_aware(point, FineTuning((images, labels), loss, teacher=full))
    >>> pathlib.Path("p00.qat.tflite").write_bytes(tuned.data)
    """
    if mode not in MODES:
        raise ValueError(f"Expected a mode out of {list(MODES)}. Received: mode={mode!r}")
    require_tfmot()
    model = float32_copy(model)
    description = describe(model)
    spec = {
        **fine_tuning.settings(mode),
        "mode": mode,
        "int8": fine_tuning.is_int8(mode),
        "threads": fine_tuning.threads,
        "description": description.to_dict(),
        "losses": loss_specs(fine_tuning.loss, output_names(model)),
    }
    arrays = _shipped(model, fine_tuning)
    what = f"{mode} fine-tuning of {model.name!r}"
    with tempfile.TemporaryDirectory(prefix="keras_joslim-") as directory:
        folder = pathlib.Path(directory)
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
        np.savez(folder / "weights.npz", **description.weights())
        (folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
        _run(folder, mode, what, fine_tuning.timeout)
        data = (folder / "model.tflite").read_bytes()
        losses = json.loads((folder / "losses.json").read_text(encoding="utf-8"))
        expected = {
            name: np.load(folder / f"expected{index}.npy")
            for index, name in enumerate(output_names(model))
        }
    check_operators(data, f"model {model.name!r} as {mode}")
    if spec["int8"]:
        check_integer_only(data, find_format(mode), model)
    images = {
        name: arrays[f"images{index}"][: len(next(iter(expected.values())))]
        for index, name in enumerate(input_names(model))
    }
    tolerance = tolerance or fine_tuning.tolerance(mode)
    try:
        difference = compare(data, images, expected, tolerance, f"The file of the {what}")
    except DisagreementError as error:
        raise DisagreementError(
            f"The {what} trained a network that its file does not compute (in what follows, that "
            f"network is Keras's). {error}",
            error.difference,
        ) from None
    return FineTuned(data, tuple(losses), kernel_statistics(data), difference)


def require_tfmot():
    """Looks for the packages of the extra `qat` without importing them.

    Raises:
        ValueError: one is missing; says how to install it.
    """
    for name in ("tensorflow_model_optimization", "tf_keras"):
        if importlib.util.find_spec(name) is None:
            raise ValueError(
                f"Quantisation-aware training, clustering and pruning need {name}, which is not "
                "installed. Install it by: pip install 'keras_joslim[qat]'"
            )


def refuse_without_training(fine_tuning, formats):
    """Refuses formats that are made by training when there is nothing to train with.

    Args:
        fine_tuning: what the caller gave, or None.
        formats: names of the formats asked for.

    Raises:
        ValueError: names the formats and says what to pass.
    """
    wanting = [name for name in formats if find_format(name).fine_tuned]
    if wanting and not isinstance(fine_tuning, FineTuning):
        raise ValueError(
            f"Format {', '.join(wanting)} is made by training. Pass fine_tuning=FineTuning("
            "(train_images, train_labels), loss, teacher=full_model). "
            f"Received: fine_tuning={fine_tuning!r}"
        )


def tfmot_versions():
    """The versions of what trains, beyond those of any conversion."""
    names = ("tensorflow-model-optimization", "tf_keras")
    return {name.replace("-", "_"): importlib.metadata.version(name) for name in names}


def _arrays(model, fine_tuning):
    """Dicts name -> array of the images and of the labels, checked; labels may be None."""
    images = by_name(fine_tuning.images, input_names(model), "images")
    labels = fine_tuning.labels
    if labels is not None:
        labels = by_name(labels, output_names(model), "labels")
    counts = {
        len(array) if array.ndim else 0 for array in [*images.values(), *(labels or {}).values()]
    }
    if len(counts) != 1 or 0 in counts:
        raise ValueError(
            f"Expected as many labels as images, at least one. Received: {sorted(counts)}"
        )
    for tensor, (name, array) in zip(model.inputs, images.items(), strict=True):
        shape = tuple(tensor.shape[1:])
        if array.shape[1:] != shape or not np.issubdtype(array.dtype, np.floating):
            raise ValueError(
                f"Expected images of floats of shape {shape} for input {name!r}, whose sizes are "
                f"all known. Received: {array.dtype} of shape {array.shape[1:]}"
            )
    return {name: array.astype(np.float32, copy=False) for name, array in images.items()}, labels


def _shipped(model, fine_tuning):
    """The arrays that the process needs, by file name: only the rows that it will use."""
    images, labels = _arrays(model, fine_tuning)
    count = len(next(iter(images.values())))
    order, rows = fine_tuning.order(count)
    parts = {"images": images}
    if fine_tuning.share < 1:
        parts["labels"] = labels
    if fine_tuning.share > 0:
        parts["targets"] = _targets(model, fine_tuning.with_outputs().teacher, count, rows)
    return {"order": order} | {
        f"{part}{index}": array[rows]
        for part, arrays in parts.items()
        for index, array in enumerate(arrays.values())
    }


def _targets(model, outputs, count, rows):
    """The teacher's outputs by the model's output names, checked."""
    outputs = by_name(outputs, output_names(model), "outputs of the teacher")
    for tensor, (name, array) in zip(model.outputs, outputs.items(), strict=True):
        shape = (count, *tensor.shape[1:])
        if array.shape != shape:
            raise ValueError(
                f"Expected outputs of the teacher of shape {shape} for {name!r}, one for each "
                f"image. Received: {array.shape}"
            )
        if not np.isfinite(array[rows]).all():
            raise ValueError(
                f"Expected finite outputs of the teacher. Received: NaN or infinity for {name!r}"
            )
    return outputs


def _run(folder, mode, what, timeout):
    """Starts the process and waits for it."""
    environment = {
        **os.environ,
        "TF_USE_LEGACY_KERAS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # Sets are part of what tfmot walks over.
        "PYTHONHASHSEED": "0",
    }
    # -P: the folder that the caller happens to be in does not go on the import path.
    command = [sys.executable, "-P", "-m", "keras_joslim.tflite.qat.child", str(folder)]
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise FineTuningTimeoutError(
            f"The {what} took more than {timeout:g} s and was stopped. Pass a longer timeout= or "
            f"fewer steps=.{_tail(error.stderr)}",
            mode,
        ) from None
    if done.returncode:
        how = f"exit code {done.returncode}"
        if done.returncode < 0:
            how = f"signal {-done.returncode}; was there memory enough?"
        raise FineTuningError(f"The {what} failed ({how}).{_tail(done.stderr)}", mode)


def _tail(stderr):
    lines = (stderr or b"").decode(errors="replace").strip().splitlines()
    lines = [line for line in lines if not CHATTER.match(line)]
    return " It wrote:\n" + "\n".join(lines[-_TAIL:]) if lines else " It wrote no error."
