"""Output of the TFLite benchmark tool with the figures it holds, worked out by hand."""

import pathlib

from keras_joslim.tflite.benchmark_log.parser import BenchmarkResult, Delegation, OperatorTime

FOLDER = pathlib.Path(__file__).with_name("benchmark_logs")


def text(name):
    return (FOLDER / f"{name}.txt").read_bytes().decode()


def delegation(name, replaced, total, partitions, subgraph):
    return Delegation(name, replaced, total, partitions, subgraph, replaced == total)


# name -> (files of stdout and stderr, the result)
SAMPLES = {
    "apk_logcat_brief": (
        ("apk_logcat_brief",),
        BenchmarkResult(
            mean=2719.85,
            min=2640.862,
            p5=2640.862,
            median=2709.263,
            p95=3025.403,
            max=3025.403,
            std=105.101,
            first=2732.148,
            init=458.883,
            warmup_mean=2732.148,
            runs=10,
            memory_init=300_658_196,  # 286.73 * 1048576 = 300658196.48
            memory_overall=353_370_112,
            delegates=(delegation("TfLiteXNNPackDelegate", 1036, 1097, 23, 0),),
        ),
    ),
    "gpu_nnapi_fallback": (
        ("gpu_nnapi_fallback",),
        BenchmarkResult(
            mean=309.35,
            min=305.938,
            p5=306.372,
            median=307.968,
            p95=315.711,
            max=333.03,
            std=4.411,
            first=328.14,
            init=5664.363,
            warmup_mean=319.036,
            runs=50,
            memory_init=393_719_316,
            memory_overall=393_719_316,
            delegates=(delegation("TfLiteGpuDelegateV2", 49, 49, 1, 0),),
            refused=("NNAPI",),
        ),
    ),
    "nightly2025_android": (
        ("nightly2025_android",),
        BenchmarkResult(
            mean=699.438,
            min=502.355,
            p5=502.674,
            median=576.856,
            p95=1373.207,
            max=2270.688,
            std=325.425,
            first=670.083,
            init=102.32,
            warmup_mean=670.083,
            runs=50,
            memory_init=102_862_894,
            memory_overall=104_021_990,
            model_bytes=16_152_700,
            threads=4,
            delegates=(delegation("TfLiteXNNPackDelegate", 49, 49, 1, 0),),
            created=("XNNPACK",),
        ),
    ),
    "tf24_android": (
        ("tf24_android",),
        BenchmarkResult(
            mean=249.684,
            min=247.067,
            max=254.474,
            std=1.442,
            first=360.262,
            init=16.242,
            warmup_mean=304.586,
            runs=50,
            memory_init=5_169_155,
            memory_overall=145_551_786,
        ),
    ),
    "hand_tf112": (
        ("hand_tf112",),
        BenchmarkResult(
            mean=140.233,
            min=138.95,
            max=145.002,
            std=1.044,
            first=151.32,
            init=3.871,
            warmup_mean=151.32,
            runs=50,
            threads=1,
        ),
    ),
    "hand_tf114_apk": (
        ("hand_tf114_apk",),
        BenchmarkResult(mean=80.12525, init=4.31, warmup_mean=90.4125),
    ),
    "hand_all_same": (
        ("hand_all_same",),
        BenchmarkResult(
            mean=0.003,
            min=0.003,
            p5=0.003,
            median=0.003,
            p95=0.003,
            max=0.003,
            first=0.005,
            init=0.201,
            warmup_mean=0.00328571,
            runs=4,
            memory_init=0,
            memory_overall=1024,
            model_bytes=1024,
        ),
    ),
    "hand_gpu_partial": (
        ("hand_gpu_partial",),
        BenchmarkResult(
            mean=12.4306,
            min=12.09,
            max=13.377,
            std=0.205,
            first=20.41,
            init=812.5,
            warmup_mean=12.7442,
            runs=81,
            memory_init=126_353_408,
            memory_overall=127_139_840,
            memory_peak=146_931_712,
            model_bytes=13_981_200,
            threads=2,
            delegates=(
                delegation("TfLiteGpuDelegateV2", 40, 49, 5, None),
                delegation("TfLiteXNNPackDelegate", 7, 12, 4, None),
            ),
            created=("GPU", "XNNPACK"),
            ignored_flags=("--use_hexagon=1", "--op_profiling_output_mode=csv"),
        ),
    ),
    "hand_linux": (
        ("hand_linux",),
        BenchmarkResult(
            mean=8.1305,
            min=8.003,
            max=8.713,
            std=0.096,
            first=9.411,
            init=6.044,
            warmup_mean=8.19938,
            runs=123,
            memory_init=23_175_207,
            memory_overall=30_932_992,
            model_bytes=13_981_200,
            threads=1,
            created=("XNNPACK",),
        ),
    ),
    "hand_litert": (
        ("hand_litert_out", "hand_litert_err"),
        BenchmarkResult(
            mean=1.26841,  # the line of counts is more precise than the block in milliseconds
            min=1.199,
            p5=1.22,
            median=1.263,
            p95=1.332,
            max=1.702,
            std=0.041,
            first=2.65,
            init=310.252,
            warmup_mean=1.27952,
            runs=788,
            memory_init=42_467_328,
            memory_overall=43_253_760,
            memory_peak=46_137_344,
            model_bytes=13_981_200,
            threads=4,
            delegates=(delegation("LITERT_CL", 49, 49, 1, 0),),
        ),
    ),
    "hand_litert_python": (
        ("hand_litert_python",),
        BenchmarkResult(
            mean=66.72,
            min=63.9,
            p5=64.35,
            median=66.1,
            p95=72.6,
            max=74.05,
            std=2.18,
            first=97.3,
            init=38.41,
            warmup_mean=71.15,
            runs=50,
        ),
    ),
    "hand_csv": (
        ("hand_csv",),
        BenchmarkResult(
            mean=4.9215,
            min=4.807,
            max=5.311,
            std=0.061,
            first=6.022,
            init=11.42,
            warmup_mean=4.94405,
            runs=203,
            memory_init=9_961_472,
            memory_overall=11_272_192,
            model_bytes=4_031_150,
            threads=1,
            delegates=(delegation("TfLiteXNNPackDelegate", 3, 5, 3, 0),),
            created=("XNNPACK",),
            operators=(
                OperatorTime("QUANTIZE", "[tfl.quantize, tfl.other]:0", 0.101, 0.0990388, 1, ""),
                OperatorTime("TfLiteXNNPackDelegate", "[out1, out2]:5", 4.8, 4.79, 1, ""),
                OperatorTime("SOFTMAX", "[Identity]:4", 0.001, 0.00001, 2, ""),
                OperatorTime(
                    "Convolution (NHWC, QC8) IGEMM",
                    "Delegate/Convolution (NHWC, QC8) IGEMM:0",
                    4.001,
                    3.99,
                    1,
                    "delegate",
                ),
                OperatorTime(
                    "Fully Connected (NC, QS8, QC8W) GEMM",
                    "Delegate/Fully Connected (NC, QS8, QC8W) GEMM:1",
                    0.781,
                    0.78,
                    1,
                    "delegate",
                ),
            ),
        ),
    ),
    "hand_litert_profile": (
        ("hand_litert_profile",),
        BenchmarkResult(
            mean=0.570852,
            min=0.547,
            p5=0.557,
            median=0.569,
            p95=0.588,
            max=1.018,
            std=0.017,
            first=1.204,
            init=5.127,
            warmup_mean=0.573607,
            runs=1750,
            memory_init=6_836_716,
            memory_overall=10_223_616,
            model_bytes=2_519_040,
            threads=1,
            delegates=(
                delegation("LITERT_CL", 3, 3, 1, 0),
                delegation("TfLiteXNNPackDelegate", 1, 2, 2, 1),
            ),
            operators=(
                OperatorTime(
                    "LiteRT::Run[buffer registration]",
                    "LiteRT::Run[buffer registration]/0",
                    0.031,
                    0.019,
                    1,
                    "",
                ),
                OperatorTime("AllocateTensors", "AllocateTensors/0", 0.204, 0.204, 0, ""),
                OperatorTime(
                    "Fully Connected (NC, PF32) GEMM",
                    "Delegate/Fully Connected (NC, PF32) GEMM:1",
                    0.655,
                    0.501,
                    13,
                    "",
                ),
                OperatorTime("LESS", "[while/Less]:0", 0.01, 0.009, 1, "subgraph 1"),
                OperatorTime("ADD", "[while/add, while/out]:1", 0.007, 0.006, 4, "subgraph 1"),
            ),
        ),
    ),
}


def sample(name):
    """(stdout, stderr) and the result of a sample."""
    files, result = SAMPLES[name]
    return [text(file) for file in files], result
