import pytest
import torch

from da3_ros.net.out_of_memory import is_out_of_memory


def test_what_torch_says_without_memory():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "GET was unable to find an engine to execute this computation",
        'NVML_SUCCESS == r INTERNAL ASSERT FAILED at "CUDACachingAllocator.cpp":1131',
    ],
)
def test_what_its_libraries_say(said):
    """Of pinned memory, of products, of convolutions, and of anything on a Jetson."""
    assert is_out_of_memory(RuntimeError(said))


def test_what_is_about_something_else():
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
