"""Topologies: how the GPUs of a group are wired; one file each, found by registration."""

import importlib
import pkgutil
from typing import ClassVar, Protocol

from t3sim.hardware.network.link import LinkSpec
from t3sim.hardware.network.wiring import Wiring

KIND = "topology"


class Topology(Protocol):
    """How the GPUs of a group are wired: a registered spec."""

    suited: ClassVar[tuple[str, ...]]
    """Names of algorithms that use all of its links, the best first; for what none of them does, any will do."""

    def __hash__(self) -> int:
        """Hash its values: wirings are kept by them."""

    @property
    def kind(self) -> str:
        """Name under which it is registered."""

    def wire(self, link: LinkSpec, gpus: int) -> Wiring:
        """Wire ``gpus`` GPUs with links of which ``link`` is one; ``ValueError`` says why so many do not fit."""


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
