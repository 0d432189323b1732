// SPDX-License-Identifier: GPL-2.0
/*
 * Messages, another's memory, keys, xattrs, symbolic links and core dumps, by the
 * engine run natively over RAM images of five guest kernels. Two processes, SENDER
 * and RECEIVER, are copies of the image's own; so are the objects between them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "play_world.h"

#define FOLL_WRITE 1
#define PROC_MAGIC 0x9fa0
#define S_IFLNK	   0120000
#define ROOM	   4 /* objects in each set, where it is to be full */

/* struct pt_regs of x86-64 */
#define REGS_RBX     (5 * 8)
#define REGS_RSI     (13 * 8)
#define REGS_RAX     (10 * 8)
#define REGS_RDI     (14 * 8)
#define REGS_ORIG_AX (15 * 8)
#define REGS_CS	     (17 * 8)
#define REGS_SS	     (20 * 8)

#define X32_CALL     0x40000000
#define TS_COMPAT    2 /* thread_info.status */

/* An address space of its own for each, owned by its task. */
static uint64_t memory_of(struct play *p, uint32_t who)
{
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t mm = blank(p);

	set(&p->w, mm + g->mm_owner, task(&p->w, who), 8);
	set(&p->w, task(&p->w, who) + g->task_mm, mm, 8);
	return mm;
}

/* --- fixture --------------------------------------------------------------- */

static int set_up(void **state)
{
	return play_open(state, &(struct world){ .terminals = KT_TERMINALS_SHOWN });
}

static int set_up_arguments(void **state)
{
	return play_open(state, &(struct world){ .terminals = KT_TERMINALS_SHOWN,
						 .follow_arguments = true });
}

static int set_up_few(void **state)
{
	return play_open(state,
			 &(struct world){ .terminals = KT_TERMINALS_SHOWN, .objects_max = ROOM });
}

/* --- messages -------------------------------------------------------------- */

static void a_message_carries_to_who_takes_it(void **state)
{
	struct play *p = play(state);
	uint64_t message = blank(p), seq;

	sender_knows(p);
	hook(p, KT_HOOK_msg_alloc, SENDER, message, 0);
	assert_int_equal(p->count, 1);
	assert_int_equal(p->records[0].target.kind, KT_KIND_MESSAGE);
	assert_int_equal(p->records[0].flow, KT_FLOW_SEND);
	assert_int_equal(object(p, "messages", message), 1);
	seq = p->records[0].seq;
	hook(p, KT_HOOK_msg_store, RECEIVER, 0, message);
	assert_int_equal(p->count, 2);
	assert_int_equal(p->records[0].source.kind, KT_KIND_MESSAGE);
	assert_int_equal(p->records[0].cause, seq);
	assert_int_equal(p->records[1].type, KT_RECORD_GONE);
	assert_int_equal(p->records[1].previous, seq);
	assert_int_equal(process(p, RECEIVER), 1);
	assert_int_equal(object(p, "messages", message), 0);
}

static void further_messages_have_the_first_ones_record(void **state)
{
	struct play *p = play(state);
	uint64_t first = blank(p), second = blank(p), seq;

	sender_knows(p);
	hook(p, KT_HOOK_msg_alloc, SENDER, first, 0);
	seq = p->records[0].seq;
	hook(p, KT_HOOK_msg_alloc, SENDER, second, 0);
	assert_int_equal(p->count, 0);
	hook(p, KT_HOOK_msg_store, RECEIVER, 0, second);
	assert_int_equal(p->count, 1);
	assert_int_equal(p->records[0].cause, seq);
}

static void a_new_message_does_not_inherit(void **state)
{
	struct play *p = play(state);
	uint64_t message = blank(p);

	sender_knows(p);
	hook(p, KT_HOOK_msg_alloc, SENDER, message, 0);
	hook(p, KT_HOOK_msg_alloc, RECEIVER, message, 0);
	assert_int_equal(object(p, "messages", message), 0);
	hook(p, KT_HOOK_msg_store, RECEIVER, 0, message);
	assert_int_equal(process(p, RECEIVER), 0);
}

/* SENDER fills the set of messages; returns the first. */
static uint64_t fill_messages(struct play *p)
{
	uint64_t first = blank(p);

	sender_knows(p);
	hook(p, KT_HOOK_msg_alloc, SENDER, first, 0);
	for (int i = 1; i < ROOM; i++)
		hook(p, KT_HOOK_msg_alloc, SENDER, blank(p), 0);
	assert_int_equal(p->count, 0);
	return first;
}

/* RECEIVER takes a message that is in no set, because that is full. */
static void takes_what_did_not_fit(struct play *p, uint64_t message)
{
	uint64_t seq = p->records[0].seq;

	assert_int_equal(p->count, 1);
	assert_int_equal(p->records[0].type, KT_RECORD_LOST);
	assert_int_equal(p->records[0].lost, KT_LOST_SET_FULL);
	assert_int_equal(p->records[0].labels, 1);
	assert_int_equal(p->records[0].target.kind, KT_KIND_MESSAGE);
	assert_int_equal(p->records[0].target.gva, message);
	assert_int_equal(object(p, "messages", message), 0);
	hook(p, KT_HOOK_msg_store, RECEIVER, 0, message);
	assert_int_equal(p->count, 1);
	assert_int_equal(p->records[0].type, KT_RECORD_SPREAD);
	assert_int_equal(p->records[0].cause, seq);
	assert_int_equal(process(p, RECEIVER), 1);
}

static void a_message_that_does_not_fit_counts_as_managed(void **state)
{
	struct play *p = play(state);
	uint64_t message = blank(p);

	fill_messages(p);
	hook(p, KT_HOOK_msg_alloc, SENDER, message, 0);
	takes_what_did_not_fit(p, message);
}

static void a_copy_that_does_not_fit_counts_as_managed(void **state)
{
	struct play *p = play(state);
	uint64_t copy = blank(p), first = fill_messages(p);

	hook(p, KT_HOOK_msg_alloc, RECEIVER, copy, 0);
	assert_int_equal(p->count, 0);
	hook(p, KT_HOOK_msg_copy, RECEIVER, first, copy);
	takes_what_did_not_fit(p, copy);
}

static void a_copy_of_a_message_carries_too(void **state)
{
	struct play *p = play(state);
	uint64_t message = blank(p), copy = blank(p);

	sender_knows(p);
	hook(p, KT_HOOK_msg_alloc, SENDER, message, 0);
	hook(p, KT_HOOK_msg_alloc, RECEIVER, copy, 0);
	hook(p, KT_HOOK_msg_copy, RECEIVER, message, copy);
	hook(p, KT_HOOK_msg_store, RECEIVER, 0, copy);
	assert_int_equal(process(p, RECEIVER), 1);
	assert_int_equal(object(p, "messages", copy), 0);
	assert_int_equal(object(p, "messages", message), 1);
}

/* --- another's memory ------------------------------------------------------ */

static void process_vm_goes_by_its_direction(void **state)
{
	struct play *p = play(state);
	uint64_t senders = memory_of(p, SENDER), receivers = memory_of(p, RECEIVER);

	sender_knows(p);
	/* The clean one writes into the managed one: nothing. */
	hook4(p, KT_HOOK_remote_pages, RECEIVER, senders, 0, 1, FOLL_WRITE);
	assert_int_equal(process(p, RECEIVER), 0);
	/* The managed one reads the clean one: nothing. */
	hook4(p, KT_HOOK_remote_pages, SENDER, receivers, 0, 1, 0);
	assert_int_equal(process(p, RECEIVER), 0);
	hook4(p, KT_HOOK_remote_pages, SENDER, receivers, 0, 1, FOLL_WRITE);
	assert_int_equal(p->count, 1);
	assert_int_equal(p->records[0].flow, KT_FLOW_POKE);
	assert_int_equal(process(p, RECEIVER), 1);
}

static void a_reader_of_memory_joins(void **state)
{
	struct play *p = play(state);
	uint64_t senders = memory_of(p, SENDER);

	memory_of(p, RECEIVER);
	sender_knows(p);
	hook4(p, KT_HOOK_remote_pages, RECEIVER, senders, 0, 1, 0);
	assert_int_equal(p->count, 1);
	assert_int_equal(p->records[0].flow, KT_FLOW_PEEK);
	assert_int_equal(p->records[0].source.kind, KT_KIND_PROCESS);
	assert_int_equal(p->records[0].source.pid, 1000 + SENDER);
	assert_int_equal(process(p, RECEIVER), 1);
}

static void a_reader_that_came_first_is_told(void **state)
{
	struct play *p = play(state);
	uint64_t senders = memory_of(p, SENDER);
	int peeks = 0;

	memory_of(p, RECEIVER);
	hook4(p, KT_HOOK_remote_pages, RECEIVER, senders, 0, 1, 0);
	assert_int_equal(process(p, RECEIVER), 0);
	sender_knows(p);
	assert_int_equal(process(p, RECEIVER), 1);
	/* Among the records of those who have the secret mapped. */
	for (size_t i = 0; i < p->count; i++)
		peeks += p->records[i].flow == KT_FLOW_PEEK &&
			 p->records[i].target.pid == 1000 + RECEIVER;
	assert_int_equal(peeks, 1);
}

static void ptrace_goes_by_its_request(void **state)
{
	struct play *p = play(state);
	static const uint64_t peeks[] = { 1,	  2,	  3,	  12,	  14,	  18,	  25,
					  0x4201, 0x4202, 0x4204, 0x4209, 0x420a, 0x420e, 30 };
	static const uint64_t pokes[] = { 4,  5,      6,      13,     15,     19,
					  26, 0x4203, 0x4205, 0x420b, 0x4212, 30 };
	static const uint64_t neither[] = { 0, 7, 9, 16, 17, 24, 0x4200, 0x4206, 0x4207 };
	uint32_t who = RECEIVER;

	memory_of(p, SENDER);
	sender_knows(p);
	memory_of(p, who);
	for (size_t i = 0; i < sizeof(neither) / sizeof(neither[0]); i++) {
		hook(p, KT_HOOK_ptrace, who, task(&p->w, SENDER), neither[i]);
		hook(p, KT_HOOK_ptrace, SENDER, task(&p->w, who), neither[i]);
	}
	/* The other way around: the clean one writes, the managed one reads. 30 may be either. */
	for (size_t i = 0; pokes[i] != 30; i++)
		hook(p, KT_HOOK_ptrace, who, task(&p->w, SENDER), pokes[i]);
	for (size_t i = 0; peeks[i] != 30; i++)
		hook(p, KT_HOOK_ptrace, SENDER, task(&p->w, who), peeks[i]);
	assert_int_equal(process(p, who), 0);
	for (size_t i = 0; i < sizeof(peeks) / sizeof(peeks[0]); i++, who++) {
		memory_of(p, who);
		hook(p, KT_HOOK_ptrace, who, task(&p->w, SENDER), peeks[i]);
		assert_int_equal(process(p, who), 1);
	}
	for (size_t i = 0; i < sizeof(pokes) / sizeof(pokes[0]); i++, who++) {
		memory_of(p, who);
		hook(p, KT_HOOK_ptrace, SENDER, task(&p->w, who), pokes[i]);
		assert_int_equal(process(p, who), 1);
	}
}

/* A file of /proc with these operations that shows the sender's memory. */
static uint64_t proc_file(struct play *p, uint64_t operations, uint64_t mm)
{
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t file = copy_of(&p->w, file_of(&p->w, p->series, p->w.holder, "secret"));
	uint64_t inode, proc = blank(p), sb = blank(p), pid = blank(p);

	/* A proc_inode, with its inode inside. */
	set(&p->w, proc + g->proc_inode_pid, pid, 8);
	inode = proc + g->proc_inode_vfs_inode;
	set(&p->w, pid + g->pid_tasks, task(&p->w, SENDER) + g->task_pid_links, 8);
	set(&p->w, inode + g->inode_mode, 0100600, 2);
	set(&p->w, inode + g->inode_sb, sb, 8);
	set(&p->w, sb + g->sb_magic, PROC_MAGIC, 8);
	set(&p->w, file + g->file_inode, inode, 8);
	set(&p->w, file + g->file_op, operations, 8);
	set(&p->w, file + g->file_private_data, mm, 8);
	return file;
}

static void proc_mem_is_memory(void **state)
{
	struct play *p = play(state);
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t mm = memory_of(p, SENDER), receivers = memory_of(p, RECEIVER);
	uint64_t own = proc_file(p, g->sym_proc_mem_operations, receivers);

	assert_true(g->sym_proc_mem_operations && g->sym_proc_environ_operations &&
		    g->sym_proc_cmdline_operations);
	sender_knows(p);
	hook(p, KT_HOOK_file_permission, RECEIVER, own, MAY_READ);
	hook(p, KT_HOOK_file_permission, RECEIVER, proc_file(p, g->sym_proc_environ_operations, mm),
	     MAY_READ);
	hook(p, KT_HOOK_file_permission, RECEIVER, proc_file(p, g->sym_proc_cmdline_operations, 0),
	     MAY_READ);
	assert_int_equal(process(p, RECEIVER), 0);
	hook(p, KT_HOOK_file_permission, RECEIVER, proc_file(p, g->sym_proc_mem_operations, mm),
	     MAY_READ);
	assert_int_equal(process(p, RECEIVER), 1);
	assert_int_equal(p->records[0].flow, KT_FLOW_PEEK);
}

static void proc_mem_is_written(void **state)
{
	struct play *p = play(state);
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t receivers = memory_of(p, RECEIVER);

	memory_of(p, SENDER);
	sender_knows(p);
	hook(p, KT_HOOK_file_permission, SENDER,
	     proc_file(p, g->sym_proc_mem_operations, receivers), MAY_WRITE);
	assert_int_equal(process(p, RECEIVER), 1);
}

static void environ_is_followed_when_asked_for(void **state)
{
	struct play *p = play(state);
	uint64_t mm = memory_of(p, SENDER);

	memory_of(p, RECEIVER);
	sender_knows(p);
	hook(p, KT_HOOK_file_permission, RECEIVER,
	     proc_file(p, p->w.profile->guest.sym_proc_environ_operations, mm), MAY_READ);
	assert_int_equal(process(p, RECEIVER), 1);
}

static void arguments_are_followed_when_asked_for(void **state)
{
	struct play *p = play(state);

	memory_of(p, SENDER);
	memory_of(p, RECEIVER);
	sender_knows(p);
	hook(p, KT_HOOK_file_permission, RECEIVER,
	     proc_file(p, p->w.profile->guest.sym_proc_cmdline_operations, 0), MAY_READ);
	assert_int_equal(process(p, RECEIVER), 1);
}

/* --- keys ------------------------------------------------------------------ */

/* Makes the task be in a system call; returns where its registers are. */
static uint64_t in_syscall(struct play *p, uint32_t who, uint64_t number, uint64_t first)
{
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t regs = blank(p), at = task(&p->w, who) + g->task_stack;

	set(&p->w, at, regs - g->kernel_stack_size + g->pt_regs_size, 8);
	set(&p->w, regs + REGS_SS, 0x2b, 8);
	set(&p->w, regs + REGS_CS, 0x33, 8);
	set(&p->w, regs + REGS_ORIG_AX, number, 8);
	set(&p->w, regs + REGS_RDI, first, 8);
	return regs;
}

static void a_key_carries_to_who_reads_it(void **state)
{
	struct play *p = play(state);
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t key = blank(p);

	set(&p->w, key + g->key_serial, 12345, 4);
	set(&p->w, key + g->key_description, text(p, "token"), 8);
	hook(p, KT_HOOK_key_instantiate, RECEIVER, key, 0);
	assert_int_equal(object(p, "keys", key), 0);
	sender_knows(p);
	hook(p, KT_HOOK_key_instantiate, SENDER, key, 0);
	assert_int_equal(p->count, 1);
	assert_int_equal(p->records[0].target.kind, KT_KIND_KEY);
	assert_int_equal(p->records[0].target.ino, 12345);
	assert_string_equal(p->records[0].target.name, "token");
	/* keyctl(KEYCTL_SETPERM): looked up, not read */
	in_syscall(p, RECEIVER, 250, 5);
	hook(p, KT_HOOK_key_validate, RECEIVER, key, 0);
	assert_int_equal(process(p, RECEIVER), 0);
	in_syscall(p, RECEIVER, 250, 11);
	hook(p, KT_HOOK_key_validate, RECEIVER, key, 0);
	assert_int_equal(process(p, RECEIVER), 1);
	hook(p, KT_HOOK_key_free, RECEIVER, key, 0);
	assert_int_equal(p->records[0].type, KT_RECORD_GONE);
	assert_int_equal(object(p, "keys", key), 0);
}

/* A 64-bit process may call as 32-bit ones do, and as those of the x32 ABI. */
static void a_key_is_read_by_each_kind_of_call(void **state)
{
	struct play *p = play(state);
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t key = blank(p);

	set(&p->w, key + g->key_description, text(p, "token"), 8);
	sender_knows(p);
	hook(p, KT_HOOK_key_instantiate, SENDER, key, 0);
	/* 250 is another call of 32-bit processes. */
	in_syscall(p, RECEIVER, 250, 11);
	set(&p->w, task(&p->w, RECEIVER) + g->task_status, TS_COMPAT, 4);
	hook(p, KT_HOOK_key_validate, RECEIVER, key, 0);
	assert_int_equal(process(p, RECEIVER), 0);
	set(&p->w, in_syscall(p, RECEIVER, 288, 0) + REGS_RBX, 11, 8);
	hook(p, KT_HOOK_key_validate, RECEIVER, key, 0);
	assert_int_equal(process(p, RECEIVER), 1);
	in_syscall(p, SENDER + 2, X32_CALL | 250, 11);
	hook(p, KT_HOOK_key_validate, SENDER + 2, key, 0);
	assert_int_equal(process(p, SENDER + 2), 1);
	/* int 0x80 keeps the stack segment of who calls, which may be one that it made. */
	set(&p->w, in_syscall(p, SENDER + 3, 288, 0) + REGS_SS, 0xf, 8);
	hook(p, KT_HOOK_key_validate, SENDER + 3, key, 0);
	assert_int_equal(process(p, SENDER + 3), 1);
}

/* --- datagrams ---------------------------------------------------------------- */

/* Both ask security_unix_may_send: connect(2) itself, and what io_uring does at its end. */
static void connecting_is_no_datagram(void **state)
{
	struct play *p = play(state);
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t from = peek(
		&p->w,
		file_of(&p->w, p->series, p->w.holder, "unix_dgram_0") + g->file_private_data, 8);
	uint64_t to = peek(
		&p->w, file_of(&p->w, p->series, p->w.holder, "unix_named") + g->file_private_data,
		8);
	uint64_t receiver = peek(&p->w, to + g->socket_sk, 8), regs;

	sender_knows(p);
	regs = in_syscall(p, SENDER, 42, 3);
	set(&p->w, regs + REGS_RAX, -38, 8); /* -ENOSYS, as long as the call is under way */
	hook(p, KT_HOOK_unix_may_send, SENDER, from, to);
	assert_int_equal(object(p, "sockets", receiver), 0);
	set(&p->w, regs + REGS_RAX, -512, 8);
	hook(p, KT_HOOK_unix_may_send, SENDER, from, to);
	assert_int_equal(object(p, "sockets", receiver), 1);
}

/* --- readers that sleep ------------------------------------------------------ */

/* Whether who last read a FIFO, and sleeps in this call, is told of what comes. */
static void reader_sleeps_in(void **state, uint64_t number, uint32_t status, bool told)
{
	struct play *p = play(state);
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t fifo = file_of(&p->w, p->series, p->w.holder, "fifo");

	sender_knows(p);
	hook(p, KT_HOOK_file_permission, RECEIVER, fifo, MAY_READ);
	in_syscall(p, RECEIVER, number, 0);
	set(&p->w, task(&p->w, RECEIVER) + g->task_on_cpu, 0, 4);
	set(&p->w, task(&p->w, RECEIVER) + g->task_status, status, 4);
	hook(p, KT_HOOK_file_permission, SENDER, fifo, MAY_WRITE);
	assert_int_equal(process(p, RECEIVER), told);
}

static void who_sleeps_in_read_is_told(void **state)
{
	reader_sleeps_in(state, 0, 0, true);
}

static void who_sleeps_in_another_call_is_not(void **state)
{
	reader_sleeps_in(state, 23, 0, false); /* select */
}

/* ioctl(fd, FICLONE...) of 64-bit processes: one that clones the file reads it. */
static void sleeps_in_ioctl(void **state, uint64_t command, bool told)
{
	struct play *p = play(state);
	uint64_t fifo = file_of(&p->w, p->series, p->w.holder, "fifo");

	sender_knows(p);
	hook(p, KT_HOOK_file_permission, RECEIVER, fifo, MAY_READ);
	set(&p->w, in_syscall(p, RECEIVER, 16, 0) + REGS_RSI, command, 8);
	set(&p->w, task(&p->w, RECEIVER) + p->w.profile->guest.task_on_cpu, 0, 4);
	hook(p, KT_HOOK_file_permission, SENDER, fifo, MAY_WRITE);
	assert_int_equal(process(p, RECEIVER), told);
}

static void who_sleeps_in_a_clone_is_told(void **state)
{
	sleeps_in_ioctl(state, 0x40049409, true);
}

static void who_sleeps_in_a_clone_of_a_range_is_told(void **state)
{
	sleeps_in_ioctl(state, 0x4020940d, true);
}

static void who_sleeps_in_another_ioctl_is_not(void **state)
{
	sleeps_in_ioctl(state, 0x5401, false); /* TCGETS */
}

/* The open end of a pipe of its own. */
static uint64_t another_pipe(struct play *p)
{
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t pipe, file = fifo_of(&p->w, p->series, &pipe);

	set(&p->w, peek(&p->w, file + g->file_inode, 8) + g->inode_ino, 4712, 8);
	return file;
}

static void sleeps(struct play *p, uint32_t who, uint64_t number)
{
	in_syscall(p, who, number, 0);
	set(&p->w, task(&p->w, who) + p->w.profile->guest.task_on_cpu, 0, 4);
}

/* No hook comes when it wakes: what it splices into joins with it, and who waits behind that. */
static void who_sleeps_in_a_splice_passes_it_on(void **state)
{
	enum { SPLICER = 2 };
	struct play *p = play(state);
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t in = file_of(&p->w, p->series, p->w.holder, "fifo"), out = another_pipe(p);

	sender_knows(p);
	/* A process of one thread. */
	set(&p->w, signal_of(&p->w, SPLICER) + g->signal_thread_head,
	    task(&p->w, SPLICER) + g->task_thread_node, 8);
	set(&p->w, task(&p->w, SPLICER) + g->task_thread_node,
	    signal_of(&p->w, SPLICER) + g->signal_thread_head, 8);
	hook(p, KT_HOOK_file_permission, RECEIVER, out, MAY_READ);
	sleeps(p, RECEIVER, 0);
	hook4(p, KT_HOOK_splice, SPLICER, in, 0, out, 0);
	assert_int_equal(p->count, 0);
	sleeps(p, SPLICER, 275);
	hook(p, KT_HOOK_file_permission, SENDER, in, MAY_WRITE);
	assert_int_equal(process(p, SPLICER), 1);
	assert_int_equal(object(p, "pipes", peek(&p->w, out + g->file_private_data, 8)), 1);
	assert_int_equal(process(p, RECEIVER), 1);
	assert_int_equal(p->count, 4);
	assert_int_equal(p->records[2].target.kind, KT_KIND_PIPE);
	assert_int_equal(p->records[2].target.ino, 4712);
	assert_int_equal(p->records[2].flow, KT_FLOW_WRITE);
	assert_int_equal(p->records[2].cause, p->records[1].seq);
	assert_int_equal(p->records[2].source.pid, 1000 + SPLICER);
	assert_int_equal(p->records[3].cause, p->records[2].seq);
}

static void who_was_stopped_in_user_mode_is_not(void **state)
{
	reader_sleeps_in(state, (uint64_t)-0xeb, 0, false); /* by an interrupt */
}

static void who_sleeps_in_a_32_bit_call_is_told(void **state)
{
	reader_sleeps_in(state, 316, TS_COMPAT, true); /* vmsplice; of 64-bit ones renameat2 */
}

static void who_sleeps_in_an_x32_call_is_told(void **state)
{
	reader_sleeps_in(state, X32_CALL | 515, 0, true); /* readv */
}

/* What it reads and writes is its server's, and no pipe's. */
static void a_node_of_rpc_pipefs_is_no_pipe(void **state)
{
	struct play *p = play(state);
	uint64_t node = another_pipe(p);

	set(&p->w, node + p->w.profile->guest.file_private_data, 0, 8);
	sender_knows(p);
	hook(p, KT_HOOK_file_permission, SENDER, node, MAY_WRITE);
	hook(p, KT_HOOK_file_permission, RECEIVER, node, MAY_READ);
	assert_int_equal(p->count, 0);
	assert_int_equal(process(p, RECEIVER), 0);
}

/* /sbin/request-key reads what the caller of request_key(2) tells it. */
static void a_key_that_is_asked_for_tells_who_makes_it(void **state)
{
	struct play *p = play(state);
	uint64_t key = blank(p);

	set(&p->w, key + p->w.profile->guest.key_description, text(p, "token"), 8);
	sender_knows(p);
	hook(p, KT_HOOK_key_request, SENDER, key, 0);
	in_syscall(p, RECEIVER, 250, 11);
	hook(p, KT_HOOK_key_validate, RECEIVER, key, 0);
	assert_int_equal(process(p, RECEIVER), 1);
}

static void an_updated_key_takes_labels(void **state)
{
	struct play *p = play(state);
	uint64_t key = blank(p);

	set(&p->w, key + p->w.profile->guest.key_description, text(p, "token"), 8);
	sender_knows(p);
	hook(p, KT_HOOK_key_update, SENDER, key, 0);
	assert_int_equal(object(p, "keys", key), 1);
}

static void a_key_that_does_not_fit_counts_as_managed(void **state)
{
	struct play *p = play(state);
	uint64_t key, seq;

	sender_knows(p);
	for (int i = 0; i <= ROOM; i++) {
		key = blank(p);
		set(&p->w, key + p->w.profile->guest.key_description, text(p, "token"), 8);
		hook(p, KT_HOOK_key_instantiate, SENDER, key, 0);
		assert_int_equal(p->count, 1);
	}
	assert_int_equal(p->records[0].type, KT_RECORD_LOST);
	assert_int_equal(p->records[0].lost, KT_LOST_SET_FULL);
	assert_int_equal(p->records[0].target.kind, KT_KIND_KEY);
	seq = p->records[0].seq;
	assert_int_equal(object(p, "keys", key), 0);
	in_syscall(p, RECEIVER, 250, 11);
	hook(p, KT_HOOK_key_validate, RECEIVER, key, 0);
	assert_int_equal(p->records[0].cause, seq);
	assert_int_equal(process(p, RECEIVER), 1);
}

/* --- what a file carries beside its data ------------------------------------- */

static void set_xattr(struct play *p, uint32_t who, uint64_t dentry, const char *name)
{
	bool mapped = p->w.profile->guest.vfsmount_idmap != KT_ABSENT;

	if (mapped)
		hook4(p, KT_HOOK_inode_setxattr, who, 0, dentry, text(p, name), 0);
	else
		hook4(p, KT_HOOK_inode_setxattr, who, dentry, text(p, name), 0, 0);
}

static void user_xattrs_have_the_files_labels(void **state)
{
	struct play *p = play(state);
	uint64_t dentry = plain_dentry(p, 0100600);

	sender_knows(p);
	set_xattr(p, SENDER, dentry, "security.capability");
	assert_int_equal(p->count, 0);
	hook(p, KT_HOOK_inode_getxattr, RECEIVER, dentry, text(p, "user.note"));
	assert_int_equal(process(p, RECEIVER), 0);
	set_xattr(p, SENDER, dentry, "user.note");
	/* The receiver came first: it is told too. */
	assert_int_equal(p->count, 2);
	assert_int_equal(p->records[0].target.kind, KT_KIND_FILE);
	assert_int_equal(p->records[0].target.ino, 4711);
	assert_int_equal(process(p, RECEIVER), 1);
}

static void a_classified_files_xattr_is_classified(void **state)
{
	struct play *p = play(state);
	uint64_t dentry = dentry_of(p, "secret");

	hook(p, KT_HOOK_inode_getxattr, RECEIVER, dentry, text(p, "system.posix_acl_access"));
	hook(p, KT_HOOK_inode_getxattr, RECEIVER, dentry, text(p, "security.selinux"));
	assert_int_equal(process(p, RECEIVER), 0);
	hook(p, KT_HOOK_inode_getxattr, RECEIVER, dentry, text(p, "trusted.note"));
	assert_int_equal(process(p, RECEIVER), 1);
}

static void a_link_made_by_a_managed_process_is_read(void **state)
{
	struct play *p = play(state);
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t link = plain_dentry(p, S_IFLNK | 0777), plain = plain_dentry(p, 0100600);
	uint64_t folder = peek(&p->w, dentry_of(p, "secret") + g->dentry_parent, 8);
	uint64_t dir = peek(&p->w, folder + g->dentry_inode, 8), name = blank(p);

	set(&p->w, name + 4, 4, 4);
	set(&p->w, name + 8, text(p, "link"), 8);
	sender_knows(p);
	hook4(p, KT_HOOK_inode_init, SENDER, peek(&p->w, plain + g->dentry_inode, 8), dir, name, 0);
	hook(p, KT_HOOK_inode_readlink, RECEIVER, link, 0);
	assert_int_equal(p->count, 0);
	hook4(p, KT_HOOK_inode_init, SENDER, peek(&p->w, link + g->dentry_inode, 8), dir, name, 0);
	assert_int_equal(p->records[0].target.kind, KT_KIND_FILE);
	assert_int_equal(p->records[0].path_len, strlen("/tmp/link"));
	assert_memory_equal(p->records[0].path, "/tmp/link", strlen("/tmp/link"));
	/* openat(2) through an overlay: followed, not read. */
	in_syscall(p, RECEIVER, 257, 0);
	hook(p, KT_HOOK_inode_readlink, RECEIVER, link, 0);
	assert_int_equal(process(p, RECEIVER), 0);
	in_syscall(p, RECEIVER, 89, 0);
	hook(p, KT_HOOK_inode_readlink, RECEIVER, link, 0);
	assert_int_equal(process(p, RECEIVER), 1);
}

/* --- core dumps ------------------------------------------------------------ */

static void a_core_dump_is_written(void **state)
{
	struct play *p = play(state);
	const struct kt_guest *g = &p->w.profile->guest;
	uint64_t params = blank(p), file = file_of(&p->w, p->series, p->w.holder, "pipe_write");

	set(&p->w, params + g->coredump_file, file, 8);
	sender_knows(p);
	hook(p, KT_HOOK_dump_emit, RECEIVER, params, 0);
	assert_int_equal(p->count, 0);
	hook(p, KT_HOOK_dump_emit, SENDER, params, 0);
	assert_int_equal(p->count, 1);
	assert_int_equal(p->records[0].flow, KT_FLOW_CORE_DUMP);
	assert_int_equal(p->records[0].target.kind, KT_KIND_PIPE);
	hook(p, KT_HOOK_dump_emit, SENDER, params, 0);
	assert_int_equal(p->count, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
#define TEST_ARGUMENTS(function)                                                                   \
	cmocka_unit_test_setup_teardown(function, set_up_arguments, tear_down)
#define TEST_FEW(function) cmocka_unit_test_setup_teardown(function, set_up_few, tear_down)

int main(void)
{
	struct CMUnitTest tests[] = {
		TEST(a_message_carries_to_who_takes_it),
		TEST(further_messages_have_the_first_ones_record),
		TEST(a_new_message_does_not_inherit),
		TEST(a_copy_of_a_message_carries_too),
		TEST(process_vm_goes_by_its_direction),
		TEST(a_reader_of_memory_joins),
		TEST(a_reader_that_came_first_is_told),
		TEST(ptrace_goes_by_its_request),
		TEST(proc_mem_is_memory),
		TEST(proc_mem_is_written),
		TEST(a_key_carries_to_who_reads_it),
		TEST(a_key_is_read_by_each_kind_of_call),
		TEST(a_node_of_rpc_pipefs_is_no_pipe),
		TEST(a_key_that_is_asked_for_tells_who_makes_it),
		TEST(an_updated_key_takes_labels),
		TEST(connecting_is_no_datagram),
		TEST(who_sleeps_in_read_is_told),
		TEST(who_sleeps_in_another_call_is_not),
		TEST(who_sleeps_in_a_clone_is_told),
		TEST(who_sleeps_in_a_clone_of_a_range_is_told),
		TEST(who_sleeps_in_another_ioctl_is_not),
		TEST(who_sleeps_in_a_splice_passes_it_on),
		TEST(who_was_stopped_in_user_mode_is_not),
		TEST(who_sleeps_in_a_32_bit_call_is_told),
		TEST(who_sleeps_in_an_x32_call_is_told),
		TEST(user_xattrs_have_the_files_labels),
		TEST(a_classified_files_xattr_is_classified),
		TEST(a_link_made_by_a_managed_process_is_read),
		TEST(a_core_dump_is_written),
		/* With an engine of their own. */
		TEST_ARGUMENTS(environ_is_followed_when_asked_for),
		TEST_ARGUMENTS(arguments_are_followed_when_asked_for),
		TEST_FEW(a_message_that_does_not_fit_counts_as_managed),
		TEST_FEW(a_copy_that_does_not_fit_counts_as_managed),
		TEST_FEW(a_key_that_does_not_fit_counts_as_managed),
	};

	return run_on_all_images("carriers", tests, sizeof(tests) / sizeof(tests[0]));
}
