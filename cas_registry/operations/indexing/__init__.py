"""What stands behind `operations.index`: the file, what logs put into it, and what is read out of it."""
