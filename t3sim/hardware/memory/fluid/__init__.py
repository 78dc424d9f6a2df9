"""The fluid memory: one server with a rate behind the lanes, the arbitration and the DRAM queue of its front end."""
