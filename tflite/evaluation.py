"""Loss and metrics of a TFLite file, measured on the file itself.

Half a percent of difference from Keras in the outputs may be nothing or ten images in a hundred:
what a number format costs is told by validation data alone.
"""

import dataclasses

import numpy as np

from keras_joslim.tflite.interpreter import Interpreter
from keras_joslim.tflite.signature import as_outputs, by_name, input_names, output_names


def evaluate(file, judge, network=None, num_threads=1):
    """Measures a TFLite file as its Keras model is measured.

    Images go through the file one by one, as on the phone: some 2 ms an image for MobileNetV2
    (0.35, 96 px) on one core of a desktop in "fp32", "fp16", "dynamic" and "int8". "int16x8" has
    no fast kernels and takes 30 times as long.

    Args:
        file: the TFLite file as bytes, its path, or an `Interpreter`.
        judge: `keras_joslim.evaluation.Judge`: the data, and a compiled model whose losses and
            metrics are computed.
        network: the Keras model that the file was made from; needed to tell inputs or outputs
            apart if there are several.
        num_threads: threads of one inference.

    Returns:
        A dict of floats: "loss", its bootstrap standard error "loss_se", and each metric.

    Raises:
        ValueError: a file that cannot be run, data that does not fit it, several inputs or
            outputs without a network, a loss that is not finite.

    Example:

    >>> judge = Judge(model, (validation_images, validation_labels))
    >>> evaluate("models/p00.int8.tflite", judge)
    {'loss': 0.117, 'loss_se': 0.018, 'accuracy': 0.964}
    """
    if not hasattr(judge, "measure"):
        raise ValueError(
            "Expected a judge: keras_joslim.evaluation.Judge(model, (images, labels)) with a "
            f"compiled model. Received: judge={type(judge).__name__}"
        )
    file = file if isinstance(file, Interpreter) else Interpreter(file, num_threads)
    metrics = judge.measure(_predict(file, network))
    bad = sorted(name for name, value in metrics.items() if not np.isfinite(value))
    if bad:
        raise ValueError(
            f"Expected finite results on the data of the judge. Received: "
            f"{', '.join(f'{name}={metrics[name]}' for name in bad)}"
        )
    return metrics


def judged(file, judge, network=None):
    """What `evaluate` measures, with what it was measured on, as a manifest's entry holds it.

    Returns:
        A dict: "metrics", "examples", how many, and "data", the judge's sha256.
    """
    metrics = evaluate(file, judge, network)
    return {"metrics": metrics, "examples": judge.size, "data": judge.sha256}


def measure_test(manifest, judge, networks=None, on_progress=None):
    """Measures the files of a manifest on test data, which nothing is chosen by: each file once.

    Args:
        manifest: a `Manifest` that knows its directory; only files that are to be kept.
        judge: `keras_joslim.evaluation.Judge` with the test data.
        networks: dict point -> Keras model, for several inputs or outputs; see `evaluate`.
        on_progress: called as `on_progress(done, total, entry)` after each file.

    Returns:
        A `Manifest` in which `test` of every entry is filled in. Save it.

    Raises:
        ValueError: all files were measured before, or one is missing or changed.

    Example:

    >>> manifest = measure_test(Manifest.load("out"), Judge(model, (test_images, test_labels)))
    >>> manifest.save("out/manifest.json")
    """
    paths = manifest.paths()
    new = [entry for entry in manifest if not entry.test]
    if not new:
        raise ValueError(
            f"Test data is measured once, and the {len(manifest)} files of this manifest have a "
            "test result already. A file that is exported again has none."
        )
    manifest.check_files(manifest.directory)
    for done, entry in enumerate(new, 1):
        network = (networks or {}).get(entry.point)
        test = judged(paths[f"{entry.point}.{entry.format}"], judge, network)
        entry = dataclasses.replace(entry, test=test)
        manifest = manifest.replace(entry)
        if on_progress:
            on_progress(done, len(new), entry)
    return manifest


def _predict(file, network):
    """`predict(x) -> outputs`, both in the structure of the Keras model's."""
    import keras

    if network is None:
        if len(file.outputs) > 1:
            names = [facts.name for facts in file.outputs]
            raise ValueError(
                "Expected the Keras model as `network`: it has the outputs in another order than "
                f"the file. Received: network=None for the outputs {names}"
            )
        return file.run

    def predict(x):
        if not isinstance(x, dict):
            flat = keras.tree.flatten(x)
            x = flat if len(flat) > 1 else flat[0]
        outputs = file.run(by_name(x, input_names(network), "images"))
        outputs = by_name(outputs, output_names(network), "outputs")
        return as_outputs(network, list(outputs.values()))

    return predict
