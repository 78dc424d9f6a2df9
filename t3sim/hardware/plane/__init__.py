"""The data plane: all that moves bytes between GPUs and their memories, as one compiled machine of events."""
