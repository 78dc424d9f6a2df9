"""Questions put to the simulator: from where on a scheme wins, where the time goes, what would help."""
