"""Hardware components: each owns its state, schedules its events, and knows the others only by its ports."""
