"""Fine-tunes a network with tensorflow-model-optimization and converts it, in its own process.

Run as `python -m keras_joslim.tflite.qat.child FOLDER`, never imported: tfmot sets
TF_USE_LEGACY_KERAS for the process and turns its tf.keras into tf_keras. FOLDER holds what
`fine_tuning.quantization_aware` has written. Added to it are model.tflite, losses.json, and what
the trained network computes for the first training images: expected0.npy, one an output.
"""

import json
import pathlib
import sys
import tempfile

import numpy as np

# Batches that set the ranges of activations.
_RANGE_BATCHES = 8
# Images that calibrate int8 after training.
_REPRESENTATIVE = 200
# Images that the file is compared on with the network it was made from.
COMPARED = 16


def main(folder):
    """Does what `folder/spec.json` says."""
    import tensorflow as tf
    import tf_keras

    from keras_joslim.tflite.qat import training
    from keras_joslim.tflite.qat.tf_keras_rebuild import outputs_of

    spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
    tf.config.threading.set_intra_op_parallelism_threads(spec["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf_keras.utils.set_random_seed(spec["seed"])
    tf.config.experimental.enable_op_determinism()
    description = spec["description"]
    with np.load(folder / "weights.npz") as file:
        weights = dict(file)
    data = training.Data(folder, len(description["inputs"]), len(description["outputs"]))
    model, losses = _MODES[spec["mode"]](description, weights, data, spec)
    converted = _converted(model, description, data, spec)
    (folder / "model.tflite").write_bytes(converted)
    for index, values in enumerate(outputs_of(model, data.inputs(COMPARED))):
        np.save(folder / f"expected{index}.npy", values)
    (folder / "losses.json").write_text(json.dumps(losses), encoding="utf-8")


def _quantised(description, weights, data, spec):
    from keras_joslim.tflite.qat import quantizers, training

    batches = [data.batch(index)[0] for index in range(min(_RANGE_BATCHES, len(data.order)))]
    model = quantizers.quantized(description, weights, batches)
    return model, training.train(model, data, spec)


def _clustered(description, weights, data, spec):
    import tensorflow_model_optimization as tfmot

    from keras_joslim.tflite.qat import training

    clustering = tfmot.clustering.keras

    def cluster(layer):
        return clustering.cluster_weights(
            layer,
            number_of_clusters=spec["clusters"],
            cluster_centroids_init=clustering.CentroidInitialization.KMEANS_PLUS_PLUS,
        )

    model = _wrapped(description, weights, cluster, spec["clusters"])
    losses = training.train(model, data, spec)
    return clustering.strip_clustering(model), losses


def _pruned(description, weights, data, spec):
    import tensorflow_model_optimization as tfmot

    from keras_joslim.tflite.qat import training

    pruning = tfmot.sparsity.keras
    # The cubic schedule of Zhu and Gupta ("To prune, or not to prune", 2017) over the first half
    # of the steps, in at most 20 cuts; the second half heals.
    half = max(1, len(data.order) // 2)
    interval = -(-half // 20)
    schedule = pruning.PolynomialDecay(
        initial_sparsity=0.0,
        final_sparsity=spec["sparsity"],
        begin_step=0,
        end_step=interval * max(1, half // interval),
        frequency=interval,
    )
    model = _wrapped(
        description,
        weights,
        lambda layer: pruning.prune_low_magnitude(layer, pruning_schedule=schedule),
    )
    steps = pruning.UpdatePruningStep()
    steps.set_model(model)
    steps.on_train_begin()
    losses = training.train(model, data, spec)
    # The last optimizer step may have moved weights that are pruned.
    steps.on_epoch_end(None)
    return pruning.strip_pruning(model), losses


def _wrapped(description, weights, wrap, smallest=1):
    """The float network with `wrap` around each dense layer and each convolution over channels.

    Kernels of `smallest` weights or fewer stay as they are. So do depthwise ones, as in tfmot:
    they are few weights on which much depends.
    """
    import tf_keras

    from keras_joslim.tflite.qat.tf_keras_rebuild import operation_class, rebuild

    kinds = ("Conv2D", "Conv2DTranspose", "Dense")
    chosen = {
        call["name"]
        for call in description["calls"]
        if call["kind"] in kinds and weights[f"{call['name']}/0"].size > smallest
    }
    with tf_keras.utils.custom_object_scope({"Operation": operation_class()}):
        return tf_keras.models.clone_model(
            rebuild(description, weights),
            clone_function=lambda layer: wrap(layer) if layer.name in chosen else layer,
        )


def _converted(model, description, data, spec):
    """The network as TFLite bytes, its inputs and outputs under the names of the description."""
    import tensorflow as tf

    from keras_joslim.tflite.qat.tf_keras_rebuild import outputs_of

    names = [name for _, name, _ in description["inputs"]]
    signature = {
        name: tf.TensorSpec((1, *shape), tf.float32, name=name)
        for _, name, shape in description["inputs"]
    }

    @tf.function(input_signature=[signature])
    def serve(tensors):
        outputs = outputs_of(model, [tensors[name] for name in names])
        labels = [name for _, name in description["outputs"]]
        return dict(zip(labels, outputs, strict=True))

    # Its variables alone: Keras would write down each layer too, and cannot with faked kernels.
    module = tf.Module()
    module.state, module.serve = list(model.variables), serve
    with tempfile.TemporaryDirectory(prefix="keras_joslim-") as directory:
        tf.saved_model.save(module, directory, signatures={"serving_default": serve})
        converter = tf.lite.TFLiteConverter.from_saved_model(directory)
        if spec["int8"]:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.inference_input_type = converter.inference_output_type = tf.int8
        if spec["int8"] and spec["mode"] != "qat":
            # After quantisation-aware training the ranges stand in the graph; asked for
            # TFLITE_BUILTINS_INT8 the converter would want to measure them again.
            images = data.inputs(_REPRESENTATIVE)
            # One scale a kernel: with one a channel, as many codes as clusters times channels.
            converter._experimental_disable_per_channel = spec["mode"] == "cluster"
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.representative_dataset = lambda: (
                {name: array[i : i + 1] for name, array in zip(names, images, strict=True)}
                for i in range(len(images[0]))
            )
        return converter.convert()


_MODES = {"qat": _quantised, "cluster": _clustered, "prune": _pruned}

if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
