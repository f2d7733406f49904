"""``python -m concord`` is ``concord``."""

from concord.cli.main import main

if __name__ == "__main__":
    main()
