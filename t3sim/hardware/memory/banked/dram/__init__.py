"""One DRAM channel in detail: organisation, timing (JEDEC names), banks, queues, commands. Cycle for cycle."""
