/* SPDX-License-Identifier: GPL-2.0 */
/* Core dumps: a process's memory goes to a file, or through a pipe to a helper. */
#ifndef KVMTAINT_CARRIER_CORE_BPF_H
#define KVMTAINT_CARRIER_CORE_BPF_H

#include "carrier_file.bpf.h"

/* dump_emit(cprm, ...): many times, first before any data are in the file */
static __always_inline void on_dump_emit(struct event *e)
{
	u64 file;
	u32 kind;

	if (!actor_labels(e) || guest.coredump_file == KT_ABSENT)
		return;
	file = g64(e, e->args[0] + guest.coredump_file);
	kind = file ? carrier_is_file(e, file) : 0;
	if (kind == S_IFREG || kind == S_IFIFO)
		write_to_storage(e, KT_FLOW_CORE_DUMP);
	if (kind == S_IFREG && e->fuse)
		fuse_is_written(e, KT_FLOW_CORE_DUMP);
}

#endif
