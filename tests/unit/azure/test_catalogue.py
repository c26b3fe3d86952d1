"""The table of machine sizes and the choice from it."""

from __future__ import annotations

import pytest

from orchestrator.errors import InvalidRequest
from orchestrator.providers import catalogue
from orchestrator.providers.base import Machine

GIB = 1 << 30


@pytest.mark.parametrize("cloud", ["azure", "aws"])
def test_every_row_says_where_and_when_its_price_was_published(cloud: str) -> None:
    sizes = catalogue.sizes(cloud)
    assert len(sizes) > 30
    assert all(size.source and size.date and size.region for size in sizes)
    assert all(size.price is None or 0 < size.price < 200 for size in sizes)
    assert all(size.spot is None or (size.price is not None and 0 < size.spot < size.price) for size in sizes)
    assert all((size.gpus > 0) == (size.gpu is not None) for size in sizes)


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
