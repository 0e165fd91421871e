"""Keras models to TFLite files that are checked against Keras, described and timed.

TensorFlow, Keras and LiteRT are imported by the functions that need them.
"""

from keras_joslim.tflite.adb import Adb
from keras_joslim.tflite.adb_errors import (
    AdbError,
    AdbNotFoundError,
    AdbTimeoutError,
    DeviceLostError,
    DeviceNotFoundError,
    NoDeviceError,
    NoSpaceError,
    OfflineError,
    PushError,
    ReadOnlyError,
    SeveralDevicesError,
    UnauthorizedError,
)
from keras_joslim.tflite.adb_output import Device
from keras_joslim.tflite.android import PhoneProfile, profile_android
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
from keras_joslim.tflite.device_latency import DeviceLatency
from keras_joslim.tflite.export import export
from keras_joslim.tflite.formats import FORMATS, Tolerance
from keras_joslim.tflite.host import Latency, ProfileError, ProfileTimeoutError, profile
from keras_joslim.tflite.host_tool import profile_with_tool
from keras_joslim.tflite.interpreter import Interpreter, run
from keras_joslim.tflite.liveness import activation_bytes, weight_bytes
from keras_joslim.tflite.manifest import ExportedFile, Manifest
from keras_joslim.tflite.measurement_rounds import DeviceProfileError
from keras_joslim.tflite.operators import check_operators, operators
from keras_joslim.tflite.phone import PhoneFacts
from keras_joslim.tflite.verify import Difference, DisagreementError, verify

__all__ = [
    "FORMATS",
    "Adb",
    "AdbError",
    "AdbNotFoundError",
    "AdbTimeoutError",
    "BenchmarkLogError",
    "BenchmarkResult",
    "Delegation",
    "Device",
    "DeviceLatency",
    "DeviceLostError",
    "DeviceNotFoundError",
    "DeviceProfileError",
    "Difference",
    "DisagreementError",
    "ExportedFile",
    "Interpreter",
    "Latency",
    "Manifest",
    "NoDeviceError",
    "NoSpaceError",
    "OfflineError",
    "OperatorTime",
    "PhoneFacts",
    "PhoneProfile",
    "ProfileError",
    "ProfileTimeoutError",
    "PushError",
    "ReadOnlyError",
    "SeveralDevicesError",
    "Tolerance",
    "UnauthorizedError",
    "activation_bytes",
    "arena_bytes",
    "check_operators",
    "delegate_problem",
    "export",
    "operator_times",
    "operators",
    "parse_benchmark_log",
    "profile",
    "profile_android",
    "profile_with_tool",
    "run",
    "saved_model",
    "to_tflite",
    "verify",
    "weight_bytes",
]
