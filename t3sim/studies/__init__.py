"""The published experiments, run again and set beside what was published."""

from t3sim.studies.published import Published, Target, load_published
from t3sim.studies.reproduce import Reproduction, reproduce

__all__ = ["Published", "Reproduction", "Target", "load_published", "reproduce"]
