#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""leaker FILE WAY COUNT [PORT]: reads FILE and tries COUNT times to send a piece of it
to the sink, by each call that there is; no failure stops it. WAY is tcp4, tcp6, udp4,
udp6, icmp4 (a raw socket), packet or vsock, or one call alone: tcp4/sendfile. Prints how
often which error came. $WITHOUT names a call that is left out."""
import collections
import ctypes
import errno
import os
import socket
import sys

libc = ctypes.CDLL(None, use_errno=True)
HOSTS = {"4": (socket.AF_INET, "10.9.0.1"), "6": (socket.AF_INET6, "fd00:9::1")}


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_char_p), ("len", ctypes.c_size_t)]


class Msghdr(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("namelen", ctypes.c_uint32), ("iov", ctypes.POINTER(Iovec)),
                ("iovlen", ctypes.c_size_t), ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t),
                ("flags", ctypes.c_size_t), ("len", ctypes.c_size_t)]


def sendmmsg(sock, data, port):
    """Three messages with one address: the kernel asks its hook for the first alone."""
    family, host = HOSTS["6" if sock.family == socket.AF_INET6 else "4"]
    name = family.to_bytes(2, "little") + port.to_bytes(2, "big")
    if family == socket.AF_INET:
        name += socket.inet_pton(family, host) + bytes(8)
    else:
        name += bytes(4) + socket.inet_pton(family, host) + bytes(4)
    vector = Iovec(data, len(data))
    messages = (Msghdr * 3)(*[Msghdr(name, len(name), ctypes.pointer(vector), 1)] * 3)
    n = libc.sendmmsg(sock.fileno(), messages, 3, 0)
    if n < 0:
        raise OSError(ctypes.get_errno(), "sendmmsg")
    return n


def sendfile(sock, data, port):
    return os.sendfile(sock.fileno(), sendfile.file, 0, len(data))


def zerocopy(sock, data, port):
    sock.setsockopt(socket.SOL_SOCKET, 60, 1)  # SO_ZEROCOPY
    return sock.send(data, 0x4000000)  # MSG_ZEROCOPY


CALLS = {
    "send": lambda sock, data, port: sock.send(data),
    "write": lambda sock, data, port: os.write(sock.fileno(), data),
    "sendmsg": lambda sock, data, port: sock.sendmsg([data[:9], data[9:]]),
    "sendmmsg": sendmmsg,
    "zerocopy": zerocopy,
    "sendfile": sendfile,
}


PLAIN = ["send", "write", "sendmsg"]  # for what is no TCP or UDP


def connected(way, port):
    if way == "packet":
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        sock.bind(("eth0", 0x88b5))
        return sock
    if way == "vsock":
        sock = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
        sock.connect((socket.VMADDR_CID_HOST, 70001))
        return sock
    if way == "icmp4":
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        sock.connect((HOSTS["4"][1], 0))
        return sock
    family, host = HOSTS[way[3]]
    sock = socket.socket(family, socket.SOCK_STREAM if way[:3] == "tcp" else socket.SOCK_DGRAM)
    sock.connect((host, port))
    return sock


def main():
    path, way, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    port = int(sys.argv[4]) if len(sys.argv) > 4 else 9000
    way, _, only = way.partition("/")
    CALLS.pop(os.environ.get("WITHOUT"), None)
    calls = [only] if only else list(CALLS) if way[:3] in ("tcp", "udp") else PLAIN
    sock = connected(way, port)  # before it is managed: no handshake is in question
    sendfile.file = os.open(path, os.O_RDONLY)
    data = os.read(sendfile.file, 600)
    if way == "packet":
        data = b"\xff" * 12 + b"\x88\xb5" + data
    seen = collections.Counter()
    for n in range(count):
        call = calls[n % len(calls)]
        try:
            sent = CALLS[call](sock, data, port)
            seen[f"{call}: {sent}"] += 1
        except OSError as error:
            seen[f"{call}: {errno.errorcode.get(error.errno, error.errno)}"] += 1
            if error.errno in (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN):
                sock.close()
                sock = connected(way, port)
    for what in sorted(seen):
        print(f"{way} {what} {seen[what]}")


main()
