"""What kernels of a profile are: the shape of a GEMM from its operator's inputs, a collective from what it records.

Names are PyTorch's: of operators and their "Input Dims" (recorded with ``record_shapes=True``), and of what
``record_param_comms`` notes about a collective (``saveNcclMeta`` in the sources of PyTorch 2.2 and later).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from t3sim.workload.drafts import Moved, Shape
from t3sim.workload.operations import DTYPE_BYTES, Dtype

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from t3sim.workload.drafts import CollectiveOp
    from t3sim.workload.kineto.events import Args, Kernel, Operator

COLLECTIVE: Final = "Collective name"

# Of each operator, the place of its two factors in its inputs.
_GEMMS: Final = {
    "aten::mm": 0,
    "aten::_scaled_mm": 0,
    "aten::bmm": 0,
    "aten::addmm": 1,
    "aten::_addmm_activation": 1,
    "aten::baddbmm": 1,
    "aten::linear": 0,
}
_INPUT_TYPES: Final[Mapping[str, Dtype]] = {"float": "fp32", "c10::Half": "fp16", "c10::BFloat16": "bf16"}
_ELEMENTS: Final[Mapping[str, Dtype]] = {"Float": "fp32", "Half": "fp16", "BFloat16": "bf16"}
_EIGHT_BITS: Final = "Float8_"
_OPS: Final[Mapping[str, CollectiveOp]] = {
    **dict.fromkeys(("allreduce", "all_reduce", "allreduce_coalesced"), "all_reduce"),
    **dict.fromkeys(
        ("allgather", "all_gather", "_allgather_base", "allgather_coalesced", "allgather_into_tensor_coalesced"),
        "all_gather",
    ),
    **dict.fromkeys(("reduce_scatter", "_reduce_scatter_base", "reduce_scatter_tensor_coalesced"), "reduce_scatter"),
    **dict.fromkeys(("alltoall", "all_to_all", "all_to_allv", "alltoall_base"), "all_to_all"),
    **dict.fromkeys(("broadcast", "_broadcast_oop"), "broadcast"),
}
_FACTORS: Final = 2


def gemm_operator(kernel: Kernel) -> Operator | None:
    """Give the operator of a GEMM that launched a kernel itself; what operators inside it launch is theirs."""
    innermost = kernel.operators[0] if kernel.operators else None
    return innermost if innermost is not None and innermost.name in _GEMMS else None


def noted_collective(kernel: Kernel) -> Args | None:
    """Give what is noted of the collective that a kernel is: by itself, or by an operator that launched it."""
    if COLLECTIVE in kernel.args:
        return kernel.args
    if "nccl" not in kernel.name.casefold() and "rccl" not in kernel.name.casefold():
        return None
    return next((operator.args for operator in kernel.operators if COLLECTIVE in operator.args), {})


def gemm_of(operator: Operator) -> tuple[Shape, Dtype, bool] | str:
    """Read the shape of a GEMM, its dtype and whether it is several; text: why that cannot be."""
    if "Input Dims" not in operator.args:
        return "a GEMM whose operator has no Input Dims: profile with record_shapes=True"
    first = _GEMMS[operator.name]
    factors = _at(operator.args["Input Dims"], first)
    types = _at(operator.args.get("Input type"), first)
    dtype = _dtype(str(types[0]), _INPUT_TYPES) if types else None
    if dtype is None:
        return f"a GEMM of {types[0] if types else 'no'} elements, which are none of {', '.join(DTYPE_BYTES)}"
    if len(factors) < _FACTORS or not all(_is_dims(factor) for factor in factors):
        return "a GEMM whose Input Dims are no two matrices"
    left, right = factors
    # A linear layer's weight is transposed.
    n, k = (right[0], right[1]) if operator.name == "aten::linear" else (right[-1], right[-2])
    if left[-1] != k or (len(right) > _FACTORS and left[:-2] != right[:-2]):
        return "a GEMM whose Input Dims do not fit each other"
    shape = Shape(math.prod(left[:-1]), n, k)
    if not shape.is_possible:
        return "a GEMM of no rows or columns, or of more than a trace can hold"
    return shape, dtype, len(right) > _FACTORS and right[0] > 1


def collective_of(noted: Args, ranks: int) -> tuple[Moved, Dtype] | str:
    """Read what a collective moves; text: why that cannot be."""
    name = str(noted.get(COLLECTIVE, ""))
    if not name:
        return "a collective of which nothing is noted: profile with PyTorch 2.2 or later"
    if name not in _OPS:
        return f"a collective {name}, which t3sim has not"
    dtype = _dtype(str(noted.get("dtype")), _ELEMENTS)
    if dtype is None:
        return f"a collective of {noted.get('dtype')} elements, which are none of {', '.join(DTYPE_BYTES)}"
    op = _OPS[name]
    given, taken = _count(noted, "In msg nelems"), _count(noted, "Out msg nelems")
    if op == "all_gather":
        elements = taken or given * ranks
    elif op == "reduce_scatter":
        elements = given or taken * ranks
    else:
        elements = given or taken
    if not elements:
        return "a collective of no bytes"
    return Moved(op, elements * DTYPE_BYTES[dtype]), dtype


def group_size(noted: Args) -> int:
    """Read how many ranks a collective has; 0: not said."""
    return _count(noted, "Group size")


def group_names(noted: Args) -> tuple[str, ...]:
    """Give a group's name and description, where they are noted."""
    return tuple(str(noted[key]) for key in ("Process Group Name", "Process Group Description") if noted.get(key))


def _count(noted: Args, key: str) -> int:
    value = noted.get(key, 0)
    return value if isinstance(value, int) and value > 0 else 0


def _at(values: Any, first: int) -> Sequence[Any]:
    return values[first : first + _FACTORS] if isinstance(values, list) else []


def _is_dims(value: Any) -> bool:
    return isinstance(value, list) and len(value) >= _FACTORS and all(isinstance(extent, int) for extent in value)


def _dtype(name: str, known: Mapping[str, Dtype]) -> Dtype | None:
    return "fp8" if _EIGHT_BITS in name else known.get(name)
