"""What a banked memory may choose from: schedulers and address mappings, and what they say to compiled code."""

import pytest
from pydantic import ValidationError

from t3sim.compiled import compiled, record_of
from t3sim.hardware.memory.banked.control import ControlSpec
from t3sim.hardware.memory.banked.dram.address import address_bits, bank_of, row_of
from t3sim.hardware.memory.banked.dram.spec import load_dram
from t3sim.hardware.memory.banked.dram.tables import new_channel
from t3sim.hardware.memory.banked.mappings import KIND as MAPPING
from t3sim.hardware.memory.banked.mappings import AddressMapping, Slices, slices_of
from t3sim.hardware.memory.banked.schedulers import KIND as SCHEDULER
from t3sim.registry import get, names

HBM2 = load_dram("hbm2").spec
CONTROL = {
    "scheduler": "fcfs",
    "hit_cap": 0,
    "read_entries": 10,
    "write_entries": 10,
    "drain_from": 0.8,
    "drain_to": 0.2,
    "refresh": True,
}


@compiled
def _placed(bits, address):
    return bank_of(bits[0], address), row_of(bits[0], address)


def placed(bits, address):
    """Give bank and row of an address inside a channel."""
    return tuple(int(part) for part in _placed(record_of(bits), address))


@pytest.mark.parametrize(
    ("name", "in_order", "keeps_rows"),
    [("fcfs", True, True), ("frfcfs", False, False), ("frfcfs-row-hit", False, True)],
)
def test_a_scheduler_is_two_facts(name, in_order, keeps_rows):
    """Each says whether only the oldest request takes part, and whether older hits keep a row open."""
    control = ControlSpec(**{**CONTROL, "scheduler": name}).control()
    assert (control.in_order, control.keeps_rows) == (in_order, keeps_rows)


def test_every_registered_scheduler_can_be_chosen():
    """The name in a file is that of a registration, and no other."""
    for name in names(SCHEDULER):
        assert ControlSpec(**{**CONTROL, "scheduler": name}).scheduler == name
    with pytest.raises(ValidationError, match="'fcfs', 'frfcfs' or 'frfcfs-row-hit'"):
        ControlSpec(**{**CONTROL, "scheduler": "lifo"})


def test_watermarks_are_in_entries():
    """Of 10 entries, more than 80% are 9 and less than 20% are under 2; a share between two entries rounds up."""
    control = ControlSpec(**CONTROL).control()
    assert (control.drain_from, control.drain_to) == (9, 2)
    assert ControlSpec(**{**CONTROL, "drain_from": 0.85, "drain_to": 0.15}).control().drain_to == 2


@pytest.mark.parametrize("name", names(MAPPING))
def test_a_mapping_fills_every_bank_alike(name):
    """Over the bytes of one row in all banks, each bank has as many accesses, all in one row."""
    bits = address_bits(get(MAPPING, name)(), HBM2)
    places = [placed(bits, address) for address in range(0, HBM2.page * HBM2.banks, HBM2.access)]
    assert {row for _, row in places} == {0}
    columns = HBM2.page // HBM2.access
    assert sorted(bank for bank, _ in places) == sorted(list(range(HBM2.banks)) * columns)


@pytest.mark.parametrize(("name", "banks"), [("mop4", 1), ("ro-ba-co", 1), ("mop4-xor", 16)])
def test_rows_at_a_stride(name, banks):
    """The same place of 16 rows in a row: one bank, unless the mapping hashes banks with row bits: then all."""
    bits = address_bits(get(MAPPING, name)(), HBM2)
    stride = HBM2.page * HBM2.banks
    assert len({placed(bits, row * stride)[0] for row in range(16)}) == banks


@pytest.mark.parametrize(("name", "accesses"), [("mop4", 4), ("ro-ba-co", 32)])
def test_pseudo_channels_take_turns(name, accesses):
    """After as many accesses of a row as a mapping gives in a row comes the other pseudo channel, in the same place."""
    dram = load_dram("hbm2-2pc64").spec
    bits = address_bits(get(MAPPING, name)(), dram)
    banks = [placed(bits, number * dram.access)[0] for number in range(4 * accesses)]
    groups = [bank // dram.banks_per_group for bank in banks]
    assert groups == [number // accesses for number in range(4 * accesses)]
    pseudo = new_channel(dram, ControlSpec(**CONTROL)).banks["pseudo"]
    assert [int(pseudo[bank]) for bank in banks] == [number // accesses % 2 for number in range(4 * accesses)]


class _ThreeSlices(AddressMapping):
    def slices(self, dram):
        del dram
        return Slices((6, 14, 20), (8,), 10)


def test_a_field_of_three_slices_is_refused():
    """Compiled code takes the XOR of two; a third would be left out without a word."""
    with pytest.raises(ValueError, match="at most 2 slices, not of 3"):
        slices_of(_ThreeSlices(), HBM2)


def test_parts_that_are_no_power_of_two_are_refused():
    """Address fields are bits."""
    with pytest.raises(ValueError, match="bank_groups is 3"):
        address_bits(get(MAPPING, "mop4")(), HBM2.model_copy(update={"bank_groups": 3}))
