"""``python -m t3sim``."""

from t3sim.cli import main

main()
