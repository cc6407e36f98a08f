"""Values and their bytes: ids, objects, entries, packs, maps. No I/O, no clock, no threads.

`docs/format.md` specifies every encoding here; decoders raise `FormatError`, or `UnsupportedFormatError` for what a newer
version wrote, and nothing else.
"""
