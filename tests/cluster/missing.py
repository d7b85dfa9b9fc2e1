"""Says in one line what keeps `make cluster` from running here, and fails then; else says nothing."""

import os
import sys

from machine import Unavailable, cache, check
from programs import Programs

if __name__ == "__main__" and not os.environ.get("KUBECONFIG"):
    try:
        check(Programs(cache()).are_built)
    except Unavailable as reason:
        sys.exit(str(reason))
