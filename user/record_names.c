// SPDX-License-Identifier: GPL-2.0
/* Words for numbers: the vocabulary of the records. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "record.h"

#define NAME_OF(table, i)                                                                          \
	((i) < sizeof(table) / sizeof((table)[0]) && (table)[i] ? (table)[i] : "unknown")

const char *record_label(const struct record_context *ctx, unsigned int bit, char buf[KT_LABEL_LEN])
{
	const char *name = policy_label(ctx->policy, bit);

	if (name)
		return name;
	if (!ctx->wires || !wires_label(ctx->wires, bit, buf))
		snprintf(buf, KT_LABEL_LEN, "label_%u", bit);
	return buf;
}

const char *record_type_name(uint32_t type)
{
	static const char *const names[] = {
		[KT_RECORD_SPREAD] = "spread",	 [KT_RECORD_LEAK] = "leak",
		[KT_RECORD_GONE] = "gone",	 [KT_RECORD_LOST] = "lost",
		[KT_RECORD_ALLOWED] = "allowed",
	};

	return NAME_OF(names, type);
}

const char *record_guest_event_name(uint32_t event)
{
	static const char *const names[] = {
		[GUEST_ARMED] = "armed",     [GUEST_CHANGED] = "changed",   [GUEST_GONE] = "gone",
		[GUEST_REFUSED] = "refused", [GUEST_RESTORED] = "restored",
	};

	return NAME_OF(names, event);
}

const char *record_flow_name(uint32_t flow)
{
	static const char *const names[] = {
		[KT_FLOW_NONE] = "none",
		[KT_FLOW_POLICY] = "policy",
		[KT_FLOW_READ] = "read",
		[KT_FLOW_WRITE] = "write",
		[KT_FLOW_MMAP] = "mmap",
		[KT_FLOW_SEND] = "send",
		[KT_FLOW_RECEIVE] = "receive",
		[KT_FLOW_FORK] = "fork",
		[KT_FLOW_SHARED_MM] = "shared_mm",
		[KT_FLOW_SPLICE] = "splice",
		[KT_FLOW_BEFORE_ATTACH] = "before_attach",
		[KT_FLOW_USERFAULT] = "userfault",
		[KT_FLOW_PEEK] = "peek",
		[KT_FLOW_POKE] = "poke",
		[KT_FLOW_CORE_DUMP] = "core_dump",
		[KT_FLOW_STORED] = "stored",
		[KT_FLOW_WIRE] = "wire",
	};

	_Static_assert(sizeof(names) / sizeof(names[0]) == KT_FLOW_MAX, "a flow has no name");
	return NAME_OF(names, flow);
}

const char *record_kind_name(uint32_t kind)
{
	static const char *const names[] = {
		[KT_KIND_NONE] = "policy",	 [KT_KIND_FILE] = "file",
		[KT_KIND_PROCESS] = "process",	 [KT_KIND_PIPE] = "pipe",
		[KT_KIND_SOCKET] = "socket",	 [KT_KIND_MEMORY] = "memory",
		[KT_KIND_MESSAGE] = "message",	 [KT_KIND_KEY] = "key",
		[KT_KIND_DISK] = "disk",	 [KT_KIND_VM] = "vm",
		[KT_KIND_TERMINAL] = "terminal", [KT_KIND_FUSE] = "fuse",
		[KT_KIND_DEVICE] = "device",
	};

	return NAME_OF(names, kind);
}

const char *record_lost_name(uint32_t reason)
{
	static const char *const names[] = {
		[KT_LOST_NONE] = "unknown",
		[KT_LOST_GUEST_MEMORY] = "guest_memory",
		[KT_LOST_HOST_MEMORY] = "host_memory",
		[KT_LOST_SET_FULL] = "set_full",
		[KT_LOST_PENDING_FULL] = "pending_full",
		[KT_LOST_WALK_BOUND] = "walk_bound",
		[KT_LOST_RECURSION] = "recursion",
		[KT_LOST_RING_FULL] = "ring_full",
		[KT_LOST_WIRE_FULL] = "wire_full",
	};

	_Static_assert(sizeof(names) / sizeof(names[0]) == KT_LOST_MAX, "a loss has no name");
	return NAME_OF(names, reason);
}

const char *record_leak_name(uint32_t kind)
{
	static const char *const names[] = {
		[KT_LEAK_REMOTE] = "remote",	     [KT_LEAK_UNRESOLVED] = "unresolved",
		[KT_LEAK_FILESYSTEM] = "filesystem", [KT_LEAK_DEVICE] = "device",
		[KT_LEAK_CONSOLE] = "console",
	};

	return NAME_OF(names, kind);
}

const char *record_verdict_name(uint32_t verdict)
{
	static const char *const names[] = {
		[KT_VERDICT_NONE] = "none",	    [KT_VERDICT_ALLOWED] = "allowed",
		[KT_VERDICT_REPORTED] = "reported", [KT_VERDICT_BLOCKED] = "blocked",
		[KT_VERDICT_PAUSED] = "paused",	    [KT_VERDICT_FAILED] = "failed",
	};

	_Static_assert(sizeof(names) / sizeof(names[0]) == KT_VERDICT_MAX, "a verdict has no name");
	return NAME_OF(names, verdict);
}

const char *record_obstacle_name(uint32_t obstacle)
{
	static const char *const names[] = {
		[KT_OBSTACLE_NONE] = "none",
		[KT_OBSTACLE_NO_MESSAGE] = "no_message",
		[KT_OBSTACLE_NO_FIELD] = "no_field",
		[KT_OBSTACLE_NOT_RAM] = "not_ram",
		[KT_OBSTACLE_STALE_MEMSLOT] = "stale_memslot",
		[KT_OBSTACLE_READ_ONLY] = "read_only",
		[KT_OBSTACLE_DIRTY_LOG] = "dirty_log",
		[KT_OBSTACLE_CHANGED] = "changed",
		[KT_OBSTACLE_NOT_WRITABLE] = "not_writable",
		[KT_OBSTACLE_NOT_STOPPED] = "not_stopped",
		[KT_OBSTACLE_RUNNING] = "running",
	};

	_Static_assert(sizeof(names) / sizeof(names[0]) == KT_OBSTACLE_MAX,
		       "an obstacle has no name");
	return NAME_OF(names, obstacle);
}

const char *record_counter_name(uint32_t counter)
{
	static const char *const names[] = {
		[KT_COUNT_EXITS] = "exits",
		[KT_COUNT_TRAPS] = "traps",
		[KT_COUNT_FOREIGN_INVD] = "foreign_invd",
		[KT_COUNT_NESTED] = "nested",
		[KT_COUNT_SECOND_ROAD] = "second_road",
		[KT_COUNT_HOST_FAULT] = "host_fault",
		[KT_COUNT_GUEST_FAULT] = "guest_fault",
		[KT_COUNT_RETRIED] = "retried",
		[KT_COUNT_SCANS] = "scans",
		[KT_COUNT_RESCANS] = "rescans",
		[KT_COUNT_JUDGED] = "judged",
		[KT_COUNT_RECORDS] = "records",
		[KT_COUNT_RECORDS_LOST] = "records_lost",
		[KT_COUNT_PENDING_LOST] = "pending_lost",
	};

	_Static_assert(sizeof(names) / sizeof(names[0]) == KT_COUNT_MAX, "a counter has no name");
	return NAME_OF(names, counter);
}

const char *record_socket_type_name(uint32_t type)
{
	static const char *const names[] = {
		[SOCK_STREAM] = "stream", [SOCK_DGRAM] = "dgram",	  [SOCK_RAW] = "raw",
		[SOCK_RDM] = "rdm",	  [SOCK_SEQPACKET] = "seqpacket", [SOCK_DCCP] = "dccp",
	};

	return NAME_OF(names, type);
}

const char *record_family_name(uint32_t family, char *buf, size_t len)
{
	switch (family) {
	case AF_UNSPEC:
		return "unknown";
	case AF_UNIX:
		return "unix";
	case AF_INET:
		return "inet";
	case AF_INET6:
		return "inet6";
	case AF_NETLINK:
		return "netlink";
	case AF_PACKET:
		return "packet";
	case AF_VSOCK:
		return "vsock";
	}
	snprintf(buf, len, "af_%u", family);
	return buf;
}

const char *record_protocol_name(const struct kt_object *socket, char *buf, size_t len)
{
	/* Elsewhere the protocol is a number of the family's own. */
	if (socket->family != AF_INET && socket->family != AF_INET6)
		return record_socket_type_name(socket->type);
	switch (socket->protocol) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_ICMP:
		return "icmp";
	case IPPROTO_ICMPV6:
		return "icmpv6";
	case IPPROTO_SCTP:
		return "sctp";
	case IPPROTO_UDPLITE:
		return "udplite";
	case IPPROTO_DCCP:
		return "dccp";
	case IPPROTO_MPTCP:
		return "mptcp";
	case 0:
		return record_socket_type_name(socket->type);
	}
	snprintf(buf, len, "ip_%u", socket->protocol);
	return buf;
}

const char *record_syscall_name(const struct kt_record *rec, char *buf, size_t len)
{
	uint32_t arch = rec->flags & KT_RECORD_COMPAT ? SCMP_ARCH_X86 : SCMP_ARCH_X86_64;
	char *name = seccomp_syscall_resolve_num_arch(arch, rec->syscall);

	if (name)
		snprintf(buf, len, "%s", name);
	else
		snprintf(buf, len, "syscall_%d", rec->syscall);
	free(name);
	return buf;
}

const char *record_address(const struct kt_endpoint *endpoint, char *buf, size_t len)
{
	if (endpoint->family != AF_INET && endpoint->family != AF_INET6)
		return NULL;
	return inet_ntop(endpoint->family, endpoint->address, buf, len);
}

uint32_t record_endpoint_word(const struct kt_endpoint *endpoint, unsigned int n)
{
	uint32_t word;

	memcpy(&word, endpoint->address + 4 * n, sizeof(word));
	return word;
}

const char *record_mac(const struct kt_endpoint *endpoint, char *buf, size_t len)
{
	size_t at = 0;

	if (!endpoint->port || endpoint->port > 8 || len < 3U * endpoint->port)
		return NULL;
	for (unsigned int i = 0; i < endpoint->port; i++)
		at += snprintf(buf + at, len - at, i ? ":%02x" : "%02x", endpoint->address[4 + i]);
	return buf;
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

int64_t record_clock_offset(void)
{
	uint64_t before = clock_ns(CLOCK_MONOTONIC), real = clock_ns(CLOCK_REALTIME);
	uint64_t after = clock_ns(CLOCK_MONOTONIC);

	return real - (before + (after - before) / 2);
}

uint64_t record_now(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

void record_time(const struct record_context *ctx, uint64_t time_ns, char *buf, size_t len)
{
	uint64_t ns = time_ns + ctx->clock_offset_ns;
	time_t seconds = ns / 1000000000ULL;
	struct tm tm;
	size_t n;

	gmtime_r(&seconds, &tm);
	n = strftime(buf, len, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + n, len - n, ".%09uZ", (unsigned int)(ns % 1000000000ULL));
}

const struct kt_object *record_path_owner(const struct kt_record *rec)
{
	if (!rec->path_len)
		return NULL;
	if (rec->target.kind == KT_KIND_FILE || rec->target.kind == KT_KIND_DISK)
		return &rec->target;
	if (rec->source.kind == KT_KIND_FILE || rec->source.kind == KT_KIND_DISK)
		return &rec->source;
	return NULL;
}

size_t record_unix_name(const struct kt_object *socket, const char **name, bool *abstract)
{
	size_t len = socket->name_len;

	if (len > sizeof(socket->name))
		len = sizeof(socket->name);
	*name = socket->name;
	*abstract = len && !socket->name[0];
	if (*abstract) {
		(*name)++;
		return len - 1;
	}
	return strnlen(socket->name, len);
}
