/* SPDX-License-Identifier: GPL-2.0 */
/* What the engine knows and keeps: constants of this VM, maps, the event at hand. */
#ifndef KVMTAINT_STATE_BPF_H
#define KVMTAINT_STATE_BPF_H

#include "host.bpf.h"
#include "kvmtaint.h"
#include "wires.h"

/* Set by user space before load, constant afterwards: the verifier folds them. */
const volatile struct kt_guest guest = {};
volatile struct kt_modules modules = {}; /* user space learns more of them */
const volatile bool host_is_amd = false;
const volatile __u32 vmm_tgid = 0; /* whose threads are the vCPUs */
const volatile __u64 vm_address = 0; /* struct kvm; 0 in native tests */
const volatile __u64 host_direct_map_symbol = 0; /* &page_offset_base; 0: no second road */
const volatile __u32 host_levels = 4;
const volatile bool dfa_loaded = false;
const volatile __u64 all_labels = 0; /* that the policy can give */
const volatile bool follow_arguments = false; /* reading /proc/PID/cmdline, environ is a flow */
const volatile __u32 follow_terminals = KT_TERMINALS_SHOWN;
const volatile bool trap_is_shim = false; /* breakpoints of the shim, not INVD in the text */
/* Verdicts; see verdict.bpf.h. */
const volatile __u32 sink_count = 0; /* rules in the map sinks; 0: every leak is reported */
const volatile bool tell_allowed = false; /* a record for each allowed send */
const volatile bool can_hold = false; /* the programs that pause a VM are loaded */
const volatile bool pause_on_spread = false;
const volatile __u32 own_tgid = 0; /* kvmtaint itself */
const volatile bool system_calls = false; /* these are where the guest's system calls enter */
/* Nobody says when an object ends: its address may be another's. See life.bpf.h. */
const volatile bool ends_unseen = false;

/* Shared with user space, which adds to it for its own records. */
__u64 record_seq = 0;
/* Bumped when a path may name another file: cached verdicts of older epochs are void. */
__u32 policy_epoch = 1;
/* Until then (CLOCK_MONOTONIC ns) a rename may still be under way: cache nothing. */
__u64 judge_again_until = 0;
/* Times the VM was stopped for a page; user space counts how often it went on. */
__u64 stops_sent = 0;
/* Somebody else stopped the VMM, and nobody else let it go on. */
__u32 stopped_by_others = 0;
/* vCPUs that stand for a verdict (the map held); times that one was made to stand. */
__u32 held_count = 0;
__u64 holds_sent = 0;
/* Labels that a process has been seen to take. */
__u64 touched = 0;
/* Of the memslots, where there is no VM (native tests). */
__u64 native_generation = 0;
/* Address spaces that more than one process uses (vfork, CLONE_VM). */
__u32 shared_mm_count = 0;
/*
 * By enum kt_kind: labels of objects that their set could not take, and the
 * record that says so. Whatever is in no set counts as having them.
 */
__u64 overflow_labels[KT_KINDS_MAX] = {};
__u64 overflow_cause[KT_KINDS_MAX] = {};
/* An address space that is shared could not be kept: each may be shared. */
__u64 shared_mm_lost = 0;
/* Whoever began before (guest's clock, ns) was there when the first system call was seen. */
__u64 born_since = 0;
/* Slots of readers that were ever in use: no scan looks beyond. */
__u32 slots_used = 0;
/* Entries of the map unsettled that have labels. */
__u32 unsettled_count = 0;
/* TCP connections that carry a label to a receiver not yet found; see carrier_inet.bpf.h. */
__u32 early_count = 0;
/* This VM's slot among those that share, its run, and how far it has seen the wires. */
__u32 wire_slot = 0;
__u64 wire_run = 0;
__u64 wires_seen = 0;
/* The next free bit for a label that only another VM has. */
__u32 labels_used = KT_LABELS_MAX;
/* enum udp_hash: is the guest's UDP table hashed as we think? See sock_tables.bpf.h. */
__u32 udp_hash = 0;

#define SCRATCH_SIZE 512
#define GLANCE_SIZE  256 /* of an object of the guest, read at once; a power of two */
#define SLOT_STACK   32 /* deepest memslot tree: 2 log2(KT_SLOTS_MAX) is less */
#define GROWN_MAX    1024 /* what one event may make grow */
#define FOUND_MAX    8 /* sockets that share a port (SO_REUSEPORT) and get one datagram */
#define PATH_SLACK   256
#define NETS_MAX     256 /* network namespaces of the guest */
#define WIRES_FOUND  8 /* that lead to one socket */

#define SIGCONT	     18 /* x86 */
#define SIGSTOP	     19

enum event_mode {
	LIVE, /* in the vCPU's thread, before it enters the guest */
	REPLAY, /* for it, by user space: guest memory by the second road alone */
	TEST, /* the caller's memory is the guest's */
};

/* A carrier or process that took labels in this event: whom they reach from it is yet to be told.
 */
struct kt_grown {
	u64 carrier; /* of a process: a task of it */
	u64 file;
	u64 signal; /* of a process */
	u64 mm; /* of a process: its address space */
	u64 dentry;
	u64 labels;
	u64 cause;
	struct kt_file_key key;
	u32 kind;
	u32 readers; /* somebody may be reading it */
	u32 tries; /* times it stayed unsettled; see mapping.bpf.h */
	u32 written; /* by this event: the labels were not there before */
	u32 arrived; /* without an event of this guest; see wire.bpf.h */
	u32 pad;
};

/* That an object is among what grew: of the event id. Open addressing. */
struct kt_noted {
	u64 id;
	u64 object;
	u64 labels;
};

#define NOTED_SLOTS  (2 * GROWN_MAX)
#define NOTED_PROBES 16
#define TREE_DEPTH   64 /* of a red-black tree: 2 log2(VMAs) is less */
#define NODE_WORDS   32 /* a maple node has 256 bytes */

/* A file carrier, kept while what it is stored in is at hand; see carrier_block.bpf.h. */
struct kt_content {
	u64 carrier, file, dentry;
	struct kt_file_key key, name_key;
	u64 overlaid, fuse;
};

/* A walk over the guest's mappings; see mapping.bpf.h. */
struct mapping_walk {
	u32 stage; /* enum mapping_stage */
	u32 pass;
	u32 is_process;
	u32 quiet; /* nobody can change what is walked */
	u32 torn;
	u32 depth;
	u32 slot;
	u32 slots; /* of the maple node at hand */
	u32 pivot_at, slot_at; /* words of it */
	u64 task, signal, mm;
	u64 labels, cause;
	u64 mapping;
	u64 at; /* where the walk stands: a VMA, a node or a thread */
	u64 cursor; /* the next guest user address to look at */
	u64 high; /* the last that the maple node at hand covers */
	u64 lock;
	u64 sum, sum_before; /* of what this pass and the one before met */
	u64 found; /* task_struct that maps the file at hand */
	u64 words[NODE_WORDS];
	u64 tree[TREE_DEPTH];
};

/* What a system call moves; see syscalls.def. */
struct syscall_row {
	u8 kind; /* enum syscall_kind */
	u8 in, out, bytes; /* arguments */
};

/*
 * One trap at work. args are the guest function's arguments in the order of
 * the System V ABI, or those of the system call whose number is syscall. Lives in a per-CPU map:
 * nothing of it fits a BPF stack.
 */
struct event {
	u64 args[6];
	u64 syscall; /* of KT_HOOK_SYSCALL; by the table of 32-bit calls unless entered by SYSCALL
		      */
	u64 site;
	u64 percpu_base;
	u32 hook;
	u32 alternative;
	u32 vcpu;
	u32 mode; /* enum event_mode */

	/* The thread that acts; read on demand, see actor.bpf.h. */
	u64 task;
	u64 signal;
	u64 mm;
	u32 task_flags; /* 0: not read yet, see actor_is_kthread() */
	u32 failed; /* enum kt_lost of the first read that failed */
	u64 failed_at; /* guest address (GUEST_MEMORY) or host address (HOST_MEMORY) */

	struct kt_slot slot; /* the memslot that served the last read */

	/* A carrier on its way into or out of a set; see carrier.bpf.h. */
	u64 carrier; /* guest address that pending readers are known by */
	u32 carrier_kind;
	u32 flow;
	struct kt_file_key key;
	u64 labels;
	u64 cause;
	u64 file; /* struct file behind a file carrier, 0: none; of memory: a task */
	u64 dentry; /* of a file carrier without a struct file; 0: none */
	u64 mount; /* struct mount by which dentry's path goes */
	u64 judge_mount; /* struct vfsmount by which the policy looks at the names of the file at
			    hand; 0: none */
	u64 fuse; /* super_block of the regular file at hand, where that is FUSE's; else 0 */
	u64 leaf; /* struct qstr below dentry, of an inode still without one; 0: none */
	/* Of a file carrier: the inode that its name leads to. overlaid: it is overlayfs's, key is
	 * not. */
	struct kt_file_key name_key;
	u32 overlaid;
	u32 content_written; /* what a medium takes or gives was written just now */
	struct kt_content content;

	/* Of a system call entry; see syscall.bpf.h. */
	struct syscall_row row;
	u32 name_len;
	u64 name; /* guest user address of the destination that the call names; 0: none */
	u64 user_pgd; /* guest physical; 0: user memory is not to be read */
	u64 in, out; /* struct file that is read, and written; 0: none */
	u64 sent_sk; /* sock that out is */
	u64 sent_bytes;
	u64 iov; /* guest user address of segments to be added up */
	u64 iov_count;
	u32 step; /* of a call that is many */
	u32 rounds; /* in which its program has run */
	u32 goes_on; /* it must run again */
	u64 print; /* of the actor's address space */
	u8 unix_name[KT_ADDR_LEN + 4]; /* that a datagram is addressed to */
	u64 tag; /* of the carrier; see life.bpf.h */

	u64 id; /* of the event, on this CPU */

	/* What grew is in the map work; [0, told_at) have had their readers told. */
	u32 grown_count;
	u32 told_at;
	u32 walk_at; /* [0, walk_at) have been walked */
	u32 settling; /* before the handler: what earlier events left unsettled */
	u32 failed_before;
	u32 arrived; /* what is at hand grew without an event of this guest */
	u64 failed_before_at;
	struct mapping_walk map;

	/* Walks */
	u64 walk_dentry;
	u64 walk_mount; /* struct mount; 0: stay within the superblock */
	u64 walk_node;
	u32 path_start; /* path + path_start .. path + KT_PATH_MAX */
	u32 path_cut;
	u32 dfa_state;
	u32 found_count;
	u32 found_score;
	u32 found_any;
	u64 net;
	u64 table;
	u64 found[FOUND_MAX]; /* receiving socks */
	struct kt_endpoint from, to;
	struct rb_node *slot_stack[SLOT_STACK];
	struct rb_node *slot_node;
	u32 slot_depth;
	u32 slot_offset; /* of the rb_node in use, in struct kvm_memory_slot */

	/* Looking for a receiver; see sock_tables.bpf.h. */
	u32 scan; /* enum scan */
	u32 snd_una, snd_nxt, rcv_nxt; /* TCP sequence numbers of seek */
	u64 seek; /* the sock whose other end is wanted */
	u64 wanted; /* netlink port or group */
	u64 node_offset; /* of the list node, in the socks of the table */
	u64 bucket; /* guest address of the hash bucket at hand */
	u32 seek_left; /* scan_left when the numbers were read */
	u32 seek_moved; /* so far at once that the other end may have been missed */
	u64 early; /* sock of the connection that was waiting for a receiver */
	u64 scan_event; /* whose scan_left it is: an id */
	u32 scan_left; /* reads that the event may still look through tables and lists with */
	u32 port_used; /* some namespace's socket has the port e->to */
	u64 udp_table, udp_unused; /* buckets; the latter: in which nobody has that port */
	u32 udp_mask;
	u32 looked_again;
	u32 device_seen; /* a socket with the port e->to is bound to a device */
	u32 request_seen; /* the other end is there, but no full socket yet */
	u32 found_group; /* e->to is a broadcast address */
	u32 known_here; /* another namespace has the address e->to */
	u32 net_count;
	u32 scan_group; /* every namespace is searched, for a group */
	u64 home; /* the sender's namespace, while others are searched */
	u32 found_elsewhere;
	u32 net_at; /* namespaces whose tables are done */
	u64 nets[NETS_MAX]; /* guest addresses of struct net */
	struct kt_object given; /* who brings labels, where it is not who acts */

	/* What comes from other VMs; see wire.bpf.h. */
	u64 wires_epoch; /* up to which the event has looked at them */
	struct kt_wire_key wire_key;
	u32 wire_from; /* slot of the VM whose labels are translated */
	u32 wire_count;
	u64 wire_labels, wire_translated;
	struct kt_wire wires_found[WIRES_FOUND];
	/* A leak's verdict; see verdict.bpf.h. */
	u64 message; /* guest address of the struct msghdr that is sent; 0: none */
	u64 undecided; /* labels that no rule has decided on yet */
	u64 freeze; /* seq of the record for which the VM is to stand after the event; 0: none */
	u32 freeze_state; /* enum kt_held_state */
	u32 verdict; /* enum kt_verdict that is to be carried out when the handler ends */
	struct kt_held plan; /* how the send can be stopped, or why not */

	u64 carrier_ino; /* of a pipe */
	u64 bdev; /* that the file system of the file at hand lies on, when it was taken up; 0: none
		   */
	u64 glance[GLANCE_SIZE / 8];
	u8 scratch[SCRATCH_SIZE];
	char path[KT_PATH_MAX + PATH_SLACK];
	struct kt_record record;
};

#define MAP(name, map_type, key_type, value_type, entries, how)                                    \
	struct {                                                                                   \
		__uint(type, map_type);                                                            \
		__uint(max_entries, entries);                                                      \
		__uint(map_flags, how);                                                            \
		__type(key, key_type);                                                             \
		__type(value, value_type);                                                         \
	} name SEC(".maps")
#define NONE  0
#define GROWS BPF_F_NO_PREALLOC

/* Managed sets: pinned, for bpftool. */
MAP(files, BPF_MAP_TYPE_HASH, struct kt_file_key, struct kt_file, 1 << 20, GROWS);
MAP(processes, BPF_MAP_TYPE_HASH, struct kt_object_key, struct kt_process, 1 << 17, GROWS);
MAP(sockets, BPF_MAP_TYPE_HASH, struct kt_object_key, struct kt_socket, 1 << 20, GROWS);
MAP(pipes, BPF_MAP_TYPE_HASH, struct kt_object_key, struct kt_pipe, 1 << 18, GROWS);

MAP(messages, BPF_MAP_TYPE_HASH, struct kt_object_key, struct kt_message, 1 << 18, GROWS);
MAP(keys, BPF_MAP_TYPE_HASH, struct kt_object_key, struct kt_key, 1 << 16, GROWS);
MAP(disks, BPF_MAP_TYPE_HASH, struct kt_object_key, struct kt_disk, 1 << 14, GROWS);
MAP(terminals, BPF_MAP_TYPE_HASH, struct kt_object_key, struct kt_terminal, 1 << 14, GROWS);
MAP(fuse, BPF_MAP_TYPE_HASH, struct kt_object_key, struct kt_fuse, 1 << 14, GROWS);

/* Labels of address spaces that several processes share. */
MAP(shared_mms, BPF_MAP_TYPE_HASH, struct kt_object_key, struct kt_managed, 1 << 14, GROWS);

/*
 * The system-call view. Address -> the life at hand there (its number, then its
 * tag); signal_struct -> what was seen of its process; mm_print() of an address
 * space -> what those who forked while managed, and had it, gave their children.
 */
struct kt_known {
	u64 start; /* of the process, task_struct.start_time */
	u64 mm;
	u64 exits;
};

struct kt_family {
	u64 labels;
	u64 cause;
	u64 siblings; /* somebody made a child with CLONE_PARENT */
	struct kt_object parent;
};

MAP(lives, BPF_MAP_TYPE_HASH, struct kt_object_key, u64, 1 << 20, GROWS);
MAP(known, BPF_MAP_TYPE_LRU_HASH, struct kt_object_key, struct kt_known, 1 << 16, NONE);
MAP(families, BPF_MAP_TYPE_LRU_HASH, struct kt_object_key, struct kt_family, 1 << 12, NONE);

/*
 * A guest thread and the carrier that it is reading, or read last; see
 * pending.bpf.h. A thread keeps its slot until it exits; slots that are free
 * again are used first, so that those in use are few and close together.
 */
struct kt_reader {
	u64 task;
	u64 carrier;
	/* struct file that it fills while it reads: it maps it shared and writable, or splices
	 * into it; 0: none */
	u64 fills;
	u32 fills_by; /* enum kt_flow: KT_FLOW_MMAP or KT_FLOW_WRITE */
	u32 kind; /* enum kt_kind of the carrier */
};
#define READERS_MAX (1 << 16)
MAP(readers, BPF_MAP_TYPE_ARRAY, u32, struct kt_reader, READERS_MAX, NONE);
MAP(reader_slots, BPF_MAP_TYPE_HASH, struct kt_object_key, u32, READERS_MAX, GROWS);
struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, READERS_MAX);
	__type(value, u32);
} free_slots SEC(".maps");

/* How many pending readers each bucket of carriers has: 0 saves the scan. */
#define READER_BUCKETS 4096
MAP(reader_counts, BPF_MAP_TYPE_ARRAY, u32, s32, READER_BUCKETS, NONE);

/* Clean verdicts of paths, by file. */
MAP(judged, BPF_MAP_TYPE_LRU_HASH, struct kt_file_key, u32, 1 << 16, NONE);

/* The policy's automaton: state -> next state by byte, and its labels. */
struct kt_dfa_state {
	u16 next[256];
	u64 labels;
};
MAP(dfa, BPF_MAP_TYPE_ARRAY, u32, struct kt_dfa_state, 1, NONE);

/* Where a connection leads, resolved once; see carrier_inet.bpf.h. */
struct kt_route {
	u64 ports; /* the pair the answer was found for */
	u64 address[2]; /* of the destination */
	u64 peer; /* receiving sock; 0: none in this guest */
	u64 peer_since; /* kt_managed.since_ns of the peer: the same socket still */
	u32 leak_kind; /* of a send, where there is no peer */
	u32 wait_s; /* of an address of the guest's own: it is looked for again after so long */
	u64 until; /* that is: CLOCK_MONOTONIC, ns */
};
MAP(routes, BPF_MAP_TYPE_LRU_HASH, struct kt_object_key, struct kt_route, 1 << 14, NONE);

/* Labels on their way to a receiver that was not there yet, by sending sock. */
struct kt_early {
	u64 labels;
	u64 cause;
	u64 ino; /* of the sending socket */
	u16 port; /* it sends to */
	struct kt_object sender;
};
MAP(early, BPF_MAP_TYPE_HASH, struct kt_object_key, struct kt_early, 1 << 14, GROWS);

/* Destinations that no namespace of the guest has -> until when that is taken for true. */
struct kt_elsewhere_key {
	u64 net;
	u64 address[2];
};
MAP(elsewhere, BPF_MAP_TYPE_LRU_HASH, struct kt_elsewhere_key, u64, 1 << 12, NONE);

/* Labels that a process is known to have written out of the guest; see storage_leak(). */
struct kt_written_key {
	u64 process; /* signal_struct; 0: nfsd */
	u64 since_ns; /* kt_managed.since_ns: the same process still */
	struct kt_file_key to;
};
MAP(written_out, BPF_MAP_TYPE_LRU_HASH, struct kt_written_key, u64, 1 << 14, NONE);
/* Shared with the other kvmtaint of this host. */
MAP(wires, BPF_MAP_TYPE_HASH, struct kt_wire_key, struct kt_wire, KT_WIRES_MAX, GROWS);
MAP(wire_vms, BPF_MAP_TYPE_ARRAY, u32, struct kt_wire_vm, KT_WIRE_VMS, NONE);
MAP(wire_state, BPF_MAP_TYPE_ARRAY, u32, struct kt_wire_state, 1, BPF_F_MMAPABLE);

/* Bits of this VM's labels by name, those that only other VMs have among them. */
struct kt_label_name {
	char text[KT_LABEL_LEN];
};
MAP(label_bits, BPF_MAP_TYPE_HASH, struct kt_label_name, u32, KT_LABELS_MAX, NONE);

MAP(sites, BPF_MAP_TYPE_HASH, u64, struct kt_site, KT_SITES_MAX, NONE);
MAP(memory, BPF_MAP_TYPE_PERCPU_ARRAY, u32, struct kt_memory, 1, NONE);
MAP(vcpu_percpu, BPF_MAP_TYPE_ARRAY, u32, u64, KT_VCPUS_MAX, NONE);
/* Entries in the making; hosts before 6.2 take a map's value from a map, not from memory. */
struct fresh {
	struct kt_file file;
	struct kt_process process;
	struct kt_socket socket;
	struct kt_pipe pipe;
	struct kt_early early;
	struct kt_route route;
	struct kt_message message;
	struct kt_key key;
	struct kt_disk disk;
	struct kt_terminal terminal;
	struct kt_fuse fuse;
	struct kt_family family;
};
MAP(fresh_entries, BPF_MAP_TYPE_PERCPU_ARRAY, u32, struct fresh, 1, NONE);

/* What grew in the event at hand, and what walks of earlier events found in flux. */
MAP(work, BPF_MAP_TYPE_PERCPU_ARRAY, u32, struct kt_grown, GROWN_MAX, NONE);
MAP(noted_objects, BPF_MAP_TYPE_PERCPU_ARRAY, u32, struct kt_noted, NOTED_SLOTS, NONE);
MAP(unsettled, BPF_MAP_TYPE_HASH, struct kt_object_key, struct kt_grown, 256, NONE);

MAP(counters, BPF_MAP_TYPE_PERCPU_ARRAY, u32, u64, KT_COUNT_MAX, NONE);
MAP(events, BPF_MAP_TYPE_PERCPU_ARRAY, u32, struct event, 1, NONE);
MAP(sinks, BPF_MAP_TYPE_ARRAY, u32, struct kt_sink_rule, KT_SINK_RULES_MAX, NONE);
/* By vCPU. User space, and the guard, have it mapped. */
MAP(held, BPF_MAP_TYPE_ARRAY, u32, struct kt_held, KT_VCPUS_MAX, BPF_F_MMAPABLE);
/* The record of a send that user space is to stop (KT_HELD_ASKED). */
MAP(asked, BPF_MAP_TYPE_ARRAY, u32, struct kt_record, 1, NONE);
/* By vCPU: each is at one event at a time, so that two may be replayed at once. */
MAP(replay_input, BPF_MAP_TYPE_ARRAY, u32, struct kt_deferred, KT_VCPUS_MAX, NONE);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20);
} records SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} deferred SEC(".maps");

static __always_inline struct kt_wire_state *wires_state(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&wire_state, &zero);
}

/* Another VM of this host is traced too. */
static __always_inline bool wires_shared(void)
{
	struct kt_wire_state *state = wires_state();

	return state && (state->live & ~(1ULL << (wire_slot & (KT_WIRE_VMS - 1))));
}

/* value & mask, in a form that the compiler cannot prove away before the verifier sees it. */
#define bounded(value, mask)                                                                       \
	({                                                                                         \
		u64 bounded_ = (value);                                                            \
		asm volatile("" : "+r"(bounded_));                                                 \
		bounded_ &(mask);                                                                  \
	})

/*
 * bpf_loop() over the event: at most steps calls of step(n, &e), until one
 * returns 1. Returns how many were made. (A callback's context must lie on the
 * stack, so it is a pointer to the pointer.)
 */
#define walk(e, steps, step)                                                                       \
	({                                                                                         \
		struct event *at_hand_ = (e);                                                      \
		bpf_loop(steps, step, &at_hand_, 0);                                               \
	})

static __always_inline void count(u32 which)
{
	u64 *value = bpf_map_lookup_elem(&counters, &which);

	if (value)
		*value += 1;
}

/* The same, where another vCPU's thread may come between (kvm_exit and kvm_msr on hosts from 7.0).
 */
static __always_inline void count_preempted(u32 which)
{
	u64 *value = bpf_map_lookup_elem(&counters, &which);

	if (value)
		__sync_fetch_and_add(value, 1);
}

/*
 * True when a page was not in memory, so that the event will be done again: it
 * must not change a set before it knows all that the record is to say.
 */
static __always_inline bool comes_again(const struct event *e)
{
	return e->failed == KT_LOST_HOST_MEMORY;
}

/* Labels of an object of this kind that is in no set; *cause: why, when it has any. */
static __always_inline u64 overflow(u32 kind, u64 *cause)
{
	u32 at = bounded(kind, KT_KINDS_MAX - 1);
	u64 labels = overflow_labels[at];

	if (labels)
		*cause = overflow_cause[at];
	return labels;
}

/* Marks the event as one whose flow may have been missed; the first reason stays. */
static __always_inline void event_fail(struct event *e, u32 reason, u64 where)
{
	if (!e->failed) {
		e->failed = reason;
		e->failed_at = where;
	}
}

#endif
