"""How numba compiles a function that is only ever compiled into others: it is left to these to be optimised.

Numba would optimise each function with all that it calls, and make machine code of it: what is called over five others
six times. Here that is done once, with the function that Python calls.
"""

# numba's modules for extensions have no types.
# mypy: disable-error-code="no-untyped-call, misc"
from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler


class _NoMachineCode:
    """What stands for numba's code generator where none is made."""

    def set_env(self, name: str, env: Any) -> None:
        """Leave alone what nothing refers to: constants of Python's."""


class _PartLibrary(JITCodeLibrary):
    """Code that others link."""

    @property
    def codegen(self) -> _NoMachineCode:
        """What numba tells where machine code lies."""
        return _NoMachineCode()

    def _optimize_final_module(self) -> None:
        """Leave that to them."""

    def _finalize_final_module(self) -> None:
        """Make no machine code."""
        self._finalized = True


class PartCompiler(Compiler):
    """Numba's usual stages, up to such code."""

    def compile_extra(self, func: Any) -> Any:
        """Compile a function."""
        self.state.library = _PartLibrary(self.state.targetctx.codegen(), func.__qualname__)
        return super().compile_extra(func)


class _WholeLibrary(JITCodeLibrary):
    """Code of a function that Python calls, with all that it calls."""

    def _optimize_final_module(self) -> None:
        """Do numba's second round at once, at LLVM's first level.

        The first round is there for reference counts, which this code has none of; the levels above take longer, and
        make code that is no faster.
        """
        passes, builder = self._codegen._module_pass_manager(  # noqa: SLF001
            opt=1, loop_vectorize=False, slp_vectorize=False
        )
        passes.run(self._final_module, builder)


class WholeCompiler(Compiler):
    """Numba's usual stages, up to such code."""

    def compile_extra(self, func: Any) -> Any:
        """Compile a function."""
        library = _WholeLibrary(self.state.targetctx.codegen(), func.__qualname__)
        library.enable_object_caching()
        self.state.library = library
        return super().compile_extra(func)
