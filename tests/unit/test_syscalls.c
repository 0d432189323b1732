// SPDX-License-Identifier: GPL-2.0
/*
 * The system-call view, natively over RAM images: each row of bpf/syscalls.def
 * moves what the table says.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <linux/fs.h>

#include "view_world.h"

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

int main(void)
{
	static const char *const series[] = { "6.1", "6.12" };
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
		TEST(a_32_bit_process_has_numbers_of_its_own),
	};

	return run_on_images("system calls", series, sizeof(series) / sizeof(series[0]), tests,
			     sizeof(tests) / sizeof(tests[0]));
}
