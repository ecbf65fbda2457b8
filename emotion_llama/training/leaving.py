"""How a process that trained together with others ends. Knows nothing of training."""

import os
import sys


def end_process(code: int = 0) -> None:
    """End this process at once where it is one of several; else do nothing.

    At the interpreter's own end, a process group is destroyed while the interpreter's lock is held,
    and waits for a thread of gloo that waits for this lock: the process then hangs or is aborted
    (torch 2.13; about one run of twenty). Files are to be closed before.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        logger = sys.modules.get("wandb")
        if logger is not None:
            logger.finish()  # it would do so at the interpreter's end
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
