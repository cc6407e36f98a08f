"""What a commit would write: the commit itself, over a store that reads what is there and drops what is written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from cas_registry.backends.wrappers import CountingBackend, DryBackend
from cas_registry.errors import InvalidInputError
from cas_registry.model.canonical import Scalar
from cas_registry.operations.commit import CommitReport, CommitRequest, commit_files
from cas_registry.operations.progress import Progress
from cas_registry.store.objects import ObjectStore
from cas_registry.store.stores import Stores
from cas_registry.worktree.stat_cache import StatCache

_GB = 10**9
_WRITES = ("put", "create")
_READS = ("get", "stat")


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars: of a thousand writes, of a thousand reads, of a GB (10^9 bytes) kept for a month.

    By default the list prices of S3 Standard in us-east-1. Moving bytes into a bucket is free there; what leaves its region is not counted.
    """

    thousand_writes: float = 0.005
    thousand_reads: float = 0.0004
    gb_month: float = 0.023


@dataclass(frozen=True, slots=True)
class CommitPlan:
    """What a commit would do. `report` is its report, of a commit that nobody made; `sent_bytes` count packs, maps, trees and entries.

    `commit_dollars` are for the requests, once; `month_dollars` for keeping what was sent, each month.
    """

    report: CommitReport
    writes: int
    reads: int
    sent_bytes: int
    received_bytes: int
    commit_dollars: float
    month_dollars: float


def plan_commit(
    stores: Stores,
    request: CommitRequest,
    *,
    prices: Prices,
    stat_cache: StatCache,
    clock_ns: Callable[[], int],
    progress: Progress,
) -> CommitPlan:
    """Go through a commit and count; nothing is written, in the registry or elsewhere. Raises what `commit_files` raises.

    The requests are those of a commit that no other writer gets in the way of. Files are read and encoded, so that it takes nearly as long.
    """
    counting = CountingBackend(DryBackend(stores.backend))
    dry = replace(stores, backend=counting, objects=ObjectStore(counting), watch=None)  # nothing of it will be seen again
    report = commit_files(dry, request, stat_cache=stat_cache, clock_ns=clock_ns, progress=progress)
    writes = sum(counting.requests[method] for method in _WRITES)
    reads = sum(counting.requests[method] for method in _READS)
    return CommitPlan(
        report,
        writes,
        reads,
        counting.bytes_out,
        counting.bytes_in,
        writes / 1000 * prices.thousand_writes + reads / 1000 * prices.thousand_reads,
        counting.bytes_out / _GB * prices.gb_month,
    )


def parse_prices(given: Mapping[str, Scalar]) -> Prices:
    """Prices by name over the defaults. InvalidInputError for a name that there is not, or what is no price."""
    names = Prices.__dataclass_fields__.keys()
    for name, price in given.items():
        if name not in names:
            raise InvalidInputError(f"there is no price {name!r}; choose among {', '.join(names)}", price=name)
        if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price < float("inf"):
            raise InvalidInputError(f"the price {name} is {price!r}: give dollars, such as {name}=0.005", price=name)
    return replace(Prices(), **{name: float(price or 0) for name, price in given.items()})
