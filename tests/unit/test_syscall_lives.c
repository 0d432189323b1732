// SPDX-License-Identifier: GPL-2.0
/*
 * The system-call view, natively over RAM images: who begins and ends, and that an
 * object that comes to lie where another one was is not taken for it.
 */
#include <sys/socket.h>

#include "view_world.h"

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
	set(&v->w, regs + 20 * 8, USER_DS, 8);
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

/* Where the inode number of a struct socket is. */
static uint64_t ino_of(const struct view *v, uint64_t socket)
{
	const struct kt_guest *g = &v->w.profile->guest;

	return socket + g->socket_alloc_inode + g->inode_ino;
}

static void another_socket_at_the_address_is_clean(void **state)
{
	struct view *v = view(state);
	const struct kt_guest *g = &v->w.profile->guest;
	uint64_t sender = knower(v), reader = newcomer(v), sk = sock_of(v, "unix_stream_1");
	uint64_t ino = ino_of(v, peek(&v->w, sk + g->sk_socket, 8));
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

/* How many descriptors and calls hold an open file. */
static void hold(const struct view *v, const char *name, uint64_t references)
{
	const struct kt_guest *g = &v->w.profile->guest;
	uint64_t file = file_of(&v->w, v->series, v->w.holder, name);

	if (g->file_ref != KT_ABSENT)
		poke(v, file + g->file_ref, references - 1, 8);
	else
		poke(v, file + g->file_count, references, 8);
}

static void a_socket_leaves_with_its_last_descriptor(void **state)
{
	struct view *v = view(state);
	uint64_t sender = knower(v), actor = newcomer(v), fd = descriptor(v, "unix_stream_1");
	uint64_t sk = sock_of(v, "unix_stream_1");
	const struct kt_record *gone;

	CALL(v, sender, SYS_write, descriptor(v, "unix_stream_0"));
	hold(v, "unix_stream_1", 2);
	CALL(v, actor, SYS_close, fd);
	assert_int_equal(labels_of(&v->w, "sockets", &sk), 1);
	hold(v, "unix_stream_1", 1);
	CALL(v, actor, SYS_shutdown, fd, SHUT_RDWR);
	CALL(v, actor, SYS_close, descriptor(v, "unix_stream_0"));
	assert_int_equal(labels_of(&v->w, "sockets", &sk), 1);
	assert_int_equal(v->count, 0);
	CALL(v, actor, SYS_close, fd);
	gone = record_of(v, KT_RECORD_GONE);
	assert_non_null(gone);
	assert_int_equal(gone->target.kind, KT_KIND_SOCKET);
	assert_int_equal(gone->target.gva, sk);
	assert_int_equal(gone->labels, 1);
	assert_int_equal(labels_of(&v->w, "sockets", &sk), 0);
	CALL(v, actor, SYS_close, fd);
	assert_int_equal(v->count, 0);
}

static void a_pipe_leaves_with_its_last_end(void **state)
{
	struct view *v = view(state);
	const struct kt_guest *g = &v->w.profile->guest;
	uint64_t writer = knower(v), pipe = pipe_of(v);
	uint64_t file = file_of(&v->w, v->series, v->w.holder, "pipe_read");

	hold(v, "pipe_read", 1);
	hold(v, "pipe_write", 1);
	CALL(v, writer, SYS_write, descriptor(v, "pipe_write"));
	CALL(v, writer, SYS_close, descriptor(v, "pipe_write"));
	assert_int_equal(labels_of(&v->w, "pipes", &pipe), 1);
	poke(v, pipe + g->pipe_files, 1, 4);
	/* Opened by O_PATH it is not one of those. */
	poke(v, file + g->file_private_data, 0, 8);
	CALL(v, writer, SYS_close, descriptor(v, "pipe_read"));
	assert_int_equal(labels_of(&v->w, "pipes", &pipe), 1);
	poke(v, file + g->file_private_data, pipe, 8);
	CALL(v, writer, SYS_close, descriptor(v, "pipe_read"));
	assert_int_equal(labels_of(&v->w, "pipes", &pipe), 0);
	assert_non_null(record_of(v, KT_RECORD_GONE));
	assert_int_equal(record_of(v, KT_RECORD_GONE)->target.kind, KT_KIND_PIPE);
}

/* accept() gives a socket its inode: what it got before it keeps. */
static void a_socket_that_is_accepted_stays_itself(void **state)
{
	struct view *v = view(state);
	const struct kt_guest *g = &v->w.profile->guest;
	uint64_t sender = knower(v), reader = newcomer(v), sk = sock_of(v, "unix_stream_1");
	uint64_t socket = peek(&v->w, sk + g->sk_socket, 8), ino = ino_of(v, socket);
	uint64_t accepted = peek(&v->w, ino, 8);

	poke(v, sk + g->sk_socket, 0, 8);
	CALL(v, sender, SYS_write, descriptor(v, "unix_stream_0"));
	poke(v, sk + g->sk_socket, socket, 8);
	CALL(v, reader, SYS_read, descriptor(v, "unix_stream_1"));
	assert_int_equal(labels(v, reader), 1);
	/* From then on it is known by it. */
	poke(v, ino, accepted + 1, 8);
	reader = newcomer(v);
	CALL(v, reader, SYS_read, descriptor(v, "unix_stream_1"));
	assert_int_equal(labels(v, reader), 0);
	poke(v, ino, accepted, 8);
}

/* What lay at the address before was accepted: this is another, which keeps what it gets. */
static void a_socket_that_nobody_has_accepted_is_another(void **state)
{
	struct view *v = view(state);
	const struct kt_guest *g = &v->w.profile->guest;
	uint64_t sender = knower(v), reader = newcomer(v), sk = sock_of(v, "unix_stream_1");
	uint64_t socket = peek(&v->w, sk + g->sk_socket, 8), ino = ino_of(v, socket);
	uint64_t before = peek(&v->w, ino, 8);

	CALL(v, sender, SYS_write, descriptor(v, "unix_stream_0"));
	poke(v, sk + g->sk_socket, 0, 8);
	CALL(v, sender, SYS_write, descriptor(v, "unix_stream_0"));
	assert_non_null(record_of(v, KT_RECORD_GONE));
	assert_non_null(record_of(v, KT_RECORD_SPREAD));
	poke(v, sk + g->sk_socket, socket, 8);
	poke(v, ino, before + 1, 8);
	CALL(v, reader, SYS_read, descriptor(v, "unix_stream_1"));
	assert_int_equal(labels(v, reader), 1);
	poke(v, ino, before, 8);
}

int main(void)
{
	static const char *const series[] = { "6.1", "6.12", "7" };
	struct CMUnitTest tests[] = {
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
		TEST(a_socket_that_nobody_has_accepted_is_another),
		TEST(a_socket_leaves_with_its_last_descriptor),
		TEST(a_pipe_leaves_with_its_last_end),
	};

	return run_on_images("system calls", series, sizeof(series) / sizeof(series[0]), tests,
			     sizeof(tests) / sizeof(tests[0]));
}
