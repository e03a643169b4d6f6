"""`python -m mimctl` is `mimctl`."""

import sys

from mimctl.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
