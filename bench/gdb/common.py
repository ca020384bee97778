"""What the scripts share: connecting, taking times, reporting. Python inside gdb."""

import json
import os
import time

import gdb

INPUT = json.loads(os.environ["BENCH"])


def attach():
    for setting in ("confirm off", "pagination off", "height 0", "width 0", "remotetimeout 30"):
        gdb.execute("set " + setting, to_string=True)
    gdb.execute("target remote " + INPUT["socket"], to_string=True)


def leave(report):
    """Reports and disconnects; the guest stays as it is, halted (detaching would let it run)."""
    gdb.execute("disconnect", to_string=True)
    print("BENCH " + json.dumps(report), flush=True)


def milliseconds(work):
    """How long each of the repetitions took."""
    times = []
    for _ in range(INPUT["repeats"]):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1000)
    return times


def read_registers(names):
    """The values of registers by the stub's names, asked anew: gdb keeps what it has read until the guest runs."""
    gdb.execute("maintenance flush register-cache", to_string=True)
    frame = gdb.newest_frame()
    values = [frame.read_register(name) for name in names]
    for value in values:
        value.fetch_lazy()
    return values


def physical_mode(on):
    gdb.execute("maintenance packet Qqemu.PhyMemMode:%d" % on, to_string=True)
