"""Collective algorithms, one file each, found by registration: from an operation and a network's facts to a plan.

In the closed forms of their times, on free memory: ``S`` bytes of buffer, ``n`` ranks, ``B`` bytes per second of one
direction of a link, ``L`` seconds of latency from rank to rank.
"""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
