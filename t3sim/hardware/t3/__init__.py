"""What T3 adds to a GPU: the tracker and the DMA engine that it triggers."""
