"""What binds a collective: the resource that saves most of its time when there is twice as much of it.

Found by measurement: the same kernels run again with one resource doubled at a time.

- ``latency``: launch, wires and what a protocol adds to a step take half as long;
- ``link``: links and their buffers, of NICs too, have twice the rate and size;
- ``DRAM``: memory has twice the bandwidth, and turns in half the time;
- ``CUs``: twice as many bytes are in flight, and a protocol's limit for all CUs is twice as high;
- ``switch``: adders of switches are twice as fast and have twice the entries.

The read latency of memory is none of them: more bytes in flight make up for it.

Of large buffers a part is run, since what binds does not change any more: 64 MiB, or 1 MiB for each GPU if that is
more.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

from t3sim.config import Loaded, Spec
from t3sim.hardware.memory.fluid.spec import FluidSpec
from t3sim.hardware.network.link import LinkSpec
from t3sim.hardware.network.switch import SwitchSpec
from t3sim.simulation import SystemSpec
from t3sim.simulation.collective import collective_point, run_collective

_MIB = 2**20
_ENOUGH = 64 * _MIB
_LEAST_SAVED = 0.001  # of the time; a resource that saves less binds nothing

_Spec = TypeVar("_Spec", bound=Spec)


def judged_bytes(nbytes: int, gpus: int) -> int:
    """Bytes of the buffer that is run to say what binds one of ``nbytes``."""
    return min(nbytes, max(_ENOUGH, gpus * _MIB))


def bound(system: Loaded[SystemSpec], operation: str, gpus: int, nbytes: int) -> str | None:
    """Name what binds a collective of ``nbytes`` on ``gpus`` GPUs of ``system``; ``None`` where nothing helps."""
    point = collective_point(system, operation, gpus, judged_bytes(nbytes, gpus))
    before = run_collective(point).total_fs
    saved = {}
    for resource, doubled in RESOURCES.items():
        changed = doubled(point.system.spec)
        if changed != point.system.spec:
            saved[resource] = before - run_collective(point, changed).total_fs
    best = max(saved, key=lambda resource: saved[resource], default=None)
    return best if best is not None and saved[best] > _LEAST_SAVED * before else None


def _less_latency(system: SystemSpec) -> SystemSpec:
    protocols = {
        name: _scaled(protocol, half=("base_latency", "step_latency", "extra_latency"))
        for name, protocol in system.protocols.items()
    }
    return _with_links(system, lambda link: _scaled(link, half=("latency",))).model_copy(
        update={"compute": _scaled(system.compute, half=("launch_overhead",)), "protocols": protocols}
    )


def _faster_links(system: SystemSpec) -> SystemSpec:
    return _with_links(system, lambda link: _scaled(link, twice=("bandwidth", "send_buffer", "receive_buffer")))


def _faster_memory(system: SystemSpec) -> SystemSpec:
    return system.model_copy(update={"memory": _faster(_as_spec(system.memory))})


def _faster(memory: Spec) -> Spec:
    if isinstance(memory, FluidSpec):
        return memory.model_copy(update={"memory": _faster(memory.memory)})
    # A memory whose channels have a rate of their own has twice as many of them.
    rate = "bandwidth" if hasattr(memory, "bandwidth") else "channels"
    return _scaled(memory, twice=(rate,), half=("turnaround", "stream_switch"))


def _more_cus(system: SystemSpec) -> SystemSpec:
    compute = _scaled(system.compute, twice=("collective_outstanding_per_cu",))
    protocols = {name: _scaled(protocol, twice=("rate_limit",)) for name, protocol in system.protocols.items()}
    return system.model_copy(update={"compute": compute, "protocols": protocols})


def _faster_switches(system: SystemSpec) -> SystemSpec:
    return _with_parts(system, SwitchSpec, lambda switch: _scaled(switch, twice=("adder_rate", "entries")))


RESOURCES: Mapping[str, Callable[[SystemSpec], SystemSpec]] = {
    "link": _faster_links,
    "latency": _less_latency,
    "DRAM": _faster_memory,
    "CUs": _more_cus,
    "switch": _faster_switches,
}
"""Each resource, and the system with twice as much of it."""


def _with_links(system: SystemSpec, change: Callable[[LinkSpec], LinkSpec]) -> SystemSpec:
    return _with_parts(system, LinkSpec, change).model_copy(update={"link": change(system.link)})


def _with_parts(system: SystemSpec, kind: type[_Spec], change: Callable[[_Spec], _Spec]) -> SystemSpec:
    """Change the parts of that kind that the topology brings."""
    topology = _as_spec(system.topology)
    parts = {name: change(value) for name, value in topology if isinstance(value, kind)}
    return system.model_copy(update={"topology": topology.model_copy(update=parts)})


def _as_spec(part: object) -> Spec:
    assert isinstance(part, Spec), "parts of a system are specs"
    return part


def _scaled(spec: _Spec, *, twice: tuple[str, ...] = (), half: tuple[str, ...] = ()) -> _Spec:
    """Double and halve fields of ``spec``, as far as it has them."""
    doubled = {name: 2 * value for name in twice if (value := getattr(spec, name, None)) is not None}
    halved = {name: value // 2 for name in half if (value := getattr(spec, name, None)) is not None}
    return spec.model_copy(update=doubled | halved)
