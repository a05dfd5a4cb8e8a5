"""Imports on a machine that has no more than some packages; runs in a process of its own."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

OF_MODULES = packages_distributions()


class Only:
    """A finder of modules that overlooks those of all packages but some."""

    def __init__(self, finder, packages: set[str]):
        self._finder, self._packages = finder, packages

    def find_spec(self, name, path=None, target=None):
        owners = {canonical(d) for d in OF_MODULES.get(name.partition(".")[0], ())}
        if owners and not owners & self._packages:
            return None
        return self._finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self._finder, name)


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def with_needs(packages: Iterable[str]) -> set[str]:
    """The packages and all that they ask for, without extras."""
    found, to_come = set(), [canonical(p) for p in packages]
    while to_come:
        package = to_come.pop()
        if package in found:
            continue
        found.add(package)
        try:
            needs = requires(package) or []
        except PackageNotFoundError:
            continue
        to_come += [canonical(re.match(r"[\w.-]+", n)[0]) for n in needs if "extra ==" not in n]
    return found


def forget_all_but(packages: set[str]) -> None:
    """From here on no other package can be imported."""
    sys.meta_path[:] = [Only(finder, packages) for finder in sys.meta_path]
