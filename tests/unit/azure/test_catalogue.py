"""The table of machine sizes and the choice from it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.errors import InvalidRequest
from orchestrator.providers import catalogue
from orchestrator.providers.base import Machine

GIB = 1 << 30


@pytest.mark.parametrize("cloud", ["azure", "aws"])
def test_every_row_says_where_and_when_its_price_was_published(cloud: str) -> None:
    sizes = catalogue.sizes(cloud)
    assert len(sizes) > 30
    assert all(size.source and size.date and size.spot_source and size.region for size in sizes)
    assert all(size.price is None or 0 < size.price < 200 for size in sizes)
    assert all(size.spot is None or (size.price is not None and 0 < size.spot < size.price) for size in sizes)
    assert all((size.gpus > 0) == (size.gpu is not None) for size in sizes)


def test_every_size_that_aws_still_offers_has_both_prices_and_the_source_of_each() -> None:
    offered = [size for size in catalogue.sizes("aws") if size.retired is None]
    assert [size.name for size in offered if size.price is None or size.spot is None] == []
    assert all("SkyPilot" in size.spot_source and "(" in size.spot_source for size in offered)
    both = catalogue.find("aws", "g5.xlarge")
    assert both is not None
    assert "SkyPilot" not in both.source, "its price on demand comes from elsewhere"


@pytest.mark.parametrize("gpu", ["K80", "V100", "T4", "A100", "H100"])
def test_the_table_knows_the_gpus_from_k80_to_h100(gpu: str) -> None:
    for cloud in ("azure", "aws"):
        assert any(catalogue.serves(size.gpu, gpu) for size in catalogue.sizes(cloud))


def test_the_cheapest_machine_that_fits_one_trial_is_chosen() -> None:
    choice = catalogue.choose("azure", Machine(cpus=4, gpus=1, gpu="T4", memory=16 * GIB))
    assert (choice.size.name, choice.slots) == ("Standard_NC4as_T4_v3", 1)
    assert catalogue.choose("aws", Machine(cpus=4, gpus=1, gpu="T4")).size.name == "g4dn.xlarge"


def test_a_share_of_a_gpu_lets_several_trials_onto_one_machine() -> None:
    choice = catalogue.choose("azure", Machine(cpus=1, gpus=0.5, gpu="nvidia tesla t4"))
    assert (choice.size.gpu, choice.slots) == ("T4", 2)
    assert catalogue.choose("azure", Machine(cpus=1, gpus=0.4)).slots == 2, "0.4 + 0.4 + 0.4 is more than one GPU"


def test_trials_without_a_gpu_get_machines_without_one() -> None:
    assert catalogue.choose("azure", Machine(cpus=2)).size.gpus == 0


def test_a_plain_model_is_served_by_its_larger_memory_but_not_the_other_way() -> None:
    assert catalogue.serves("A100-80GB", "A100")
    assert not catalogue.serves("A100", "A100-80GB")
    assert not catalogue.serves("A10", "A100")
    assert not catalogue.serves("A100", "A10")


def test_a_retired_gpu_is_refused_with_the_day_of_its_end() -> None:
    with pytest.raises(InvalidRequest, match=r"no K80.*2023-09-06"):
        catalogue.choose("azure", Machine(gpus=1, gpu="K80"))


def test_a_gpu_that_does_not_exist_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(InvalidRequest, match="Did you mean A10"):
        catalogue.choose("azure", Machine(gpus=1, gpu="A1O"))


def test_a_machine_that_no_size_can_hold_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"1000 cores"):
        catalogue.choose("azure", Machine(cpus=1000))


def test_a_named_size_wins_and_a_too_small_one_is_refused() -> None:
    assert catalogue.choose("azure", Machine(cpus=4), vm_size="standard_d8s_V5").slots == 2
    with pytest.raises(InvalidRequest, match="too small"):
        catalogue.choose("azure", Machine(cpus=16), vm_size="Standard_D8s_v5")


def test_a_size_that_the_table_does_not_know_is_taken_with_the_cores_of_its_name() -> None:
    choice = catalogue.choose("azure", Machine(cpus=2), vm_size="Standard_E16bs_v5")
    assert (choice.slots, choice.size.price) == (8, None)


def test_spot_prices_decide_where_spot_is_asked_for() -> None:
    choice = catalogue.choose("azure", Machine(cpus=1, gpus=1), spot=True)
    cheapest = min(size.spot for size in catalogue.sizes("azure") if size.gpus and size.spot and not size.retired)
    assert choice.size.spot == cheapest


@pytest.mark.parametrize("spot", [False, True])
@pytest.mark.parametrize(
    ("gpu", "name"),
    [
        ("T4", "g4dn.xlarge"),
        ("A10G", "g5.xlarge"),
        ("L4", "g6.xlarge"),
        ("L40S", "g6e.xlarge"),
        ("A100", "p4d.24xlarge"),
        ("H100", "p5.4xlarge"),
    ],
)
def test_on_aws_a_gpu_s_cheapest_machine_is_chosen(gpu: str, name: str, spot: bool) -> None:
    need = Machine(cpus=1, gpus=1, gpu=gpu)
    chosen = catalogue.choose("aws", need, spot=spot).size
    fitting = [size for size in catalogue.sizes("aws") if size.retired is None and size.slots(need)]
    prices = [size.spot if spot else size.price for size in fitting]
    if (gpu, spot) == ("L40S", True):
        name = "g6e.2xlarge"  # that day's median of the larger one was lower
    assert chosen.name == name
    assert (chosen.spot if spot else chosen.price) == min(price for price in prices if price is not None)


def test_a_size_whose_spot_price_nobody_told_is_chosen_only_where_its_full_price_is_the_lowest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = catalogue.find("aws", "g4dn.xlarge")
    assert known is not None
    assert known.spot is not None
    need = Machine(cpus=1, gpus=1)

    def chosen(untold: catalogue.MachineSize) -> str:
        monkeypatch.setattr(catalogue, "sizes", lambda cloud: (untold, known))
        return catalogue.choose("aws", need, spot=True).size.name

    assert chosen(replace(known, name="a", spot=None)) == known.name
    assert chosen(replace(known, name="a", spot=None, price=known.spot * 1.01)) == known.name
    assert chosen(replace(known, name="a", spot=None, price=known.spot * 0.99)) == "a"
    assert chosen(replace(known, name="a", spot=None, price=None)) == known.name
