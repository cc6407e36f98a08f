"""The folder on disk: scanning it, remembering what was read, writing into it and nowhere else. Knows no registry."""
