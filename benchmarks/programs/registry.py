"""cas_registry in a process of its own: registry.py commit STORE FOLDER… | registry.py restore STORE NUMBER OUT [NUMBER OUT]…

By the Python API. STORE is a folder or a URL; `BENCH_OPTIONS` holds storage options as JSON. Reports the seconds of
each; imports and opening the registry are not counted.
"""

import json
import os
import sys
import time

from peak import report

import cas_registry as reg
import cas_registry.registry


def main(verb: str, store: str, *arguments: str) -> None:
    options = json.loads(os.environ.get("BENCH_OPTIONS", "{}"))
    if verb == "commit":
        with_registry = reg.init if _is_new(store, options) else reg.open
        model, seconds = with_registry(store, storage_options=options).model("series"), []
        for folder in arguments:
            started = time.perf_counter()
            model.commit(folder)
            seconds.append(time.perf_counter() - started)
    else:
        model, seconds = reg.open(store, storage_options=options).model("series"), []
        last = model.resolve("main").number - 1
        for number, out in zip(arguments[::2], arguments[1::2], strict=True):
            started = time.perf_counter()
            model.checkout(f"main~{last - int(number)}", out)
            seconds.append(time.perf_counter() - started)
    report(seconds)


def _is_new(store: str, options: dict[str, object]) -> bool:
    try:
        reg.open(store, storage_options=options)
    except reg.errors.NotFoundError:
        return True
    return False


if __name__ == "__main__":
    main(*sys.argv[1:])
