"""A run as `joslim export` leaves it, of bytes that are no networks: enough to deliver."""

import keras_joslim as kj
from keras_joslim import tflite
from keras_joslim.app.workdir import Workdir
from keras_joslim.datasets import Preprocessing
from keras_joslim.front import ParetoPoint
from keras_joslim.tflite.manifest import sha256
from tests.tflite.manifest_entries import entry, latency_entry

LABELS = ("cat", "dog", "crème brûlée")
GREY = Preprocessing("Divide by 16.", (0, 16), (1 / 16,), (0.0,))
# Milliseconds on a phone by file; p02 was not timed in int8.
PIXEL7 = {"p00.fp32": 2.0, "p00.int8": 1.0, "p01.fp32": 4.0, "p01.int8": 2.5, "p02.fp32": 8.0}


def exported(path, formats=("fp32", "int8")):
    """A `Workdir` of three points in two formats, timed on a phone in part."""
    workdir = Workdir(path)
    workdir.claim({"export": {"formats": list(formats)}})
    workdir.models.mkdir()
    points, files = [], []
    for rank in range(3):
        name, loss = f"p0{rank}", 0.9 - 0.3 * rank
        for form in formats:
            data = f"{name} in {form}".encode() * (rank + 1)
            relative = f"models/{name}.{form}.tflite"
            (path / relative).write_bytes(data)
            found = PIXEL7.get(f"{name}.{form}")
            metrics = {"loss": loss + (form == "int8") / 10, "loss_se": 0.01, "accuracy": 0.5}
            files.append(
                entry(
                    point=name,
                    format=form,
                    path=relative,
                    bytes=len(data),
                    sha256=sha256(data),
                    validation={"metrics": metrics, "examples": 360, "data": "c" * 64},
                    latency={} if found is None else {"pixel7": latency_entry(found)},
                )
            )
        points.append(
            ParetoPoint(
                name,
                (rank,),
                {"macs": 100 * (rank + 1)},
                {"loss": loss, "loss_se": 0.01, "accuracy": 0.5},
                files={form: f"models/{name}.{form}.tflite" for form in formats},
            )
        )
    kj.ParetoFront(points).save(workdir.front_file)
    manifest = tflite.Manifest(tuple(files), path, LABELS, GREY)
    manifest.save(path / "manifest.json")
    return workdir
