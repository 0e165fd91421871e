"""Latency of sub-networks on a device: sampled, fitted, validated.

    kj.latency.sample(slim, "latency/host", count=600, held_out=200)
    latency = kj.latency.fit("latency/host")  # a cost like any other
    print(kj.latency.validate("latency/host"))

TensorFlow and LiteRT are imported by `sample` alone.
"""

from keras_joslim.latency.directory import fit, sample, validate
from keras_joslim.latency.fit import Validation
from keras_joslim.latency.samples import Sample, Samples

__all__ = ["Sample", "Samples", "Validation", "fit", "sample", "validate"]
