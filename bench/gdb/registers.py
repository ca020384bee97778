"""All registers of the one vCPU, again and again."""

import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
from common import INPUT, attach, leave, milliseconds, read_registers

attach()
leave({"times": milliseconds(lambda: read_registers(INPUT["registers"]))})
