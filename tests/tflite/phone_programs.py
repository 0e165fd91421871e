"""What phones say of themselves, and stand-ins for the programs by which they say it."""


def printed(properties="", cores="", memory="", load="", battery="", thermal=""):
    """What the script prints."""
    parts = dict(locals())
    return "".join(f"@@ keras_joslim {name}\n{text}" for name, text in parts.items())


PIXEL = printed(
    properties="""\
[dalvik.vm.appimageformat]: [lz4]
[persist.sys.boot.reason.history]: [reboot,1700000000
reboot,userrequested,1699990000
reboot,1690000000]
[ro.board.platform]: [gs201]
[ro.build.version.release]: [14]
[ro.build.version.sdk]: [34]
[ro.product.cpu.abilist]: [arm64-v8a,armeabi-v7a,armeabi]
[ro.product.manufacturer]: [Google]
[ro.product.model]: [Pixel 7]
[ro.soc.manufacturer]: [Google]
[ro.soc.model]: [GS201]
""",
    cores="""\
0 1803000 sched_pixel
1 1803000 sched_pixel
2 1803000 sched_pixel
3 1803000 sched_pixel
4 2348000 sched_pixel
5 2348000 sched_pixel
6 2850000 sched_pixel
7 2850000 sched_pixel
""",
    memory="MemTotal:        7755588 kB\nMemFree:          234096 kB\n",
    load="4.21 3.98 3.75 2/4517 12345\n",
    battery="""\
Current Battery Service state:
  AC powered: false
  USB powered: true
  level: 97
  voltage: 4310
  temperature: 274
  technology: Li-ion
""",
    thermal="""\
IsStatusOverride: false
ThermalEventListeners:
	callbacks: 2
ThermalStatusListeners:
	callbacks: 4
Thermal Status: 1
Cached temperatures:
	Temperature{mValue=34.2, mType=3, mName=VIRTUAL-SKIN, mStatus=1}
HAL Ready: true
""",
)

# One core alone is the fastest; the last two are switched off.
SAMSUNG = printed(
    properties="""\
[ro.board.platform]: [universal2100]
[ro.build.version.release]: [11]
[ro.build.version.sdk]: [30]
[ro.hardware.chipname]: [exynos2100]
[ro.product.cpu.abilist]: [arm64-v8a,armeabi-v7a,armeabi]
[ro.product.manufacturer]: [samsung]
[ro.product.model]: [SM-G991B]
""",
    cores="""\
0 - -
1 - -
2 2210000 energy_step
3 2210000 energy_step
4 2808000 energy_step
5 2808000 energy_step
6 2808000 energy_step
7 2912000 energy_step
""",
    memory="MemTotal:        7534532 kB\n",
    load="0.00 0.05 0.10 1/3000 999\n",
    battery="Current Battery Service state:\n  temperature: -12\n",
    thermal="Thermal Status: 0\n",
)

ANDROID_8 = printed(
    properties="""\
[ro.board.platform]: [msm8953]
[ro.build.version.release]: [8.1.0]
[ro.build.version.sdk]: [27]
[ro.product.cpu.abi]: [armeabi-v7a]
[ro.product.manufacturer]: [unknown]
[ro.product.model]: [Moto G (5S) Plus [XT1806]]
[ro.soc.model]: []
""",
    cores="".join(f"{core} 2016000 interactive\n" for core in range(8)),
    memory="MemTotal:        3762424 kB\n",
    load="/system/bin/sh: cat: /proc/loadavg: Permission denied\n",
    battery="Current Battery Service state:\n  temperature: 310\n",
    thermal="Can't find service: thermalservice\n",
)


def stand_in(phone, text):
    """Makes the programs and files of a loopback phone say this, and gives it a taskset.

    The masks that commands were pinned to are the lines of /tasksets; the pinning is left out, for
    this machine has other cores.
    """
    parts = dict(part.split("\n", 1) for part in text.split("@@ keras_joslim ")[1:])
    for name in ("properties", "battery", "thermal"):
        phone.path(f"/{name}").write_text(parts[name])
    phone.program("getprop", 'cat "$PHONE/properties"')
    phone.program(
        "dumpsys", 'case "$1" in thermalservice) cat "$PHONE/thermal";; *) cat "$PHONE/$1";; esac'
    )
    phone.program("taskset", 'echo "$1" >> "$PHONE/tasksets"; shift; exec "$@"')
    for name, text in (("meminfo", parts["memory"]), ("loadavg", parts["load"])):
        phone.path("/proc").mkdir(exist_ok=True)
        phone.path(f"/proc/{name}").write_text(text)
    for line in parts["cores"].splitlines():
        core, frequency, governor = line.split()
        folder = phone.path(f"/sys/devices/system/cpu/cpu{core}")
        folder.mkdir(parents=True)
        if frequency != "-":
            (folder / "cpufreq").mkdir()
            (folder / "cpufreq/cpuinfo_max_freq").write_text(f"{frequency}\n")
            (folder / "cpufreq/scaling_governor").write_text(f"{governor}\n")
