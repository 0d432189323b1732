/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pipes and FIFOs: one struct pipe_inode_info. Reads and writes come by
 * security_file_permission (carrier_file.bpf.h); the pipe ends of splice, sendfile,
 * tee and vmsplice pass no LSM hook, and have hooks of their own.
 */
#ifndef KVMTAINT_CARRIER_PIPE_BPF_H
#define KVMTAINT_CARRIER_PIPE_BPF_H

#include "carrier_file.bpf.h"

/* From in, which the actor reads (0: no file): no hook comes when it wakes and goes on to write. */
static __always_inline void file_is_written_from(struct event *e, u64 in, u64 out)
{
	if (in)
		pending_publish_fill(e, out, KT_FLOW_WRITE);
	file_is_written(e, out);
}

/* do_splice(in, off_in, out, off_out, len, flags) */
static __always_inline void on_splice(struct event *e)
{
	file_is_read(e, e->args[0]);
	file_is_written_from(e, e->args[0], e->args[2]);
}

/* do_tee(in, out, len, flags) */
static __always_inline void on_tee(struct event *e)
{
	file_is_read(e, e->args[0]);
	file_is_written_from(e, e->args[0], e->args[1]);
}

/* The end of the pipe says which way, as in the guest's own vmsplice_type(). */
static __always_inline void vmsplice(struct event *e, u32 fd)
{
	u64 file = file_of_descriptor(e, fd);
	u32 mode;

	if (!file)
		return;
	mode = g32(e, file + guest.file_mode);
	if (mode & FMODE_WRITE)
		file_is_written(e, file);
	else if (mode & FMODE_READ)
		file_is_read(e, file);
}

/* __x64_sys_vmsplice(regs): vmsplice(fd, ...) */
static __always_inline void on_vmsplice(struct event *e)
{
	vmsplice(e, g32(e, e->args[0] + PT_REGS_DI));
}

static __always_inline void on_vmsplice32(struct event *e)
{
	vmsplice(e, g32(e, e->args[0] + PT_REGS_BX));
}

/* splice_file_to_pipe(in, pipe, offset, len, flags) */
static __always_inline void on_splice_file_to_pipe(struct event *e)
{
	file_is_read(e, e->args[0]);
	carrier_is_pipe(e, e->args[1], 0);
	write_to(e, KT_FLOW_SPLICE);
}

/* free_pipe_info(pipe): nobody has it open, what was in it is gone. */
static __always_inline void on_pipe_free(struct event *e)
{
	struct kt_object_key key = { .gva = life_key(e, e->args[0], 0, KT_KIND_PIPE, 0) };
	struct kt_pipe *pipe = bpf_map_lookup_elem(&pipes, &key);

	if (!pipe)
		return;
	record_begin(e, KT_RECORD_GONE);
	e->record.target.kind = KT_KIND_PIPE;
	e->record.target.gva = e->args[0];
	e->record.target.ino = pipe->ino;
	set_leave(e, &pipe->managed, &pipes, &key);
	record_emit(e);
}

#endif
