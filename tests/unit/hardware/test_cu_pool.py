"""The CU pool: who gets which CUs when."""

import simpy

from t3sim.hardware.compute.cu_pool import CuPool


class Kernels:
    """Kernels that hold CUs for a time, and when they had how many."""

    def __init__(self, cus):
        self.env = simpy.Environment(0)
        self.pool = CuPool(self.env, cus)
        self.seen = []

    def collective(self, name, start, cus, duration, priority):
        """Hold ``cus`` CUs from ``start`` on, or as soon as they are there."""

        def run():
            yield self.env.timeout(start)
            yield from self.pool.take(cus, priority)
            self.seen.append((name, self.env.now, cus))
            yield self.env.timeout(duration)
            self.pool.give(cus)

        self.env.process(run())

    def gemm(self, name, workgroups, stage, priority, start=0):
        """Run a workgroup a CU, in stages of ``stage``, from ``start`` on."""

        def run():
            left, held = workgroups, 0
            yield self.env.timeout(start)
            while left:
                held = yield from self.pool.exchange(held, left, priority)
                self.seen.append((name, self.env.now, held))
                yield self.env.timeout(stage)
                left -= held
            self.pool.give(held)

        self.env.process(run())

    def run(self):
        """Run to the end; all CUs must be back."""
        before = self.pool.free
        self.env.run()
        assert self.pool.free == before
        return self.seen


def test_a_collective_that_comes_first_takes_cus_when_a_stage_ends():
    """Eight CUs: it asks at 5, has three of them at 10, and the GEMM's stages five until 22, all at 25 again."""
    kernels = Kernels(8)
    kernels.gemm("g", 26, 10, priority=1)
    kernels.collective("c", 5, 3, 12, priority=0)
    assert kernels.run() == [("g", 0, 8), ("g", 10, 5), ("c", 10, 3), ("g", 20, 5), ("g", 30, 8)]


def test_a_collective_that_comes_second_waits_for_what_a_gemm_leaves():
    """Its last stage leaves four of the eight CUs."""
    kernels = Kernels(8)
    kernels.gemm("g", 20, 10, priority=0)
    kernels.collective("c", 5, 3, 12, priority=1)
    assert sorted(kernels.run(), key=lambda each: each[1]) == [("g", 0, 8), ("g", 10, 8), ("g", 20, 4), ("c", 20, 3)]


def test_all_of_a_collective_s_cus_come_at_once_and_nobody_overtakes_it():
    """The second wants two, and two are free; but the first, which wants six, came before it."""
    kernels = Kernels(8)
    kernels.collective("a", 0, 6, 10, priority=0)
    kernels.collective("b", 1, 6, 10, priority=0)
    kernels.collective("c", 2, 2, 10, priority=0)
    assert kernels.run() == [("a", 0, 6), ("b", 10, 6), ("c", 10, 2)]


def test_a_gemm_without_a_cu_waits_for_one():
    """All eight are held until 7."""
    kernels = Kernels(8)
    kernels.collective("c", 0, 8, 7, priority=0)
    kernels.gemm("g", 8, 10, priority=1, start=1)
    assert kernels.run() == [("c", 0, 8), ("g", 7, 8)]


def test_lower_priorities_come_first():
    """Both wait for all eight; the second to ask comes first."""
    kernels = Kernels(8)
    kernels.collective("held", 0, 8, 10, priority=0)
    kernels.collective("late", 1, 8, 10, priority=2)
    kernels.collective("soon", 2, 8, 10, priority=1)
    assert kernels.run() == [("held", 0, 8), ("soon", 10, 8), ("late", 20, 8)]


def test_a_gemm_does_not_overtake_what_comes_first_and_does_not_fit_yet():
    """At 10 the GEMM gives back two; the collective wants four, and six are held until 20: then each has four."""
    kernels = Kernels(8)
    kernels.collective("held", 0, 6, 20, priority=0)
    kernels.gemm("g", 6, 10, priority=1, start=0)
    kernels.collective("c", 5, 4, 10, priority=0)
    assert kernels.run() == [("held", 0, 6), ("g", 0, 2), ("c", 20, 4), ("g", 20, 4)]


def test_what_comes_later_has_what_a_gemm_leaves():
    """At 10 the first has three of eight, the GEMM five, and one that comes after it nothing until 30."""
    kernels = Kernels(8)
    kernels.gemm("g", 18, 10, priority=1)
    kernels.collective("last", 1, 2, 10, priority=2)
    kernels.collective("first", 2, 3, 100, priority=0)
    seen = kernels.run()
    assert seen[:3] == [("g", 0, 8), ("g", 10, 5), ("first", 10, 3)]
    assert seen[3:] == [("g", 20, 5), ("last", 30, 2)]


def test_a_gemm_keeps_its_cus_before_one_of_its_own_priority():
    """Nobody comes before it, so it goes on with all."""
    kernels = Kernels(8)
    kernels.gemm("g", 16, 10, priority=1)
    kernels.collective("c", 5, 3, 10, priority=1)
    assert kernels.run() == [("g", 0, 8), ("g", 10, 8), ("c", 20, 3)]
