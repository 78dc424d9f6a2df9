"""One DRAM channel in detail: timing (JEDEC names), banks, request queues, scheduler. Compiled, cycle for cycle."""
