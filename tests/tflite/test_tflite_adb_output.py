"""Words of adb and of the programs on a phone become values and typed errors, or are refused."""

import pytest

from keras_joslim.tflite.android import adb_errors, adb_output

DF_ANDROID = """\
Filesystem      1K-blocks     Used Available Use% Mounted on
/dev/block/dm-8 113321984 12087417 101234567  11% /data/user/0"""

DEVICES = """\
* daemon not running; starting now at tcp:5037
* daemon started successfully
List of devices attached
R58M12ABCDE            device usb:1-4 product:beyond1 model:SM_G973F device:beyond1 transport_id:3
0A1B2C3D4E             no permissions (missing udev rules? user is in the plugdev group); see \
[http://developer.android.com/tools/device.html] usb:1-1 transport_id:2
emulator-5554          offline transport_id:1
adb-XY-12 (2)._adb-tls-connect._tcp device product:panther model:Pixel_7 device:panther
my device              unauthorized usb:1-2

"""


def test_devices_are_parsed():
    found = adb_output.parsed_devices(DEVICES)
    assert [(one.serial, one.state.split(" (")[0]) for one in found] == [
        ("R58M12ABCDE", "device"),
        ("0A1B2C3D4E", "no permissions"),
        ("emulator-5554", "offline"),
        ("adb-XY-12 (2)._adb-tls-connect._tcp", "device"),
        ("my device", "unauthorized"),
    ]
    assert found[0].facts["model"] == "SM_G973F"
    assert found[1].facts == {"usb": "1-1", "transport_id": "2"}
    assert found[4].facts == {"usb": "1-2"}
    with pytest.raises(adb_errors.AdbError, match="GARBAGE"):
        adb_output.parsed_devices("List of devices attached\nGARBAGE\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("w-starts\nout\nw-ends 3\n", (True, "out\n", 3)),
        ("linker: noise\nw-starts\nw-ends 0\n", (True, "", 0)),
        ("w-starts\nno newlinew-ends 0\n", (True, "no newline", 0)),
        ("w-starts\nout\nw-ends 13", (True, "out\nw-ends 13", None)),
        ("w-starts\nw-ends 3\nmore", (True, "w-ends 3\nmore", None)),
        ("w-starts\nout", (True, "out", None)),
        ("w-starts", (False, "w-starts", None)),
        ("w-ends 0\n", (False, "w-ends 0\n", None)),
        ("", (False, "", None)),
    ],
)
def test_only_the_whole_closing_line_is_an_end(text, expected):
    assert adb_output.parsed_shell(text, "w") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"12\n{'a' * 64}  -\n", (12, "sha256", "a" * 64)),
        (f"   12\n{'a' * 32}\n", (12, "md5", "a" * 32)),
        ("12\n", (12, None, None)),
        (f"12\n{'a' * 63}  -\n", (12, None, None)),
        ("", None),
        ("sh: can't open\n12", None),
    ],
)
def test_size_and_checksum_are_parsed(text, expected):
    assert adb_output.parsed_file(text) == expected


def test_df_is_parsed():
    assert adb_output.parsed_df(DF_ANDROID) == 101_234_567 * 1024
    wrapped = DF_ANDROID.replace("dm-8 ", "dm-8\n               ")
    assert adb_output.parsed_df(wrapped) == 101_234_567 * 1024
    for text in ("", "Filesystem Size Used Free Blksize\n/data 10.6G 2.4G 8.1G 4096", "garbage"):
        with pytest.raises(adb_errors.AdbError, match="1K-blocks"):
            adb_output.parsed_df(text)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("error: no devices/emulators found", adb_errors.NoDeviceError),
        ("adb: no devices/emulators found", adb_errors.NoDeviceError),
        ("error: more than one device/emulator", adb_errors.SeveralDevicesError),
        ("error: device unauthorized.\nThis adb server's", adb_errors.UnauthorizedError),
        ("error: device still authorizing", adb_errors.UnauthorizedError),
        ("failed to authenticate to 10.0.0.2:5555", adb_errors.UnauthorizedError),
        ("adb: device offline", adb_errors.OfflineError),
        ("S1 unauthorized", adb_errors.UnauthorizedError),
        ("S1 offline", adb_errors.OfflineError),
        ("error: device still connecting", adb_errors.OfflineError),
        ("error: device 'x y' not found", adb_errors.DeviceNotFoundError),
        ("failed to connect to '10.0.0.2:5555': Connection refused", adb_errors.OfflineError),
        ("failed to resolve host: 'x': Name or service not known", adb_errors.OfflineError),
        ("S1 recovery", adb_errors.OfflineError),
        ("error: closed", adb_errors.DeviceLostError),
        ("adb: error: failed to read copy response: EOF", adb_errors.DeviceLostError),
        ("failed to copy 'a' to 'b': couldn't read from device", adb_errors.DeviceLostError),
        ("remote write failed: No space left on device", adb_errors.NoSpaceError),
        ("remote couldn't create file: Permission denied", adb_errors.ReadOnlyError),
        ("remote couldn't create file: Read-only file system", adb_errors.ReadOnlyError),
    ],
)
def test_words_of_adb_have_a_type(words, error):
    found = adb_errors.failure(words, "S1", "Working", serials=["S1", "S2"])
    assert type(found) is error
    assert words.splitlines()[0].strip() in str(found).replace('\\"', '"')


@pytest.mark.parametrize(
    ("words", "mend"),
    [
        ("error: insufficient permissions for device", "udev"),
        ("adb: failed to check server version: cannot connect to daemon", "kill-server"),
        ("something new", "something new"),
        ("", "It said nothing"),
    ],
)
def test_words_without_a_type_of_their_own(words, mend):
    found = adb_errors.failure(words, "S1", "Working")
    assert type(found) is adb_errors.AdbError
    assert mend in str(found)
