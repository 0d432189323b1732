/* SPDX-License-Identifier: GPL-2.0 */
/* What all kvmtaint of this host share, so that data are followed from VM to VM; see bpf/wires.h.
 */
#ifndef KVMTAINT_WIRES_USER_H
#define KVMTAINT_WIRES_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../bpf/wires.h"
#include "policy.h"

struct bpf_object;

/* One VM's part in it. All zero: none yet. */
struct wires {
	const char *dir; /* in bpffs, where the maps are pinned */
	pid_t pid; /* of the VMM */
	const char *name; /* of the VM */
	const struct policy *policy;
	uint32_t max; /* room for so many wires, if this VM makes the map; 0: 65,536 */

	int lock; /* while the engine loads */
	bool pinned; /* the engine at hand uses the shared maps */
	struct kt_wire_state *state; /* shared; NULL: this VM has no slot */
	int wires, vms; /* maps */
	uint32_t slot;
	uint64_t run;
};

/*
 * Around the load of an engine: the maps of obj become the shared ones, the VM takes its
 * slot, or keeps it, and label_bits is filled. begin, then end whatever the load returned.
 * 0; -EBUSY: all slots are in use, -EEXIST: the maps are another version's, so that the
 * engine shares with nobody; or another -errno.
 */
int wires_load_begin(struct wires *wires, struct bpf_object *obj);
int wires_load_end(struct wires *wires, struct bpf_object *obj, bool loaded);

/* The next free bit of the VM's labels. */
uint32_t wires_labels_used(const struct wires *wires);

/* Name of a label, also of one that only another VM has; false: there is none. */
bool wires_label(const struct wires *wires, uint32_t bit, char name[KT_LABEL_LEN]);

/* Once a second: takes out what killed runs left, and, where room gets short, what is old. */
void wires_tick(struct wires *wires);

/* The VM gives up its slot, and what it sent is followed no further. */
void wires_leave(struct wires *wires);

#endif
