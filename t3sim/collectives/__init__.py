"""Collective algorithms, one file each: step graphs over chunks, without clock or hardware."""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
