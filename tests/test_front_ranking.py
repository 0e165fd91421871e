"""Points by another measure: order, domination, what is missing, what is said of it."""

import numpy as np
import pytest

import keras_joslim as kj
from keras_joslim.front import ParetoPoint


def _point(name, macs, loss, milliseconds=None, int8=None, **facts):
    """A point; `milliseconds` of its fp32 file, `int8` (milliseconds, loss) of its int8 file."""
    latency = {} if milliseconds is None else {"fp32": {"median": milliseconds, "warning": ""}}
    deployed = {"fp32": {"loss": loss, "accuracy": 0.5, "arena": 10 * macs}}
    sizes = {"fp32": 4 * macs}
    if int8:
        taken = {"name": "TfLiteXNNPackDelegate", "nodes_replaced": 7, "nodes_total": 9}
        latency["int8"] = {
            "median": None,
            "mean": int8[0],
            "round_values": [0.9 * int8[0], 1.05 * int8[0]],
            "drift": 0.97,
            "delegate": "xnnpack",
            "delegations": [taken],
            "warnings": ["hot"],
        }
        deployed["int8"] = {"loss": int8[1], "accuracy": 0.25, "arena": macs}
        sizes["int8"] = macs
    return ParetoPoint(
        name,
        (1, macs),
        {"macs": macs},
        {"loss": loss, "loss_se": 0.01, "accuracy": 0.5},
        deployed=deployed,
        bytes=sizes,
        latency={"pixel7": latency} if latency else {},
        **facts,
    )


def _front(*points):
    return kj.ParetoFront(points)


FRONT = _front(
    _point("p00", 1000, 0.9, 2.0, int8=(1.0, 0.95)),
    _point("p01", 2000, 0.7, 3.0, int8=(4.0, 0.75)),
    _point("p02", 3000, 0.6, 1.5, int8=(2.0, 0.65)),
    _point("p03", 4000, 0.5, 5.0, int8=(3.0, 0.70)),
)


def test_by_its_own_cost_every_point_stands():
    ranking = FRONT.rank("macs")
    assert [r.point.name for r in ranking] == ["p00", "p01", "p02", "p03"]
    assert ranking.front == ["p00", "p01", "p02", "p03"]
    assert ranking.file_format is None


def test_a_phone_may_find_a_larger_network_faster():
    ranking = FRONT.rank("latency:pixel7")
    assert [(r.point.name, r.value, r.dominated_by) for r in ranking] == [
        ("p02", 1.5, None),
        ("p00", 2.0, "p02"),
        ("p01", 3.0, "p02"),
        ("p03", 5.0, None),
    ]
    assert ranking.front == ["p02", "p03"]
    assert ranking.file_format == "fp32"


def test_a_format_has_its_own_losses_and_milliseconds():
    ranking = FRONT.rank("latency:pixel7", "int8")
    # By the file's own loss p03 has lost to p02, whatever Keras says.
    assert [(r.point.name, r.value, r.loss, r.dominated_by) for r in ranking] == [
        ("p00", 1.0, 0.95, None),
        ("p02", 2.0, 0.65, None),
        ("p03", 3.0, 0.70, "p02"),
        ("p01", 4.0, 0.75, "p02"),
    ]


@pytest.mark.parametrize(
    ("by", "file_format", "values"),
    [
        ("bytes", None, [4000, 8000, 12000, 16000]),
        ("bytes", "int8", [1000, 2000, 3000, 4000]),
        ("arena", "fp32", [10000, 20000, 30000, 40000]),
    ],
)
def test_by_what_a_file_takes(by, file_format, values):
    assert [r.value for r in FRONT.rank(by, file_format)] == values


def test_random_points_against_a_plain_count():
    rng = np.random.default_rng(0)
    for _ in range(20):
        losses, times = rng.integers(1, 8, (2, 12))
        front = _front(
            *(_point(f"p{i:02d}", i + 1, float(losses[i]), float(times[i])) for i in range(12))
        )
        for ranked in front.rank("latency:pixel7"):
            mine = ranked.loss, ranked.value
            others = [(float(a), float(b)) for a, b in zip(losses, times)]
            over = [o for o in others if o[0] <= mine[0] and o[1] <= mine[1] and o != mine]
            assert (ranked.dominated_by is None) == (not over)
            if over:
                winner = front[ranked.dominated_by]
                assert winner.validation["loss"] == min(loss for loss, _ in over)


def test_points_without_the_measure_are_named():
    front = _front(*FRONT.points[:2], _point("p09", 9000, 0.1))
    ranking = front.rank("latency:pixel7")
    assert ranking.missing == ("p09",)
    assert "Not measured: p09" in ranking.table()


def test_the_table_says_units_domination_and_doubt():
    text = FRONT.rank("latency:pixel7", "int8").table()
    lines = text.splitlines()
    assert lines[0] == (
        "By latency:pixel7, int8 files: 2 of 4 points on the front. "
        "Drift of the device while measuring: -3.0 %."
    )
    assert lines[1].split() == (
        "point ms spread % delegate val. loss val. acc. % test acc. % file bytes".split()
    )
    assert lines[5].split() == (
        "p03 3.000 15.0 xnnpack 7/9 0.7000 25.00 - 4,000 dominated by p02".split()
    )
    assert lines[-1] == "Doubtful (p00, p02, p03, p01): hot"
    assert FRONT.rank("bytes").table().splitlines()[3].split()[:2] == ["p00", "4,000"]


def test_test_accuracy_is_that_of_the_file_asked_for():
    point = _point("p00", 1000, 0.9, 2.0, int8=(1.0, 0.95), test={"accuracy": 0.75})
    front = _front(point.replace(tested={"int8": {"accuracy": 0.625}}))

    def shown(by, file_format=None):
        return front.rank(by, file_format).table().splitlines()[3].split()[-2]

    assert shown("macs") == "75.00"
    assert shown("macs", "int8") == "62.50"
    assert shown("macs", "fp32") == "-"


@pytest.mark.parametrize("wanted", ["pixel7", "pix", "PIXEL"])
def test_the_beginning_of_a_device_is_enough(wanted):
    assert FRONT.rank(f"latency:{wanted}").by == "latency:pixel7"


@pytest.mark.parametrize(
    ("by", "file_format", "message"),
    [
        ("watts", None, "a measure of macs, bytes, arena, latency:pixel7. Received: by='watts'"),
        ("latency:galaxy", None, "a device of pixel7. Received: latency:galaxy"),
        ("latency:", None, "a device of pixel7. Received: latency:"),
        ("latency:pixel7", "fp16", "No point has latency:pixel7 in the format 'fp16'"),
        (None, None, "Received: by=None"),
    ],
)
def test_what_was_not_measured_is_refused(by, file_format, message):
    with pytest.raises(ValueError, match=message):
        FRONT.rank(by, file_format)


def test_a_beginning_of_two_devices_is_refused():
    entry = {"fp32": {"median": 1.0}}
    front = _front(FRONT[0].replace(latency={"pixel7": entry, "pixel8": entry}))
    with pytest.raises(ValueError, match="which may be any of pixel7, pixel8"):
        front.rank("latency:pixel")


def test_a_front_without_latencies_says_how_to_measure():
    with pytest.raises(ValueError, match="No latency was measured yet.*joslim profile"):
        _front(FRONT[0].replace(latency={})).rank("latency:host")
