"""The compute side of a GPU: CUs, last-level cache, store buffer."""
