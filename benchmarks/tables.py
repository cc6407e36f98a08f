"""Tables of samples: medians with their spread, and ratios of runs that stand beside each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.measure import Sample


@dataclass(frozen=True, slots=True)
class Figure:
    """A column: how it is computed from a sample's raw figures (None: this sample says nothing of it)."""

    title: str
    of: Callable[[Sample], float | None]
    digits: int = 0
    more_is_better: bool = True


@dataclass(frozen=True, slots=True)
class Spread:
    """What several runs gave."""

    minimum: float
    median: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(min(values), median(values), max(values))

    def text(self, digits: int) -> str:
        """`median (minimum-maximum)`; the median alone where all runs print the same."""
        low, middle, high = (f"{value:,.{digits}f}" for value in (self.minimum, self.median, self.maximum))
        return middle if low == high else f"{middle} ({low}-{high})"


@dataclass(frozen=True, slots=True)
class Ratio:
    """Ours ÷ that of the best other store, run by run."""

    case: str
    figure: Figure
    other: str
    ours: Spread
    theirs: Spread
    spread: Spread
    runs: int


def raw(name: str, *, scale: float = 1, of: str | None = None) -> Callable[[Sample], float | None]:
    """A figure of the samples as it is, divided by `scale` or by another figure."""

    def compute(sample: Sample) -> float | None:
        below = sample.figures.get(of) if of else scale
        value = sample.figures.get(name)
        return None if value is None or not below else value / below

    return compute


def rate(size: str, seconds: str) -> Callable[[Sample], float | None]:
    """Megabytes a second."""

    def compute(sample: Sample) -> float | None:
        found = raw(size, of=seconds)(sample)
        return None if found is None else found / 1e6

    return compute


def spread(samples: Sequence[Sample], figure: Figure) -> Spread | None:
    """The spread of a figure over the samples that have it."""
    values = [value for value in map(figure.of, samples) if value is not None]
    return Spread.of(values) if values else None


def distinct(names: Sequence[str]) -> list[str]:
    """Each once, in the order of first appearance."""
    return list(dict.fromkeys(names))


def table(samples: Sequence[Sample], figures: Sequence[Figure], *, case: str, store: str = "store") -> str:
    """A row a case and store, in the order in which they were first measured; figures that nobody has are left out."""
    shown = [figure for figure in figures if spread(samples, figure)]
    rows = []
    for name in distinct([sample.case for sample in samples]):
        of_case = [sample for sample in samples if sample.case == name]
        for number, who in enumerate(distinct([sample.store for sample in of_case])):
            of_store = [sample for sample in of_case if sample.store == who]
            cells = [found.text(figure.digits) if (found := spread(of_store, figure)) else "-" for figure in shown]
            timed = sum(shown[0].of(sample) is not None for sample in of_store)
            rows.append([name if number == 0 else "", who, str(timed), *cells])
    return markdown([case, store, "n", *(figure.title for figure in shown)], rows)


def ratios(samples: Sequence[Sample], figures: Sequence[Figure], ours: str, others: Sequence[str]) -> list[Ratio]:
    """For each case and figure, ours against the best of the others by its median."""
    found = []
    for case in distinct([sample.case for sample in samples]):
        of_case = [sample for sample in samples if sample.case == case]
        for figure in figures:
            medians = {
                store: figures_of.median
                for store in others
                if (figures_of := spread([sample for sample in of_case if sample.store == store], figure))
            }
            if medians:
                best = (max if figure.more_is_better else min)(medians, key=medians.__getitem__)
                found += _ratio(case, figure, of_case, ours, best)
    return found


def ratio_table(found: Sequence[Ratio], *, case: str, ours: str) -> str:
    """The ratios, and the two medians that they are about."""
    rows = [
        [
            ratio.case,
            f"{ratio.figure.title}, {'more' if ratio.figure.more_is_better else 'less'} is better",
            ratio.ours.text(ratio.figure.digits),
            f"{ratio.other}: {ratio.theirs.text(ratio.figure.digits)}",
            f"**{ratio.spread.median:.2f}** ({ratio.spread.minimum:.2f}-{ratio.spread.maximum:.2f})",
            str(ratio.runs),
        ]
        for ratio in found
    ]
    return markdown([case, "figure", ours, "best other", "ratio", "n"], rows)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _ratio(case: str, figure: Figure, samples: Sequence[Sample], ours: str, other: str) -> list[Ratio]:
    values: dict[str, dict[str, float]] = {ours: {}, other: {}}
    for sample in samples:
        value = figure.of(sample)
        if sample.store in values and value is not None:
            values[sample.store][sample.run] = value
    runs = [run for run in values[ours] if run in values[other]]
    if not runs:
        return []
    mine, theirs = ([values[store][run] for run in runs] for store in (ours, other))
    pairs = [one / two for one, two in zip(mine, theirs, strict=True)]
    return [Ratio(case, figure, other, Spread.of(mine), Spread.of(theirs), Spread.of(pairs), len(runs))]
