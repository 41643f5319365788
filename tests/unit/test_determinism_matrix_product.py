from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from goldtrace.determinism import matrix_product
from goldtrace.determinism.matrix_product import PRODUCTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def replaced() -> Iterator[None]:
    PRODUCTS.begin()
    yield
    PRODUCTS.end()


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of the products that numpy computed."""
    shapes: list[tuple[int, ...]] = []
    original = np.matmul

    def spy(left: Any, right: Any, *, out: Any) -> Any:
        shapes.append(out.shape)
        return original(left, right, out=out)

    monkeypatch.setattr(np, "matmul", spy)
    return shapes


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(math.prod(shape)))


def times_own_transpose(x: torch.Tensor) -> torch.Tensor:
    return x @ x.t()


PRODUCT_FORMS: dict[str, Callable[[], torch.Tensor]] = {
    "mm": lambda: draw(5, 7) @ draw(7, 3),
    "transposed": lambda: draw(7, 5).t() @ draw(3, 7).t(),
    "strided": lambda: draw(10, 21)[::2, ::3] @ draw(7, 3),
    "expanded": lambda: draw(5, 1).expand(5, 7) @ draw(7, 3),
    "own transpose": lambda: times_own_transpose(draw(5, 7)),
    "bmm": lambda: torch.bmm(draw(2, 5, 7), draw(2, 7, 3)),
    "bmm transposed": lambda: torch.bmm(draw(2, 7, 5).mT, draw(2, 3, 7).mT),
    "bmm permuted": lambda: torch.bmm(draw(5, 2, 7).transpose(0, 1), draw(2, 7, 3)),
    "linear": lambda: torch.nn.functional.linear(draw(5, 7), draw(3, 7), draw(3)),
    "linear of a batch": lambda: torch.nn.functional.linear(draw(2, 5, 7), draw(3, 7)),
    "addmm": lambda: torch.addmm(draw(5, 3), draw(5, 7), draw(7, 3), beta=0.5, alpha=2),
    "addmm of a scalar": lambda: torch.addmm(torch.tensor(2.0), draw(5, 7), draw(7, 3)),
    "addmm of a column": lambda: torch.addmm(draw(5, 1), draw(5, 7), draw(7, 3)),
    "baddbmm": lambda: torch.baddbmm(draw(2, 5, 3), draw(2, 5, 7), draw(2, 7, 3), beta=2),
    "einsum": lambda: torch.einsum("bij,bjk->bik", draw(2, 5, 7), draw(2, 7, 3)),
}

OTHER_FORMS: dict[str, Callable[[], torch.Tensor]] = {
    "float64": lambda: draw(5, 7).double() @ draw(7, 3).double(),
    "bfloat16": lambda: draw(5, 7).bfloat16() @ draw(7, 3).bfloat16(),
    "int64": lambda: torch.arange(6).view(2, 3) @ torch.arange(6).view(3, 2),
    "complex": lambda: (
        torch.complex(draw(5, 7), draw(5, 7)) @ torch.complex(draw(7, 3), draw(7, 3))
    ),
    "bmm float64": lambda: torch.bmm(draw(2, 5, 7).double(), draw(2, 7, 3).double()),
    "addmm float64": lambda: torch.addmm(
        draw(3).double(), draw(5, 7).double(), draw(7, 3).double()
    ),
    "baddbmm bfloat16": lambda: torch.baddbmm(
        draw(2, 5, 3).bfloat16(), draw(2, 5, 7).bfloat16(), draw(2, 7, 3).bfloat16()
    ),
    "no rows": lambda: draw(0, 7) @ draw(7, 3),
    "nothing to sum": lambda: draw(5, 0) @ draw(0, 3),
    "no batch": lambda: torch.bmm(draw(0, 5, 7), draw(0, 7, 3)),
    "one row": lambda: draw(1, 7) @ draw(7, 3),
    "one column": lambda: draw(5, 7) @ draw(7, 1),
    "vector": lambda: draw(5, 7) @ draw(7),
}


@pytest.mark.parametrize("form", PRODUCT_FORMS)
def test_numpy_computes_float32_products_as_torch_means_them(
    form: str, seen: list[tuple[int, ...]]
) -> None:
    expected = PRODUCT_FORMS[form]()
    assert seen == []

    PRODUCTS.begin()
    try:
        result = PRODUCT_FORMS[form]()
    finally:
        PRODUCTS.end()

    assert len(seen) == 1
    torch.testing.assert_close(result, expected)
    assert result.stride() == expected.stride()


@pytest.mark.parametrize("form", OTHER_FORMS)
def test_all_other_products_are_torchs_own_to_the_last_bit(
    form: str, seen: list[tuple[int, ...]]
) -> None:
    expected = OTHER_FORMS[form]()

    PRODUCTS.begin()
    try:
        result = OTHER_FORMS[form]()
    finally:
        PRODUCTS.end()

    assert seen == []
    assert result.dtype is expected.dtype
    assert torch.equal(result, expected)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: draw(5, 7) @ draw(6, 3),
        lambda: draw(5, 7) @ draw(7, 3).double(),
        lambda: torch.bmm(draw(2, 5, 7), draw(3, 7, 3)),
        lambda: torch.mm(draw(2, 5, 7), draw(7, 3)),
        lambda: torch.addmm(draw(4), draw(5, 7), draw(7, 3)),
        lambda: torch.baddbmm(draw(4, 5, 3), draw(2, 5, 7), draw(2, 7, 3)),
    ],
)
def test_what_torch_refuses_is_still_refused(replaced: None, wrong: Callable[[], Any]) -> None:
    with pytest.raises(RuntimeError):
        wrong()


def test_gradients_flow_through_and_are_numpys_too(
    replaced: None, seen: list[tuple[int, ...]]
) -> None:
    left, right = draw(5, 7).requires_grad_(), draw(7, 3).requires_grad_()

    (left @ right).sum().backward()  # type: ignore[no-untyped-call]

    assert sorted(seen) == [(5, 3), (5, 7), (7, 3)]
    torch.testing.assert_close(left.grad, right.detach().sum(1).expand(5, 7))
    torch.testing.assert_close(right.grad, left.detach().sum(0)[:, None].expand(7, 3))


def test_a_product_depends_on_values_only_and_not_on_whose_memory_they_are_in(
    replaced: None,
) -> None:
    x = draw(37, 53)

    assert torch.equal(x @ x.t(), x @ x.clone().t())


def test_special_values_go_through_without_a_warning(replaced: None) -> None:
    left = torch.tensor([[math.inf, -math.inf], [math.nan, 1.0], [-0.0, 0.0], [2**-149, 0.0]])

    result = left @ torch.ones(2, 2)

    assert torch.isnan(result[:2]).all()
    assert result[2].tolist() == [0.0, 0.0]
    assert result[3].tolist() == [2**-149, 2**-149]


def test_nan_in_what_is_added_times_zero_is_ignored(replaced: None) -> None:
    result = torch.addmm(torch.full((5, 3), math.nan), draw(5, 7), draw(7, 3), beta=0)

    assert torch.isfinite(result).all()


def test_memory_of_factors_and_result_can_still_grow(replaced: None) -> None:
    left, right = torch.ones(5, 7), torch.ones(7, 3)

    result = left @ right

    assert [x.resize_(9, 9).shape for x in (left, right, result)] == [(9, 9)] * 3


def test_torch_has_its_own_products_back_after_the_last_use(seen: list[tuple[int, ...]]) -> None:
    PRODUCTS.begin()
    PRODUCTS.begin()
    PRODUCTS.end()
    draw(5, 7) @ draw(7, 3)
    assert len(seen) == 1

    PRODUCTS.end()
    draw(5, 7) @ draw(7, 3)

    assert len(seen) == 1
    assert not matrix_product.PRODUCTS.in_force
