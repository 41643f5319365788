"""Tiny computations whose bits tell which kernels this process really uses.

A pin that reads back well may still not be in force: a library came too early, ignores the variable
in this build, or has no such path on this CPU. So a few computations, milliseconds in all, are made
at the start of every run, and their digests are held against those that the profile is known to
give. They are also part of a trace, where they show which component of two environments differs.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import sys
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from goldtrace.errors import PinError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

KNOWN_FILE = "canaries.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """One computation: ``of`` is the library it asks (``torch`` or ``numpy``), ``compute`` gets it.

    ``pins`` are those that decide its bits, the likeliest first. ``compute`` returns arrays.
    ``by`` is the library whose build decides the bits, if that is another one.
    """

    name: str
    of: str
    pins: tuple[str, ...]
    compute: Callable[[Any], Iterable[Any]]
    by: str = ""

    @property
    def decided_by(self) -> str:
        """The library whose builds are known for this canary."""
        return self.by or self.of


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The digests that ``cpu-portable`` gives, and the builds that they were taken from."""

    builds: frozenset[str]
    digests: Mapping[str, frozenset[str]]


def canary_digests(libraries: Iterable[str] = ("torch", "numpy")) -> dict[str, str]:
    """The digest of every canary by its name, sorted. Draws from no generator but its own."""
    found: dict[str, str] = {}
    for library in libraries:
        if library == "torch":
            found.update(_of_torch())
        else:
            import numpy as np

            found.update({c.name: _digest(c.compute(np)) for c in CANARIES if c.of == library})
    return dict(sorted(found.items()))


def verify_canaries(found: Mapping[str, str]) -> None:
    """Hold digests against the known ones.

    A build of torch or numpy that is not known may differ for its own reasons: such a digest is
    only recorded. One that a known build never gave says that a pin is not in force.

    Raises:
        PinError: names every component that differs and the likely pins.
    """
    strangers = [c for c in CANARIES if c.name in found and is_known(c, found[c.name]) is False]
    if not strangers:
        return
    first = strangers[0]
    library = first.decided_by
    pins = tuple(dict.fromkeys(pin for canary in strangers for pin in canary.pins[:1]))
    raise PinError(
        f"{_listed([c.name for c in strangers])} of this process give other bits than the profile "
        f"does everywhere else: {_listed(pins)} {'is' if len(pins) == 1 else 'are'} likely not in "
        "force",
        where=f"canary {first.name}",
        expected=" or ".join(sorted(known(library).digests.get(first.name, ()))),
        found=f"{found[first.name]}, with {library} {build(library)}",
        hint=f"start the process with the pins in place; then suspect {_listed(first.pins[1:])}"
        if first.pins[1:]
        else "start the process with the pins in place",
    )


def is_known(canary: Canary, digest: str) -> bool | None:
    """Whether a digest is the profile's; ``None`` if only the build is unknown."""
    library = canary.decided_by
    if digest in known(library).digests.get(canary.name, ()):
        return True
    return False if build(library) in known(library).builds else None


@functools.cache
def known(library: str) -> Known:
    """What is known of a library under ``cpu-portable``."""
    text = resources.files(__package__).joinpath(KNOWN_FILE).read_text(encoding="utf-8")
    entry = json.loads(text)[library]
    return Known(
        builds=frozenset(entry["builds"]),
        digests={name: frozenset(digests) for name, digests in entry["digests"].items()},
    )


def build(library: str) -> str:
    """Which build of a loaded library this is: its release, and for numpy the BLAS inside."""
    if library == "torch":
        return str(sys.modules["torch"].__version__)
    numpy = sys.modules["numpy"]
    blas = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{numpy.__version__} {blas.get('name')} {blas.get('version')}"


def _of_torch() -> dict[str, str]:
    import torch

    with _usual_defaults(torch), torch.no_grad(), torch.autocast("cpu", enabled=False):
        return {c.name: _digest(c.compute(torch)) for c in CANARIES if c.of == "torch"}


@contextlib.contextmanager
def _usual_defaults(torch: Any) -> Iterator[None]:
    """New tensors are float32 on the CPU, whatever a project or a test has set."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(dtype)


def _digest(arrays: Iterable[Any]) -> str:
    total = hashlib.blake2b(digest_size=8)
    for array in arrays:
        total.update(getattr(array, "numpy", lambda array=array: array)().tobytes())
    return total.hexdigest()


def _listed(names: Iterable[str]) -> str:
    *head, last = names
    return f"{', '.join(head)} and {last}" if head else last


# --- the computations ----------------------------------------------------------------------------
# Odd sizes reach the tails of vectorised kernels. The inputs are quotients of whole numbers, which
# are the same everywhere and fill their mantissas: sums of short ones would be exact in any order.


def _pattern(library: Any, *shape: int, start: int = 0, scale: float = 97.0) -> Any:
    count = functools.reduce(int.__mul__, shape, 1)
    whole = (library.arange(start, start + count) * 37 + 11) % 1009 - 504
    if hasattr(whole, "astype"):
        return (whole.astype("float32") / library.float32(scale)).reshape(shape)
    return (whole.to(library.float32) / scale).reshape(shape)


def _gemm(torch: Any) -> list[Any]:
    left, right = _pattern(torch, 47, 93), _pattern(torch, 93, 31, start=7)
    return [left @ right, torch.bmm(left.view(1, 47, 93), right.view(1, 93, 31)), left.t() @ left]


def _vendor_gemm(torch: Any) -> list[Any]:
    # An overload with an output is not replaced.
    left, right = _pattern(torch, 47, 93), _pattern(torch, 93, 31, start=7)
    batch = (left.view(1, 47, 93), right.view(1, 93, 31))
    return [
        torch.mm(left, right, out=torch.empty(47, 31)),
        torch.bmm(*batch, out=torch.empty(1, 47, 31)),
        torch.mm(left.t(), left, out=torch.empty(93, 93)),
    ]


def _vector_math(torch: Any) -> list[Any]:
    x = _pattern(torch, 71, scale=131.0)
    return [f(x) for f in (torch.exp, torch.tanh, torch.erf, torch.sin)] + [torch.log(x.abs() + 1)]


def _square_root(torch: Any) -> list[Any]:
    x = _pattern(torch, 137).abs() + 3
    return [torch.sqrt(x), torch.pow(x, 0.5)]


def _convolution(torch: Any) -> list[Any]:
    # So many channels that oneDNN blocks them, which is where instruction sets part.
    image, kernel = _pattern(torch, 2, 16, 13, 13), _pattern(torch, 16, 16, 3, 3, start=5)
    out = torch.nn.functional.conv2d(image, kernel, padding=1)
    sizes = ([1, 1], [1, 1], [1, 1], False, [0, 0], 1)
    back = torch.ops.aten.convolution_backward(
        out, image, kernel, None, *sizes, [True, True, False]
    )
    return [out, *back[:2]]


def _activation(torch: Any) -> list[Any]:
    return [torch.nn.functional.gelu(_pattern(torch, 71, scale=131.0))]


def _reduction(torch: Any) -> list[Any]:
    x = _pattern(torch, 70_001)
    return [x.sum(), x.var(), torch.linalg.vector_norm(x)]


def _softmax(torch: Any) -> list[Any]:
    return [torch.softmax(_pattern(torch, 5, 77), -1), torch.log_softmax(_pattern(torch, 5, 77), 0)]


def _normalisation(torch: Any) -> list[Any]:
    x = _pattern(torch, 6, 5, 7)
    return [
        torch.nn.functional.layer_norm(x, (7,)),
        torch.nn.functional.batch_norm(x, None, None, training=True),
    ]


def _optimizer_arithmetic(torch: Any) -> list[Any]:
    x, y = _pattern(torch, 137), _pattern(torch, 137, start=3)
    return [
        torch.add(x, y, alpha=0.1),
        torch.lerp(x, y, 0.1),
        torch.addcmul(x, y, y, value=0.001),
        torch.addcdiv(x, y, y.abs() + 1, value=-0.1),
    ]


def _normal_draws(torch: Any) -> list[Any]:
    own = torch.Generator().manual_seed(20)
    return [torch.randn(97, generator=own, dtype=torch.float32)]


def _uniform_draws(torch: Any) -> list[Any]:
    own = torch.Generator().manual_seed(20)
    return [
        torch.rand(97, generator=own, dtype=torch.float32),
        torch.zeros(97).bernoulli_(0.3, generator=own),
    ]


def _permutations(torch: Any) -> list[Any]:
    return [torch.randperm(97, generator=torch.Generator().manual_seed(20))]


def _numpy_matmul(numpy: Any) -> list[Any]:
    left, right = _pattern(numpy, 47, 93), _pattern(numpy, 93, 31, start=7)
    return [left @ right, left.astype("float64") @ right.astype("float64")]


def _numpy_functions(numpy: Any) -> list[Any]:
    x = _pattern(numpy, 71, scale=131.0)
    wide = x.astype("float64")
    return [numpy.exp(x), numpy.exp(wide), numpy.power(abs(wide) + 1, wide), numpy.tanh(x)]


CANARIES = (
    Canary(
        name="gemm",
        of="torch",
        by="numpy",
        pins=("OPENBLAS_CORETYPE", "torch.mm"),
        compute=_gemm,
    ),
    Canary(name="vendor gemm", of="torch", pins=("MKL_CBWR",), compute=_vendor_gemm),
    Canary(
        name="vector math",
        of="torch",
        pins=("MKL_CBWR", "ATEN_CPU_CAPABILITY"),
        compute=_vector_math,
    ),
    Canary(name="square root", of="torch", pins=("torch.sqrt",), compute=_square_root),
    Canary(
        name="convolution",
        of="torch",
        pins=("ONEDNN_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE"),
        compute=_convolution,
    ),
    Canary(
        name="activation",
        of="torch",
        pins=("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY"),
        compute=_activation,
    ),
    Canary(
        name="reduction",
        of="torch",
        pins=("torch.num_threads", "ATEN_CPU_CAPABILITY"),
        compute=_reduction,
    ),
    Canary(name="softmax", of="torch", pins=("ATEN_CPU_CAPABILITY",), compute=_softmax),
    Canary(name="normalisation", of="torch", pins=("ATEN_CPU_CAPABILITY",), compute=_normalisation),
    Canary(
        name="optimizer arithmetic",
        of="torch",
        pins=("ATEN_CPU_CAPABILITY",),
        compute=_optimizer_arithmetic,
    ),
    Canary(name="normal draws", of="torch", pins=("ATEN_CPU_CAPABILITY",), compute=_normal_draws),
    Canary(name="uniform draws", of="torch", pins=("torch",), compute=_uniform_draws),
    Canary(name="permutations", of="torch", pins=("torch",), compute=_permutations),
    Canary(name="numpy matmul", of="numpy", pins=("OPENBLAS_CORETYPE",), compute=_numpy_matmul),
    Canary(
        name="numpy functions",
        of="numpy",
        pins=("NPY_DISABLE_CPU_FEATURES",),
        compute=_numpy_functions,
    ),
)
"""Every canary; a component that a pin was made for has one."""
