"""The data plane for systems with the fluid memory."""

from typing import Final

from t3sim.hardware.memory.fluid.channel import completed, queue_burst, spread_burst
from t3sim.hardware.memory.fluid.two_queues import admit_and_predict, serve
from t3sim.hardware.plane.engine import engine
from t3sim.hardware.plane.models import Model, add_model

MODEL: Final = "Fluid"
add_model(MODEL, Model(queue_burst, spread_burst, serve, completed, admit_and_predict))
ENGINE: Final = engine(MODEL)
