"""The network between GPUs: links, switches, routes, topologies."""
