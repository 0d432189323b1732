// SPDX-License-Identifier: GPL-2.0
/*
 * Sockets whose two ends do not see each other's address: other network
 * namespaces, address translation, groups; and data that is sent before there is a
 * receiving socket.
 */
#include "channel.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>

#define OWN    "10.9.0.2"
#define OWN6   "fd00:9::2"
#define OTHER  "10.9.0.77" /* nobody has it */
#define OTHER6 "fd00:9::77"
#define HERE   "10.77.0.1" /* the ends of the veth */
#define THERE  "10.77.0.2"
#define THERE6 "fd77::2"

/* --- helpers -------------------------------------------------------------- */

static int shell(const char *script)
{
	pid_t pid = fork();

	if (!pid) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		execl("/bin/sh", "sh", "-ec", script, NULL);
		_exit(127);
	}
	return pid < 0 ? -errno : reap(pid);
}

static socklen_t address(struct sockaddr_storage *to, const char *host, int port)
{
	struct sockaddr_in6 *in6 = (void *)to;
	struct sockaddr_in *in = (void *)to;

	memset(to, 0, sizeof(*to));
	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		return sizeof(*in);
	}
	inet_pton(AF_INET6, host, &in6->sin6_addr);
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	return sizeof(*in6);
}

/* A socket in the network namespace of this name; NULL: in our own. */
static int socket_in(const char *name, int family, int type)
{
	int own, other, fd, error = 0;
	char path[64];

	if (!name)
		return socket(family, type | SOCK_CLOEXEC, 0);
	snprintf(path, sizeof(path), "/run/netns/%s", name);
	own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	other = open(path, O_RDONLY | O_CLOEXEC);
	if (own < 0 || other < 0 || setns(other, CLONE_NEWNET))
		return -1;
	fd = socket(family, type | SOCK_CLOEXEC, 0);
	if (setns(own, CLONE_NEWNET))
		error = errno;
	close(own);
	close(other);
	errno = error;
	return error ? -1 : fd;
}

/*
 * fd[0] receives at host:port in one namespace, fd[1] sends from another to
 * to:to_port, which leads there.
 */
struct pair {
	const char *receiver, *sender; /* namespaces; NULL: our own */
	const char *host;
	int port;
	const char *to;
	int to_port, type;
};

static int connect_pair(struct run *r, const struct pair *pair)
{
	struct sockaddr_storage at, to;
	socklen_t at_length = address(&at, pair->host, pair->port);
	socklen_t to_length = address(&to, pair->to, pair->to_port);
	int one = 1, fd = socket_in(pair->receiver, at.ss_family, pair->type);

	r->fd[1] = socket_in(pair->sender, to.ss_family, pair->type);
	if (fd < 0 || r->fd[1] < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	r->fd[0] = fd;
	if (bind(fd, (void *)&at, at_length) || (pair->type == SOCK_STREAM && listen(fd, 1)) ||
	    connect(r->fd[1], (void *)&to, to_length))
		return -errno;
	if (pair->type != SOCK_STREAM)
		return 0;
	r->fd[0] = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	close(fd);
	return result(r->fd[0]);
}

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

#define CONNECTED(id, text, hooks, before, after, ...)                                             \
	static int setup_##id(struct run *r)                                                       \
	{                                                                                          \
		static const struct pair pair = { __VA_ARGS__ };                                   \
		int error = before();                                                              \
                                                                                                   \
		return error ? error : connect_pair(r, &pair);                                     \
	}                                                                                          \
	CHANNEL(id, .name = text, .hook = hooks, .carrier = "socket", .flags = BOTH, .size = 1024, \
		.setup = setup_##id, .send = send_all, .receive = receive_all, .teardown = after)

/* --- network namespaces ----------------------------------------------------- */

static int veth(void)
{
	if (shell("modprobe veth"))
		return absent("no veth");
	return shell(
		"ip netns del kt 2>/dev/null || true; ip netns add kt; ip link add ktv0 type veth peer name ktv1 netns kt;"
		"ip addr add 10.77.0.1/24 dev ktv0; ip addr add fd77::1/64 dev ktv0 nodad;"
		"ip link set ktv0 up; ip -n kt link set lo up;"
		"ip -n kt addr add 10.77.0.2/24 dev ktv1;"
		"ip -n kt addr add fd77::2/64 dev ktv1 nodad; ip -n kt link set ktv1 up;"
		"ip -n kt route add default via 10.77.0.1; ip -n kt route add default via fd77::1;"
		"for i in 1 2 3 4 5; do ! ping -c 1 -W 1 10.77.0.2 || break; done;"
		"for i in 1 2 3 4 5; do ! ping -c 1 -W 1 fd77::2 || break; done");
}

static void no_veth(struct run *r)
{
	(void)r;
	shell("ip link del ktv0 || true; ip netns del kt || true");
}

CONNECTED(veth_tcp4, "netns/veth-tcp4", "socket_sendmsg", veth, no_veth, .receiver = "kt",
	  .host = THERE, .port = 7400, .to = THERE, .to_port = 7400, .type = SOCK_STREAM);
CONNECTED(veth_tcp4_back, "netns/veth-tcp4-from-inside", "socket_sendmsg", veth, no_veth,
	  .sender = "kt", .host = HERE, .port = 7401, .to = HERE, .to_port = 7401,
	  .type = SOCK_STREAM);
CONNECTED(veth_tcp6, "netns/veth-tcp6", "socket_sendmsg", veth, no_veth, .receiver = "kt",
	  .host = THERE6, .port = 7402, .to = THERE6, .to_port = 7402, .type = SOCK_STREAM);
CONNECTED(veth_udp4, "netns/veth-udp4", "socket_sendmsg", veth, no_veth, .receiver = "kt",
	  .host = "0.0.0.0", .port = 7403, .to = THERE, .to_port = 7403, .type = SOCK_DGRAM);
CONNECTED(veth_udp6, "netns/veth-udp6", "socket_sendmsg", veth, no_veth, .receiver = "kt",
	  .host = "::", .port = 7404, .to = THERE6, .to_port = 7404, .type = SOCK_DGRAM);

/* The same four numbers (an odd port is taken first) in our own namespace and in another; data goes
 * in the other. */
static int setup_equal_tuples(struct run *r)
{
	static const struct pair ours = { NULL,	       NULL, "127.0.0.1", 7405,
					  "127.0.0.1", 7405, SOCK_STREAM };
	static const struct pair theirs = { "kt",	 "kt", "127.0.0.1", 7405,
					    "127.0.0.1", 7405, SOCK_STREAM };
	const char *narrow = "for ns in /proc/1/ns/net /run/netns/kt; do nsenter --net=$ns"
			     " sysctl -w net.ipv4.ip_local_port_range='45001 45002'; done";
	int error = veth() ?: shell(narrow) ?: connect_pair(r, &ours);

	if (error)
		return error;
	r->fd[2] = r->fd[0];
	r->fd[3] = r->fd[1];
	return connect_pair(r, &theirs)
		       ?: shell("sysctl -w net.ipv4.ip_local_port_range='32768 60999'");
}
CHANNEL(equal_tuples, .name = "netns/tcp4-both-on-loopback", .hook = "socket_sendmsg",
	.carrier = "socket", .flags = BOTH, .setup = setup_equal_tuples, .send = send_all,
	.receive = receive_all, .teardown = no_veth);

/* --- address translation ------------------------------------------------------ */

/* Both families; a guest may have but one of the tables. */
static int translate(const char *tables, const char *rules)
{
	char list[64];
	int error = veth();

	if (error)
		return error;
	snprintf(list, sizeof(list), "%s -t nat -L -n", tables);
	if (shell(list))
		return absent("no such nat table");
	return shell(rules);
}

static void no_translation(struct run *r)
{
	shell("iptables -t nat -F || true; ip6tables -t nat -F || true");
	no_veth(r);
}

#define OUTPUT(tables, protocol, to, port)                                                         \
	tables " -t nat -A OUTPUT -p " protocol " -d " to " --dport " port " -j "
#define OUTPUT_BOTH(tables, to, port, target)                                                      \
	OUTPUT(tables, "tcp", to, port) target ";" OUTPUT(tables, "udp", to, port) target ";"

static int redirect(void)
{
	return translate("iptables",
			 OUTPUT_BOTH("iptables", OTHER, "7410", "REDIRECT --to-ports 7411"));
}

static int redirect6(void)
{
	return translate("ip6tables",
			 OUTPUT_BOTH("ip6tables", OTHER6, "7410", "REDIRECT --to-ports 7411"));
}

static int publish(void)
{
	return translate("iptables",
			 OUTPUT_BOTH("iptables", OWN, "7412",
				     "DNAT --to-destination " THERE
				     ":7413") "iptables -t nat -A PREROUTING -p tcp -d " HERE
					      " --dport 7414 -j REDIRECT --to-ports 7415");
}

static int publish6(void)
{
	return translate("ip6tables", OUTPUT_BOTH("ip6tables", OWN6, "7412",
						  "DNAT --to-destination [" THERE6 "]:7413"));
}

CONNECTED(redirect_tcp, "nat/redirect-tcp4", "socket_sendmsg", redirect, no_translation,
	  .host = "0.0.0.0", .port = 7411, .to = OTHER, .to_port = 7410, .type = SOCK_STREAM);
CONNECTED(redirect_udp, "nat/redirect-udp4", "socket_sendmsg,route_me_harder", redirect,
	  no_translation, .host = "0.0.0.0", .port = 7411, .to = OTHER, .to_port = 7410,
	  .type = SOCK_DGRAM);
CONNECTED(redirect_tcp6, "nat/redirect-tcp6", "socket_sendmsg", redirect6, no_translation,
	  .host = "::", .port = 7411, .to = OTHER6, .to_port = 7410, .type = SOCK_STREAM);
CONNECTED(redirect_udp6, "nat/redirect-udp6", "socket_sendmsg,route6_me_harder", redirect6,
	  no_translation, .host = "::", .port = 7411, .to = OTHER6, .to_port = 7410,
	  .type = SOCK_DGRAM);
CONNECTED(publish_tcp, "nat/published-port-tcp4", "socket_sendmsg", publish, no_translation,
	  .receiver = "kt", .host = THERE, .port = 7413, .to = OWN, .to_port = 7412,
	  .type = SOCK_STREAM);
CONNECTED(publish_udp, "nat/published-port-udp4", "socket_sendmsg,route_me_harder", publish,
	  no_translation, .receiver = "kt", .host = "0.0.0.0", .port = 7413, .to = OWN,
	  .to_port = 7412, .type = SOCK_DGRAM);
CONNECTED(publish_tcp6, "nat/published-port-tcp6", "socket_sendmsg", publish6, no_translation,
	  .receiver = "kt", .host = THERE6, .port = 7413, .to = OWN6, .to_port = 7412,
	  .type = SOCK_STREAM);
CONNECTED(publish_udp6, "nat/published-port-udp6", "socket_sendmsg,route6_me_harder", publish6,
	  no_translation, .receiver = "kt", .host = "::", .port = 7413, .to = OWN6, .to_port = 7412,
	  .type = SOCK_DGRAM);
CONNECTED(forwarded_tcp, "nat/prerouting-tcp4", "socket_sendmsg", publish, no_translation,
	  .sender = "kt", .host = "0.0.0.0", .port = 7415, .to = HERE, .to_port = 7414,
	  .type = SOCK_STREAM);

/* This host's own address, but what is sent there leaves it. */
static int connect_away(struct run *r, const char *own, int type)
{
	struct sockaddr_storage to;
	socklen_t length = address(&to, own, 7416);
	int error =
		to.ss_family == AF_INET
			? translate("iptables", OUTPUT_BOTH("iptables", OWN, "7416",
							    "DNAT --to-destination 10.9.0.1:9000"))
			: translate("ip6tables",
				    OUTPUT_BOTH("ip6tables", OWN6, "7416",
						"DNAT --to-destination [fd00:9::1]:9000"));

	if (error)
		return error;
	r->fd[1] = socket(to.ss_family, type | SOCK_CLOEXEC, 0);
	return result(connect(r->fd[1], (void *)&to, length));
}

#define AWAY(id, text, hooks, own, what, record)                                                   \
	static int id(struct run *r)                                                               \
	{                                                                                          \
		return connect_away(r, own, what);                                                 \
	}                                                                                          \
	CHANNEL(id, .name = "leak/dnat-" text, .hook = hooks, .flags = LEAK, .size = 1024,         \
		.setup = id, .leak = record, .send = send_all, .teardown = no_translation)

AWAY(away_tcp, "tcp4", "socket_sendmsg", OWN, SOCK_STREAM,
     "kind=unresolved destination.transport=tcp destination.address=" OWN " destination.port=7416");
AWAY(away_udp, "udp4", "route_me_harder", OWN, SOCK_DGRAM,
     "kind=remote destination.transport=udp destination.address=10.9.0.1 destination.port=9000");
AWAY(away_tcp6, "tcp6", "socket_sendmsg", OWN6, SOCK_STREAM,
     "kind=unresolved destination.transport=tcp destination.address=" OWN6
     " destination.port=7416");
AWAY(away_udp6, "udp6", "route6_me_harder", OWN6, SOCK_DGRAM,
     "kind=remote destination.transport=udp destination.address=fd00:9::1 destination.port=9000");

/* --- groups -------------------------------------------------------------------- */

static int setup_group(struct run *r, const char *bound, const char *to_host, int port)
{
	struct ip_mreqn member = { .imr_multiaddr.s_addr = inet_addr("239.77.0.1"),
				   .imr_address.s_addr = inet_addr(OWN) };
	struct sockaddr_storage at, to;
	socklen_t at_length = address(&at, bound, port), to_length = address(&to, to_host, port);
	int one = 1;

	r->fd[0] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	r->fd[1] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (bind(r->fd[0], (void *)&at, at_length) ||
	    setsockopt(r->fd[0], IPPROTO_IP, IP_ADD_MEMBERSHIP, &member, sizeof(member)) ||
	    setsockopt(r->fd[1], IPPROTO_IP, IP_MULTICAST_IF, &member, sizeof(member)) ||
	    setsockopt(r->fd[1], SOL_SOCKET, SO_BROADCAST, &one, sizeof(one)) ||
	    connect(r->fd[1], (void *)&to, to_length))
		return -errno;
	return 0;
}

static int setup_multicast(struct run *r)
{
	return setup_group(r, "239.77.0.1", "239.77.0.1", 7420);
}

static int setup_broadcast(struct run *r)
{
	return setup_group(r, "0.0.0.0", "10.9.0.255", 7421);
}

CHANNEL(multicast, .name = "udp4/multicast", .hook = "socket_sendmsg", .carrier = "socket",
	.flags = BOTH, .size = 1024, .setup = setup_multicast, .send = send_all,
	.receive = receive_all);
CHANNEL(broadcast, .name = "udp4/broadcast", .hook = "socket_sendmsg", .carrier = "socket",
	.flags = BOTH, .size = 1024, .setup = setup_broadcast, .send = send_all,
	.receive = receive_all);

/* --- fast open over loopback ------------------------------------------------------ */

#define FASTOPEN_PORT 7422

/* Both ends without cookies, so that the SYN carries data (ip-sysctl, tcp_fastopen). */
static int setup_fastopen(struct run *r)
{
	struct sockaddr_storage at;
	socklen_t length = address(&at, "127.0.0.1", FASTOPEN_PORT);
	int queue = 4, one = 1;

	if (shell("sysctl -w net.ipv4.tcp_fastopen=1543"))
		return absent("no TCP fast open");
	r->fd[2] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(r->fd[2], SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(r->fd[2], (void *)&at, length) || listen(r->fd[2], 4) ||
	    setsockopt(r->fd[2], IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof(queue)))
		return -errno;
	return 0;
}

static int send_fastopen(struct run *r, const void *data, size_t size)
{
	struct sockaddr_storage to;
	socklen_t length = address(&to, "127.0.0.1", FASTOPEN_PORT);

	r->fd[3] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return result(sendto(r->fd[3], data, size, MSG_FASTOPEN, (void *)&to, length));
}

/* The sending socket has gone before anybody reads. */
static int send_fastopen_and_close(struct run *r, const void *data, size_t size)
{
	int error = send_fastopen(r, data, size);

	close(r->fd[3]);
	return error;
}

static int receive_fastopen(struct run *r, void *data, size_t size)
{
	r->fd[0] = accept4(r->fd[2], NULL, NULL, SOCK_CLOEXEC);
	return r->fd[0] < 0 ? -errno : receive_all(r, data, size);
}

static void no_fastopen(struct run *r)
{
	(void)r;
	shell("sysctl -w net.ipv4.tcp_fastopen=1");
}

CHANNEL(fastopen, .name = "tcp4/msg-fastopen", .hook = "socket_sendmsg", .carrier = "socket",
	.flags = BOTH, .size = 1024, .setup = setup_fastopen, .send = send_fastopen,
	.receive = receive_fastopen, .teardown = no_fastopen);
CHANNEL(fastopen_closed, .name = "tcp4/msg-fastopen-and-close", .hook = "socket_sendmsg",
	.carrier = "socket", .size = 1024, .setup = setup_fastopen, .send = send_fastopen_and_close,
	.receive = receive_fastopen, .teardown = no_fastopen);
