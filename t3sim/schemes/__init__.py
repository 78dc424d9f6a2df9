"""Schemes: how a GEMM and the collective that depends on it are executed; one file each, found by registration."""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
