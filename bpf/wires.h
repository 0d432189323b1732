/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What all kvmtaint of a host share: the maps pinned in kvmtaint/wires, in which a
 * VM says what classified data it sends to other machines, so that another traced
 * VM that receives them knows. Fixed-width structures only, padded by hand.
 */
#ifndef KVMTAINT_WIRES_H
#define KVMTAINT_WIRES_H

#include "kvmtaint.h"

#define KT_WIRE_VMS	 64 /* traced VMs that can share: a bit each */
#define KT_WIRES_MAX	 (1 << 16)
#define KT_WIRE_NUMBERED 0xff /* slot, in the key of a TCP connection */
#define KT_LABEL_LEN	 64 /* of a label's name, with its NUL */

/*
 * What one wire is known by. A TCP connection: its two sequence number origins, as the
 * sender has them, whatever its addresses are. Everything else: where it goes to.
 */
struct kt_wire_key {
	__u64 address[2]; /* network order; 0: whoever listens on the port. TCP: the numbers, 0 */
	__u16 port; /* host order */
	__u8 protocol; /* IPPROTO_* */
	__u8 slot; /* of the sending VM; KT_WIRE_NUMBERED */
	__u32 pad;
};

/* Labels are the sending VM's own; cause is the seq of its leak record by which they last grew. */
struct kt_wire {
	__u64 labels;
	__u64 cause;
	__u64 run; /* of the sending VM's kvmtaint */
	__u64 used_ns; /* when something was last sent, CLOCK_MONOTONIC */
	__u32 slot;
	__u32 pad;
};

/* A traced VM, in its slot. Labels that it learnt of other VMs follow its policy's. */
struct kt_wire_vm {
	__u64 run; /* CLOCK_MONOTONIC when it took the slot, which nobody else can have */
	__u64 overflow; /* labels that no wire could be made for: any may bring them */
	__u64 overflow_cause;
	__u32 pid; /* of the VMM */
	__u32 owner; /* pid of its kvmtaint */
	__u64 owner_start; /* and when that began: field 22 of /proc/PID/stat */
	char name[KT_NAME_LEN];
	char from[KT_LABEL_LEN]; /* what another VM calls a label of this one that it does not know
				  */
	char labels[KT_LABELS_MAX][KT_LABEL_LEN];
};

struct kt_wire_state {
	__u64 epoch; /* counts what became new on any wire */
	__u64 taken; /* slots that belong to a kvmtaint */
	__u64 live; /* of these: slots whose kt_wire_vm holds */
	__u64 overflow; /* of these: slots with overflow labels */
	__u64 count; /* wires */
	__u64 ports[65536 / 64]; /* to which a wire by address leads, or led */
};

#endif
