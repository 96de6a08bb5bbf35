"""multiprocessing.connection.wait over a queue, a channel and a pipe of Python's own: wait.py LIBRARY SEGMENT"""

import ctypes
import sys
from multiprocessing import Pipe
from multiprocessing.connection import wait

lib = ctypes.CDLL(sys.argv[1])
lib.rf_last_error.restype = ctypes.c_char_p
READABLE_QUEUE, READABLE_CHANNEL, CREATE = 4, 6, 1


class Awaited(ctypes.Structure):
    _fields_ = [
        ("what", ctypes.c_int),
        ("life", ctypes.c_uint32),
        ("handle", ctypes.c_void_p),
        ("count", ctypes.c_uint64),
        ("reserved", ctypes.c_uint64),
    ]


def ok(status):
    if status < 0:
        raise RuntimeError(lib.rf_last_error().decode())
    return status


class Ready:
    """What `wait` and `selectors` take: something with a fileno."""

    def __init__(self, what, handle):
        self.handle = ctypes.c_void_p()
        ok(lib.rf_ready_fd_open(ctypes.byref(Awaited(what, 0, handle)), 1, ctypes.byref(self.handle)))

    def fileno(self):
        number = ctypes.c_int()
        ok(lib.rf_ready_fd_number(self.handle, ctypes.byref(number)))
        return number.value

    def arm(self):
        ok(lib.rf_ready_fd_arm(self.handle))

    def close(self):
        ok(lib.rf_ready_fd_close(self.handle))


segment, numbers, lines = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
ok(lib.rf_segment_open(sys.argv[2].encode(), 0, ctypes.c_uint64(0), None, ctypes.byref(segment)))
eight = ctypes.c_size_t(8)
ok(lib.rf_queue_open(segment, b"numbers", 0, eight, eight, None, ctypes.c_size_t(0), ctypes.byref(numbers)))
ok(lib.rf_channel_open(segment, b"lines", 0, ctypes.c_size_t(0), ctypes.byref(lines)))
there, said = Ready(READABLE_QUEUE, numbers), Ready(READABLE_CHANNEL, lines)
ours, theirs = Pipe()
print("waiting", flush=True)

number, buffer, length = ctypes.c_uint64(), ctypes.create_string_buffer(64), ctypes.c_size_t()
total, text, done = 0, [], set()
while len(done) < 2:
    ready = wait([there, said, ours], timeout=60)
    assert ready and ours not in ready, ready
    if there in ready:
        there.arm()  # first, and then try: what comes after the last try is told
        while (status := lib.rf_queue_pop(numbers, ctypes.byref(number), ctypes.c_int64(0))) == 0:
            total += number.value
        if status == -42:
            done.add(there)
    if said in ready:
        said.arm()
        now, room = ctypes.c_int64(0), ctypes.c_size_t(64)
        while (status := lib.rf_channel_recv(lines, buffer, room, ctypes.byref(length), now)) == 0:
            text.append(buffer.raw[: length.value].decode())
        if status == -42:
            done.add(said)
theirs.send("over")
assert wait([ours], timeout=60) == [ours] and ours.recv() == "over"
for one in (there, said):
    one.close()
lib.rf_queue_close(numbers)
lib.rf_channel_close(lines)
ok(lib.rf_segment_close(segment))
print(f"total {total}, {' '.join(text)}")
