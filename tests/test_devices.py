"""Devices and dtypes: errors for unavailable ones are raised before any file is read."""

import pytest
import torch

from vlm.checkpoints.devices import check_device, default_device


def test_the_default_is_one_that_works():
    check_device(default_device(), torch.float32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, None])
def test_cpu_computes_in_every_dtype(dtype):
    check_device("cpu", dtype)


@pytest.mark.parametrize("device", ["cuda:99", "nonsense", "meta"])
def test_the_error_for_an_unavailable_device_suggests_an_available_one(device):
    with pytest.raises(ValueError, match=f"device '{device}' cannot be used here, try '{default_device()}'"):
        check_device(device)


def test_a_dtype_that_cannot_be_multiplied_is_refused():
    with pytest.raises(ValueError, match=r"device 'cpu' cannot compute in torch\.bool, try float32"):
        check_device("cpu", torch.bool)
