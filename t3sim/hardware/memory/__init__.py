"""Memory of one GPU: two input streams, an arbitration policy, a finite DRAM queue and one of the memory models."""
