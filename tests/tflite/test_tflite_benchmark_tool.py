"""Command lines of the benchmark tool, and what its file is built for, before it is used."""

import platform
import zipfile

import pytest

from keras_joslim.tflite.benchmark_log.errors import ToolNotFoundError, WrongAbiError
from keras_joslim.tflite.profiling import benchmark_tool
from keras_joslim.tflite.profiling.benchmark_tool import BenchmarkSettings
from tests.tflite.tool_stand_ins import elf

LINKER = "/system/bin/linker64"
ARM_PHONE = ("arm64-v8a", "armeabi-v7a", "armeabi")


def test_flags():
    settings = BenchmarkSettings(num_threads=2, delegate="gpu", runs=30, min_seconds=0.5, warmup=3)
    expected = [
        "--graph=/data/a b.tflite",
        "--num_threads=2",
        "--num_runs=30",
        "--min_secs=0.5",
        "--warmup_runs=3",
        "--use_gpu=true",
    ]
    assert settings.flags("/data/a b.tflite") == expected
    memory = settings.flags("/data/a b.tflite", "memory")
    assert memory == [*expected, "--report_peak_memory_footprint=true"]
    operators = settings.flags("/data/a b.tflite", "operators")
    assert operators == [
        *expected,
        "--enable_op_profiling=true",
        "--op_profiling_output_mode=csv",
    ]


@pytest.mark.parametrize(
    ("delegate", "flag"),
    [
        ("xnnpack", "--use_xnnpack=true"),
        ("nnapi", "--use_nnapi=true"),
        ("none", "--use_xnnpack=false"),
    ],
)
def test_flag_of_a_delegate(delegate, flag):
    assert BenchmarkSettings(delegate=delegate).flags("x")[-1] == flag


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"delegate": "tpu"}, "out of .*'nnapi'.*Received: delegate='tpu'"),
        ({"num_threads": 0}, "at least 1. Received: num_threads=0"),
        ({"runs": 1.5}, "Received: runs=1.5"),
        ({"runs": True}, "Received: runs=True"),
        ({"warmup": -1}, "at least 0. Received: warmup=-1"),
        ({"min_seconds": -1}, "Received: min_seconds=-1"),
        ({"min_seconds": 151}, "0 to 150 seconds"),
        ({"min_seconds": float("nan")}, "0 to 150 seconds"),
    ],
)
def test_impossible_settings(arguments, message):
    with pytest.raises(ValueError, match=message):
        BenchmarkSettings(**arguments)


@pytest.mark.parametrize(
    ("machine", "bits", "interpreter", "expected"),
    [
        (183, 64, LINKER, "arm64-v8a (Android)"),
        (183, 64, "/lib/ld-linux-aarch64.so.1", "arm64-v8a (Linux)"),
        (40, 32, "/system/bin/linker", "armeabi-v7a (Android)"),
        (62, 64, None, "x86_64"),
        (3, 32, None, "x86"),
        (62, 32, None, "a processor of ELF machine 62, 32 bits"),
        (243, 64, None, "riscv64"),
        (8, 32, None, "a processor of ELF machine 8, 32 bits"),
    ],
)
def test_what_an_executable_is_for(tmp_path, machine, bits, interpreter, expected):
    path = tmp_path / "tool"
    path.write_bytes(elf(machine, bits, interpreter))
    assert str(benchmark_tool.read_elf(path)) == expected


@pytest.mark.skipif(not platform.machine().endswith("64"), reason="for machines of 64 bits")
def test_an_executable_of_this_machine():
    found = benchmark_tool.read_elf("/proc/self/exe")
    assert found.machine == {"x86_64": 62, "aarch64": 183}.get(platform.machine(), found.machine)
    assert (found.bits, found.system) == (64, "Linux")


def test_no_cut_of_an_executable_is_read_as_another(tmp_path):
    path, whole = tmp_path / "tool", elf(183, 64, LINKER)
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        found = benchmark_tool.read_elf(path)
        assert found is None or (found.machine, found.bits) == (183, 64)


def test_a_tool_that_fits_the_phone(tmp_path):
    path = tmp_path / "tool"
    path.write_bytes(elf(183, 64, LINKER))
    assert benchmark_tool.check_for_phone(path, ARM_PHONE) == ""
    assert benchmark_tool.check_for_phone(path, None) == ""
    # Static ones do not say for which system they are.
    path.write_bytes(elf(183, 64))
    assert benchmark_tool.check_for_phone(path, ARM_PHONE) == ""


def test_a_tool_of_32_bits_is_told(tmp_path):
    path = tmp_path / "tool"
    path.write_bytes(elf(40, 32, "/system/bin/linker"))
    assert "32 bits (armeabi-v7a)" in benchmark_tool.check_for_phone(path, ARM_PHONE)
    assert benchmark_tool.check_for_phone(path, ("armeabi-v7a", "armeabi")) == ""


@pytest.mark.parametrize(
    ("data", "abis", "message"),
    [
        (elf(62), ARM_PHONE, "for x86_64; the phone runs arm64-v8a, arm.*android_aarch64_bench"),
        (elf(183), ("armeabi-v7a",), "for arm64-v8a; .* armeabi-v7a. Download android_arm_bench"),
        (elf(183), ("x86_64",), "Build the tool for x86_64"),
        (elf(8, 32), ARM_PHONE, "ELF machine 8, 32 bits; the phone runs arm64-v8a"),
        (elf(183, 64, "/lib/ld-linux-aarch64.so.1"), ARM_PHONE, r"arm64-v8a \(Linux\); the phone"),
        (elf(183, 64, "/lib/ld-linux-aarch64.so.1"), None, "the phone runs Android"),
        (b"#!/bin/sh\n", ARM_PHONE, "no executable .*android_aarch64_benchmark_model from"),
        (b"PK\3\4", ARM_PHONE, "route='apk'"),
        (b"", None, "no executable"),
        (b"\x7fELF", None, "no executable"),
    ],
)
def test_a_tool_that_does_not_fit_the_phone(tmp_path, data, abis, message):
    path = tmp_path / "tool"
    path.write_bytes(data)
    with pytest.raises(WrongAbiError, match=f"(?s){path}.*{message}"):
        benchmark_tool.check_for_phone(path, abis)


@pytest.mark.parametrize(
    "check", [benchmark_tool.check_for_phone, benchmark_tool.check_apk], ids=["tool", "app"]
)
def test_a_tool_that_is_not_here(tmp_path, check):
    with pytest.raises(ToolNotFoundError, match="missing.*Download it from https"):
        check(tmp_path / "missing", ARM_PHONE)


def test_a_tool_for_another_machine_than_this_one(tmp_path, monkeypatch):
    path = tmp_path / "tool"
    path.write_bytes(elf(183, 64, LINKER))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    message = r"arm64-v8a \(Android\); this machine is x86_64 .*Download linux_x86-64_benchmark_mo"
    with pytest.raises(WrongAbiError, match=message):
        benchmark_tool.check_for_host(path)
    path.write_bytes(elf(62, 64, LINKER))
    with pytest.raises(WrongAbiError, match=r"x86_64 \(Android\); this machine is x86_64"):
        benchmark_tool.check_for_host(path)
    path.write_bytes(elf(62))
    benchmark_tool.check_for_host(path)


def test_an_app(tmp_path):
    path = tmp_path / "benchmark_model.apk"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("AndroidManifest.xml", "")
        file.writestr("lib/arm64-v8a/libtensorflowlite_benchmark.so", "")
    benchmark_tool.check_apk(path, ARM_PHONE)
    benchmark_tool.check_apk(path, None)
    with pytest.raises(
        WrongAbiError, match="for arm64-v8a; the phone runs armeabi-v7a.*_arm_.*apk"
    ):
        benchmark_tool.check_apk(path, ("armeabi-v7a",))
    for content in (b"", elf(183)):
        path.write_bytes(content)
        with pytest.raises(WrongAbiError, match=r"no Android app \(APK\).*route='binary'"):
            benchmark_tool.check_apk(path, ARM_PHONE)
