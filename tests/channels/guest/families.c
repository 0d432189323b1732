// SPDX-License-Identifier: GPL-2.0
/* Sockets of other families: netlink, vsock, AF_ALG; raw IP and AF_PACKET. */
#include "channel.h"

#include <arpa/inet.h>
#include <linux/if_alg.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/vm_sockets.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/socket.h>

static int send_all(struct run *r, const void *data, size_t size)
{
	ssize_t n = send(r->fd[1], data, size, 0);

	return n == (ssize_t)size ? 0 : n < 0 ? -errno : -EPIPE;
}

static int receive_all(struct run *r, void *data, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = recv(r->fd[0], (char *)data + done, size - done, 0);

		if (n <= 0)
			return n ? -errno : -EPIPE;
		done += n;
	}
	return 0;
}

static int load_module(const char *name)
{
	pid_t pid = fork();

	if (!pid) {
		execlp("modprobe", "modprobe", "-q", name, NULL);
		_exit(127);
	}
	return pid < 0 ? -errno : reap(pid);
}

/* --- netlink ---------------------------------------------------------------- */

static int netlink_socket(int protocol, unsigned int groups, unsigned int *port)
{
	struct sockaddr_nl nl = { .nl_family = AF_NETLINK, .nl_groups = groups };
	socklen_t length = sizeof(nl);
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);

	if (fd < 0 || bind(fd, (void *)&nl, sizeof(nl)) || getsockname(fd, (void *)&nl, &length))
		return -errno;
	*port = nl.nl_pid;
	return fd;
}

static int setup_netlink(struct run *r, unsigned int group, bool connects)
{
	struct sockaddr_nl to = { .nl_family = AF_NETLINK, .nl_groups = group };
	unsigned int port, unused;

	r->fd[0] = netlink_socket(NETLINK_USERSOCK, group, &port);
	r->fd[1] = netlink_socket(NETLINK_USERSOCK, 0, &unused);
	if (r->fd[0] < 0 || r->fd[1] < 0)
		return -EIO;
	r->number[0] = group ? 0 : port;
	r->number[1] = group;
	to.nl_pid = r->number[0];
	return connects ? result(connect(r->fd[1], (void *)&to, sizeof(to))) : 0;
}

static int setup_netlink_port(struct run *r)
{
	return setup_netlink(r, 0, false);
}

static int setup_netlink_connected(struct run *r)
{
	return setup_netlink(r, 0, true);
}

/* The third group. */
static int setup_netlink_group(struct run *r)
{
	return setup_netlink(r, 4, false);
}

static int send_netlink(struct run *r, const void *data, size_t size)
{
	struct sockaddr_nl to = { .nl_family = AF_NETLINK,
				  .nl_pid = r->number[0],
				  .nl_groups = r->number[1] };

	/* A group's members have it already when the kernel, port 0, refuses it. */
	if (sendto(r->fd[1], data, size, 0, (void *)&to, sizeof(to)) < 0 && !r->number[1])
		return -errno;
	return 0;
}

#define UEVENT_SIZE 1024 /* the kernel takes 2048 with what it adds */
#define UEVENT_MARK "change@/lab" /* tells ours from the kernel's own */

/* In a network namespace of its own, where no udevd listens. */
static int setup_netlink_uevent(struct run *r)
{
	int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), error = 0;
	unsigned int unused;

	if (own < 0 || unshare(CLONE_NEWNET))
		return -errno;
	r->fd[0] = netlink_socket(NETLINK_KOBJECT_UEVENT, 1, &unused);
	r->fd[1] = netlink_socket(NETLINK_KOBJECT_UEVENT, 0, &unused);
	if (setns(own, CLONE_NEWNET))
		error = -errno;
	close(own);
	return error ? error : r->fd[0] < 0 || r->fd[1] < 0 ? -EIO : 0;
}

/* To the kernel, which sends it on to all that listen for its own. */
static int send_netlink_uevent(struct run *r, const void *data, size_t size)
{
	struct {
		struct nlmsghdr head;
		char mark[sizeof(UEVENT_MARK)];
		char bytes[UEVENT_SIZE];
	} message = { .head.nlmsg_type = NLMSG_MIN_TYPE, .head.nlmsg_flags = NLM_F_REQUEST };
	struct sockaddr_nl to = { .nl_family = AF_NETLINK };

	message.head.nlmsg_len = offsetof(typeof(message), bytes) + size;
	memcpy(message.mark, UEVENT_MARK, sizeof(UEVENT_MARK));
	memcpy(message.bytes, data, size);
	return result(
		sendto(r->fd[1], &message, message.head.nlmsg_len, 0, (void *)&to, sizeof(to)));
}

static int receive_netlink_uevent(struct run *r, void *data, size_t size)
{
	char message[2 * UEVENT_SIZE];
	ssize_t n;

	do {
		n = recv(r->fd[0], message, sizeof(message), 0);
		if (n < 0)
			return -errno;
	} while (n < (ssize_t)(sizeof(UEVENT_MARK) + size) ||
		 memcmp(message, UEVENT_MARK, sizeof(UEVENT_MARK)));
	memcpy(data, message + sizeof(UEVENT_MARK), size);
	return 0;
}

CHANNEL(netlink_uevent, .name = "netlink/uevent", .hook = "socket_sendmsg", .carrier = "socket",
	.flags = BOTH, .size = UEVENT_SIZE, .setup = setup_netlink_uevent,
	.send = send_netlink_uevent, .receive = receive_netlink_uevent);

#define NETLINK(id, text, ready, sends)                                                            \
	CHANNEL(id, .name = "netlink/" text, .hook = "socket_sendmsg", .carrier = "socket",        \
		.flags = BOTH, .setup = ready, .send = sends, .receive = receive_all)

NETLINK(netlink_port, "unicast", setup_netlink_port, send_netlink);
NETLINK(netlink_connected, "connected", setup_netlink_connected, send_all);
NETLINK(netlink_group, "multicast", setup_netlink_group, send_netlink);

/* --- vsock ------------------------------------------------------------------- */

#define VSOCK_PORT 70001 /* more than 16 bits */

static int vsock_connect(unsigned int cid, unsigned int port, int type)
{
	struct sockaddr_vm to = { .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port };
	int fd = socket(AF_VSOCK, type | SOCK_CLOEXEC, 0);

	return fd < 0 || connect(fd, (void *)&to, sizeof(to)) ? -errno : fd;
}

static int setup_vsock(struct run *r, int type)
{
	struct sockaddr_vm at = { .svm_family = AF_VSOCK,
				  .svm_cid = VMADDR_CID_ANY,
				  .svm_port = VSOCK_PORT };
	int fd;

	if (load_module("vsock_loopback"))
		return absent("no vsock loopback");
	fd = socket(AF_VSOCK, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno == ESOCKTNOSUPPORT ? absent("no such vsock type") : -errno;
	if (bind(fd, (void *)&at, sizeof(at)) || listen(fd, 1))
		return -errno;
	r->fd[1] = vsock_connect(VMADDR_CID_LOCAL, VSOCK_PORT, type);
	if (r->fd[1] < 0)
		return r->fd[1];
	r->fd[0] = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	close(fd);
	return result(r->fd[0]);
}

static int setup_vsock_stream(struct run *r)
{
	return setup_vsock(r, SOCK_STREAM);
}

static int setup_vsock_seqpacket(struct run *r)
{
	return setup_vsock(r, SOCK_SEQPACKET);
}

/* From the end that accepted to the one that connected. */
static int setup_vsock_answer(struct run *r)
{
	int error = setup_vsock(r, SOCK_STREAM), connected = r->fd[1];

	if (!error) {
		r->fd[1] = r->fd[0];
		r->fd[0] = connected;
	}
	return error;
}

#define VSOCK(id, text, ready)                                                                     \
	CHANNEL(id, .name = "vsock/" text, .hook = "socket_sendmsg", .carrier = "socket",          \
		.flags = BOTH, .setup = ready, .send = send_all, .receive = receive_all)

VSOCK(vsock_stream, "loopback-stream", setup_vsock_stream);
VSOCK(vsock_answer, "loopback-answer", setup_vsock_answer);
VSOCK(vsock_seqpacket, "loopback-seqpacket", setup_vsock_seqpacket);

static int setup_vsock_host(struct run *r)
{
	if (load_module("vmw_vsock_virtio_transport") ||
	    access("/sys/bus/virtio/drivers/vmw_vsock_virtio_transport", F_OK))
		return absent("no virtio vsock");
	r->fd[1] = vsock_connect(VMADDR_CID_HOST, VSOCK_PORT, SOCK_STREAM);
	if (r->fd[1] == -ENODEV)
		return absent("no vsock device");
	return r->fd[1] < 0 ? r->fd[1] : 0;
}

CHANNEL(vsock_host, .name = "leak/vsock-to-host", .hook = "socket_sendmsg", .flags = LEAK,
	.setup = setup_vsock_host,
	.leak = "kind=remote destination.family=vsock destination.cid=2 destination.port=70001",
	.send = send_all);

/* --- AF_ALG ------------------------------------------------------------------- */

#define KEY "sixteen bytes ok"

static int cipher_op(int cipher)
{
	return accept4(cipher, NULL, NULL, SOCK_CLOEXEC);
}

/* fd[2]: the transform; fd[0]: one operation of it, which both ends use. */
static int setup_alg(struct run *r)
{
	struct sockaddr_alg sa = { .salg_family = AF_ALG,
				   .salg_type = "skcipher",
				   .salg_name = "ctr(aes)" };

	r->fd[2] = socket(AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (r->fd[2] < 0 || bind(r->fd[2], (void *)&sa, sizeof(sa)))
		return absent("no AF_ALG, or no ctr(aes)");
	if (setsockopt(r->fd[2], SOL_ALG, ALG_SET_KEY, KEY, 16))
		return -errno;
	r->fd[0] = cipher_op(r->fd[2]);
	return result(r->fd[0]);
}

static int encrypt(int op, const void *data, size_t size)
{
	char control[CMSG_SPACE(4) + CMSG_SPACE(4 + 16)] = "";
	struct iovec iov = { (void *)data, size };
	struct msghdr msg = { .msg_control = control,
			      .msg_controllen = sizeof(control),
			      .msg_iov = &iov,
			      .msg_iovlen = 1 };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	struct af_alg_iv *iv;

	c->cmsg_level = SOL_ALG;
	c->cmsg_type = ALG_SET_OP;
	c->cmsg_len = CMSG_LEN(4);
	*(uint32_t *)CMSG_DATA(c) = ALG_OP_ENCRYPT;
	c = CMSG_NXTHDR(&msg, c);
	c->cmsg_level = SOL_ALG;
	c->cmsg_type = ALG_SET_IV;
	c->cmsg_len = CMSG_LEN(4 + 16);
	iv = (void *)CMSG_DATA(c);
	iv->ivlen = 16;
	return result(sendmsg(op, &msg, 0));
}

static int send_alg(struct run *r, const void *data, size_t size)
{
	return encrypt(r->fd[0], data, size);
}

/* In counter mode to encrypt is to decrypt. */
static int receive_alg(struct run *r, void *data, size_t size)
{
	int op = cipher_op(r->fd[2]), error = read_all(r->fd[0], data, size);

	error = error ?: encrypt(op, data, size);
	error = error ?: read_all(op, data, size);
	close(op);
	return error;
}

CHANNEL(alg, .name = "alg/skcipher", .hook = "socket_sendmsg", .carrier = "socket", .flags = BOTH,
	.setup = setup_alg, .send = send_alg, .receive = receive_alg);

/* --- raw IP, AF_PACKET ----------------------------------------------------------- */

static int send_icmp(struct run *r, const void *data, size_t size)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = inet_addr("10.9.0.1") };
	char packet[8 + 1024] = { ICMP_ECHO };

	if (size > 1024)
		return -EINVAL;
	memcpy(packet + 8, data, size);
	r->fd[1] = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	return result(sendto(r->fd[1], packet, 8 + size, 0, (void *)&to, sizeof(to)));
}

static int send_icmp6(struct run *r, const void *data, size_t size)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6 };
	char packet[8 + 1024] = { (char)128 };

	if (size > 1024)
		return -EINVAL;
	memcpy(packet + 8, data, size);
	inet_pton(AF_INET6, "fd00:9::1", &to.sin6_addr);
	r->fd[1] = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6);
	return result(sendto(r->fd[1], packet, 8 + size, 0, (void *)&to, sizeof(to)));
}

/* To an Ethernet address that nobody has, by a protocol for experiments. */
static int send_frame(struct run *r, int type, const void *data, size_t size)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(0x88b5),
				  .sll_ifindex = if_nametoindex("eth0"),
				  .sll_halen = 6,
				  .sll_addr = { 0x02, 0, 0x5e, 0x10, 0x20, 0x30 } };
	char frame[14 + 1024] = { 0x02, 0, 0x5e, 0x10, 0x20, 0x30,	 0x02,
				  0,	0, 0,	 0,    1,    (char)0x88, (char)0xb5 };
	size_t head = type == SOCK_RAW ? 14 : 0;

	if (size > 1024)
		return -EINVAL;
	memcpy(frame + head, data, size);
	r->fd[1] = socket(AF_PACKET, type | SOCK_CLOEXEC, htons(0x88b5));
	return result(sendto(r->fd[1], frame, head + size, 0, (void *)&to, sizeof(to)));
}

static int send_packet_raw(struct run *r, const void *data, size_t size)
{
	return send_frame(r, SOCK_RAW, data, size);
}

static int send_packet_dgram(struct run *r, const void *data, size_t size)
{
	return send_frame(r, SOCK_DGRAM, data, size);
}

#define LEAKS(id, text, says, sends)                                                               \
	CHANNEL(id, .name = "leak/" text, .hook = "socket_sendmsg", .flags = LEAK, .size = 1024,   \
		.leak = "kind=remote " says, .send = sends)

LEAKS(icmp, "raw-icmp", "destination.transport=icmp destination.address=10.9.0.1", send_icmp);
LEAKS(icmp6, "raw-icmpv6", "destination.transport=icmpv6 destination.address=fd00:9::1",
      send_icmp6);
#define EXPERIMENT                                                                                 \
	"destination.family=packet destination.device=eth0 destination.mac=02:00:5e:10:20:30"
LEAKS(packet_raw, "packet-raw", EXPERIMENT, send_packet_raw);
LEAKS(packet_dgram, "packet-dgram", EXPERIMENT, send_packet_dgram);
