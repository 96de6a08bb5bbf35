"""Joins a segment that another program made, by name, through ctypes alone: peer.py LIBRARY SEGMENT.

# semantics 8 and 88
Plain Python, no macro and no compiled wrapper: what the header declares is all there is.
"""

import ctypes
import os
import signal
import sys
from ctypes import POINTER, byref, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint64, c_void_p

OK, OWNER_DIED, CREATE = 0, 1, 1
E_BUSY, E_EMPTY, E_CLOSED, E_WRONG_SHAPE = -22, -41, -42, -12
U64, F64 = 8, 10
FOREVER = -(2**63)

rf = ctypes.CDLL(sys.argv[1])
rf.rf_last_error.restype = c_char_p
rf.rf_status_str.restype = c_char_p
rf.rf_version.restype = c_char_p


class Failed(Exception):
    pass


def call(name, *args, also=()):
    """Calls a function that returns a status; anything but success or a status in `also` is an exception."""
    status = getattr(rf, name)(*args)
    if status < 0 and status not in also:
        raise Failed(f"{name}: {rf.rf_status_str(status).decode()}: {rf.rf_last_error().decode()}")
    return status


def opened(name, *args):
    handle = c_void_p()
    call(name, *args, byref(handle))
    return handle


def size(n):
    return c_size_t(n)


def ns(n):
    return c_int64(n)


segment = opened("rf_segment_open", sys.argv[2].encode(), 0, size(0), None)

# Value: what the maker wrote, and arithmetic in one step.
pi = opened("rf_value_open", segment, b"pi", 0, F64, size(0), size(0), None, None)
number = c_double()
call("rf_value_get", pi, byref(number))
print(f"pi is {number.value}")
call("rf_value_set", pi, byref(c_double(number.value * 2)))
count = opened("rf_value_open", segment, b"count", 0, U64, size(0), size(0), None, None)
before = c_int64()
call("rf_value_fetch_add", count, ns(5), byref(before))
print(f"count was {before.value}")
wrong = c_void_p()
status = call("rf_value_open", segment, b"count", 0, F64, size(0), size(0), None, None, byref(wrong), also=[E_WRONG_SHAPE])
print(f"count as a double: {rf.rf_status_str(status).decode()}")

# Queue: take numbers, give back squares.
numbers = opened("rf_queue_open", segment, b"numbers", 0, size(8), size(8), None, size(0))
squares = opened("rf_queue_open", segment, b"squares", 0, size(8), size(8), None, size(0))
item = c_uint64()
while call("rf_queue_pop", numbers, byref(item), ns(FOREVER), also=[E_CLOSED]) == OK:
    call("rf_queue_push", squares, byref(c_uint64(item.value**2)), ns(FOREVER))
call("rf_queue_shutdown", squares)

# Channel: answer each message.
inbox = opened("rf_channel_open", segment, b"inbox", 0, size(0))
outbox = opened("rf_channel_open", segment, b"outbox", 0, size(0))
room, length = ctypes.create_string_buffer(4096), c_size_t()
while call("rf_channel_recv", inbox, room, size(len(room)), byref(length), ns(FOREVER), also=[E_CLOSED]) == OK:
    answer = room.raw[: length.value].upper()
    call("rf_channel_send", outbox, answer, size(len(answer)), ns(FOREVER))
call("rf_channel_shutdown", outbox)

# A child is killed while it holds the lock; we are told.
guard = opened("rf_mutex_open", segment, b"guard", CREATE)
ready, tell = os.pipe()
child = os.fork()
if child == 0:
    call("rf_mutex_lock", guard, ns(FOREVER))
    os.write(tell, b"x")
    signal.pause()
os.read(ready, 1)
status = call("rf_mutex_lock", guard, ns(0), also=[E_BUSY])
print(f"while it lives: {rf.rf_status_str(status).decode()}")
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
status = call("rf_mutex_lock", guard, ns(FOREVER))
print(f"owner died: {status == OWNER_DIED}")
call("rf_mutex_make_consistent", guard)
call("rf_mutex_unlock", guard)

for name, handle in [
    ("mutex", guard),
    ("channel", inbox),
    ("channel", outbox),
    ("queue", numbers),
    ("queue", squares),
    ("value", pi),
    ("value", count),
    ("segment", segment),
]:
    call(f"rf_{name}_close", handle)
print("peer: ok")
