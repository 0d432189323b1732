// SPDX-License-Identifier: GPL-2.0
/*
 * INET sends by the engine run natively over RAM images of five guest kernels: for
 * how long a guest can have its tables looked through, forged or honest; receivers
 * whose numbers move meanwhile; datagrams that IPv6 NAT sends elsewhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <time.h>

#include "play_world.h"

#define MEMORY_GPA  (1ULL << 36) /* of a memslot of the test's own */
#define MEMORY_SIZE (32ULL << 20)
#define TABLE_AT    0
#define SOCKETS_AT  (9ULL << 20)
#define NETS_AT	    (24ULL << 20)
#define DEVICE_AT   (28ULL << 20)
#define STRIDE	    4096 /* room for a sock, or a net */
#define CHAIN	    120 /* as long as one may be, or nearly */
#define NETS	    256
#define PORT	    5353
#define GROUP	    0xfb0000e0U /* 224.0.0.251, as in memory */
#define OUTSIDE	    0x097100cbU /* 203.0.113.9 */
#define SLACK	    (1U << 20) /* SEQUENCE_SLACK of the engine */
#define FAST_MS	    500 /* CPU time of an event; without a bound these take seconds */

/* --- the guest's memory ------------------------------------------------------ */

static char *memory;

/* The VM gets a memslot more, with nothing in it. */
static void add_memory(struct play *p)
{
	int fd = engine_map_fd(p->w.engine, "memory"), cpus = libbpf_num_possible_cpus();
	struct kt_memory *snapshots = calloc(cpus, sizeof(*snapshots));
	uint32_t zero = 0;

	assert_int_equal(sizeof(*snapshots) % 8, 0);
	if (!memory)
		memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	memset(memory, 0, MEMORY_SIZE);
	assert_int_equal(bpf_map_lookup_elem(fd, &zero, snapshots), 0);
	for (int i = 0; i < cpus; i++) {
		assert_int_equal(snapshots[i].count, 1);
		snapshots[i].slots[snapshots[i].count++] = (struct kt_slot){
			.gfn = MEMORY_GPA >> 12,
			.npages = MEMORY_SIZE >> 12,
			.hva = (uintptr_t)memory,
		};
	}
	assert_int_equal(bpf_map_update_elem(fd, &zero, snapshots, BPF_ANY), 0);
	free(snapshots);
}

/* Where the guest has a byte of that memory. */
static uint64_t gva(const struct play *p, uint64_t at)
{
	return p->w.profile->guest.direct_map + MEMORY_GPA + at;
}

static void put(uint64_t at, uint64_t value, size_t size)
{
	assert_true(at + size <= MEMORY_SIZE);
	memcpy(memory + at, &value, size);
}

static void poke(struct play *p, uint64_t to, uint64_t value, size_t size)
{
	memcpy(private_byte(&p->w, to), &value, size);
}

static uint64_t socket_of(struct play *p, const char *name)
{
	return holders_socket(&p->w, p->series, name);
}

static uint64_t sock_of(struct play *p, const char *name)
{
	return peek(&p->w, socket_of(p, name) + p->w.profile->guest.socket_sk, 8);
}

/* --- its tables ---------------------------------------------------------------- */

static uint64_t net(struct play *p, uint32_t n)
{
	return gva(p, NETS_AT + (uint64_t)n * STRIDE);
}

/*
 * A chain of sockets in the test's memory, each nearly the one that is wanted, as that takes
 * longest; they are in a namespace of their own. Returns the guest address of the first node.
 */
static uint64_t make_chain(struct play *p, uint32_t count)
{
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t client = sock_of(p, "tcp4_client"), end = 1;
	uint32_t una = peek(&p->w, client + g->tcp_snd_una, 4) + SLACK / 2;
	uint32_t nxt = peek(&p->w, client + g->tcp_rcv_nxt, 4) + SLACK / 2;

	for (uint32_t n = count; n--;) {
		uint64_t sk = SOCKETS_AT + (uint64_t)n * STRIDE;

		put(sk + g->skc_node, end, 8);
		put(sk + g->skc_state, 1, 1);
		put(sk + g->skc_num, PORT, 2);
		put(sk + g->skc_net, net(p, NETS), 8);
		put(sk + g->tcp_rcv_nxt, una, 4);
		put(sk + g->tcp_snd_una, nxt, 4);
		put(sk + g->tcp_snd_nxt, nxt, 4);
		end = gva(p, sk + g->skc_node);
	}
	return end;
}

/* A table of so many buckets, every one of the first used ones with this chain. */
static uint64_t make_table(struct play *p, uint32_t buckets, uint32_t stride, uint32_t used,
			   uint64_t chain)
{
	assert_true((uint64_t)buckets * stride <= SOCKETS_AT);
	for (uint32_t n = 0; n < buckets; n++)
		put(TABLE_AT + (uint64_t)n * stride, n < used ? chain : 1, 8);
	return gva(p, TABLE_AT);
}

static void tcp_table_is(struct play *p, uint64_t table, uint32_t buckets)
{
	const struct kt_guest *g = &p->w.profile->guest;

	poke(p, g->sym_tcp_hashinfo + g->hashinfo_ehash, table, 8);
	poke(p, g->sym_tcp_hashinfo + g->hashinfo_ehash_mask, buckets - 1, 4);
}

static void udp_table_is(struct play *p, uint64_t table, uint32_t buckets)
{
	const struct kt_guest *g = &p->w.profile->guest;

	poke(p, g->sym_udp_table + g->udp_table_hash, table, 8);
	poke(p, g->sym_udp_table + g->udp_table_mask, buckets - 1, 4);
}

/*
 * Network namespaces beside the first. Each has as many devices and addresses as
 * it wants to have: one of each leads back to itself, if it is hostile.
 */
static void make_nets(struct play *p, uint32_t count, bool hostile)
{
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t device = DEVICE_AT, in = DEVICE_AT + STRIDE, address = in + STRIDE;

	for (uint32_t n = 0; n < count; n++) {
		uint64_t at = NETS_AT + (uint64_t)n * STRIDE;

		put(at + g->net_list,
		    n + 1 < count ? net(p, n + 1) + g->net_list : g->sym_net_namespace_list, 8);
		put(at + g->net_dev_base_head,
		    hostile ? gva(p, device + g->netdev_list) : gva(p, at + g->net_dev_base_head),
		    8);
	}
	put(device + g->netdev_list, gva(p, device + g->netdev_list), 8);
	put(device + g->netdev_ip_ptr, gva(p, in), 8);
	put(in + g->in_device_ifa_list, gva(p, address), 8);
	put(address + g->ifa_next, gva(p, address), 8);
	/* The first one's entry is the list's first, and leads to ours. */
	poke(p, peek(&p->w, g->sym_net_namespace_list, 8), net(p, 0) + g->net_list, 8);
}

/* --- sends -------------------------------------------------------------------- */

static double cpu_ms(void)
{
	struct timespec now;

	assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), 0);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

/* SENDER sends on a socket of the image; the CPU time that it takes, in ms. */
static double sends(struct play *p, const char *name)
{
	double before = cpu_ms();

	hook4(p, KT_HOOK_socket_sendmsg, SENDER, socket_of(p, name), 0, 10, 0);
	return cpu_ms() - before;
}

/* The one that takes the pages in, before the one whose time counts. */
static void sends_in_time(struct play *p, const char *name)
{
	double ms;

	sends(p, name);
	assert_int_equal(engine_forget_caches(p->w.engine), 0);
	ms = sends(p, name);
	if (getenv("KT_TELL"))
		print_message("%s: %.1f ms\n", name, ms);
	if (ms > FAST_MS)
		fail_msg("%s: %.1f ms", name, ms);
}

static void is_lost_and_a_leak(struct play *p, enum kt_leak_kind kind)
{
	assert_int_equal(p->count, 2);
	assert_int_equal(p->records[0].type, KT_RECORD_LOST);
	assert_int_equal(p->records[0].lost, KT_LOST_WALK_BOUND);
	assert_int_equal(p->records[1].type, KT_RECORD_LEAK);
	assert_int_equal(p->records[1].leak_kind, kind);
}

/* tcp4_client's receiver is found. */
static void joins(struct play *p)
{
	sends(p, "tcp4_client");
	assert_int_equal(p->count, 1);
	assert_int_equal(p->records[0].type, KT_RECORD_SPREAD);
	assert_int_equal(object(p, "sockets", sock_of(p, "tcp4_server")), 1);
}

/* The datagrams of udp_connected go to this address and PORT from now on. */
static void datagrams_go_to(struct play *p, uint32_t address)
{
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t sk = sock_of(p, "udp_connected");

	poke(p, sk + g->skc_daddr, address, 4);
	poke(p, sk + g->skc_dport, htons(PORT), 2);
}

/* --- fixture ------------------------------------------------------------------- */

static int set_up(void **state)
{
	play_open(state, &(struct world){ .terminals = KT_TERMINALS_SHOWN });
	if (((struct play *)*state)->w.engine)
		add_memory(*state);
	return 0;
}

/* --- how much one event looks at ----------------------------------------------- */

static void a_forged_tcp_table_costs_no_more(void **state)
{
	struct play *p = play(state);
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t info = g->sym_tcp_hashinfo, table = peek(&p->w, info + g->hashinfo_ehash, 8);
	uint32_t buckets = peek(&p->w, info + g->hashinfo_ehash_mask, 4) + 1;

	sender_knows(p);
	tcp_table_is(p, make_table(p, 1 << 16, g->ehash_bucket_size, 1 << 16, make_chain(p, CHAIN)),
		     1 << 16);
	sends_in_time(p, "tcp4_client");
	is_lost_and_a_leak(p, KT_LEAK_UNRESOLVED);
	/* And nothing is believed of what was not looked at. */
	tcp_table_is(p, table, buckets);
	sends(p, "tcp4_client");
	assert_int_equal(object(p, "sockets", sock_of(p, "tcp4_server")), 1);
}

static void forged_sockets_behind_page_tables_cost_no_more(void **state)
{
	struct play *p = play(state);
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t stack = peek(&p->w, p->w.bystander + g->task_stack, 8);

	/* In vmalloc's space, each socket 16 bytes behind the other. */
	assert_true(stack - g->direct_map >= g->direct_map_size);
	for (uint32_t n = 0; n < CHAIN; n++)
		poke(p, stack + 2048 + n * 16, n + 1 < CHAIN ? stack + 2048 + (n + 1) * 16 : 1, 8);
	sender_knows(p);
	tcp_table_is(p, make_table(p, 1 << 16, g->ehash_bucket_size, 1 << 14, stack + 2048),
		     1 << 16);
	sends_in_time(p, "tcp4_client");
	is_lost_and_a_leak(p, KT_LEAK_UNRESOLVED);
}

/* Every namespace's sockets are looked at for a group, and none is where its port tells. */
static void forged_namespaces_cost_no_more(void **state)
{
	struct play *p = play(state);
	const struct kt_guest *g = &p->w.profile->guest;

	sender_knows(p);
	make_nets(p, NETS - 1, false);
	udp_table_is(p, make_table(p, 1 << 12, g->udp_hslot_size, 1 << 12, make_chain(p, 16)),
		     1 << 12);
	datagrams_go_to(p, GROUP);
	sends_in_time(p, "udp_connected");
	is_lost_and_a_leak(p, KT_LEAK_REMOTE);
}

static void forged_addresses_cost_no_more(void **state)
{
	struct play *p = play(state);

	sender_knows(p);
	make_nets(p, NETS - 1, true);
	datagrams_go_to(p, OUTSIDE);
	sends_in_time(p, "udp_connected");
	is_lost_and_a_leak(p, KT_LEAK_REMOTE);
}

/* 524,288 buckets with 150,000 sockets of other connections, and in the last one tcp4_server. */
static void make_great_table(struct play *p)
{
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t server = sock_of(p, "tcp4_server"), chain = make_chain(p, 1);
	uint32_t buckets = 1 << 19;

	put(SOCKETS_AT + g->tcp_rcv_nxt, peek(&p->w, server + g->tcp_rcv_nxt, 4) + (1U << 30), 4);
	tcp_table_is(p, make_table(p, buckets, g->ehash_bucket_size, 150000, chain), buckets);
	put(TABLE_AT + (uint64_t)(buckets - 1) * g->ehash_bucket_size, server + g->skc_node, 8);
}

static void a_great_tcp_table_is_looked_through(void **state)
{
	struct play *p = play(state);

	sender_knows(p);
	make_great_table(p);
	joins(p);
}

/* 65,536 buckets, 256 namespaces, and not known yet by what a socket's bucket goes. */
static void many_namespaces_are_looked_through(void **state)
{
	struct play *p = play(state);
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t member = sock_of(p, "udp_bound"), home = net(p, NETS - 2);
	uint32_t buckets = 1 << 16, mix = 12345;

	sender_knows(p);
	make_nets(p, NETS - 1, false);
	udp_table_is(p, make_table(p, buckets, g->udp_hslot_size, 0, 0), buckets);
	datagrams_go_to(p, GROUP);
	/* No socket has that port; then one has it, in the last namespace. */
	sends(p, "udp_connected");
	assert_int_equal(p->count, 1);
	assert_int_equal(p->records[0].leak_kind, KT_LEAK_REMOTE);
	put(NETS_AT + (NETS - 2) * STRIDE + g->net_hash_mix, mix, 4);
	put(TABLE_AT + (uint64_t)((PORT + mix) % buckets) * g->udp_hslot_size, member + g->skc_node,
	    8);
	poke(p, member + g->skc_node, 0, 8);
	poke(p, member + g->skc_net, home, 8);
	poke(p, member + g->skc_num, PORT, 2);
	poke(p, member + g->skc_rcv_saddr, 0, 4);
	sends(p, "udp_connected");
	assert_int_equal(p->count, 2);
	assert_int_equal(p->records[0].type, KT_RECORD_SPREAD);
	assert_int_equal(p->records[1].leak_kind, KT_LEAK_REMOTE);
	assert_int_equal(object(p, "sockets", member), 1);
	/* And each of them has its addresses looked at. */
	datagrams_go_to(p, OUTSIDE);
	sends(p, "udp_connected");
	assert_int_equal(p->count, 1);
	assert_int_equal(p->records[0].leak_kind, KT_LEAK_REMOTE);
}

/* --- numbers that move -------------------------------------------------------- */

/* How much further one end of a connection is in what it has sent than the other one says. */
static void is_ahead(struct play *p, const char *name, int32_t by)
{
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t sk = sock_of(p, name);

	poke(p, sk + g->tcp_snd_una, peek(&p->w, sk + g->tcp_snd_una, 4) + by, 4);
	poke(p, sk + g->tcp_snd_nxt, peek(&p->w, sk + g->tcp_snd_nxt, 4) + by, 4);
}

static void leaks(struct play *p)
{
	sends(p, "tcp4_client");
	assert_int_equal(p->count, 1);
	assert_int_equal(p->records[0].type, KT_RECORD_LEAK);
	assert_int_equal(p->records[0].leak_kind, KT_LEAK_UNRESOLVED);
}

static void pause_ms(uint32_t ms)
{
	struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	assert_int_equal(nanosleep(&time, NULL), 0);
}

static void a_missed_receiver_is_looked_for_again(void **state)
{
	struct play *p = play(state);

	sender_knows(p);
	is_ahead(p, "tcp4_server", 4 * SLACK);
	leaks(p);
	is_ahead(p, "tcp4_server", -4 * SLACK);
	/* Not at each send: each look is a scan of the whole table. */
	leaks(p);
	pause_ms(1050);
	joins(p);
}

static void who_has_no_receiver_is_looked_at_ever_more_rarely(void **state)
{
	struct play *p = play(state);

	sender_knows(p);
	is_ahead(p, "tcp4_server", 4 * SLACK);
	leaks(p);
	pause_ms(1050);
	leaks(p);
	is_ahead(p, "tcp4_server", -4 * SLACK);
	pause_ms(1050);
	leaks(p);
	pause_ms(1000);
	joins(p);
}

/* A fast open: what came with the SYN is read before its sender has seen the answer. */
static void what_comes_with_a_syn_is_found(void **state)
{
	struct play *p = play(state);
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t client = sock_of(p, "tcp4_client"), server = sock_of(p, "tcp4_server");
	uint32_t first = peek(&p->w, server + g->tcp_rcv_nxt, 4) + 4 * SLACK;

	sender_knows(p);
	poke(p, client + g->skc_state, 2, 1); /* TCP_SYN_SENT */
	leaks(p);
	poke(p, client + g->tcp_snd_una, first, 4);
	poke(p, client + g->tcp_snd_nxt, first, 4);
	poke(p, client + g->tcp_write_seq, first + 1 + 100, 4);
	poke(p, client + g->tcp_rcv_nxt, 0, 4);
	/* Somebody else's data: there is no SYN that has so much. */
	poke(p, server + g->tcp_rcv_nxt, first + 1 + 200, 4);
	hook(p, KT_HOOK_socket_recvmsg, RECEIVER, socket_of(p, "tcp4_server"), 0);
	assert_int_equal(process(p, RECEIVER), 0);
	poke(p, server + g->tcp_rcv_nxt, first + 1 + 100, 4);
	hook(p, KT_HOOK_socket_recvmsg, RECEIVER, socket_of(p, "tcp4_server"), 0);
	assert_int_equal(process(p, RECEIVER), 1);
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

/* Both ends of a connection on another CPU. */
struct traffic {
	volatile uint32_t *sent[2][2], *received[2]; /* snd_una and snd_nxt; rcv_nxt */
	volatile bool runs, ends;
};

static void *both_ends_send(void *arg)
{
	struct traffic *t = arg;
	uint64_t then = engine_now_ns();

	pin(1);
	/* Up to 2 GB/s, each way. */
	for (; !t->ends; t->runs = true) {
		while (engine_now_ns() < then + 8000)
			;
		then = engine_now_ns();
		for (int end = 0; end < 2; end++) {
			*t->sent[end][1] += SLACK / 64;
			*t->received[!end] += SLACK / 64;
			*t->sent[end][0] += SLACK / 64;
		}
	}
	return NULL;
}

/* A scan takes long enough for megabytes to be sent, and the receiver is in the last bucket. */
static void a_receiver_under_traffic_is_found(void **state)
{
	struct play *p = play(state);
	const struct kt_guest *g = &p->w.profile->guest;
	const char *const ends[] = { "tcp4_client", "tcp4_server" };
	struct traffic traffic = {};
	pthread_t thread;
	cpu_set_t before;

	sched_getaffinity(0, sizeof(before), &before);
	if (CPU_COUNT(&before) < 2)
		skip();
	sender_knows(p);
	make_great_table(p);
	for (int end = 0; end < 2; end++) {
		uint64_t sk = sock_of(p, ends[end]);

		traffic.sent[end][0] = private_byte(&p->w, sk + g->tcp_snd_una);
		traffic.sent[end][1] = private_byte(&p->w, sk + g->tcp_snd_nxt);
		traffic.received[end] = private_byte(&p->w, sk + g->tcp_rcv_nxt);
	}
	assert_int_equal(pthread_create(&thread, NULL, both_ends_send, &traffic), 0);
	pin(0);
	while (!traffic.runs)
		sched_yield();
	sends(p, "tcp4_client");
	traffic.ends = true;
	assert_int_equal(pthread_join(thread, NULL), 0);
	sched_setaffinity(0, sizeof(before), &before);
	assert_int_equal(object(p, "sockets", sock_of(p, ends[1])), 1);
	assert_int_equal(p->count, 1);
}

/* --- IPv6 NAT ----------------------------------------------------------------- */

#define HEADERS_MAX 16
#define FRAGMENT    44
#define AH	    51
#define OPTIONS	    60

/*
 * A packet to ::1, with these headers behind that of IPv6; the last is one of 8 bytes
 * to the port of udp_bound. fragment: the offset of one that has a fragment header.
 */
static uint64_t make_packet(struct play *p, const uint8_t *headers, uint32_t count,
			    uint16_t fragment)
{
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t skb = blank(p), at = blank(p);

	set(&p->w, skb + g->skb_head, at, 8);
	set(&p->w, skb + g->skb_network_header, 64, 2);
	at += 64;
	set(&p->w, at + 4, htons(8), 2);
	set(&p->w, at + 6, headers[0], 1);
	set(&p->w, at + 39, 1, 1);
	at += 40;
	for (uint32_t n = 0; n + 1 < count; n++) {
		set(&p->w, at, headers[n + 1], 1);
		/* Of options and routing in 8 bytes beyond the first, of AH in 4 beyond two. */
		set(&p->w, at + 1, headers[n] == FRAGMENT ? 0 : headers[n] == AH ? 4 : 2, 1);
		if (headers[n] == FRAGMENT)
			set(&p->w, at + 2, htons(fragment << 3 | 1), 2);
		at += headers[n] == FRAGMENT ? 8 : 24;
	}
	set(&p->w, at, htons(4321), 2);
	set(&p->w, at + 2, htons(image_number(p->series, "udp_bound.port")), 2);
	set(&p->w, at + 4, htons(18), 2);
	return skb;
}

/* SENDER's packet is sent elsewhere by NAT. */
static void is_translated(struct play *p, const char *sender, uint64_t skb)
{
	hook4(p, KT_HOOK_route6_me_harder, SENDER, 0, sock_of(p, sender), skb, 0);
}

static void receiver_is_found_behind(struct play *p, const uint8_t *headers, uint32_t count)
{
	uint64_t receiver = sock_of(p, "udp_bound");

	is_translated(p, "udp_connected", make_packet(p, headers, count, 0));
	assert_int_equal(p->count, 1);
	assert_int_equal(p->records[0].type, KT_RECORD_SPREAD);
	assert_int_equal(object(p, "sockets", receiver), 1);
	hook(p, KT_HOOK_sk_free, SENDER, receiver, 0);
	assert_int_equal(object(p, "sockets", receiver), 0);
}

/* A socket of IPv6, on every address. */
static void receives_ipv6(struct play *p)
{
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t sk = sock_of(p, "udp_bound");

	poke(p, sk + g->skc_family, AF_INET6, 2);
	poke(p, sk + g->skc_v6_rcv_saddr, 0, 8);
	poke(p, sk + g->skc_v6_rcv_saddr + 8, 0, 8);
}

static void udp_is_found_behind_ipv6_extensions(void **state)
{
	static const uint8_t plain[] = { IPPROTO_UDP }, option[] = { OPTIONS, IPPROTO_UDP },
			     each[] = { 0, OPTIONS, 43, FRAGMENT, AH, OPTIONS, IPPROTO_UDP },
			     most[] = { 0,	 OPTIONS, OPTIONS, OPTIONS,    OPTIONS,
					OPTIONS, OPTIONS, OPTIONS, IPPROTO_UDP };
	struct play *p = play(state);

	sender_knows(p);
	receives_ipv6(p);
	receiver_is_found_behind(p, plain, sizeof(plain));
	receiver_is_found_behind(p, option, sizeof(option));
	receiver_is_found_behind(p, each, sizeof(each));
	receiver_is_found_behind(p, most, sizeof(most));
}

static void is_unresolved(struct play *p, uint64_t skb)
{
	is_translated(p, "udp_connected", skb);
	assert_int_equal(p->count, 1);
	assert_int_equal(p->records[0].type, KT_RECORD_LEAK);
	assert_int_equal(p->records[0].leak_kind, KT_LEAK_UNRESOLVED);
	assert_int_equal(p->records[0].target.remote.family, AF_INET6);
	assert_int_equal(p->records[0].target.remote.address[15], 1);
	assert_int_equal(p->records[0].target.remote.port, 0);
	assert_int_equal(object(p, "sockets", sock_of(p, "udp_bound")), 0);
}

static void udp_that_is_not_found_in_ipv6_is_a_leak(void **state)
{
	static const uint8_t fragment[] = { FRAGMENT, IPPROTO_UDP }, unknown[] = { 253 },
			     tcp[] = { OPTIONS, IPPROTO_TCP };
	struct play *p = play(state);
	uint8_t long_one[HEADERS_MAX];

	memset(long_one, OPTIONS, sizeof(long_one));
	long_one[9] = IPPROTO_UDP;
	sender_knows(p);
	receives_ipv6(p);
	is_unresolved(p, make_packet(p, long_one, 10, 0));
	is_unresolved(p, make_packet(p, fragment, sizeof(fragment), 100));
	is_unresolved(p, make_packet(p, unknown, sizeof(unknown), 0));
	/* Of TCP the receiver is found behind any translation. */
	is_translated(p, "tcp6_client", make_packet(p, tcp, sizeof(tcp), 0));
	assert_int_equal(p->count, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	struct CMUnitTest tests[] = {
		TEST(a_forged_tcp_table_costs_no_more),
		TEST(forged_sockets_behind_page_tables_cost_no_more),
		TEST(forged_namespaces_cost_no_more),
		TEST(forged_addresses_cost_no_more),
		TEST(a_great_tcp_table_is_looked_through),
		TEST(many_namespaces_are_looked_through),
		TEST(a_missed_receiver_is_looked_for_again),
		TEST(a_receiver_under_traffic_is_found),
		TEST(udp_is_found_behind_ipv6_extensions),
		TEST(udp_that_is_not_found_in_ipv6_is_a_leak),
		/* It waits, for what no kernel does otherwise: on one image. */
		TEST(who_has_no_receiver_is_looked_at_ever_more_rarely),
		TEST(what_comes_with_a_syn_is_found),
	};
	const size_t count = sizeof(tests) / sizeof(tests[0]);
	int failed = 0;

	for (size_t i = 0; i < IMAGE_COUNT; i++) {
		bool whole = !strcmp(image_series[i], "6.12");

		failed += run_on_images("inet", &image_series[i], 1, tests, count - !whole);
	}
	return failed;
}
