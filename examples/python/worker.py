"""A worker of a pool that a Rust program has made, by ctypes alone: it does five tasks, until the pool is closed. See
examples/pool_languages.rs.

    python3 worker.py libringfence.so NAME-OF-THE-POOL
"""

import ctypes
import sys
import time
from ctypes import CFUNCTYPE, byref, c_char_p, c_int64, c_size_t, c_uint64, c_void_p

FOREVER = -(2**63)
HANDLER = CFUNCTYPE(None, c_void_p, c_void_p, c_size_t, c_void_p)

rf = ctypes.CDLL(sys.argv[1])
rf.rf_last_error.restype = c_char_p


def call(function, *args):
    if function(*args) < 0:
        sys.exit(f"worker.py: {rf.rf_last_error().decode()}")


def handler(task):
    """What the library calls: `task` is given the bytes of the argument, borrowed, and returns those of the result."""

    def handle(_context, argument, length, reply):
        try:
            borrowed = memoryview((ctypes.c_ubyte * length).from_address(argument) if length else b"").cast("B")
            result = task(borrowed)
            rf.rf_reply_bytes(c_void_p(reply), result, c_size_t(len(result)))
        except Exception as error:
            rf.rf_reply_fail(c_void_p(reply), str(error).encode()[:255])

    return HANDLER(handle)


def shout(text):
    return bytes(text).upper()


def total(numbers):
    return sum(bytes(numbers)).to_bytes(8, "little")


def language(_):
    time.sleep(0.01)  # so that other workers get some, too
    return b"Python"


def refuse(_):
    raise ValueError("I would rather not")


def square(code):
    """A call of a typed function, `square(u16) -> u32`, in MessagePack: an array of one number, and a number."""
    widths = {0xCC: 1, 0xCD: 2}
    if code[0] != 0x91 or len(code) != 2 + widths.get(code[1], 0):
        raise ValueError("square takes a number of 16 bits")
    x = int.from_bytes(code[2:] if len(code) > 2 else code[1:], "big")
    return b"\xce" + (x * x).to_bytes(4, "big")


worker = c_void_p()
call(rf.rf_worker_open, sys.argv[2].encode(), 0, byref(worker))
# They must live as long as they may be called.
tasks = {"shout": shout, "sum": total, "language": language, "refuse": refuse, "square": square}
handlers = {name: handler(task) for name, task in tasks.items()}
for name, function in handlers.items():
    call(rf.rf_worker_register, worker, name.encode(), function, None)
call(rf.rf_worker_serve, worker, c_uint64(0), c_int64(FOREVER))
call(rf.rf_worker_close, worker)
