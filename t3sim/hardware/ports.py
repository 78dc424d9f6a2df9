"""What a program on one GPU may use: each part by what it offers, and nothing of how the GPU is put together."""

from collections.abc import Mapping
from dataclasses import dataclass

from t3sim.collectives.plan import MoveId
from t3sim.errors import SimulationError
from t3sim.hardware.clock import Environment
from t3sim.hardware.compute.cus import ComputeArray
from t3sim.hardware.memory.controller import MemoryController
from t3sim.hardware.memory.values import Values
from t3sim.hardware.network.message import Message
from t3sim.hardware.network.network import Network
from t3sim.hardware.t3.dma import DmaEngine
from t3sim.hardware.t3.tracker import Tracker


class NetworkPort:
    """One GPU's end of the network."""

    def __init__(self, network: Network, rank: int) -> None:
        self.rank = rank
        self.mirrored = network.mirrored
        """Whether this GPU stands for all: what it is sent is what it sends, as the others see it."""
        self.values = network.values
        """In data mode: what each message carries, by its row in the data plane."""
        self.message = network.message
        """Reads a message by its row; with the row of the leg that it came by, as it is at its receiver."""
        self.template = network.template
        """Gives the row of what the messages of a move have in common."""
        self.first_legs = network.first_legs
        """Gives the rows of the first legs of a move's pieces, which take turns over them."""
        self._network = network
        self._rates: dict[int, int] = {}
        network.attach(rank, self._refuse)

    def expect(self, operation: int, arrivals: Mapping[MoveId, int]) -> None:
        """Let rows of the data plane take the moves of an operation: by home and number of the move."""
        self._network.expect(self.rank, operation, arrivals)

    def bytes_per_s(self, destination: int) -> int:
        """Rate at which the GPU can send to ``destination``: that of its own links on the way."""
        if destination not in self._rates:
            self._rates[destination] = self._network.bytes_per_s(self.rank, destination)
        return self._rates[destination]

    def latency_fs(self, other: int) -> int:
        """Latency of all links from ``other`` to this GPU."""
        return self._network.route_latency_fs(other, self.rank)

    def _refuse(self, message: Message) -> None:
        what = f"piece {message.piece} of part {message.part}, sent by GPU {message.source}"
        raise SimulationError(f"Gpu[{self.rank}]: {what} in operation {message.operation}, is not for it")


@dataclass(frozen=True, slots=True)
class Ports:
    """The parts of one GPU that programs run on."""

    env: Environment
    rank: int
    memory: MemoryController
    cus: ComputeArray
    tracker: Tracker
    dma: DmaEngine
    network: NetworkPort
    values: Values | None = None
    """The numbers in its memory, in data mode."""
