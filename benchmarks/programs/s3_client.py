"""One client of an S3 store in a process of its own: s3_client.py CLIENT VERB URL ARGUMENT…

CLIENT is cas_registry, s3fs or obstore (plain copies of files, the last by its fsspec face). VERB: put FOLDER, get OUT, tensor
FILE NAME (one tensor of a safetensors file). `BENCH_OPTIONS` holds s3fs's storage options as JSON. Reports the seconds
(none where the client has no such verb); imports and opening are not counted.
"""

import json
import os
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peak import report

Action = Callable[..., object]


def cas_registry_client(url: str, options: dict[str, Any]) -> dict[str, Action]:
    import cas_registry as reg
    import cas_registry.registry

    try:
        registry = reg.open(url, storage_options=options)
    except reg.errors.NotFoundError:
        registry = reg.init(url, storage_options=options)
    model = registry.model("series")
    verbs: dict[str, Action] = {"put": model.commit, "get": lambda out: model.checkout("main", out, cache=False)}
    if hasattr(model, "tensor"):
        verbs["tensor"] = lambda file, name: model.tensor("main", name, file).tobytes()
    return verbs


def plain_client(filesystem: Any, root: str) -> dict[str, Action]:
    def put(folder: str) -> None:
        filesystem.put(f"{folder}/", f"{root}/", recursive=True)

    def get(out: str) -> None:
        names = [path.removeprefix(f"{root}/") for path in filesystem.find(root)]
        filesystem.get([f"{root}/{name}" for name in names], [f"{out}/{name}" for name in names])

    def tensor(file: str, name: str) -> bytes:
        path = f"{root}/{file}"
        (length,) = struct.unpack("<Q", filesystem.cat_file(path, start=0, end=8))
        header = json.loads(filesystem.cat_file(path, start=8, end=8 + length))
        first, last = header[name]["data_offsets"]
        return bytes(filesystem.cat_file(path, start=8 + length + first, end=8 + length + last))

    return {"put": put, "get": get, "tensor": tensor}


def s3fs_client(url: str, options: dict[str, Any]) -> dict[str, Action]:
    import s3fs

    filesystem = s3fs.S3FileSystem(**options, use_listings_cache=False, config_kwargs={"max_pool_connections": 64})
    filesystem.connect()
    return plain_client(filesystem, url.removeprefix("s3://"))


def obstore_client(url: str, options: dict[str, Any]) -> dict[str, Action]:
    from obstore.fsspec import FsspecStore

    filesystem = FsspecStore(
        "s3",
        access_key_id=options["key"],
        secret_access_key=options["secret"],
        endpoint=options["client_kwargs"]["endpoint_url"],
        region=options["client_kwargs"]["region_name"],
        client_options={"allow_http": True},
    )
    return plain_client(filesystem, url.removeprefix("s3://"))


CLIENTS = {"cas_registry": cas_registry_client, "s3fs": s3fs_client, "obstore": obstore_client}


def main(client: str, verb: str, url: str, *arguments: str) -> None:
    action = CLIENTS[client](url, json.loads(os.environ["BENCH_OPTIONS"])).get(verb)
    if action is None:
        report([])
        return
    started = time.perf_counter()
    result = action(*arguments)
    seconds = time.perf_counter() - started
    if isinstance(result, bytes):
        Path(os.environ["BENCH_RESULT"]).write_bytes(result)
    report([seconds])
    os._exit(0)  # obstore's threads abort an interpreter that ends in good order


if __name__ == "__main__":
    main(*sys.argv[1:])
