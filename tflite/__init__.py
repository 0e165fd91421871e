"""Keras models to TFLite files that are checked against Keras, described and timed.

TensorFlow, Keras and LiteRT are imported by the functions that need them.
"""

from keras_joslim.tflite.arena import arena_bytes
from keras_joslim.tflite.benchmark_log import (
    BenchmarkLogError,
    BenchmarkResult,
    Delegation,
    OperatorTime,
    delegate_problem,
    operator_times,
)
from keras_joslim.tflite.benchmark_log import parse as parse_benchmark_log
from keras_joslim.tflite.convert import saved_model, to_tflite
from keras_joslim.tflite.export import export
from keras_joslim.tflite.formats import FORMATS, Tolerance
from keras_joslim.tflite.host import Latency, ProfileError, ProfileTimeoutError, profile
from keras_joslim.tflite.interpreter import Interpreter, run
from keras_joslim.tflite.liveness import activation_bytes, weight_bytes
from keras_joslim.tflite.manifest import ExportedFile, Manifest
from keras_joslim.tflite.operators import check_operators, operators
from keras_joslim.tflite.verify import Difference, DisagreementError, verify

__all__ = [
    "FORMATS",
    "BenchmarkLogError",
    "BenchmarkResult",
    "Delegation",
    "Difference",
    "DisagreementError",
    "ExportedFile",
    "Interpreter",
    "Latency",
    "Manifest",
    "OperatorTime",
    "ProfileError",
    "ProfileTimeoutError",
    "Tolerance",
    "activation_bytes",
    "arena_bytes",
    "check_operators",
    "delegate_problem",
    "export",
    "operator_times",
    "operators",
    "parse_benchmark_log",
    "profile",
    "run",
    "saved_model",
    "to_tflite",
    "verify",
    "weight_bytes",
]
