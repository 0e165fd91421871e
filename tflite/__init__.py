"""Keras models to TFLite files that are checked against Keras, described and timed.

TensorFlow, Keras and LiteRT are imported by the functions that need them.
"""

from keras_joslim.tflite.android.adb import Adb
from keras_joslim.tflite.android.adb_errors import (
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
from keras_joslim.tflite.android.adb_output import Device
from keras_joslim.tflite.android.phone import PhoneFacts
from keras_joslim.tflite.android.profile import PhoneProfile, profile_android
from keras_joslim.tflite.arena import arena_bytes
from keras_joslim.tflite.benchmark_log.parser import (
    BenchmarkLogError,
    BenchmarkResult,
    Delegation,
    OperatorTime,
    delegate_problem,
    operator_times,
)
from keras_joslim.tflite.benchmark_log.parser import parse as parse_benchmark_log
from keras_joslim.tflite.conversion_jobs import usable_jobs
from keras_joslim.tflite.convert import saved_model, to_tflite
from keras_joslim.tflite.delivery.bundle import write_bundle
from keras_joslim.tflite.delivery.device_groups import DeviceGroup, read_device_groups
from keras_joslim.tflite.delivery.pick import pick
from keras_joslim.tflite.evaluation import evaluate, measure_test
from keras_joslim.tflite.export import ExportError, export
from keras_joslim.tflite.formats import FORMATS, FormatError, Tolerance
from keras_joslim.tflite.interpreter import Interpreter, run
from keras_joslim.tflite.liveness import activation_bytes, weight_bytes
from keras_joslim.tflite.manifest import ExportedFile, Manifest, manifest_schema
from keras_joslim.tflite.operators import check_operators, operators
from keras_joslim.tflite.profiling.device_latency import DeviceLatency
from keras_joslim.tflite.profiling.host import Latency, ProfileError, ProfileTimeoutError, profile
from keras_joslim.tflite.profiling.host_tool import profile_with_tool
from keras_joslim.tflite.profiling.rounds import DeviceProfileError
from keras_joslim.tflite.qat.fine_tuning import FineTuningError
from keras_joslim.tflite.qat.settings import FineTuning
from keras_joslim.tflite.single_file.reader import SingleFile
from keras_joslim.tflite.single_file.writer import SingleFileReport, export_single_file
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
    "DeviceGroup",
    "DeviceLatency",
    "DeviceLostError",
    "DeviceNotFoundError",
    "DeviceProfileError",
    "Difference",
    "DisagreementError",
    "ExportError",
    "ExportedFile",
    "FineTuning",
    "FineTuningError",
    "FormatError",
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
    "SingleFile",
    "SingleFileReport",
    "Tolerance",
    "UnauthorizedError",
    "activation_bytes",
    "arena_bytes",
    "check_operators",
    "delegate_problem",
    "evaluate",
    "export",
    "export_single_file",
    "manifest_schema",
    "measure_test",
    "operator_times",
    "operators",
    "parse_benchmark_log",
    "pick",
    "profile",
    "profile_android",
    "profile_with_tool",
    "read_device_groups",
    "run",
    "saved_model",
    "to_tflite",
    "usable_jobs",
    "verify",
    "weight_bytes",
    "write_bundle",
]
