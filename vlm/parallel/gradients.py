"""Data-parallel training: every process has the whole model and a part of the batch.

Each process computes the gradient of the mean loss over its own part. If all parts have the same size, the mean of
these gradients is the gradient over the whole batch. Then every process takes the same step, so the models stay equal
and never have to be sent.
"""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import nn

from vlm.parallel.processes import Place


def average_gradients(parameters: Sequence[nn.Parameter], place: Place):
    """Replace each gradient by its mean over all processes. Call it once a step.

    Call it after `backward`. A parameter that a process did not use counts as 0 there. A parameter that no process
    used keeps no gradient, so the optimizer does not change it.
    """
    if place.world_size == 1:
        return
    # 1 if this process has a gradient, else 0; their sum counts the processes.
    num_users = torch.tensor(
        [float(parameter.grad is not None) for parameter in parameters],
    )
    num_users = num_users.to(parameters[0].device)  # [parameters]
    dist.all_reduce(num_users)
    used = [
        parameter
        for parameter, number in zip(parameters, num_users, strict=True)
        if number > 0  # otherwise no process has a gradient, and nothing is averaged
    ]
    for parameter in used:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in used]
    # One long vector, [all numbers of the model]: faster than many short messages.
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)  # the sum; gloo has no mean
    flat /= place.world_size
    start = 0
    for gradient in gradients:
        gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
        start += gradient.numel()
