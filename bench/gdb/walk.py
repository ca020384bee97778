"""
All registers and the tables that TTBR0_EL1 and TTBR1_EL1 lead to (4 KiB granule), read with read_memory. With `leaves` what they map is
put together to runs as well: addresses that follow each other, with equal attributes.
"""

import os
import struct
import sys

sys.path.insert(0, os.path.dirname(__file__))
import gdb
from common import INPUT, attach, leave, milliseconds, physical_mode, read_registers

ADDRESS = 0x0000_FFFF_FFFF_F000
ATTRIBUTES = 0xFFFF_0000_0000_0FFC
LAST_LEVEL = 3
unpack = struct.Struct("<512Q").unpack
inferior = None
seen = {}


class Walk:
    def __init__(self):
        self.tables = 0
        self.runs = []
        self.open = None

    def table(self, address, level, start):
        self.tables += 1
        page = inferior.read_memory(address, 4096)
        if level == LAST_LEVEL:
            if INPUT["leaves"]:
                self.leaves(unpack(page), start)
            return
        size = 1 << (39 - 9 * level)
        for i, entry in enumerate(unpack(page)):
            if entry & 3 == 3:
                self.table(entry & ADDRESS, level + 1, start + i * size)
            elif entry & 3 == 1 and level > 0 and INPUT["leaves"]:
                self.leaf(start + i * size, size, entry & ADDRESS & -size, entry & ATTRIBUTES)

    def leaves(self, entries, start):
        for i, entry in enumerate(entries):
            if entry & 3 == 3:
                self.leaf(start + i * 4096, 4096, entry & ADDRESS, entry & ATTRIBUTES)

    def leaf(self, start, size, output, attributes):
        run = self.open
        if run and run[0] + run[1] == start and run[2] + run[1] == output and run[3] == attributes:
            run[1] += size
        else:
            self.open = [start, size, output, attributes]
            self.runs.append(self.open)


def snapshot():
    values = dict(zip(INPUT["registers"], read_registers(INPUT["registers"])))
    control = int(values["TCR_EL1"])
    physical_mode(True)
    walk = Walk()
    for name, shift, high in (("TTBR0_EL1", 0, 0), ("TTBR1_EL1", 16, 1)):
        bits = 64 - (control >> shift & 0x3F)
        level = 4 - (bits - 12 + 8) // 9
        walk.table(int(values[name]) & ADDRESS, level, high * (2**64 - 2**bits))
    physical_mode(False)
    gdb.execute("monitor info mtree -f", to_string=True)
    seen.update(tables=walk.tables, pages=sum(run[1] for run in walk.runs) // 4096, runs=len(walk.runs))


attach()
inferior = gdb.selected_inferior()
times = milliseconds(snapshot)
leave({"times": times, **seen})
