"""A DRAM channel in plain Python: every cycle looked at, every rule looked up, nothing clever.

The rules are stated as JEDEC intervals between pairs of commands ("at least n cycles after the last X"), kept as the
history of all commands, and asked anew for every candidate. Used as the truth for the compiled channel.
"""

from collections import Counter
from dataclasses import dataclass, field

LONGEST = 200
"""Cycles beyond which no interval reaches back."""


@dataclass
class Request:
    """One access, and the row it needs."""

    number: int
    bank: int
    row: int
    kind: str  # "RD", "WR" or "UP"
    arrived: int


@dataclass
class Command:
    """One command on the bus."""

    name: str
    bank: int
    at: int


@dataclass
class ReferenceChannel:
    """Queues, open rows and the history of commands of one channel."""

    dram: object
    scheduler: str
    hit_cap: int
    drain_from: float
    drain_to: float
    read_entries: int
    write_entries: int
    refresh: bool
    now: int = 0
    queues: dict = field(default_factory=lambda: {"R": [], "W": []})
    opened_for: list = field(default_factory=list)
    rows: dict = field(default_factory=dict)
    late_hits: dict = field(default_factory=dict)
    history: list = field(default_factory=list)
    writes_first: bool = False
    refreshes_due: int = 0
    done: dict = field(default_factory=dict)
    counts: Counter = field(default_factory=Counter)
    untouched: set = field(default_factory=set)
    """Requests that have had no command."""
    last_direction: str | None = None

    # -- rules ------------------------------------------------------------------------------------------------

    def group(self, bank):
        return bank // self.dram.banks_per_group

    def pseudo(self, bank):
        return self.group(bank) % self.dram.pseudo_channels

    def intervals(self, name, bank):
        """Yield (earlier command matches?, cycles that must lie between) for issuing `name` to `bank`."""
        d, late = self.dram, self.dram.act_cycles - 1
        write_end = d.nCWL + d.nBL
        same_bank = lambda c: c.bank == bank  # noqa: E731
        same_group = lambda c: self.group(c.bank) == self.group(bank)  # noqa: E731
        same_pseudo = lambda c: self.pseudo(c.bank) == self.pseudo(bank)  # noqa: E731
        anywhere = lambda c: True  # noqa: E731
        slower = d.nCCDWL - d.nCCDL
        table = {
            "RD": [
                ("RD", same_pseudo, max(d.nBL, d.nCCDS)),
                ("RD", same_group, d.nCCDL),
                ("WR UP", same_pseudo, write_end + d.nWTRS),
                ("WR UP", same_group, write_end + d.nWTRL),
                ("ACT", same_bank, d.nRCDRD + late),
            ],
            "WR": [
                ("WR UP", same_pseudo, max(d.nBL, d.nCCDS)),
                ("WR", same_group, d.nCCDL),
                ("UP", same_group, d.nCCDWL),
                ("RD", same_pseudo, d.nRTW),
                ("ACT", same_bank, d.nRCDWR + late),
            ],
            "ACT": [
                ("ACT", same_bank, d.nRC),
                ("ACT", anywhere, d.act_cycles),
                ("ACT", same_pseudo, d.nRRDS),
                ("ACT", same_group, d.nRRDL),
                ("PRE", same_bank, d.nRP - late),
                ("PREA", same_pseudo, d.nRP - late),
                ("REF", same_pseudo, d.nRFC - late),
            ],
            "PRE": [
                ("ACT", anywhere, d.act_cycles),
                ("ACT", same_bank, d.nRAS + late),
                ("RD", same_bank, d.nRTP),
                ("WR", same_bank, write_end + d.nWR),
                ("UP", same_bank, write_end + d.nWR + slower),
            ],
            "PREA": [
                ("ACT", anywhere, d.act_cycles),
                ("ACT", same_pseudo, d.nRAS + late),
                ("RD", same_pseudo, d.nRTP),
                ("WR", same_pseudo, write_end + d.nWR),
                ("UP", same_pseudo, write_end + d.nWR + slower),
                ("REF", same_pseudo, d.nRFC),
            ],
            "REF": [
                ("ACT", anywhere, d.act_cycles),
                ("ACT", same_pseudo, d.nRC + late),
                ("PRE", same_pseudo, d.nRP),
                ("PREA", same_pseudo, d.nRP),
            ],
        }
        return table["WR" if name == "UP" else name]

    def allowed(self, name, bank):
        for names, matches, cycles in self.intervals(name, bank):
            past = [c for c in self.history if c.name in names.split() and matches(c)]
            if past and self.now < max(c.at for c in past) + cycles:
                return False
        if name == "ACT":
            acts = sorted(c.at for c in self.history if c.name == "ACT" and self.pseudo(c.bank) == self.pseudo(bank))
            if len(acts) >= 4 and self.now < acts[-4] + self.dram.nFAW:
                return False
        return True

    def issue(self, name, bank):
        self.history = [c for c in self.history if c.at > self.now - LONGEST]
        self.history.append(Command(name, bank, self.now))
        self.counts[name] += 1
        direction = {"RD": "read", "WR": "write", "UP": "write"}.get(name)
        if direction:
            self.counts["turn"] += self.last_direction not in (None, direction)
            self.last_direction = direction

    def touch(self, request, what):
        if request.number in self.untouched:
            self.untouched.remove(request.number)
            self.counts[what] += 1

    # -- one cycle --------------------------------------------------------------------------------------------

    def has_room(self, kind):
        if kind == "RD":
            return len(self.queues["R"]) < self.read_entries
        return len(self.queues["W"]) < self.write_entries

    def add(self, request):
        self.untouched.add(request.number)
        self.queues["R" if request.kind == "RD" else "W"].append(request)

    def cycle(self):
        self.now += 1
        if self.refresh and self.now % self.dram.nREFI == 0:
            self.refreshes_due += self.dram.pseudo_channels
        self.column_slot()
        if self.refreshes_due:
            self.refresh_slot()
        else:
            self.row_slot()

    def turn(self):
        reads, writes = self.queues["R"], self.queues["W"]
        if self.writes_first:
            if len(writes) < self.drain_to * self.write_entries and reads:
                self.writes_first = False
        elif len(writes) > self.drain_from * self.write_entries or not reads:
            self.writes_first = True
        return self.queues["W" if self.writes_first else "R"]

    def hits(self, queue, bank):
        return [r for r in queue if r.bank == bank and self.rows.get(bank) == r.row]

    def first(self, queue, bank):
        return next((r for r in queue if r.bank == bank), None)

    def is_capped(self, queue, bank):
        hits = self.hits(queue, bank)
        oldest = self.first(queue, bank)
        behind = not hits or hits[0] is not oldest
        return self.hit_cap > 0 and self.late_hits.get(bank, 0) >= self.hit_cap and behind

    def column_slot(self):
        for request in sorted(self.opened_for, key=lambda r: r.arrived):
            if self.allowed(request.kind, request.bank):
                self.opened_for.remove(request)
                self.move_data(request)
                return
        if self.refreshes_due:
            return
        queue = self.turn()
        for request in queue:
            if self.scheduler == "fcfs" and request is not queue[0]:
                return
            is_hit = self.rows.get(request.bank) == request.row
            if is_hit and not self.is_capped(queue, request.bank) and self.allowed(request.kind, request.bank):
                if self.first(queue, request.bank) is not request:
                    self.late_hits[request.bank] = self.late_hits.get(request.bank, 0) + 1
                queue.remove(request)
                self.move_data(request)
                return

    def move_data(self, request):
        self.touch(request, "hit")
        self.issue(request.kind, request.bank)
        latency = self.dram.nCL if request.kind == "RD" else self.dram.nCWL
        self.done[request.number] = self.now + latency + self.dram.nBL

    def refresh_slot(self):
        """Close and refresh the banks of one pseudo channel, then those of the next."""
        pseudo = self.counts["REF"] % self.dram.pseudo_channels
        banks = [bank for bank in range(self.dram.banks) if self.pseudo(bank) == pseudo]
        if any(bank in self.rows for bank in banks):
            if not any(r.bank in banks for r in self.opened_for) and self.allowed("PREA", banks[0]):
                self.issue("PREA", banks[0])
                for bank in banks:
                    self.rows.pop(bank, None)
                    self.late_hits.pop(bank, None)
        elif self.allowed("REF", banks[0]):
            self.issue("REF", banks[0])
            self.refreshes_due -= 1

    def row_slot(self):
        queue = self.turn()
        for request in queue:
            if self.scheduler == "fcfs" and request is not queue[0]:
                return
            bank = request.bank
            if bank not in self.rows:
                if self.allowed("ACT", bank):
                    self.issue("ACT", bank)
                    self.touch(request, "miss")
                    self.rows[bank] = request.row
                    self.late_hits[bank] = 0
                    queue.remove(request)
                    self.opened_for.append(request)
                    return
            elif self.rows[bank] != request.row and self.may_close(queue, request) and self.allowed("PRE", bank):
                self.issue("PRE", bank)
                self.touch(request, "conflict")
                del self.rows[bank]
                self.late_hits[bank] = 0
                return

    def may_close(self, queue, request):
        if any(r.bank == request.bank for r in self.opened_for):
            return False
        if self.scheduler != "frfcfs-row-hit":
            return True
        older = [r for r in self.hits(queue, request.bank) if r.arrived <= request.arrived]
        return not older or self.is_capped(queue, request.bank)


def run_reference(channel, requests):
    """Feed `requests` (bank, row, kind, arrival) in order; return the cycle of each one's last data, and its entry."""
    head, entered = 0, []
    while len(channel.done) < len(requests):
        while head < len(requests):
            bank, row, kind, arrival = requests[head]
            if arrival > channel.now or not channel.has_room(kind):
                break
            channel.add(Request(head, bank, row, kind, channel.now))
            entered.append(channel.now)
            head += 1
        channel.cycle()
        assert channel.now < 20_000, "nothing moves any more"
    return [channel.done[number] for number in range(len(requests))], entered
