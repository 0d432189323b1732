/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pipes and FIFOs: one struct pipe_inode_info. Reads and writes come by
 * security_file_permission and the splice hooks (carrier_file.bpf.h).
 */
#ifndef KVMTAINT_CARRIER_PIPE_BPF_H
#define KVMTAINT_CARRIER_PIPE_BPF_H

#include "carrier.bpf.h"

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
	e->record.labels = pipe->managed.labels;
	e->record.previous = pipe->managed.cause;
	bpf_map_delete_elem(&pipes, &key);
	record_emit(e);
}

#endif
