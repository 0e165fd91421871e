"""Facts of phones, out of text as phones print it and over a real adb."""

import json
import random

import pytest

from keras_joslim.tflite.android import phone as phone_facts
from keras_joslim.tflite.android.adb_errors import AdbError
from keras_joslim.tflite.android.phone import PhoneFacts
from tests.tflite.phone_programs import ANDROID_8, PIXEL, SAMSUNG, printed, stand_in


def test_pixel():
    assert phone_facts.parsed_facts(PIXEL) == PhoneFacts(
        model="Pixel 7",
        manufacturer="Google",
        soc="GS201",
        board="gs201",
        android="14",
        api_level=34,
        abis=("arm64-v8a", "armeabi-v7a", "armeabi"),
        max_frequencies=(1803000,) * 4 + (2348000,) * 2 + (2850000,) * 2,
        governors=("sched_pixel",) * 8,
        big_cores=(6, 7),
        big_mask="c0",
        ram=7755588 * 1024,
        thermal_status=1,
        battery_temperature=27.4,
        load=4.21,
    )


def test_samsung():
    found = phone_facts.parsed_facts(SAMSUNG)
    assert (found.model, found.soc, found.api_level) == ("SM-G991B", "exynos2100", 30)
    assert found.max_frequencies[:3] == (None, None, 2210000)
    assert found.governors[:3] == (None, None, "energy_step")
    assert (found.big_cores, found.big_mask) == ((4, 5, 6, 7), "f0")
    assert (found.thermal_status, found.battery_temperature, found.load) == (0, -1.2, 0.0)


def test_android_8():
    found = phone_facts.parsed_facts(ANDROID_8)
    assert found.model == "Moto G (5S) Plus [XT1806]"
    assert (found.manufacturer, found.soc, found.board) == (None, None, "msm8953")
    assert (found.android, found.abis) == ("8.1.0", ("armeabi-v7a",))
    assert (found.big_cores, found.big_mask) == (tuple(range(8)), "ff")
    assert (found.thermal_status, found.load) == (None, None)
    assert found.battery_temperature == 31.0


def test_facts_are_json():
    found = phone_facts.parsed_facts(PIXEL)
    again = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert again["abis"] == ["arm64-v8a", "armeabi-v7a", "armeabi"]
    assert again["big_cores"] == [6, 7]
    tuples = {key: tuple(v) if isinstance(v, list) else v for key, v in again.items()}
    assert PhoneFacts(**tuples) == found


@pytest.mark.parametrize("text", ["", "\n\n", "sh: getprop: not found\n", "\x00�[x]: [\n@@ keras"])
def test_what_says_nothing_is_none(text):
    assert phone_facts.parsed_facts(text) == PhoneFacts()
    assert phone_facts.parsed_facts(printed(*[text] * 6)) == PhoneFacts()


def test_damaged_text_never_raises_and_never_invents():
    rng = random.Random(0)
    truth = phone_facts.parsed_facts(PIXEL).to_dict()
    for _ in range(300):
        lines = PIXEL.splitlines(keepends=True)
        rng.shuffle(lines)
        phone_facts.parsed_facts("".join(lines))
        cut = PIXEL[: rng.randrange(len(PIXEL))]
        found = phone_facts.parsed_facts(cut).to_dict()
        frequencies = found["max_frequencies"] or []
        assert frequencies == truth["max_frequencies"][: len(frequencies)]
        for key in set(truth) - {"max_frequencies", "governors", "big_cores", "big_mask"}:
            assert found[key] in (None, truth[key])


@pytest.mark.parametrize(
    ("frequencies", "expected"),
    [
        ([1800, 1800, 2400, 2400], (2, 3)),
        ([1800, 1800, 2400, 2400, 3000], (2, 3, 4)),
        ([3000, 2400, 1800], (0, 1)),
        ([2000] * 4, (0, 1, 2, 3)),
        ([2000], (0,)),
        ([None, 2000, None, 1500], (1, 3)),
        ([None, None], None),
        ([], None),
    ],
)
def test_big_cores(frequencies, expected):
    assert phone_facts.big_cores(frequencies) == expected


@pytest.mark.parametrize("cores", ["1 2000 x\n2 2000 x\n", "0 2000 x\n99999999999 2000 x\n"])
def test_cores_with_gaps_are_not_cores(cores):
    found = phone_facts.parsed_facts(printed(cores=cores))
    assert (found.max_frequencies, found.big_cores, found.big_mask) == (None, None, None)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("Thermal Status: 6\n", 6),
        ("Thermal Status: 7\n", None),
        ("Thermal Status: -1\n", None),
        ("Thermal Status: 12\n", None),
        ("mStatus=3\n", None),
        ("", None),
    ],
)
def test_thermal_status_is_on_androids_scale(text, status):
    assert phone_facts.parsed_thermal_status(text) == status


@pytest.mark.parametrize("text", [PIXEL, SAMSUNG, ANDROID_8], ids=["pixel", "samsung", "8"])
def test_one_round_trip_over_adb(adb, phone, text):
    stand_in(phone, text)
    assert phone_facts.facts(adb) == phone_facts.parsed_facts(text)
    assert len(phone.commands) == 1
    expected = phone_facts.parsed_facts(text).thermal_status
    assert phone_facts.thermal_status(adb) == expected


def test_twelve_cores_are_in_the_order_of_their_numbers(adb, phone):
    cores = "".join(f"{core} {1000 + core} x\n" for core in range(12))
    stand_in(phone, printed(cores=cores))
    assert phone_facts.facts(adb).max_frequencies == tuple(range(1000, 1012))


def test_a_phone_that_has_none_of_it(adb, phone):
    assert phone_facts.facts(adb) == PhoneFacts()
    assert phone_facts.thermal_status(adb) is None


def test_a_phone_that_cannot_be_asked(adb, phone):
    phone.offline = True
    phone.drop()
    with pytest.raises(AdbError):
        phone_facts.facts(adb)


def test_the_mask_is_one_that_taskset_takes(adb, phone):
    stand_in(phone, SAMSUNG)
    mask = phone_facts.facts(adb).big_mask
    assert adb.shell(["taskset", mask, "echo", "a b"]) == ("a b\n", "", 0)
    assert phone.path("/tasksets").read_text() == "f0\n"
