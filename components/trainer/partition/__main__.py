"""python -m components.trainer.partition FILE_DESCRIPTOR."""

import sys

from components.trainer.partition.child import main

if __name__ == "__main__":
    main(int(sys.argv[1]))
