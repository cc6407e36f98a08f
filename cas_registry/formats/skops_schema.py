"""The schema in an archive of skops (skops.readthedocs.io, secure persistence): which types it makes objects of."""

import json
import re

MAX_SCHEMA_BYTES = 256 << 20  # a forest of a thousand trees takes some 10 MiB
SCHEMA = "schema.json"  # its name in the archive
OWN_TYPES = re.compile(  # that skops leaves to its callers: parts of estimators that it trusts. Classes by their capital; a function may do anything
    r"numpy\.dtype|sklearn\.(?:_loss|tree|ensemble|neighbors|metrics|model_selection|preprocessing|linear_model|utils\._bunch)(?:\.\w+)*\._?[A-Z]\w*"
)


def own_types(text: bytes) -> list[str]:
    """Those types of a schema, sorted, that are parts of scikit-learn's estimators by their names. ValueError, RecursionError for what is no JSON."""
    found: set[str] = set()
    waiting = [json.loads(text)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            name = f"{node.get('__module__')}.{node.get('__class__')}"
            if OWN_TYPES.fullmatch(name):
                found.add(name)
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
    return sorted(found)
