"""How many trials run at a time, and on what.  The GPUs are made up: machines with some are rare where tests run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from orchestrator.errors import InvalidRequest
from orchestrator.providers.base import Machine, PoolRequest
from orchestrator.providers.local.capacity import Capacity, capacity, cpu_count, memory_size
from orchestrator.providers.local.gpus import find_gpus

CPUS, MEMORY = cpu_count(), memory_size()


def ask(machine: Machine, slots: int | None = None) -> Capacity:
    request = PoolRequest("run-1", {}, machine, slots, None, 0.0, 0.0)
    return capacity(request, Path("/"))


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """NVML that finds GPUs of these names."""

    class NVMLError(Exception):
        pass

    def install(*names: str, broken: bool = False) -> None:
        module = ModuleType("pynvml")

        def start() -> None:
            if broken:
                raise NVMLError("Driver Not Loaded")

        module.__dict__.update(
            NVMLError=NVMLError,
            nvmlInit=start,
            nvmlShutdown=lambda: None,
            nvmlDeviceGetCount=lambda: len(names),
            nvmlDeviceGetHandleByIndex=lambda index: index,
            nvmlDeviceGetUUID=lambda index: f"GPU-{index}a{index}a-uuid",
            nvmlDeviceGetName=lambda index: names[index].encode() if index % 2 else names[index],
            nvmlDeviceGetMemoryInfo=lambda index: SimpleNamespace(total=16 << 30),
        )
        monkeypatch.setitem(sys.modules, "pynvml", module)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    return install


def visible(found: Capacity) -> list[str]:
    return [slot["CUDA_VISIBLE_DEVICES"] for slot in found.slots]


def test_each_slot_has_its_processors() -> None:
    assert len(ask(Machine()).slots) == int(CPUS)
    assert len(ask(Machine(cpus=CPUS)).slots) == 1
    assert len(ask(Machine(cpus=CPUS / 4)).slots) == 4
    assert ask(Machine()).warnings == ()


def test_the_number_that_was_asked_for_is_given_with_a_warning() -> None:
    found = ask(Machine(), slots=int(CPUS) * 3)
    assert len(found.slots) == int(CPUS) * 3
    assert "share the" in found.warnings[0]


def test_no_more_trials_run_than_memory_holds() -> None:
    found = ask(Machine(cpus=CPUS / 8, memory=MEMORY // 2))
    assert len(found.slots) == 2
    assert "memory" in found.warnings[-1]


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        (Machine(cpus=CPUS + 1), f"needs {CPUS + 1:g} processors and this machine has {CPUS:g}"),
        (Machine(memory=MEMORY * 2), "of memory and this machine has"),
        (Machine(disk=1 << 60), "of disk"),
        (Machine(gpus=1.5), "1.5 GPUs"),
    ],
)
def test_what_this_machine_does_not_have_is_refused_with_figures(machine: Machine, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        ask(machine)


def test_each_slot_has_its_own_gpus(nvml: Callable[..., None]) -> None:
    nvml("Tesla T4", "Tesla T4", "Tesla T4", "Tesla T4")
    tiny = CPUS / 16
    assert visible(ask(Machine(cpus=tiny, gpus=1, gpu="T4"))) == ["0", "1", "2", "3"]
    assert visible(ask(Machine(cpus=tiny, gpus=2))) == ["0,1", "2,3"]
    assert visible(ask(Machine(cpus=tiny, gpus=3))) == ["0,1,2"]
    assert visible(ask(Machine(cpus=tiny, gpus=1), slots=2)) == ["0", "1"]
    assert "4 Tesla T4" in ask(Machine(gpus=1)).machine


def test_trials_share_a_gpu_and_are_spread_first(nvml: Callable[..., None]) -> None:
    nvml("Tesla T4", "Tesla T4")
    found = ask(Machine(cpus=CPUS / 16, gpus=1 / 3))
    assert visible(found) == ["0", "1", "0", "1", "0", "1"]
    assert {slot["CUDA_DEVICE_ORDER"] for slot in found.slots} == {"PCI_BUS_ID"}


def test_only_gpus_of_the_named_model_are_used(nvml: Callable[..., None]) -> None:
    nvml("NVIDIA A100-SXM4-40GB", "Tesla T4", "NVIDIA A100-SXM4-40GB")
    tiny = CPUS / 16
    assert visible(ask(Machine(cpus=tiny, gpus=1, gpu="a100"))) == ["0", "2"]
    assert visible(ask(Machine(cpus=tiny, gpus=1, gpu="A100-40GB"))) == ["0", "2"]
    assert visible(ask(Machine(cpus=tiny, gpus=1, gpu="T4"))) == ["1"]
    assert "this machine has 3" in ask(Machine(gpus=1, gpu="H100")).warnings[0]


@pytest.mark.parametrize(
    ("text", "left"),
    [("1", [1]), ("2,0", [2, 0]), ("GPU-1a", [1]), ("", []), ("1,9,0", [1]), ("-1", []), ("GPU-", [])],
)
def test_the_callers_own_choice_of_gpus_is_kept(nvml: Callable[..., None], text: str, left: list[int]) -> None:
    nvml("Tesla T4", "Tesla T4", "Tesla T4")
    found, why = find_gpus({"CUDA_VISIBLE_DEVICES": text})
    assert [gpu.index for gpu in found] == left
    assert bool(why) == (not left)


@pytest.mark.parametrize("names", [(), None, "broken"])
def test_a_gpu_that_is_missing_is_a_warning_or_an_error_when_strict(
    nvml: Callable[..., None], monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...] | str | None
) -> None:
    if names is None:
        monkeypatch.setitem(sys.modules, "pynvml", None)
    elif names == "broken":
        nvml(broken=True)
    else:
        nvml()
    found = ask(Machine(gpus=1, gpu="T4"))
    assert len(found.slots) == int(CPUS)
    assert found.slots[0] == {}
    assert "1 T4 GPU" in found.warnings[0]
    with pytest.raises(InvalidRequest, match="1 T4 GPU"):
        ask(Machine(gpus=1, gpu="T4", strict=True))
