"""What every training in PyTorch needs: a repeatable start on a GPU where there is one, and its state in a file."""

from pathlib import Path

import torch

__all__ = ["prepare", "restore_state", "save_state"]


def prepare(seed: int, threads: int, rank: int = 0) -> torch.device:
    """Seed PyTorch, let it repeat, keep to `threads` threads; the device: a GPU, by the rank's turn, or the CPU."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    gpus = torch.cuda.device_count()
    return torch.device(f"cuda:{rank % gpus}" if gpus else "cpu")


def save_state(network: torch.nn.Module, optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """Write the weights and the optimizer's state into `folder`."""
    torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict()}, folder / "state.pt")


def restore_state(network: torch.nn.Module, optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """Bring both into the state that `folder` holds."""
    # Not unpickled, and onto the device where the network is.
    state = torch.load(folder / "state.pt", weights_only=True, map_location=next(network.parameters()).device)
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
