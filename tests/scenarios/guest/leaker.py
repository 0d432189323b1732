#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""leaker FILE WAY COUNT [PORT]: reads FILE and tries COUNT times to send a piece of it
to the sink, by each call that there is; no failure stops it. WAY is tcp4, tcp6, udp4,
udp6, mptcp4, ktls4, fastopen4, icmp4 (a raw socket), ping4, packet, txring or vsock, or
one call alone: tcp4/sendfile. Prints how often which error came. $WITHOUT names calls that are left out."""
import collections
import ctypes
import errno
import mmap
import os
import socket
import struct
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


def splice(sock, data, port):
    out, into = os.pipe()
    try:
        os.splice(splice.file, into, len(data), offset_src=0)
        return os.splice(out, sock.fileno(), len(data))
    finally:
        os.close(out)
        os.close(into)


SYS_IO_URING_SETUP, SYS_IO_URING_ENTER = 425, 426
IORING_SETUP_SQPOLL = 2
IORING_ENTER_GETEVENTS, IORING_ENTER_SQ_WAKEUP = 1, 2
IORING_OFF_SQES = 0x10000000
IORING_OP_SEND, IORING_OP_SEND_ZC = 26, 47


def uring(opcode, setup=0):
    """One request in a ring of its own (struct io_uring_params, linux/io_uring.h)."""
    def send(sock, data, port):
        params = (ctypes.c_uint32 * 30)()
        params[2], params[4] = setup, 100
        ring = libc.syscall(SYS_IO_URING_SETUP, 1, params)
        if ring < 0:
            raise OSError(ctypes.get_errno(), "io_uring_setup")
        sq, cq = params[10:20], params[20:30]
        rings = mmap.mmap(ring, max(sq[6] + 4, cq[5] + 2 * 16))
        requests = mmap.mmap(ring, 64, offset=IORING_OFF_SQES)
        requests[:32] = struct.pack("<BBHiQQII", opcode, 0, 0, sock.fileno(), 0,
                                    ctypes.cast(data, ctypes.c_void_p).value, len(data), 0)
        struct.pack_into("<I", rings, sq[6], 0)
        struct.pack_into("<I", rings, sq[1], 1)
        libc.syscall(SYS_IO_URING_ENTER, ring, 0 if setup else 1, 1,
                     IORING_ENTER_GETEVENTS | (IORING_ENTER_SQ_WAKEUP if setup else 0), None, 0)
        result = struct.unpack_from("<i", rings, cq[5] + 8)[0]
        rings.close()
        requests.close()
        os.close(ring)
        if result < 0:
            raise OSError(-result, "io_uring")
        return result
    return send


def fastopen(sock, data, port):
    """A connection whose first packet would hold the data."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as fresh:
        return fresh.sendto(data, socket.MSG_FASTOPEN, (HOSTS["4"][1], port))


SOL_PACKET, PACKET_TX_RING = 263, 13
TP_STATUS_SEND_REQUEST, TPACKET_DATA = 1, 32  # of struct tpacket_hdr


def txring(sock, data, port):
    """The call itself sends nothing: the kernel takes what lies in the ring."""
    struct.pack_into("<QI", txring.frames, 0, TP_STATUS_SEND_REQUEST, len(data))
    txring.frames[TPACKET_DATA:TPACKET_DATA + len(data)] = data
    return sock.send(b"")


CALLS = {
    "send": lambda sock, data, port: sock.send(data),
    "write": lambda sock, data, port: os.write(sock.fileno(), data),
    "sendmsg": lambda sock, data, port: sock.sendmsg([data[:9], data[9:]]),
    "sendmmsg": sendmmsg,
    "zerocopy": zerocopy,
    "sendfile": sendfile,
    "splice": splice,
    "uring": uring(IORING_OP_SEND),
    "uring-zc": uring(IORING_OP_SEND_ZC),
    "sqpoll": uring(IORING_OP_SEND, IORING_SETUP_SQPOLL),
}


PLAIN = ["send", "write", "sendmsg"]  # for what is no TCP or UDP
IPPROTO_MPTCP = 262
TCP_ULP, SOL_TLS, TLS_TX, TLS_1_2_AES_GCM_128 = 31, 282, 1, struct.pack("<HH", 0x303, 51)


def connected(way, port):
    if way in ("packet", "txring"):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        sock.bind(("eth0", 0x88b5))
        if way == "txring":
            sock.setsockopt(SOL_PACKET, PACKET_TX_RING, struct.pack("<4I", 4096, 1, 4096, 1))
            txring.frames = mmap.mmap(sock.fileno(), 4096)
        return sock
    if way == "vsock":
        sock = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
        sock.connect((socket.VMADDR_CID_HOST, 70001))
        return sock
    if way in ("icmp4", "ping4"):
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW if way == "icmp4" else socket.SOCK_DGRAM,
                             socket.IPPROTO_ICMP)
        sock.connect((HOSTS["4"][1], 0))
        return sock
    family, host = HOSTS[way[-1]]
    sock = socket.socket(family, socket.SOCK_DGRAM if way[:3] == "udp" else socket.SOCK_STREAM,
                         IPPROTO_MPTCP if way == "mptcp4" else 0)
    sock.connect((host, port))
    if way == "ktls4":
        sock.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")
        sock.setsockopt(SOL_TLS, TLS_TX, TLS_1_2_AES_GCM_128 + bytes(36))
    return sock


def main():
    path, way, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    port = int(sys.argv[4]) if len(sys.argv) > 4 else 9000
    way, _, only = way.partition("/")
    for call in os.environ.get("WITHOUT", "").split():
        del CALLS[call]
    calls = [only] if only else list(CALLS) if way[:3] in ("tcp", "udp") else PLAIN
    for name, call in ("fastopen4", fastopen), ("txring", txring):
        if way == name:
            CALLS[name], calls = call, [name]
    sock = connected(way, port)  # before it is managed: no handshake is in question
    sendfile.file = splice.file = os.open(path, os.O_RDONLY)
    data = os.read(sendfile.file, 600)
    if way in ("packet", "txring"):
        data = b"\xff" * 12 + b"\x88\xb5" + data
    if way == "ping4":
        data = b"\x08" + bytes(7) + data  # ICMP_ECHO
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
