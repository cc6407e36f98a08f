"""The stores: ids to verified bytes, names to commits, commits to their history. They know keys, never files on disk."""
