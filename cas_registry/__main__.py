"""`python -m cas_registry` is `reg`."""

from cas_registry.cli import main

if __name__ == "__main__":
    main()
