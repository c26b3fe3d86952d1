"""CIFAR-10 in PyTorch; with `--processes` by DistributedDataParallel."""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import distributed, nn
from trial import run_program
from trial.pytorch_training import prepare, restore_state, save_state

from . import network
from .data import SIDE
from .loop import arguments, train
from .processes import run_in


class PyTorch:
    packages = ("torch", "numpy")

    def __init__(self, chosen: argparse.Namespace, rank: int, count: int) -> None:
        self.device = prepare(chosen.seed, chosen.threads, rank)
        self.network = build(chosen.width, chosen.seed).to(self.device)
        self.trained = nn.parallel.DistributedDataParallel(self.network) if count > 1 else self.network
        self.optimizer = torch.optim.SGD(self.network.parameters(), chosen.lr, chosen.momentum, weight_decay=chosen.l2)

    def train(self, images: np.ndarray, labels: np.ndarray) -> float:
        loss = nn.functional.cross_entropy(self.trained(self._tensor(images)), torch.from_numpy(labels).to(self.device))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def scores(self, images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return self.network(self._tensor(images)).cpu().numpy()

    def save(self, folder: Path) -> None:
        save_state(self.network, self.optimizer, folder)

    def restore(self, folder: Path) -> None:
        restore_state(self.network, self.optimizer, folder)

    def export(self, folder: Path) -> None:
        torch.save(self.network.state_dict(), folder / "model.pt")

    def _tensor(self, images: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(self.device)


def build(width: int, seed: int) -> nn.Sequential:
    initial = network.weights(width, seed)
    layers: list[nn.Module] = []
    before = 3
    for number, after in enumerate(network.filters(width), start=1):
        layers += [nn.Conv2d(before, after, 3, padding="same"), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if number % 2 == 0 else []
        before = after
    inputs, hidden = initial["dense1.kernel"].shape
    layers += [nn.Flatten(), nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, len(initial["dense2.bias"]))]
    built = nn.Sequential(*layers)

    # Flattened pictures come as channels, rows, columns here.
    rest = SIDE // 2**network.BLOCKS
    reordered = initial["dense1.kernel"].reshape(rest, rest, before, hidden).transpose(2, 0, 1, 3)
    initial["dense1.kernel"] = reordered.reshape(inputs, hidden)
    with torch.no_grad():
        for parameter, weight in zip(built.parameters(), initial.values(), strict=True):
            turned = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[weight.ndim]
            parameter.copy_(torch.from_numpy(weight.transpose(turned).copy()))
    return built


def work(rank: int, count: int, chosen: argparse.Namespace, meeting: str) -> None:
    if count > 1:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # all on this machine
        backend = "nccl" if torch.cuda.device_count() >= count else "gloo"
        distributed.init_process_group(backend, init_method=Path(meeting).as_uri(), rank=rank, world_size=count)
    run_program(lambda: train(rank, count, chosen, PyTorch))
    if count > 1:
        # The first process still judges and saves the model. One that ended meanwhile was seen to abort at its exit,
        # in one training out of ten.
        distributed.barrier()
        distributed.destroy_process_group()


def main() -> None:
    chosen = arguments(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        run_in(chosen.processes, work, chosen, str(Path(folder) / "meeting"))


if __name__ == "__main__":
    run_program(main)
