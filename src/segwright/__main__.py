"""``python -m segwright``, which is also what ``torchrun -m segwright`` starts."""

import sys

from segwright.cli.main import main

sys.exit(main())
