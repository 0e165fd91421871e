"""Facts of an Android phone that a latency means nothing without: chip, cores, heat, load.

What a phone does not tell, or tells in words that are not known, is None: facts describe a
measurement, they never stop it. One round trip asks for all of them.
"""

import dataclasses
import re

_SECTION = "@@ keras_joslim "
_NAMES = ("properties", "cores", "memory", "load", "battery", "thermal")
_SCRIPT = """\
echo '@@ keras_joslim properties'; getprop
echo '@@ keras_joslim cores'
for c in /sys/devices/system/cpu/cpu[0-9]*; do
  f=$(cat "$c/cpufreq/cpuinfo_max_freq"); g=$(cat "$c/cpufreq/scaling_governor")
  echo "${c##*/cpu} ${f:--} ${g:--}"
done 2>/dev/null
echo '@@ keras_joslim memory'; cat /proc/meminfo
echo '@@ keras_joslim load'; cat /proc/loadavg
echo '@@ keras_joslim battery'; dumpsys battery
echo '@@ keras_joslim thermal'; dumpsys thermalservice
:"""
# A number counts when its line has ended: half of one would be a fact too.
_PROPERTY = re.compile(r"^\[([^\]\n]+)\]: \[(.*?)\]$", re.MULTILINE | re.DOTALL)
_CORE = re.compile(r"^([0-9]+) ([0-9]+|-) ([\w.-]+)\n", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class PhoneFacts:
    """What a phone says of itself; each None where it does not.

    Attributes:
        model, manufacturer: as on the box, "Pixel 7" and "Google".
        soc: the chip: ro.soc.model (Android 12 and later), else ro.hardware.chipname (Samsung),
            else None.
        board: the chip's platform, ro.board.platform: "gs201".
        android: the version, "14".
        api_level: int, 34.
        abis: tuple of str, the preferred first.
        max_frequencies: tuple, kHz of each core; None in it for a core that does not tell (one
            that is switched off).
        governors: tuple of str, of each core, as `max_frequencies`.
        big_cores: tuple, indices of the fast cores, see `big_cores`.
        big_mask: their mask for `taskset`, hexadecimal: "c0".
        ram: bytes.
        thermal_status: int, 0 (none) to 6 (shutdown) by Android's scale; None before Android 10.
        battery_temperature: degrees Celsius.
        load: runnable and waiting tasks, 1 minute average.
    """

    model: str | None = None
    manufacturer: str | None = None
    soc: str | None = None
    board: str | None = None
    android: str | None = None
    api_level: int | None = None
    abis: tuple | None = None
    max_frequencies: tuple | None = None
    governors: tuple | None = None
    big_cores: tuple | None = None
    big_mask: str | None = None
    ram: int | None = None
    thermal_status: int | None = None
    battery_temperature: float | None = None
    load: float | None = None

    def to_dict(self):
        """A JSON object."""
        values = dataclasses.asdict(self)
        return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}


def facts(adb):
    """The `PhoneFacts` of the phone behind an `Adb`, as they are now.

    Raises:
        AdbError: the phone could not be asked.
    """
    return parsed_facts(adb.shell(["sh", "-c", _SCRIPT]).stdout)


def thermal_status(adb):
    """How hot the phone is: int from 0 (none) to 6 (shutdown); None if it does not tell.

    From 1 on the phone throttles: latencies are to be taken at 0.
    """
    return parsed_thermal_status(adb.shell(["dumpsys", "thermalservice"]).stdout)


def parsed_facts(text):
    """The `PhoneFacts` in what the script of `facts` printed."""
    parts = dict.fromkeys(_NAMES, "")
    for part in text.split(_SECTION)[1:]:
        name, _, content = part.partition("\n")
        if name in parts:
            parts[name] = content
    found = parsed_properties(parts["properties"])
    frequencies, governors = parsed_cores(parts["cores"])
    fast = big_cores(frequencies or ())
    level = found.get("ro.build.version.sdk", "")
    abis = found.get("ro.product.cpu.abilist") or found.get("ro.product.cpu.abi")
    return PhoneFacts(
        model=found.get("ro.product.model"),
        manufacturer=found.get("ro.product.manufacturer"),
        soc=found.get("ro.soc.model") or found.get("ro.hardware.chipname"),
        board=found.get("ro.board.platform"),
        android=found.get("ro.build.version.release"),
        api_level=int(level) if re.fullmatch(r"[0-9]{1,3}", level) else None,
        abis=tuple(abis.split(",")) if abis else None,
        max_frequencies=frequencies,
        governors=governors,
        big_cores=fast,
        big_mask=None if fast is None else f"{sum(1 << core for core in fast):x}",
        ram=parsed_ram(parts["memory"]),
        thermal_status=parsed_thermal_status(parts["thermal"]),
        battery_temperature=parsed_battery_temperature(parts["battery"]),
        load=parsed_load(parts["load"]),
    )


def big_cores(frequencies):
    """The cores to measure on, as indices.

    Those of the highest maximum frequency; if that is one core alone (the "prime" core of many
    chips, on which several threads would take turns), those of the two highest frequencies.

    Args:
        frequencies: maximum of each core, None for a core that does not tell.

    Returns:
        A tuple of int, ascending; None if no core tells.

    >>> big_cores([1800, 1800, 2400, 2400, 3000])
    (2, 3, 4)
    """
    steps = sorted({one for one in frequencies if one is not None}, reverse=True)
    if not steps:
        return None
    lowest = steps[0]
    if frequencies.count(lowest) == 1 and len(steps) > 1:
        lowest = steps[1]
    return tuple(i for i, one in enumerate(frequencies) if one is not None and one >= lowest)


def parsed_properties(text):
    """dict of the properties in what `getprop` printed; empty and "unknown" ones left out."""
    found = {key: value.strip() for key, value in _PROPERTY.findall(text)}
    return {key: value for key, value in found.items() if value and value != "unknown"}


def parsed_cores(text):
    """(maximum kHz, governor) of each core, two tuples by index, each None if no core tells."""
    cores = {int(core): (frequency, governor) for core, frequency, governor in _CORE.findall(text)}
    # Numbers that leave gaps are not the lines of cores.
    if sorted(cores) != list(range(len(cores))):
        return None, None
    pairs = [cores[core] for core in range(len(cores))]
    frequencies = tuple(None if one == "-" else int(one) for one, _ in pairs)
    governors = tuple(None if one == "-" else one for _, one in pairs)
    return tuple(None if set(one) <= {None} else one for one in (frequencies, governors))


def parsed_ram(text):
    """Bytes in all, out of /proc/meminfo, or None."""
    match = re.search(r"^MemTotal:\s+([0-9]+) kB$", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def parsed_load(text):
    """The average of 1 minute, out of /proc/loadavg, or None."""
    match = re.match(r"([0-9]+\.[0-9]+) [0-9.]+ [0-9.]+ [0-9]+/[0-9]+ [0-9]+", text)
    return float(match[1]) if match else None


def parsed_battery_temperature(text):
    """Degrees Celsius out of `dumpsys battery`, which counts tenths of them, or None."""
    match = re.search(r"^\s*temperature: (-?[0-9]{1,4})\n", text, re.MULTILINE)
    return int(match[1]) / 10 if match else None


def parsed_thermal_status(text):
    """Android's thermal status out of `dumpsys thermalservice`, or None."""
    match = re.search(r"^\s*Thermal Status: ([0-6])\n", text, re.MULTILINE)
    return int(match[1]) if match else None
