"""``python -m kto_tui`` is the ``kto-tui`` command."""

import sys

from kto_tui.cli import main

sys.exit(main())
