"""What two runs of the same must have alike, bit by bit; for the benchmarks that kill one."""

import hashlib
import json

import numpy as np

# Of a point of the front. Latencies differ from run to run.
_POINT = ("name", "widths", "costs", "validation", "test", "deployed", "tested", "bytes")


def content(workdir):
    """All that must be the same, by name.

    Args:
        workdir: path of a finished run.
    """
    last = sorted((workdir / "checkpoint").glob("step-*"))[-1]
    state = json.loads((last / "state.json").read_text(encoding="utf-8"))
    front = json.loads((workdir / "front.json").read_text(encoding="utf-8"))
    with np.load(last / "variables.npz") as variables:
        arrays = {f"variable {name}": array.tobytes() for name, array in variables.items()}
    files = sorted((workdir / "models").glob("*.tflite"))
    return {
        **arrays,
        "step": state["step"],
        "schedule": state["schedule"],
        "epochs": [entry["epoch"] for entry in state["epochs"]],
        "history.jsonl": (workdir / "history.jsonl").read_bytes(),
        "judged": front["history"],
        "points": [{key: point.get(key) for key in _POINT} for point in front["points"]],
        "ends": front["ends"],
        **{path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
    }


def differences(workdir, expected):
    """The names of what is not as in `content` of another run."""
    found = content(workdir)
    return [name for name in expected | found if expected.get(name) != found.get(name)]
