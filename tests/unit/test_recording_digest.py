from __future__ import annotations

import struct

import numpy as np
import pytest
import torch
import xxhash
from torch._subclasses.fake_tensor import FakeTensorMode

from goldtrace.errors import RecordingError
from goldtrace.recording.digest import (
    CHUNK,
    combine,
    digest_array,
    digest_tensor,
    digest_text,
    raw_bytes,
)
from goldtrace.recording.sketch import start_sketches

DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.complex64,
    torch.complex128,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (7, 5), (2, 3, 4)])
def test_every_dtype_and_shape_has_a_digest_that_a_copy_shares(dtype, shape):
    tensor = torch.arange(int(np.prod(shape))).reshape(shape).to(dtype)
    digest = digest_tensor("w", tensor)
    assert len(digest) == 32
    assert digest == digest_tensor("w", tensor.clone())


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_view_with_strides_has_the_digest_of_its_contiguous_copy(dtype):
    tensor = torch.arange(60).reshape(5, 12).to(dtype)
    for view in (tensor.t(), tensor[:, ::2], tensor[1:, 3:], tensor.expand(2, 5, 12)):
        assert digest_tensor("w", view) == digest_tensor("w", view.contiguous())
        assert digest_tensor("w", view) != digest_tensor("w", tensor)


def test_channels_last_is_a_stride_and_no_difference():
    images = torch.arange(2 * 3 * 5 * 7, dtype=torch.float32).reshape(2, 3, 5, 7)
    last = images.to(memory_format=torch.channels_last)
    assert last.stride() != images.stride()
    assert digest_tensor("x", last) == digest_tensor("x", images)


def test_name_dtype_and_shape_are_part_of_the_digest():
    tensor = torch.zeros(6)
    variants = [
        digest_tensor("w", tensor),
        digest_tensor("v", tensor),
        digest_tensor("w", tensor.reshape(2, 3)),
        digest_tensor("w", tensor.reshape(3, 2)),
        digest_tensor("w", tensor.view(torch.int32)),
        digest_tensor("w", torch.zeros(3, dtype=torch.float64)),
        digest_tensor("w", torch.zeros(12, dtype=torch.bfloat16)),
    ]
    assert len(set(variants)) == len(variants)


def test_names_and_shapes_cannot_run_into_each_other():
    assert digest_tensor("w1", torch.zeros(2, 3)) != digest_tensor("w", torch.zeros(12, 3))
    assert combine({"a": "bc"}) != combine({"ab": "c"})
    assert digest_text("a", "bc") != digest_text("ab", "c")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (0x00000000, 0x80000000),  # 0.0 and -0.0
        (0x00000000, 0x00000001),  # 0.0 and the smallest subnormal
        (0x7FC00000, 0x7FC00001),  # two NaNs with different payloads
        (0x7FC00000, 0xFFC00000),  # NaN and -NaN
        (0x7F800000, 0xFF800000),  # infinity and -infinity
        (0x3F800000, 0x3F800001),  # the last bit
    ],
)
def test_bits_count_and_not_values(one, other):
    one_tensor = torch.from_numpy(np.array([one], dtype=np.uint32).view(np.float32))
    other_tensor = torch.from_numpy(np.array([other], dtype=np.uint32).view(np.float32))
    assert digest_tensor("w", one_tensor) != digest_tensor("w", other_tensor)
    assert digest_tensor("w", one_tensor) == digest_tensor("w", one_tensor.clone())


def test_two_weights_that_change_places_change_the_digest():
    tensor = torch.arange(1000, dtype=torch.float32)
    swapped = tensor.clone()
    swapped[[17, 503]] = swapped[[503, 17]]
    assert digest_tensor("w", tensor) != digest_tensor("w", swapped)


@pytest.mark.parametrize("size", [CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 7])
def test_every_byte_counts_at_the_edges_of_chunks(size):
    data = torch.zeros(size, dtype=torch.uint8)
    seen = {digest_tensor("w", data)}
    for place in {0, size // 2, CHUNK - 2, size - 1}:
        flipped = data.clone()
        flipped[place] = 1
        seen.add(digest_tensor("w", flipped))
    assert len(seen) == 1 + len({0, size // 2, CHUNK - 2, size - 1})


def test_chunks_that_change_places_change_the_digest():
    data = torch.cat([torch.full((CHUNK,), value, dtype=torch.uint8) for value in (1, 2)])
    assert digest_tensor("w", data) != digest_tensor("w", data.flip(0))


def test_the_digest_is_the_documented_one():
    tensor = torch.arange(10_000, dtype=torch.int32)
    data = tensor.numpy().tobytes()
    state = xxhash.xxh3_128(b"1:w5:int325:10000")
    state.update(b"%d;" % len(data))
    for start in range(0, len(data), 16384):
        state.update(xxhash.xxh3_128_digest(data[start : start + 16384]))
    assert digest_tensor("w", tensor) == state.hexdigest()


@pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")
def test_sparse_tensors_are_digested_in_coalesced_form():
    indices = torch.tensor([[0, 1, 1], [2, 0, 0]])
    repeated = torch.sparse_coo_tensor(indices, torch.tensor([1.0, 2.0, 3.0]), (2, 3))
    single = torch.sparse_coo_tensor(indices[:, :2], torch.tensor([1.0, 5.0]), (2, 3))
    other = torch.sparse_coo_tensor(indices[:, :2], torch.tensor([1.0, 6.0]), (2, 3))
    assert digest_tensor("w", repeated) == digest_tensor("w", single)
    assert digest_tensor("w", single) != digest_tensor("w", other)
    assert digest_tensor("w", single) != digest_tensor("w", single.to_dense())


@pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")
@pytest.mark.filterwarnings("ignore:Sparse CS. tensor support is in beta:UserWarning")
def test_compressed_sparse_layouts_have_digests_too():
    dense = torch.tensor([[0.0, 1.0], [2.0, 0.0]])
    rows, columns = (
        digest_tensor("w", dense.to_sparse_csr()),
        digest_tensor("w", dense.to_sparse_csc()),
    )
    assert len({rows, columns, digest_tensor("w", dense)}) == 3


def test_pending_conjugation_is_resolved():
    tensor = torch.tensor([1 + 2j, -3 - 0j])
    assert tensor.conj().is_conj()
    assert digest_tensor("w", tensor.conj()) == digest_tensor("w", tensor.conj().resolve_conj())
    assert digest_tensor("w", tensor.conj()) != digest_tensor("w", tensor)


def test_a_numpy_array_has_the_digest_of_the_tensor_with_its_bytes():
    for array in (
        np.arange(12.0).reshape(3, 4),
        np.arange(12, dtype=np.int16)[::2],
        np.array(3.5),
        np.zeros((0, 3), dtype=np.float32),
    ):
        assert digest_array("x", array) == digest_tensor("x", torch.from_numpy(array.copy()))


def test_an_array_of_objects_is_refused():
    with pytest.raises(TypeError, match="Python objects"):
        digest_array("x", np.array([object()]))


def test_raw_bytes_are_little_endian_and_row_major():
    assert bytes(raw_bytes(torch.tensor([[1.0], [2.0]]))) == struct.pack("<2f", 1.0, 2.0)


def test_combining_does_not_depend_on_the_order_of_the_mapping():
    assert combine({"a": "1", "b": "2"}) == combine({"b": "2", "a": "1"})
    assert combine({"a": "1", "b": "2"}) != combine({"a": "2", "b": "1"})
    assert combine({}) != combine({"a": "1"})


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_the_scale_of_a_quantised_tensor_counts():
    def quantised(scale: float, zero: int) -> torch.Tensor:
        integers = torch.tensor([1, 2, -3], dtype=torch.int8)
        return torch._make_per_tensor_quantized_tensor(integers, scale, zero)

    scales, zeros = torch.tensor([0.1, 0.2], dtype=torch.float64), torch.tensor([0, 1])
    channels = torch.quantize_per_channel(torch.eye(2), scales, zeros, 0, torch.qint8)
    others = torch.quantize_per_channel(torch.eye(2), scales, zeros, 1, torch.qint8)
    tensors = [quantised(0.1, 0), quantised(0.2, 0), quantised(0.1, 1), channels, others]
    assert len({digest_tensor("w", tensor) for tensor in tensors}) == len(tensors)
    assert digest_tensor("w", quantised(0.1, 0)) == digest_tensor("w", quantised(0.1, 0))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype:UserWarning")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_nested_tensors_are_digested_part_by_part(layout):
    def nested(*lengths: int) -> torch.Tensor:
        return torch.nested.nested_tensor([torch.ones(n) for n in lengths], layout=layout)

    assert digest_tensor("w", nested(2, 3)) == digest_tensor("w", nested(2, 3))
    assert digest_tensor("w", nested(2, 3)) != digest_tensor("w", nested(3, 2))
    assert digest_tensor("w", nested(2, 3)) != digest_tensor("w", torch.ones(5))


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2", "uint16", "uint32", "uint64"])
def test_the_less_usual_dtypes_have_digests_and_sketches(dtype):
    tensor = torch.arange(16, dtype=torch.uint8).view(getattr(torch, dtype))
    assert digest_tensor("w", tensor) != digest_tensor("w", tensor.view(torch.uint8))
    assert set(start_sketches({"w": tensor})()) == {"w"}


def test_a_dtype_that_torch_cannot_convert_has_a_digest_and_no_sketch():
    tensor = torch.arange(16, dtype=torch.uint8).view(torch.bits8)
    assert len(digest_tensor("w", tensor)) == 32
    assert start_sketches({"w": tensor})() == {}


def test_a_tensor_without_values_is_an_error_that_names_it():
    with FakeTensorMode():
        fake = torch.empty(3)
    lazy = torch.nn.LazyLinear(2).weight
    for tensor, kind in ((torch.empty(3, device="meta"), "meta"), (fake, "fake"), (lazy, "lazy")):
        with pytest.raises(RecordingError, match=r"layer\.weight has no values") as caught:
            digest_tensor("layer.weight", tensor)
        assert kind in str(caught.value.found)


def test_of_a_distributed_tensor_the_own_shard_is_digested():
    class Distributed(torch.Tensor):
        """What matters here of torch.distributed.tensor.DTensor, which needs a process group."""

        def to_local(self) -> torch.Tensor:
            return self.as_subclass(torch.Tensor)[:2]

    whole = torch.arange(4.0)
    assert digest_tensor("w", whole.as_subclass(Distributed)) == digest_tensor("w", whole[:2])


@pytest.mark.parametrize(
    "tensor",
    [
        pytest.param(torch.ones(()).expand(1, 1), id="expanded"),
        pytest.param(torch.arange(8.0)[::4][1:], id="every fourth, the last"),
        pytest.param(torch.ones(3, 4)[1:2, 2:3], id="cut out"),
        pytest.param(torch.ones((), dtype=torch.bfloat16).expand(1), id="bfloat16"),
        pytest.param(torch.ones((), dtype=torch.complex64).expand(1, 1, 1), id="complex"),
    ],
)
def test_a_single_element_has_its_digest_whatever_its_strides(tensor):
    plain = torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor)
    assert digest_tensor("x", tensor) == digest_tensor("x", plain)


def test_the_bytes_of_a_tensor_outlive_it():
    data = raw_bytes(torch.full((100_000,), 3, dtype=torch.uint8))
    others = [torch.zeros(100_000, dtype=torch.uint8) for _ in range(20)]  # take what is free
    assert bytes(data) == b"\x03" * 100_000
    assert len(others) == 20
