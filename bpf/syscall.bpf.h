/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The system-call view of --trap shim: what a thread asks for as it enters its
 * kernel. One table (syscalls.def) says what each call moves; what it names
 * (descriptors, ids, PIDs, addresses) is looked up in the guest's memory, and
 * goes by the same rules as with hooks. An entry is all that is seen of a call:
 * a thread that waits is known as a reader until it makes its next one.
 */
#ifndef KVMTAINT_SYSCALL_BPF_H
#define KVMTAINT_SYSCALL_BPF_H

#include "carrier_xattr.bpf.h"
#include "mapping.bpf.h"
#include "syscall_process.bpf.h"
#include "syscall_send.bpf.h"

/* --- open files ------------------------------------------------------------- */

/*
 * From the open file e->in to e->out. A socket is left in e->sent_sk. Inline, as all
 * of this file: the longest way from here is as deep as the verifier allows.
 */
static __always_inline void files_flow(struct event *e)
{
	u64 inode;

	if (e->in)
		file_is_read(e, e->in);
	if (!e->out)
		return;
	inode = g64(e, e->out + guest.file_inode);
	if ((g16(e, inode + guest.inode_mode) & S_IFMT) == S_IFSOCK)
		e->sent_sk = g64(e, g64(e, e->out + guest.file_private_data) + guest.socket_sk);
	else
		file_is_written_from(e, e->in, e->out);
}

/* include/uapi/linux/fs.h, userfaultfd.h, asm-generic/ioctls.h */
#define FIDEDUPERANGE 0xc0189436
#define UFFDIO_COPY   0xc028aa03
#define TIOCSTI	      0x5412
#define DEDUPE_COUNT  16 /* struct file_dedupe_range */
#define DEDUPE_INFO   24
#define DEDUPE_SIZE   32
#define DEDUPE_DESTS  32
#define DEDUPE_ROUND  8

/* FIDEDUPERANGE: what the files share from now on was the same before; the answer tells. */
static __always_inline void files_are_compared(struct event *e, u64 file)
{
	u64 range = e->args[2];
	u32 count;

	user_memory(e);
	count = g16(e, range + DEDUPE_COUNT);
	for (u32 i = 0; i < DEDUPE_ROUND; i++) {
		if (e->step >= count || e->failed)
			break;
		e->in = file;
		e->out = file_of_descriptor(e,
					    g64(e, range + DEDUPE_INFO + e->step++ * DEDUPE_SIZE));
		files_flow(e);
	}
	syscall_has_next(e, count, DEDUPE_DESTS, file);
}

static __always_inline void userfault_copies(struct event *e, u64 file)
{
	u64 mm, labels;

	if (g64(e, file + guest.file_op) != guest.sym_userfaultfd_fops ||
	    guest.uffd_mm == KT_ABSENT || guest.mm_owner == KT_ABSENT)
		return;
	mm = g64(e, g64(e, file + guest.file_private_data) + guest.uffd_mm);
	if (mm == actor_mm(e))
		return;
	labels = actor_labels(e);
	e->flow = KT_FLOW_USERFAULT;
	process_join(e, g64(e, mm + guest.mm_owner), labels, FROM_ACTOR);
}

static __always_inline void on_syscall_ioctl(struct event *e)
{
	u64 file = file_of_descriptor(e, e->args[0]), tty;

	if (!file)
		return;
	switch ((u32)e->args[1]) {
	case FICLONE:
		e->in = file_of_descriptor(e, e->args[2]);
		e->out = file;
		break;
	case FICLONERANGE:
		user_memory(e);
		e->in = file_of_descriptor(e, g64(e, e->args[2]));
		e->out = file;
		break;
	case FIDEDUPERANGE:
		files_are_compared(e, file);
		return;
	case UFFDIO_COPY:
		userfault_copies(e, file);
		return;
	case TIOCSTI:
		tty = tty_of_file(e, file);
		if (tty && actor_labels(e))
			tty_is_typed_at(e, tty);
		return;
	default:
		return;
	}
	files_flow(e);
}

/* include/uapi/linux/aio_abi.h: struct iocb */
#define IOCB_OPCODE  16
#define IOCB_FD	     20
#define IOCB_PREAD   0
#define IOCB_PWRITE  1
#define IOCB_PREADV  7
#define IOCB_PWRITEV 8
#define IOCBS_MAX    64
#define IOCBS_ROUND  8
#define IOCB_ROUNDS  12 /* with a socket in each that is two tail calls each */

static __always_inline void on_syscall_aio(struct event *e)
{
	u32 word = syscall_is_compat(e) ? 4 : 8, fd;
	u64 count = e->args[1], iocb;
	u16 opcode;

	user_memory(e);
	/* Who sends on a socket has a program of its own, and then comes back. */
	for (u32 i = 0; i < IOCBS_ROUND; i++) {
		if (e->step >= count || e->failed || e->sent_sk)
			break;
		iocb = guest_read(e, e->args[2] + (u64)e->step++ * word, word);
		opcode = g16(e, iocb + IOCB_OPCODE);
		fd = g32(e, iocb + IOCB_FD);
		e->in = e->out = 0;
		if (opcode == IOCB_PREAD || opcode == IOCB_PREADV)
			e->in = file_of_descriptor(e, fd);
		else if (opcode == IOCB_PWRITE || opcode == IOCB_PWRITEV)
			e->out = file_of_descriptor(e, fd);
		files_flow(e);
	}
	syscall_has_next(e, count, ++e->rounds < IOCB_ROUNDS ? IOCBS_MAX : 0, e->args[2]);
}

#define SOL_TCP		     6
#define TCP_ZEROCOPY_RECEIVE 35

/* Which open files a call reads and writes. */
static __always_inline void on_syscall_flow(struct event *e)
{
	u32 mode;

	e->sent_sk = 0;
	e->goes_on = 0;
	switch (e->row.kind) {
	case SYSCALL_IOCTL:
		on_syscall_ioctl(e);
		return;
	case SYSCALL_AIO:
		on_syscall_aio(e);
		return;
	case SYSCALL_GETSOCKOPT:
		if (e->args[1] != SOL_TCP || e->args[2] != TCP_ZEROCOPY_RECEIVE)
			return;
		break;
	}
	if (e->row.in != NO)
		e->in = file_of_descriptor(e, syscall_argument(e, e->row.in));
	if (e->row.out != NO)
		e->out = file_of_descriptor(e, syscall_argument(e, e->row.out));
	if (e->row.kind == SYSCALL_VMSPLICE) {
		/* The end of the pipe says which way. */
		mode = e->in ? g32(e, e->in + guest.file_mode) : 0;
		if (mode & FMODE_WRITE)
			e->in = 0;
		else
			e->out = 0;
	}
	files_flow(e);
}

/* --- memory, messages, attributes, names ------------------------------------- */

#define MAP_ANONYMOUS 0x20

static __always_inline void on_syscall_mmap(struct event *e)
{
	if (!(e->args[3] & MAP_ANONYMOUS))
		file_is_mapped(e, file_of_descriptor(e, e->args[4]), e->args[3]);
}

/* A POSIX queue is a file of a file system of its own. */
static __always_inline void carrier_is_posix_queue(struct event *e, u32 fd)
{
	u64 file = file_of_descriptor(e, fd), inode;

	if (!file)
		return;
	inode = g64(e, file + guest.file_inode);
	carrier_is_object(e, KT_KIND_MESSAGE, inode);
	carrier_tag(e, g64(e, inode + guest.inode_ino) & TAG_LOW);
}

static __always_inline bool carrier_is_attribute(struct event *e, u64 file)
{
	user_memory(e);
	return file && xattr_is_data(e, e->args[1]) &&
	       carrier_is_dentry(e, g64(e, file + guest.file_path_dentry));
}

/* include/linux/file_ref.h (6.13 and later): the value of one reference. */
#define FILE_REF_ONEREF 0

/* True when close() of this open file is its end: no call is under way on it either. */
static __always_inline bool file_ends(struct event *e, u64 file)
{
	if (guest.file_ref != KT_ABSENT)
		return g64(e, file + guest.file_ref) == FILE_REF_ONEREF;
	return guest.file_count != KT_ABSENT && g64(e, file + guest.file_count) == 1;
}

/* Nobody can read from a socket, or from a pipe, that nobody has open. */
static __always_inline void on_syscall_close(struct event *e)
{
	u64 file = file_of_descriptor(e, e->args[0]), inode, object;
	u32 kind;

	if (!file || !file_ends(e, file))
		return;
	inode = g64(e, file + guest.file_inode);
	kind = g16(e, inode + guest.inode_mode) & S_IFMT;
	object = g64(e, file + guest.file_private_data);
	if (kind == S_IFSOCK)
		carrier_is_socket(e, g64(e, object + guest.socket_sk));
	else if (kind == S_IFIFO && object && g32(e, object + guest.pipe_files) == 1)
		carrier_is_pipe(e, object, g64(e, inode + guest.inode_ino));
	else
		return;
	if (!comes_again(e))
		life_ended(e, e->carrier_kind, e->carrier, e->key.ino);
}

/* A path may lead elsewhere once the call is through. */
static __always_inline void on_syscall_names(void)
{
	judge_again_until = bpf_ktime_get_ns() + JUDGE_GRACE_NS;
	__sync_fetch_and_add(&policy_epoch, 1);
}

static __always_inline void on_syscall_object(struct event *e)
{
	e->carrier = 0;
	switch (e->row.kind) {
	case SYSCALL_MMAP:
		on_syscall_mmap(e);
		return;
	case SYSCALL_SHMAT:
		file_is_mapped(e, shm_file_of(e, e->args[0]), MAP_SHARED);
		return;
	case SYSCALL_CLOSE:
		on_syscall_close(e);
		return;
	case SYSCALL_NAMES:
		on_syscall_names();
		return;
	case SYSCALL_GETXATTR:
		if (carrier_is_attribute(e, file_of_descriptor(e, e->args[0])))
			attribute_is_read(e);
		return;
	case SYSCALL_SETXATTR:
		if (actor_labels(e) && carrier_is_attribute(e, file_of_descriptor(e, e->args[0])))
			attribute_is_written(e);
		return;
	case SYSCALL_MSGSND:
	case SYSCALL_MSGRCV:
		carrier_is_queue(e, e->args[0]);
		break;
	case SYSCALL_MQ_SEND:
	case SYSCALL_MQ_RECEIVE:
		carrier_is_posix_queue(e, e->args[0]);
		break;
	}
	if (!e->carrier)
		return;
	if (e->row.kind == SYSCALL_MSGSND || e->row.kind == SYSCALL_MQ_SEND)
		write_to(e, KT_FLOW_SEND);
	else
		read_from(e, KT_FLOW_RECEIVE);
}

/* --- the entry ---------------------------------------------------------------- */

enum syscall_program { SYSCALL_NO_PROGRAM, SYSCALL_FLOWS, SYSCALL_OBJECTS, SYSCALL_PROCESSES };

static __always_inline enum syscall_program syscall_program(const struct event *e)
{
	u32 kind = e->row.kind;

	if (kind >= SYSCALL_FORK && kind <= SYSCALL_PTRACE)
		return SYSCALL_PROCESSES;
	if (kind == SYSCALL_AIO || (kind >= SYSCALL_FLOW && kind <= SYSCALL_SENDMMSG))
		return SYSCALL_FLOWS;
	return kind > SYSCALL_SENDMMSG && kind < SYSCALL_FORK ? SYSCALL_OBJECTS
							      : SYSCALL_NO_PROGRAM;
}

/* A thread enters its kernel: whatever it read before is read. */
static __always_inline void on_syscall_entry(struct event *e)
{
	e->in = e->out = 0;
	e->sent_sk = 0;
	e->step = 0;
	e->rounds = 0;
	e->goes_on = 0;
	e->name = 0;
	e->user_pgd = 0;
	syscall_find(e);
	if (e->row.kind != SYSCALL_WAIT)
		pending_done(e);
}

#endif
