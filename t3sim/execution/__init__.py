"""Programs that run on the hardware: kernels and fused forms. They talk to ports of the chips, never to a whole GPU."""
