"""Hardware components: each owns its state, schedules its events, and knows no other but those it is handed."""
