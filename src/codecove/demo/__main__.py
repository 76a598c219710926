"""`python -m codecove.demo`."""

import sys

from codecove import interrupts, privileges

if __name__ == "__main__":
    try:
        privileges.become_root()  # what its server leaves is not the user's own to delete
    except privileges.NoNamespace as problem:
        sys.exit(str(problem))
    with interrupts.ending_at_once():
        from codecove.demo.show import main
    sys.exit(main())
