"""The rank of this process among those that `torchrun` started.

torchrun --nproc-per-node 2 -m vlm.commands.run_split ...                                    one machine
torchrun --nnodes 4 --nproc-per-node 8 --rdzv-endpoint HOST:29500 -m vlm.commands.run_split  the same on each of four
"""

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class Place:
    """Which of the processes this is: `rank` is 0 to `world_size` - 1."""

    rank: int = 0
    world_size: int = 1

    @property
    def is_first(self) -> bool:
        """The first process prints and writes files."""
        return self.rank == 0


ALONE = Place()
PATIENCE = timedelta(minutes=2)


def join() -> Place:
    """Join the process group. Without `torchrun` the program is alone, and nothing is set up.

    GPUs communicate through NCCL, and each process takes the GPU of its local rank; CPUs communicate through gloo. A
    process that waits longer than PATIENCE for another raises an error; `torchrun --max-restarts` then restarts all.
    """
    if "WORLD_SIZE" not in os.environ:
        return ALONE
    check_restarts()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    return Place(dist.get_rank(), dist.get_world_size())


def check_restarts():
    """Check that a restarted run will not get the addresses of processes that have ended.

    Raises:
        RuntimeError: `torchrun` may restart, and would reuse them (pytorch issue 135712).
    """
    may_restart = os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0"
    if may_restart and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        raise RuntimeError(
            "with --max-restarts, torchrun would give the addresses of ended processes to their replacements: "
            "set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 before you start it"
        )


def leave(place: Place):
    """Destroy the process group."""
    if place.world_size > 1 or dist.is_initialized():
        dist.destroy_process_group()
