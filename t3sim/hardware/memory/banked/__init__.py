"""The banked memory: DRAM bank by bank, at the addresses that bursts really touch.

``spec`` describes it and is what a system names; ``memory`` holds the channels of a GPU, ``tables`` says what of, and
``bursts`` is what the data plane does with them; ``channel`` is one of them behind arbitration, ``dram`` its banks and
commands. ``schedulers`` and ``mappings`` are the choices that a spec has.
"""
