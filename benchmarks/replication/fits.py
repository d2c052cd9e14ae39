"""The generators whose fits are long, and how much of each was made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import telling
from ctrbench.effects import Effects
from ctrbench.reading import Results

LONG = ("tvae", "ctgan", "copulagan", "tabddpm")
TITLES = {
    "smoten[chunks=4]": "SMOTEN, 4 chunks",
    "gaussian_copula": "Gaussian copula",
    "tvae": "TVAE",
    "ctgan": "CTGAN",
    "copulagan": "CopulaGAN",
    "tabddpm": "TabDDPM",
}


class Fit(NamedTuple):
    """What was made of a generator whose fit is long, by the paper's name, and what of it is not as planned."""

    name: str
    of: Effects
    generator: str
    but: str = ""

    def said(self, title: str = "") -> str:
        """A title that says so."""
        title = title or TITLES[self.name]
        return f"{title} ({self.but})" if self.but else title


def long_fits(of_suite: Mapping[str, Results]) -> list[Fit]:
    """What was made of those whose fits are long, in the paper's order; a GPU's pool of TVAE was read from a file."""
    tvae, file, tenth = (
        Effects(of_suite[suite].stored, "frappe", "auc") for suite in ("frappe_tvae", "paper", "frappe_tenth")
    )
    found = [
        Fit("tvae", tvae, "tvae", f"{telling.done(tvae.results)} repeats"),
        Fit("tvae", file, file.generators[0], "one pool, of a GPU"),
    ]
    found += [Fit(name.partition("[")[0], tenth, name, "a tenth of its fit") for name in tenth.generators]
    copulagan = [fit._replace(name="copulagan", but=f"as CTGAN, {fit.but}") for fit in found if fit.name == "ctgan"]
    return sorted([*found, *copulagan], key=lambda fit: LONG.index(fit.name))
