"""Schedulers of a DRAM channel: which of the waiting requests may have its next command.

All of them serve the oldest request whose next command the timings allow. A scheduler says, in two facts that the
compiled channel asks for, which requests take part: a new one is one small file in this folder, found by its
registration.
"""

import importlib
import pkgutil
from typing import ClassVar

KIND = "scheduler"


class Scheduler:
    """Base of the schedulers."""

    in_order: ClassVar[bool]
    """Whether only the oldest request of the queue takes part."""
    keeps_rows: ClassVar[bool]
    """Whether a row stays open while an older request of its bank hits it."""


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
