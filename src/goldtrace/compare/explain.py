"""Which differences rounding explains: the calibration's judgement, and the operator's above it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from goldtrace.compare.calibration import judge_by
from goldtrace.compare.rules import BUFFER_NORM, FLOATING_STATE, GRAD_NORM
from goldtrace.compare.thresholds import OVERRULED, SPREAD
from goldtrace.model.verdict import Rung

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goldtrace.compare.calibration import Judgement
    from goldtrace.compare.rules import Rules
    from goldtrace.model.calibration import Calibration
    from goldtrace.model.trace import Trace
    from goldtrace.model.verdict import Divergence, Equivalent

_INTEGER = ("int", "uint", "bool")
_ROUNDING = "rounding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """The divergences, those that rounding explains marked as tolerated; and the evidence.

    ``ulp`` is ``None`` without a calibration or without any difference.
    """

    divergences: tuple[Divergence, ...]
    ulp: float | None = None
    equivalents: tuple[Equivalent, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        found: Sequence[Divergence],
        golden: Trace,
        current: Trace,
        *,
        calibration: Calibration | None,
        rules: Rules,
        rounding_ulp: float,
        operator_class: str | None,
        argument: str | None = None,
    ) -> Explained:
        """Explain what was found, as far as the golden is calibrated."""
        open_ = [divergence for divergence in found if not divergence.tolerated]
        if calibration is None or not open_:
            return cls(divergences=tuple(found))
        judgement = judge_by(
            calibration,
            golden,
            current,
            leave_out=partial(_is_left_out, rules),
            spread=SPREAD * max(1.0, rounding_ulp / calibration.large),
        )
        began = golden.initial
        structure = began.tensors.get(Rung.STRUCTURE, {}) if began is not None else {}
        floating = all(_is_floating(each, calibration, rules, structure) for each in open_)
        unknown = _uncalibrated(open_, calibration, structure)
        notes: tuple[str, ...]
        is_rounding = False
        if floating and argument is not None:
            notes = (
                f"an operator was given another argument, which no noise explains: {argument}",
            )
        elif floating and unknown is not None:
            notes = (f"{unknown} was not calibrated: whether it differs by rounding is not known",)
        else:
            is_rounding, notes = _weigh(
                judgement,
                calibration,
                open_[0],
                floating=floating,
                rounding_ulp=rounding_ulp,
                operator_class=operator_class,
            )
        notes += _beyond(calibration, golden)
        if is_rounding:
            found = [replace(divergence, tolerated=True) for divergence in found]
        return cls(
            divergences=tuple(found),
            ulp=judgement.ulp,
            equivalents=judgement.equivalents,
            notes=notes,
        )


def _is_left_out(rules: Rules, name: str) -> bool:
    """Whether an explicit tolerance judges a number, in the place of the calibration."""
    if name == BUFFER_NORM:
        return False
    if name == GRAD_NORM:
        return name in rules.tolerance
    return rules.for_metric(name) is not None


def _weigh(
    judgement: Judgement,
    calibration: Calibration,
    first: Divergence,
    *,
    floating: bool,
    rounding_ulp: float,
    operator_class: str | None,
) -> tuple[bool, tuple[str, ...]]:
    """Whether all is rounding, and what a reader should know of how that was decided."""
    if not floating:
        # A learning rate, a batch or a random stream differs: no noise explains that.
        return False, ()
    overruled = rounding_ulp < judgement.ulp <= OVERRULED * rounding_ulp
    if operator_class == _ROUNDING and overruled and not judgement.scattered:
        note = (
            f"the first operator that differs does so by rounding, which overrules the "
            f"{judgement.ulp:,.0f} ulp of the trajectory"
        )
        return True, (note,)
    note = ""
    if judgement.scattered:
        note = f"noise never moved {judgement.scattered[0]} as far, though it hides much there"
    elif judgement.ulp == 0:
        when = "at the end" if first.step is None else f"at step {first.step}"
        note = (
            f"the first difference comes {when}, where the calibration (horizon: step "
            f"{calibration.horizon}) can't tell rounding"
        )
    elif operator_class not in (None, _ROUNDING) and judgement.ulp <= rounding_ulp:
        note = (
            f"{judgement.ulp:,.3g} ulp alone would be rounding; the first operator that differs "
            f"says {_word(operator_class)}, which overrules it"
        )
    notes = (note,) if note else ()
    return judgement.ulp <= rounding_ulp and not notes, notes


def _is_floating(
    divergence: Divergence, calibration: Calibration, rules: Rules, structure: Mapping[str, str]
) -> bool:
    """Whether this is a difference of floating-point values of the same format, all finite."""
    if divergence.golden is None or divergence.current is None:
        return False
    if divergence.rung in (Rung.LOSS, Rung.METRIC):
        known = calibration.metrics if divergence.step is None else calibration.scalars
        named = rules.for_metric(divergence.name) is not None
        return divergence.ulp is not None and divergence.name in known and not named
    if divergence.name == GRAD_NORM and divergence.rung is Rung.GRADIENTS:
        return divergence.ulp is not None and rules.for_grad_norm() is None
    # The structure describes tensors by name: an integer is never off by rounding.
    is_integer = structure.get(divergence.name, "").startswith(_INTEGER)
    return divergence.rung in FLOATING_STATE and not is_integer


def _uncalibrated(
    found: Sequence[Divergence], calibration: Calibration, structure: Mapping[str, str]
) -> str | None:
    """A single weight or buffer that differs and whose response to noise nobody knows."""
    for each in found:
        single = each.name in structure or each.name != each.rung.value
        if each.rung not in (Rung.WEIGHTS, Rung.BUFFERS) or each.step is None or not single:
            continue
        steps = calibration.tensors.get(each.rung, {})
        known = steps.get(each.step) or {name for named in steps.values() for name in named}
        if each.name not in known:
            return each.name
    return None


def _beyond(calibration: Calibration, golden: Trace) -> tuple[str, ...]:
    """What is hardly guarded: the steps after the horizon, and by what they are still held."""
    horizon, last = calibration.horizon, golden.steps[-1].number
    if horizon is None or horizon >= last:
        return ()
    hidden = ", ".join(sorted(n for n, step in calibration.horizons.items() if step == horizon))
    allowed = f"up to {SPREAD:g} times what {calibration.large:g} ulp of noise did passes there"
    return (f"after step {horizon} rounding noise hides {hidden}: {allowed}",)


def _word(operator_class: str | None) -> str:
    return str(getattr(operator_class, "value", operator_class))
