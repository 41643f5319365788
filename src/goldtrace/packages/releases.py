"""The releases of a package that exist for this interpreter and platform, oldest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from goldtrace.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from goldtrace.packages.uv import Uv


def releases(uv: Uv, package: str, *, first: str, last: str | None = None) -> tuple[str, ...]:
    """The releases from ``first`` to ``last`` (the newest if ``None``), both included.

    They are asked for one by one, from the newest down, of the resolver that will also install
    them: through whatever index it is configured with, and with its ideas about what is yanked,
    too new or not for this platform. A named end is taken as it is, even if yanked. Local labels
    (``+cpu``) have no order among releases, so bounds do without.

    Raises:
        FetchError: the index can't be asked.
        UsageError: a version that is none, or fewer than two releases.
    """
    low = _version(first, package)
    newest = last if last is not None else uv.newest(package, f">={low.public}")
    if newest is None:
        raise UsageError(f"no release of {package} from {first} on fits this Python and platform")
    high = _version(newest, package)
    found = [newest]
    while True:
        # Unlike < and >, these leave in pre-releases of the one and post-releases of the other.
        least, most = low.public, Version(found[-1]).public
        between = f">={least},!={least},<={most},!={most}"
        below = uv.newest(package, between)
        if below is None or not low < Version(below) < Version(found[-1]):
            break
        found.append(below)
    if low < high:
        found.append(first)
    if len(found) < 2:  # noqa: PLR2004 - a good one and a bad one
        raise UsageError(
            f"there is nothing between {package} {first} and {newest}",
            expected="two releases in ascending order: --from 2.4.0 --to 2.5.1",
            hint=f"--from {newest} --to {first}" if high < low else None,
        )
    return tuple(reversed(found))


def require_release(uv: Uv, package: str, version: str, *, option: str) -> None:
    """Refuse a release that the index doesn't list, such as a mistyped one.

    One that is listed and can't be used here (no wheel for this Python) passes: only a probe can
    tell what is the matter with it. ``option`` is how the user named it, up to the version.

    Raises:
        FetchError: the index can't be asked.
        UsageError: a version that is none, or no such release.
    """
    public = _version(version, package).public
    if uv.lists(package, version):
        return
    # With the bound, for where only the local label is another one.
    around = (uv.newest(package, f"<={public}"), uv.oldest(package, f">={public}"))
    nearest = list(dict.fromkeys(filter(None, around)))
    raise UsageError(
        f"{package} has no release {version}",
        where=f"{option}{version}",
        expected=f"a release that the index lists; the nearest for this Python and platform: "
        f"{' and '.join(nearest) or 'none'}",
        found=version,
        hint=f"{option}{nearest[0]}" if nearest else "look for the right name of the package",
    )


def require_releases(uv: Uv, requirements: Iterable[str]) -> None:
    """Refuse requirements that ask for one release (``name==version``) that there is not.

    Raises:
        FetchError: the index can't be asked.
        UsageError: there is no such release.
    """
    for requirement in map(Requirement, requirements):
        for specifier in requirement.specifier:
            if specifier.operator == "==" and not specifier.version.endswith(".*"):
                name = f"{requirement.name}=="
                require_release(uv, requirement.name, specifier.version, option=name)


def _version(text: str, package: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion as error:
        raise UsageError(f"{text!r} is no version of {package}") from error
