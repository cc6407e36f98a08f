"""Raw: the chunk as it is."""


def encode(data: bytes | memoryview) -> bytes | memoryview:
    return data


def decode(stored: bytes | memoryview, _raw_bytes: int) -> bytes | memoryview:
    return stored
