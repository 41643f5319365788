"""The numbers that a calibrated verdict rests on, in one place, with their reasons.

They are measured in benchmarks/separation.py, and docs/explanation/calibration.md shows the table.
"""

from __future__ import annotations

from goldtrace.model.noise import Noise

ROUNDING_ULP = 64.0
"""The largest equivalent noise that counts as rounding, unless a run sets ``rounding_ulp``.

It is the larger noise of a calibration: nothing may be further from the golden than that took it.
Over five kinds of network, changes of rounding only come out at 23 ulp or less, most of them below
5; the smallest changes of behaviour that people make at 130 or more.
"""

NOISES = (
    *(Noise(ulp=1.0, seed=seed) for seed in (1, 2, 3)),
    *(Noise(ulp=64.0, seed=seed) for seed in (4, 5, 6)),
)
"""The perturbed runs of a calibration: the size of rounding, and one that makes events that are
rare under rounding (a flipped sign, another maximum) certain."""

FLATTEST = 0.5
"""The least slope of a response on logarithmic axes.

Much of what rounding does comes in events: a weight is stored one unit higher, a ReLU changes its
sign. Under ``n`` times the noise ``n`` times as many happen, and independent events add up as the
root of their number. A flatter response is one that is lost in noise already. One that is steeper
than 1 is made of events so rare that the runs with small noise saw none: what those runs say is
replaced by what the root says.
"""

LOST_SCALAR = 0.01
"""The share of a number's size at which the smaller noise hides it: its horizon is reached."""

LOST_TENSOR = 0.1
"""The share of a tensor's movement at which the smaller noise hides it."""

SPREAD = 10.0
"""How many times the spread of the perturbed runs a quantity may differ that noise hides.

It grows with a threshold above ``ROUNDING_ULP``. The equivalent noise of a gradient norm is divided
by it: one flipped sign moves the norm of all gradients.
"""

OVERRULED = 10.0
"""How many times the threshold the evidence of the first operator may excuse.

That it differs by rounding does not exclude that something else differs later.
"""

SHORT = 3
"""Steps below which a horizon guards next to nothing, and recording warns."""
