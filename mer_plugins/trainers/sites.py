"""The dropout factors of a step whose batch may be of any number of frames."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn.functional import pad

from mer_plugins.trainers.dropout import Factors, Site
from mer_plugins.trainers.noise import Noise
from mer_plugins.trainers.stack import Members


class Sites:
    """Every dropout call of a training pass, and the factors for it.

    Factors are drawn for batches as long as the longest clip in the data and cut to those at hand. So a clip's factors
    do not depend on how far its batch is padded, nor on which members are trained together, wherever a dropout sees
    frames along an axis of their own; where it sees them joined to another axis, its factors are another draw of the
    same chance. Stacked and looped members get the same ones in any case.

    Args:
        longest: frames of the longest clip, by stream that has frames.
    """

    def __init__(self, members: Members, longest: Mapping[str, int]) -> None:
        self.members, self.longest = members, dict(longest)
        self.whole: list[Site] | None = None
        self.seen: dict[tuple[tuple[int, ...], ...], list[Site]] = {}

    def factors(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor], noise: Noise) -> Factors:
        """For the batch ``x`` [F, B, ...], [F, *shape] of every call."""
        if self.whole is None:
            self.whole = self.members.sites(*self._stretched(x, mask))
        drawn = noise.factors(self.whole)
        return self._cut(drawn, self._sites(x, mask)) if self.longest else drawn

    def _sites(self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> list[Site]:
        shapes = tuple(tuple(part.shape) for part in x.values())
        if shapes not in self.seen:
            self.seen[shapes] = self.members.sites(x, mask)
        return self.seen[shapes]

    def _stretched(
        self, x: Mapping[str, Tensor], mask: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The batch, padded to the longest clips."""
        more = {name: self.longest[name] - x[name].shape[2] if name in self.longest else 0 for name in x}
        return (
            {name: pad(part, (0, 0, 0, more[name])) if more[name] else part for name, part in x.items()},
            {name: pad(part, (0, more[name])) if more[name] else part for name, part in mask.items()},
        )

    @staticmethod
    def _cut(drawn: Factors, sites: list[Site]) -> Factors:
        """The beginning of each factor along every axis; a call that has none is told by the dropout itself."""
        left = {name: iter(found) for name, found in drawn.items()}
        cut: Factors = {}
        for site in sites:
            factor = next(left.get(site.name, iter(())), None)
            if factor is not None:
                cut.setdefault(site.name, []).append(factor[(slice(None), *map(slice, site.shape))])
        return cut
