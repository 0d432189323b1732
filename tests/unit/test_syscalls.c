// SPDX-License-Identifier: GPL-2.0
/*
 * The system-call view, natively over RAM images: each row of bpf/syscalls.def
 * moves what the table says, and an object that comes to lie where another one
 * was is not taken for it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <linux/fs.h>
#include <cmocka.h>

#include "replay_world.h"

#define RECORDS_MAX 64
#define GETPID	    39
#define BORN	    (1ULL << 60) /* start times of the tests' own processes */

static const char *const series_list[] = { "6.1", "6.12" };

struct view {
	struct world w;
	const char *series;
	bool there;
	uint32_t next; /* task of the pool */
	uint64_t files; /* the holder's table of open files */
	uint64_t user; /* a page of the bystander's stack, which all tasks have mapped */
	uint8_t *user_host;
	enum kt_entry entry;
	struct kt_record records[RECORDS_MAX];
	size_t count;
	uint32_t result; /* enum kt_lost of the last event */
};

/* --- the guest ------------------------------------------------------------- */

static uint8_t *physical(const struct view *v, uint64_t gpa)
{
	size_t count;

	return (uint8_t *)(uintptr_t)(guest_mem_slots(v->w.mem, &count)[0].hva + gpa);
}

/* Where this process has a guest user address of a process, made writable. */
static uint8_t *user_page(const struct view *v, uint64_t mm, uint64_t address)
{
	const struct kt_guest *g = &v->w.profile->guest;
	uint64_t entry = peek(&v->w, mm + g->mm_pgd, 8) - g->direct_map;
	uint8_t *page;

	for (int shift = 39; shift >= 12; shift -= 9) {
		memcpy(&entry,
		       physical(v, (entry & 0xffffffffff000ULL) + (address >> shift & 511) * 8), 8);
		assert_true(entry & 1);
	}
	page = physical(v, entry & 0xffffffffff000ULL);
	assert_int_equal(mprotect(page, 4096, PROT_READ | PROT_WRITE), 0);
	return page;
}

/* Changes the image (this process's private copy of it) at an address of the direct map. */
static void poke(const struct view *v, uint64_t gva, uint64_t value, size_t size)
{
	uint8_t *at = physical(v, gva - v->w.profile->guest.direct_map);

	assert_int_equal(mprotect((void *)((uintptr_t)at & ~4095UL), 8192, PROT_READ | PROT_WRITE),
			 0);
	memcpy(at, &value, size);
}

/* A process that nobody has seen: a child of init, with an address space of its own. */
static uint64_t newcomer(struct view *v)
{
	const struct kt_guest *g = &v->w.profile->guest;
	uint32_t n = v->next++;
	uint64_t at = task(&v->w, n), mm = copy_of(&v->w, peek(&v->w, at + g->task_mm, 8));

	set(&v->w, at + g->task_files, v->files, 8);
	set(&v->w, at + g->task_start_time, BORN + n, 8);
	set(&v->w, at + g->task_real_parent, find_task(&v->w, 1), 8);
	set(&v->w, at + g->task_mm, mm, 8);
	set(&v->w, signal_of(&v->w, n) + g->signal_live, 1, 4);
	set(&v->w, mm + g->mm_start_stack, 0x7ffc00000000 + n * 4096ULL, 8);
	set(&v->w, mm + g->mm_ctx_id, 1000000 + n, 8);
	return at;
}

static uint64_t descriptor(const struct view *v, const char *name)
{
	char key[64];

	snprintf(key, sizeof(key), "%s.fd", name);
	return image_number(v->series, key);
}

static uint64_t sock_of(const struct view *v, const char *name)
{
	const struct kt_guest *g = &v->w.profile->guest;
	uint64_t file = file_of(&v->w, v->series, v->w.holder, name);

	return peek(&v->w, peek(&v->w, file + g->file_private_data, 8) + g->socket_sk, 8);
}

static uint64_t pipe_of(const struct view *v)
{
	return peek(&v->w,
		    file_of(&v->w, v->series, v->w.holder, "pipe_write") +
			    v->w.profile->guest.file_private_data,
		    8);
}

/* --- system calls ----------------------------------------------------------- */

static int keep(void *ctx, const struct kt_record *record, size_t len)
{
	struct view *v = ctx;

	assert_true(v->count < RECORDS_MAX && len <= sizeof(*record));
	memset(&v->records[v->count], 0, sizeof(*record));
	memcpy(&v->records[v->count++], record, len);
	return 0;
}

/* A thread enters its kernel. Its records are v->records[0 .. v->count). */
static void enter(struct view *v, uint64_t current, uint64_t number, const uint64_t args[6])
{
	const struct kt_guest *g = &v->w.profile->guest;
	const uint64_t entries[] = {
		[KT_ENTRY_SYSCALL] = g->sym_entry_syscall,
		[KT_ENTRY_SYSCALL32] = g->sym_entry_syscall32,
		[KT_ENTRY_SYSENTER32] = g->sym_entry_sysenter32,
		[KT_ENTRY_INT80] = g->sym_entry_int80,
	};
	struct kt_deferred input = {
		.site = entries[v->entry],
		/* By which "current" is read from the task's group_leader: itself. */
		.percpu_base = current + g->task_group_leader - g->sym_current_task,
		.syscall = number,
	};

	memcpy(input.args, args, sizeof(input.args));
	for (int i = 0; i < 64; i++) {
		assert_int_equal(engine_replay(v->w.engine, &input, true), 0);
		if (input.result != KT_LOST_HOST_MEMORY)
			break;
		(void)*(volatile char *)(uintptr_t)input.fault;
	}
	v->result = input.result;
	v->count = 0;
	assert_true(engine_drain(v->w.engine, keep, v) >= 0);
}

#define CALL(v, current, number, ...)                                                              \
	do {                                                                                       \
		enter(v, current, number, (const uint64_t[6]){ __VA_ARGS__ });                     \
		assert_int_equal((v)->result, 0);                                                  \
	} while (0)

static uint64_t labels(const struct view *v, uint64_t current)
{
	uint64_t signal = peek(&v->w, current + v->w.profile->guest.task_signal, 8);

	return labels_of(&v->w, "processes", &signal);
}

/* A process that has read the secret. */
static uint64_t knower(struct view *v)
{
	uint64_t at = newcomer(v);

	CALL(v, at, SYS_read, descriptor(v, "secret"));
	assert_int_equal(labels(v, at), 1);
	return at;
}

static const struct kt_record *record_of(const struct view *v, uint32_t type)
{
	for (size_t i = 0; i < v->count; i++)
		if (v->records[i].type == type)
			return &v->records[i];
	return NULL;
}

/* --- fixture ----------------------------------------------------------------- */

static int set_up(void **state)
{
	struct view *v = calloc(1, sizeof(*v));
	const struct kt_guest *g;
	uint64_t stack, mm;

	v->series = *state;
	*state = v;
	v->w.trap = TRAP_SHIM;
	v->there = world_open(&v->w, v->series);
	if (!v->there)
		return 0;
	g = &v->w.profile->guest;
	v->files = peek(&v->w, v->w.holder + g->task_files, 8);
	stack = peek(&v->w, v->w.bystander + g->task_stack, 8) + g->kernel_stack_size;
	/* pt_regs.sp */
	v->user = peek(&v->w, stack - g->pt_regs_size + 19 * 8, 8) & ~4095ULL;
	mm = peek(&v->w, v->w.bystander + g->task_mm, 8);
	v->user_host = user_page(v, mm, v->user);
	memset(v->user_host, 0, 4096);
	return 0;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

static struct view *view(void **state)
{
	struct view *v = *state;

	if (!v->there)
		skip();
	return v;
}

static void clear(const struct view *v, const char *name)
{
	int fd = engine_map_fd(v->w.engine, name);
	uint64_t key;

	while (!bpf_map_get_next_key(fd, NULL, &key))
		assert_int_equal(bpf_map_delete_elem(fd, &key), 0);
}

/* --- open files ----------------------------------------------------------------- */

static void every_read_reads(void **state)
{
	static const int reads[] = { SYS_read, SYS_readv, SYS_pread64, SYS_preadv, SYS_preadv2 };
	static const int receives[] = { SYS_read, SYS_recvfrom, SYS_recvmsg, SYS_recvmmsg };
	struct view *v = view(state);
	uint64_t sender = knower(v), reader;

	for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
		reader = newcomer(v);
		CALL(v, reader, reads[i], descriptor(v, "secret"));
		assert_int_equal(labels(v, reader), 1);
		assert_int_equal(v->count, 1);
		assert_int_equal(v->records[0].flow, KT_FLOW_READ);
		assert_int_equal(v->records[0].syscall, reads[i]);
		assert_int_equal(v->records[0].flags & KT_RECORD_COMPAT, 0);
	}
	CALL(v, sender, SYS_write, descriptor(v, "unix_stream_0"));
	for (size_t i = 0; i < sizeof(receives) / sizeof(receives[0]); i++) {
		reader = newcomer(v);
		CALL(v, reader, receives[i], descriptor(v, "unix_stream_0"));
		assert_int_equal(labels(v, reader), 0);
		CALL(v, reader, receives[i], descriptor(v, "unix_stream_1"));
		assert_int_equal(labels(v, reader), 1);
		assert_int_equal(v->records[0].flow, KT_FLOW_RECEIVE);
	}
	reader = newcomer(v);
	CALL(v, reader, SYS_getsockopt, descriptor(v, "unix_stream_1"), 6, 1);
	assert_int_equal(labels(v, reader), 0);
	CALL(v, reader, SYS_getsockopt, descriptor(v, "unix_stream_1"), 6, 35);
	assert_int_equal(labels(v, reader), 1);
}

static void every_write_writes(void **state)
{
	static const int writes[] = { SYS_write, SYS_pwrite64, SYS_writev, SYS_pwritev,
				      SYS_pwritev2 };
	struct view *v = view(state);
	uint64_t writer = knower(v), clean = newcomer(v), pipe = pipe_of(v);

	for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
		clear(v, "pipes");
		CALL(v, clean, writes[i], descriptor(v, "pipe_write"));
		assert_int_equal(labels_of(&v->w, "pipes", &pipe), 0);
		CALL(v, writer, writes[i], descriptor(v, "pipe_write"));
		assert_int_equal(labels_of(&v->w, "pipes", &pipe), 1);
		assert_int_equal(v->records[0].syscall, writes[i]);
	}
}

static void every_copy_goes_from_one_to_the_other(void **state)
{
	struct view *v = view(state);
	uint64_t secret = descriptor(v, "secret"), out = descriptor(v, "pipe_write");
	const struct {
		int number;
		uint64_t args[6];
	} copies[] = {
		{ SYS_sendfile, { out, secret } },	     { SYS_splice, { secret, 0, out } },
		{ SYS_copy_file_range, { secret, 0, out } }, { SYS_tee, { secret, out } },
		{ SYS_ioctl, { out, FICLONE, secret } },
	};
	uint64_t pipe = pipe_of(v), actor;

	for (size_t i = 0; i < sizeof(copies) / sizeof(copies[0]); i++) {
		clear(v, "pipes");
		actor = newcomer(v);
		enter(v, actor, copies[i].number, copies[i].args);
		assert_int_equal(labels(v, actor), 1);
		assert_int_equal(labels_of(&v->w, "pipes", &pipe), 1);
	}
	/* The end of the pipe says which way. */
	clear(v, "pipes");
	CALL(v, actor, SYS_vmsplice, out);
	assert_int_equal(labels_of(&v->w, "pipes", &pipe), 1);
	actor = newcomer(v);
	CALL(v, actor, SYS_vmsplice, out);
	assert_int_equal(labels(v, actor), 0);
	CALL(v, actor, SYS_vmsplice, descriptor(v, "pipe_read"));
	assert_int_equal(labels(v, actor), 1);
}

/* struct iocb in user memory: what request number n asks for. */
static void ask(struct view *v, uint32_t n, uint32_t opcode, uint32_t fd)
{
	uint32_t *iocb = (uint32_t *)(v->user_host + 1024 + 64 * n);

	((uint64_t *)v->user_host)[n] = v->user + 1024 + 64 * n;
	iocb[4] = opcode;
	iocb[5] = fd;
}

/* A program looks at a few at a time, and what goes out on a socket at another's hand. */
static void many_requests_are_all_looked_at(void **state)
{
	struct view *v = view(state);
	uint64_t actor = knower(v), pipe = pipe_of(v), peer[2];
	const uint32_t count = 30, nobody = 9999;

	peer[0] = sock_of(v, "unix_stream_0");
	peer[1] = sock_of(v, "unix_stream_1");
	for (uint32_t i = 0; i < count; i++)
		ask(v, i, 1, nobody);
	ask(v, 1, 1, descriptor(v, "unix_stream_0"));
	ask(v, 2, 1, descriptor(v, "unix_stream_1"));
	ask(v, count - 1, 1, descriptor(v, "pipe_write"));
	CALL(v, actor, SYS_io_submit, 0, count, v->user);
	for (int i = 0; i < 2; i++)
		assert_int_equal(labels_of(&v->w, "sockets", &peer[i]), 1);
	assert_int_equal(labels_of(&v->w, "pipes", &pipe), 1);
	assert_null(record_of(v, KT_RECORD_LOST));

	/* More sockets than there are tail calls. */
	for (uint32_t i = 0; i < count; i++)
		ask(v, i, 1, descriptor(v, "unix_stream_0"));
	enter(v, actor, SYS_io_submit, (const uint64_t[6]){ 0, count, v->user });
	assert_int_equal(v->result, KT_LOST_WALK_BOUND);
}

static void requests_in_user_memory_are_read_there(void **state)
{
	struct view *v = view(state);
	uint64_t pipe = pipe_of(v), actor = newcomer(v);
	/* Two struct iocb, behind their addresses. */
	uint64_t *list = (uint64_t *)v->user_host;
	uint32_t *fds = (uint32_t *)(v->user_host + 64);

	list[0] = v->user + 64;
	list[1] = v->user + 128;
	fds[4] = 0; /* IOCB_CMD_PREAD */
	fds[5] = descriptor(v, "secret");
	fds[16 + 4] = 1; /* IOCB_CMD_PWRITE */
	fds[16 + 5] = descriptor(v, "pipe_write");
	CALL(v, actor, SYS_io_submit, 0, 1, v->user);
	assert_int_equal(labels(v, actor), 1);
	assert_int_equal(labels_of(&v->w, "pipes", &pipe), 0);
	CALL(v, actor, SYS_io_submit, 0, 2, v->user);
	assert_int_equal(labels_of(&v->w, "pipes", &pipe), 1);

	clear(v, "pipes");
	list[0] = descriptor(v, "secret"); /* struct file_clone_range */
	actor = newcomer(v);
	CALL(v, actor, SYS_ioctl, descriptor(v, "pipe_write"), FICLONERANGE, v->user);
	assert_int_equal(labels(v, actor), 1);
	assert_int_equal(labels_of(&v->w, "pipes", &pipe), 1);
}

static void a_mapping_is_a_read_and_shared_a_write(void **state)
{
	struct view *v = view(state);
	uint64_t reader = newcomer(v), secret = descriptor(v, "secret");

	CALL(v, reader, SYS_mmap, 0, 4096, 1, MAP_PRIVATE | MAP_ANONYMOUS, secret);
	assert_int_equal(labels(v, reader), 0);
	CALL(v, reader, SYS_mmap, 0, 4096, 1, MAP_PRIVATE, secret);
	assert_int_equal(labels(v, reader), 1);
	assert_int_equal(v->records[v->count - 1].flow, KT_FLOW_MMAP);
}

/* --- sends ----------------------------------------------------------------------- */

static void put_address(struct view *v, size_t at, const char *address, uint16_t port)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(port) };

	assert_int_equal(inet_pton(AF_INET, address, &name.sin_addr), 1);
	memcpy(v->user_host + at, &name, sizeof(name));
}

/* A struct msghdr at an offset of the user page: one segment, and the name at another offset. */
static void put_message(struct view *v, size_t at, size_t name, uint32_t name_len, uint64_t bytes)
{
	struct {
		uint64_t name;
		uint64_t name_len;
		uint64_t iov, iov_len;
		uint64_t segment[2];
	} message = {
		name_len ? v->user + name : 0, name_len, v->user + at + 32, 1, { 0, bytes },
	};

	memcpy(v->user_host + at, &message, sizeof(message));
}

static void every_send_goes_to_the_peer(void **state)
{
	static const int sends[] = { SYS_write, SYS_writev, SYS_sendto, SYS_sendmsg };
	struct view *v = view(state);
	uint64_t sender = knower(v), peer = sock_of(v, "unix_stream_1");

	put_message(v, 512, 0, 0, 10);
	for (size_t i = 0; i < sizeof(sends) / sizeof(sends[0]); i++) {
		clear(v, "sockets");
		CALL(v, sender, sends[i], descriptor(v, "unix_stream_0"),
		     sends[i] == SYS_sendmsg ? v->user + 512 : v->user, 0);
		assert_int_equal(labels_of(&v->w, "sockets", &peer), 1);
		assert_int_equal(v->records[0].flow, KT_FLOW_SEND);
	}
	clear(v, "sockets");
	CALL(v, sender, SYS_sendmmsg, descriptor(v, "unix_stream_0"), v->user + 512, 1);
	assert_int_equal(labels_of(&v->w, "sockets", &peer), 1);
	clear(v, "sockets");
	CALL(v, sender, SYS_sendfile, descriptor(v, "unix_stream_0"), descriptor(v, "plain"));
	assert_int_equal(labels_of(&v->w, "sockets", &peer), 1);
}

static void a_datagram_goes_where_the_call_names(void **state)
{
	struct view *v = view(state);
	uint64_t sender = knower(v), bound = sock_of(v, "udp_bound");
	uint64_t fd = descriptor(v, "udp_connected");
	const struct kt_record *leak;

	put_address(v, 0, "127.0.0.1", image_number(v->series, "udp_bound.port"));
	put_address(v, 64, "10.1.2.3", 53);
	CALL(v, sender, SYS_sendto, fd, 0, 7, 0, v->user + 64, 16);
	assert_int_equal(labels_of(&v->w, "sockets", &bound), 0);
	leak = record_of(v, KT_RECORD_LEAK);
	assert_non_null(leak);
	assert_int_equal(leak->target.remote.port, 53);
	assert_int_equal(leak->target.remote.address[3], 3);
	assert_int_equal(leak->bytes, 7);
	CALL(v, sender, SYS_sendto, fd, 0, 7, 0, v->user, 16);
	assert_null(record_of(v, KT_RECORD_LEAK));
	assert_int_equal(labels_of(&v->w, "sockets", &bound), 1);
	/* Without a name: to whom it is connected. */
	clear(v, "sockets");
	CALL(v, sender, SYS_write, fd, 0, 7);
	assert_int_equal(labels_of(&v->w, "sockets", &bound), 1);

	put_message(v, 512, 64, 16, 9);
	CALL(v, sender, SYS_sendmsg, fd, v->user + 512);
	leak = record_of(v, KT_RECORD_LEAK);
	assert_non_null(leak);
	assert_int_equal(leak->bytes, 9);
	/* Each message of many has a destination of its own. */
	clear(v, "sockets");
	put_message(v, 512, 64, 16, 9);
	put_message(v, 512 + 64, 0, 16, 9);
	CALL(v, sender, SYS_sendmmsg, fd, v->user + 512, 2);
	assert_non_null(record_of(v, KT_RECORD_LEAK));
	assert_int_equal(labels_of(&v->w, "sockets", &bound), 1);
}

static void a_destination_that_is_not_in_memory_is_said(void **state)
{
	struct view *v = view(state);
	uint64_t sender = knower(v);

	enter(v, sender, SYS_sendto,
	      (const uint64_t[6]){ descriptor(v, "udp_connected"), 0, 7, 0, 0x1000, 16 });
	assert_int_equal(v->result, KT_LOST_GUEST_MEMORY);
	assert_null(record_of(v, KT_RECORD_LEAK));
}

static void a_unix_datagram_goes_to_the_name(void **state)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = "/tmp/server.sock" };
	struct view *v = view(state);
	uint64_t sender = knower(v), named = sock_of(v, "unix_named");
	uint64_t peer = sock_of(v, "unix_dgram_1"), fd = descriptor(v, "unix_dgram_0");

	memcpy(v->user_host, &name, sizeof(name));
	CALL(v, sender, SYS_sendto, fd, 0, 7, 0, v->user, sizeof(name));
	assert_int_equal(labels_of(&v->w, "sockets", &named), 1);
	assert_int_equal(labels_of(&v->w, "sockets", &peer), 0);
	CALL(v, sender, SYS_sendto, fd, 0, 7);
	assert_int_equal(labels_of(&v->w, "sockets", &peer), 1);
	/* A name that no socket has may be a link to one: that is said. */
	v->user_host[6]++;
	enter(v, sender, SYS_sendto, (const uint64_t[6]){ fd, 0, 7, 0, v->user, sizeof(name) });
	assert_int_equal(v->result, KT_LOST_WALK_BOUND);
}

/* --- readers that wait ------------------------------------------------------------- */

static void a_reader_waits_until_its_next_call(void **state)
{
	struct view *v = view(state);
	uint64_t writer = knower(v), reader = newcomer(v), done = newcomer(v), still = newcomer(v);
	uint64_t pipe = descriptor(v, "pipe_read");

	CALL(v, reader, SYS_read, pipe);
	CALL(v, done, SYS_read, pipe);
	CALL(v, still, SYS_read, pipe);
	CALL(v, done, GETPID);
	CALL(v, still, SYS_restart_syscall);
	CALL(v, writer, SYS_write, descriptor(v, "pipe_write"));
	assert_int_equal(labels(v, reader), 1);
	assert_int_equal(labels(v, still), 1);
	assert_int_equal(labels(v, done), 0);
}

/* What is left of it says nothing: its stack is gone. */
static void a_reader_that_was_killed_reads_no_more(void **state)
{
	struct view *v = view(state);
	const struct kt_guest *g = &v->w.profile->guest;
	uint64_t writer = knower(v), killed = newcomer(v);

	CALL(v, killed, SYS_read, descriptor(v, "pipe_read"));
	set(&v->w, killed + g->task_exit_state, 16, 4); /* EXIT_DEAD */
	set(&v->w, killed + g->task_on_cpu, 0, 4);
	set(&v->w, killed + g->task_stack, 0, 8);
	CALL(v, writer, SYS_write, descriptor(v, "pipe_write"));
	assert_int_equal(labels(v, killed), 0);
	assert_null(record_of(v, KT_RECORD_LOST));
}

/* --- processes ----------------------------------------------------------------------- */

static uint64_t child_of(struct view *v, uint64_t parent)
{
	const struct kt_guest *g = &v->w.profile->guest;
	uint64_t child = newcomer(v), mm = peek(&v->w, child + g->task_mm, 8);

	set(&v->w, child + g->task_real_parent, parent, 8);
	/* fork() copies it with the address space. */
	set(&v->w, mm + g->mm_start_stack,
	    peek(&v->w, peek(&v->w, parent + g->task_mm, 8) + g->mm_start_stack, 8), 8);
	return child;
}

static void a_child_inherits_with_its_first_call(void **state)
{
	struct view *v = view(state);
	uint64_t parent = knower(v), child = child_of(v, parent), clean = newcomer(v);

	CALL(v, child, GETPID);
	assert_int_equal(labels(v, child), 1);
	assert_int_equal(v->count, 1);
	assert_int_equal(v->records[0].flow, KT_FLOW_FORK);
	assert_int_equal(v->records[0].source.gva,
			 peek(&v->w, parent + v->w.profile->guest.task_signal, 8));
	CALL(v, child, GETPID);
	assert_int_equal(v->count, 0);
	child = child_of(v, clean);
	CALL(v, child, GETPID);
	assert_int_equal(labels(v, child), 0);
	/* Once seen, a child is on its own. */
	CALL(v, clean, SYS_read, descriptor(v, "secret"));
	CALL(v, child, GETPID);
	assert_int_equal(labels(v, child), 0);
}

static void an_orphan_has_what_its_parent_had(void **state)
{
	struct view *v = view(state);
	const struct kt_guest *g = &v->w.profile->guest;
	uint64_t parent = knower(v), orphan = child_of(v, parent), other = newcomer(v);
	uint64_t init = find_task(&v->w, 1);

	CALL(v, parent, SYS_fork);
	CALL(v, parent, SYS_exit_group);
	assert_non_null(record_of(v, KT_RECORD_GONE));
	assert_int_equal(labels(v, parent), 0);
	set(&v->w, orphan + g->task_real_parent, init, 8);
	CALL(v, orphan, GETPID);
	assert_int_equal(labels(v, orphan), 1);
	CALL(v, other, GETPID);
	assert_int_equal(labels(v, other), 0);
	/* Before it is given to init its parent is still named, whose labels are gone. */
	orphan = child_of(v, parent);
	CALL(v, orphan, GETPID);
	assert_int_equal(labels(v, orphan), 1);
}

/* What it writes until the others are killed has its labels. */
static void a_process_leaves_with_its_last_thread(void **state)
{
	struct view *v = view(state);
	const struct kt_guest *g = &v->w.profile->guest;
	uint64_t process = knower(v), live;

	live = peek(&v->w, process + g->task_signal, 8) + g->signal_live;
	set(&v->w, live, 2, 4);
	CALL(v, process, SYS_exit);
	CALL(v, process, SYS_exit_group);
	assert_int_equal(labels(v, process), 1);
	set(&v->w, live, 1, 4);
	CALL(v, process, SYS_exit);
	assert_non_null(record_of(v, KT_RECORD_GONE));
	assert_int_equal(labels(v, process), 0);
}

static void who_was_there_before_inherits_nothing(void **state)
{
	struct view *v = view(state);
	uint64_t parent = knower(v), child = child_of(v, parent);

	set(&v->w, child + v->w.profile->guest.task_start_time, 1, 8);
	CALL(v, child, GETPID);
	assert_int_equal(labels(v, child), 0);
}

static void another_process_at_the_address_is_clean(void **state)
{
	struct view *v = view(state);
	const struct kt_guest *g = &v->w.profile->guest;
	uint64_t killed = knower(v), key;
	const struct kt_record *gone;

	set(&v->w, killed + g->task_start_time, BORN + 5000, 8);
	CALL(v, killed, SYS_write, descriptor(v, "pipe_write"));
	gone = record_of(v, KT_RECORD_GONE);
	assert_non_null(gone);
	assert_int_equal(gone->target.kind, KT_KIND_PROCESS);
	assert_int_equal(labels(v, killed), 0);
	key = pipe_of(v);
	assert_int_equal(labels_of(&v->w, "pipes", &key), 0);
	/* It may become managed itself; its entry has a key of its own. */
	CALL(v, killed, SYS_read, descriptor(v, "secret"));
	key = peek(&v->w, killed + g->task_signal, 8) - (1ULL << 48);
	assert_int_equal(labels_of(&v->w, "processes", &key), 1);
}

static void a_program_is_read_by_who_executes_it(void **state)
{
	struct view *v = view(state);
	const struct kt_guest *g = &v->w.profile->guest;
	uint64_t actor = newcomer(v), mm = copy_of(&v->w, peek(&v->w, actor + g->task_mm, 8));

	CALL(v, actor, SYS_execve);
	set(&v->w, mm + g->mm_exe_file, file_of(&v->w, v->series, v->w.holder, "secret"), 8);
	set(&v->w, actor + g->task_mm, mm, 8);
	CALL(v, actor, GETPID);
	assert_int_equal(labels(v, actor), 1);
}

static void who_shares_memory_shares_labels(void **state)
{
	struct view *v = view(state);
	const struct kt_guest *g = &v->w.profile->guest;
	uint64_t parent = newcomer(v), child = newcomer(v), other = newcomer(v), out = pipe_of(v);

	CALL(v, parent, SYS_vfork);
	set(&v->w, child + g->task_real_parent, parent, 8);
	set(&v->w, child + g->task_mm, peek(&v->w, parent + g->task_mm, 8), 8);
	CALL(v, child, SYS_read, descriptor(v, "secret"));
	CALL(v, other, SYS_write, descriptor(v, "pipe_write"));
	assert_int_equal(labels_of(&v->w, "pipes", &out), 0);
	CALL(v, parent, SYS_write, descriptor(v, "pipe_write"));
	assert_int_equal(labels_of(&v->w, "pipes", &out), 1);
}

/* A server's children have its print all, and the memory of one ended lies where another's did. */
static void another_address_space_at_the_address_is_its_own(void **state)
{
	struct view *v = view(state);
	const struct kt_guest *g = &v->w.profile->guest;
	uint64_t parent = newcomer(v), child = newcomer(v), later = newcomer(v), out = pipe_of(v);
	uint64_t mm = peek(&v->w, parent + g->task_mm, 8);

	CALL(v, parent, SYS_vfork);
	set(&v->w, child + g->task_real_parent, parent, 8);
	set(&v->w, child + g->task_mm, mm, 8);
	CALL(v, child, SYS_read, descriptor(v, "secret"));
	set(&v->w, mm + g->mm_ctx_id, 2000000, 8);
	set(&v->w, later + g->task_mm, mm, 8);
	CALL(v, later, SYS_write, descriptor(v, "pipe_write"));
	assert_int_equal(labels_of(&v->w, "pipes", &out), 0);
}

static void anothers_memory_is_named_by_its_pid(void **state)
{
	struct view *v = view(state);
	uint64_t pid = image_number(v->series, "bystander.pid"), actor = newcomer(v),
		 writer = knower(v);

	CALL(v, actor, SYS_process_vm_readv, pid);
	CALL(v, actor, GETPID);
	CALL(v, writer, SYS_process_vm_writev, pid);
	assert_int_equal(labels(v, actor), 0);
	assert_int_equal(labels(v, v->w.bystander), 1);
	CALL(v, actor, SYS_process_vm_readv, pid);
	assert_int_equal(labels(v, actor), 1);
	actor = newcomer(v);
	CALL(v, actor, SYS_ptrace, 16, pid); /* PTRACE_ATTACH */
	assert_int_equal(labels(v, actor), 0);
	CALL(v, actor, SYS_ptrace, 2, pid); /* PTRACE_PEEKDATA */
	assert_int_equal(labels(v, actor), 1);
}

/* --- objects --------------------------------------------------------------------------- */

/* The task is off the CPU, and the registers on its stack say in which call. */
static void sleeps_in(struct view *v, uint64_t at, uint64_t number)
{
	const struct kt_guest *g = &v->w.profile->guest;
	/* Of the stack its end is looked at. */
	uint64_t end = v->w.objects + (uint64_t)OBJECT_SIZE * ++v->w.object_count;
	uint64_t stack = end - g->kernel_stack_size, regs = end - g->pt_regs_size;

	set(&v->w, at + g->task_stack, stack, 8);
	set(&v->w, at + g->task_on_cpu, 0, 4);
	set(&v->w, regs + 15 * 8, number, 8);
	set(&v->w, regs + 17 * 8, 0x33, 8); /* __USER_CS */
	set(&v->w, regs + 20 * 8, 0x2b, 8); /* __USER_DS */
}

static void a_queue_carries(void **state)
{
	struct view *v = view(state);
	uint64_t sender = knower(v), receiver = newcomer(v), waits = newcomer(v);

	CALL(v, waits, SYS_msgrcv, 7);
	sleeps_in(v, waits, SYS_msgrcv);
	CALL(v, sender, SYS_msgsnd, 7);
	assert_int_equal(labels(v, waits), 1);
	CALL(v, receiver, SYS_msgrcv, 8);
	assert_int_equal(labels(v, receiver), 0);
	CALL(v, receiver, SYS_msgrcv, 7);
	assert_int_equal(labels(v, receiver), 1);
}

static void another_socket_at_the_address_is_clean(void **state)
{
	struct view *v = view(state);
	const struct kt_guest *g = &v->w.profile->guest;
	uint64_t sender = knower(v), reader = newcomer(v), sk = sock_of(v, "unix_stream_1");
	uint64_t ino = peek(&v->w, sk + g->sk_socket, 8) + g->socket_alloc_inode + g->inode_ino;
	uint64_t before = peek(&v->w, ino, 8);
	const struct kt_record *gone;

	CALL(v, sender, SYS_write, descriptor(v, "unix_stream_0"));
	poke(v, ino, before + 1, 8);
	CALL(v, reader, SYS_read, descriptor(v, "unix_stream_1"));
	gone = record_of(v, KT_RECORD_GONE);
	assert_non_null(gone);
	assert_int_equal(gone->target.ino, before);
	assert_int_equal(labels(v, reader), 0);
	poke(v, ino, before, 8);
}

/* accept() gives a socket its inode: what it got before it keeps. */
static void a_socket_that_is_accepted_stays_itself(void **state)
{
	struct view *v = view(state);
	const struct kt_guest *g = &v->w.profile->guest;
	uint64_t sender = knower(v), reader = newcomer(v), sk = sock_of(v, "unix_stream_1");
	uint64_t ino = peek(&v->w, sk + g->sk_socket, 8) + g->socket_alloc_inode + g->inode_ino;
	uint64_t accepted = peek(&v->w, ino, 8);

	poke(v, ino, 0, 8);
	CALL(v, sender, SYS_write, descriptor(v, "unix_stream_0"));
	poke(v, ino, accepted, 8);
	CALL(v, reader, SYS_read, descriptor(v, "unix_stream_1"));
	assert_int_equal(labels(v, reader), 1);
	/* From then on it is known by it. */
	poke(v, ino, accepted + 1, 8);
	reader = newcomer(v);
	CALL(v, reader, SYS_read, descriptor(v, "unix_stream_1"));
	assert_int_equal(labels(v, reader), 0);
	poke(v, ino, accepted, 8);
}

static void a_32_bit_process_has_numbers_of_its_own(void **state)
{
	struct view *v = view(state);
	uint64_t actor = newcomer(v), pipe = pipe_of(v), peer = sock_of(v, "unix_stream_1");
	uint32_t *args = (uint32_t *)v->user_host;

	v->entry = KT_ENTRY_INT80;
	CALL(v, actor, 3, descriptor(v, "secret")); /* read */
	assert_int_equal(labels(v, actor), 1);
	assert_int_equal(v->records[v->count - 1].syscall, 3);
	assert_true(v->records[v->count - 1].flags & KT_RECORD_COMPAT);
	CALL(v, actor, 1, descriptor(v, "pipe_write")); /* exit: what is write elsewhere */
	assert_int_equal(labels_of(&v->w, "pipes", &pipe), 0);
	actor = newcomer(v);
	v->entry = KT_ENTRY_SYSENTER32;
	CALL(v, actor, 3, descriptor(v, "secret"));
	CALL(v, actor, 4, descriptor(v, "pipe_write")); /* write */
	assert_int_equal(labels_of(&v->w, "pipes", &pipe), 1);
	/* socketcall(SYS_SEND, args), whose address 32-bit processes have below 4 GiB. */
	args[0] = descriptor(v, "unix_stream_0");
	CALL(v, actor, 102, 9, v->user);
	assert_int_equal(labels_of(&v->w, "sockets", &peer), 1);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	struct CMUnitTest tests[] = {
		TEST(every_read_reads),
		TEST(every_write_writes),
		TEST(every_copy_goes_from_one_to_the_other),
		TEST(requests_in_user_memory_are_read_there),
		TEST(many_requests_are_all_looked_at),
		TEST(a_mapping_is_a_read_and_shared_a_write),
		TEST(every_send_goes_to_the_peer),
		TEST(a_datagram_goes_where_the_call_names),
		TEST(a_destination_that_is_not_in_memory_is_said),
		TEST(a_unix_datagram_goes_to_the_name),
		TEST(a_reader_waits_until_its_next_call),
		TEST(a_reader_that_was_killed_reads_no_more),
		TEST(a_child_inherits_with_its_first_call),
		TEST(an_orphan_has_what_its_parent_had),
		TEST(a_process_leaves_with_its_last_thread),
		TEST(who_was_there_before_inherits_nothing),
		TEST(another_process_at_the_address_is_clean),
		TEST(a_program_is_read_by_who_executes_it),
		TEST(who_shares_memory_shares_labels),
		TEST(another_address_space_at_the_address_is_its_own),
		TEST(anothers_memory_is_named_by_its_pid),
		TEST(a_queue_carries),
		TEST(another_socket_at_the_address_is_clean),
		TEST(a_socket_that_is_accepted_stays_itself),
		TEST(a_32_bit_process_has_numbers_of_its_own),
	};
	int failed = 0;

	for (size_t i = 0; i < sizeof(series_list) / sizeof(series_list[0]); i++) {
		char name[64];

		for (size_t t = 0; t < sizeof(tests) / sizeof(tests[0]); t++)
			tests[t].initial_state = (void *)series_list[i];
		snprintf(name, sizeof(name), "system calls on %s", series_list[i]);
		failed += _cmocka_run_group_tests(name, tests, sizeof(tests) / sizeof(tests[0]),
						  NULL, NULL);
	}
	return failed;
}
