"""What counts as new memory when a submission is measured."""

import torch

from grader.allocations import AllocationCounter


def bytes_of(work) -> int:
    with AllocationCounter() as counter:
        work()
    return counter.bytes


def test_new_tensors_count_with_all_their_bytes():
    states = torch.ones(10, 10)
    assert bytes_of(lambda: torch.zeros(100)) == 400
    assert bytes_of(lambda: torch.cat([states, states])) == 800
    assert bytes_of(lambda: states.to(torch.bfloat16)) == 200
    assert bytes_of(lambda: states.float().double().to(torch.bfloat16)) == 1000


def test_views_and_changes_in_place_do_not():
    states, row = torch.ones(10, 10), torch.ones(10)

    def write():
        states[3] = row
        states.transpose(0, 1)[2:4].add_(1)

    assert bytes_of(write) == 0
    assert bytes_of(lambda: states.to(torch.float32)) == 0
    assert bytes_of(lambda: torch.nn.Parameter(states)) == 0


def test_the_meta_device_has_no_bytes():
    assert bytes_of(lambda: torch.zeros(1000, device="meta") + 1) == 0
