"""The host's part in what rivals do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from t3sim.hardware.compute.cus import Process
from t3sim.hardware.gpu import Gpu, Span
from t3sim.lowering.work import Work, fusable
from t3sim.schemes.phases import Phase
from t3sim.schemes.scheme import Sharing


@dataclass(frozen=True)
class IssuePhase:
    """Waits until the host has issued all that came before: what runs long hides that, what is short does not."""

    by_tile: ClassVar[bool] = False
    floor_fs: int

    @property
    def works(self) -> tuple[Work, ...]:
        """Nothing."""
        return ()

    def prepare(self, gpu: Gpu, number: int) -> Callable[[], Process]:
        """Prepare nothing."""
        del number
        return lambda: self._run(gpu)

    def _run(self, gpu: Gpu) -> Process:
        now, end = int(gpu.env.now), gpu.start_fs + self.floor_fs
        if now < end:
            yield gpu.env.timeout(end - now)
            # The last operation has ended when it is known to have.
            last = max(gpu.spans, key=lambda span: span.end_fs)
            gpu.spans.append(Span(last.operation, now, end, end - now))


def issued(phases: Sequence[Phase], works: Sequence[Work], sharing: Sharing) -> list[Phase]:
    """Let the ``phases`` of ``works`` end no earlier than the host has issued them, if they fuse a reduce-scatter."""
    waits = sharing.scatter_floor_fs and fusable(works)
    return [*phases, IssuePhase(sharing.scatter_floor_fs)] if waits else list(phases)
