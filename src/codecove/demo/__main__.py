"""`python -m codecove.demo`."""

import sys

from codecove import interrupts

if __name__ == "__main__":
    with interrupts.ending_at_once():
        from codecove.demo.show import main
    sys.exit(main())
