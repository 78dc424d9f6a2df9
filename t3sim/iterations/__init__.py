"""Iterations of whole models: every kernel of every layer, under a scheme, on GPUs in parallel."""
