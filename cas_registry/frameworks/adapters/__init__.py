"""The adapters, a module for each framework. `table.py` names them."""
