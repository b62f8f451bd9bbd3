"""glibc's malloc, told to keep the buffers that messages pass through.

By default it gives blocks of more than 128 KB back to the kernel whenever they are freed, and asks
for them again with the next piece of a message: measured, half of the time that a large one takes.
"""

import contextlib
import ctypes

KEPT = 4 << 20
"""Bytes that may stay free at the top of the heap, and the block that is mapped by itself."""
# mallopt(3)
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def keep_buffers() -> None:
    """Set malloc's thresholds for this process, and return what starting up has left over.

    Another libc is left as it is.
    """
    libc = ctypes.CDLL(None)
    with contextlib.suppress(AttributeError):
        libc.malloc_trim(0)
        libc.mallopt(_M_TRIM_THRESHOLD, KEPT)
        libc.mallopt(_M_MMAP_THRESHOLD, KEPT)
