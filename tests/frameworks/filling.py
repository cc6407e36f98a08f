"""What is to be filled, made anew for each load: arguments of `Model.load` that import their framework only when they are asked for."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any


class Into(Mapping[str, Any]):
    """`{"options": {"into": make()}}`."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def __getitem__(self, name: str) -> Any:
        if name != "options":
            raise KeyError(name)
        return {"into": self._make()}

    def __iter__(self) -> Iterator[str]:
        return iter(["options"])

    def __len__(self) -> int:
        return 1


class Below(Mapping[str, Any]):
    """`{"folder": …}`: another empty folder for each load, of files that stay."""

    def __getitem__(self, name: str) -> Any:
        if name != "folder":
            raise KeyError(name)
        return tempfile.mkdtemp()

    def __iter__(self) -> Iterator[str]:
        return iter(["folder"])

    def __len__(self) -> int:
        return 1
