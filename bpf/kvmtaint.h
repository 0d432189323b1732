/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the BPF programs and user space share: fixed-width structures only.
 * Every structure is padded by hand, so that both sides agree and the verifier
 * never sees an uninitialised byte.
 */
#ifndef KVMTAINT_H
#define KVMTAINT_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#define KT_ABSENT	   ((__s32)-1) /* a field that this guest does not have */
#define KT_COMM_LEN	   16
#define KT_NAME_LEN	   64
#define KT_TTY_LEN	   16
#define KT_PATH_MAX	   1024 /* bytes of a path in a record, with its NUL */
#define KT_ADDR_LEN	   108 /* UNIX socket name, as sockaddr_un */
#define KT_SLOTS_MAX	   1024 /* memslots that one VM may have */
#define KT_VCPUS_MAX	   1024
#define KT_SITES_MAX	   64
#define KT_BREAKPOINTS_MAX 4 /* debug registers */
#define KT_LABELS_MAX	   64
#define KT_KINDS_MAX	   32 /* a power of two; enum kt_kind is less */
#define KT_SINK_RULES_MAX  256
#define KT_WRITES_MAX	   5 /* that stop a send */

/* Hooks, in the order of vmlinux-guest/hooks.def. */
enum kt_hook {
#define GUEST_HOOK(id, need, program, names) KT_HOOK_##id,
#include "../vmlinux-guest/hooks.def"
#undef GUEST_HOOK
	KT_HOOK_MAX,
	KT_HOOK_SYSCALL = KT_HOOK_MAX, /* no function: an entry of the guest's system calls */
	KT_HOOK_NONE, /* an event that no trap began */
};

/* Where a guest takes system calls: kt_site.alternative of KT_HOOK_SYSCALL. */
enum kt_entry {
	KT_ENTRY_SYSCALL, /* SYSCALL of a 64-bit process */
	KT_ENTRY_SYSCALL32, /* of a 32-bit one: AMD alone has it */
	KT_ENTRY_SYSENTER32,
	KT_ENTRY_INT80, /* of any process */
	KT_ENTRY_MAX,
};

/*
 * The guest kernel, as its own memory describes it. Offsets in bytes from the
 * start of a structure, addresses are guest virtual unless said otherwise.
 */
struct kt_guest {
	__u64 text_gva; /* start of the kernel image, after KASLR */
	__u64 text_gpa; /* the same byte, guest physical */
	__u64 image_size; /* bytes, _end - _text */
	__u64 direct_map; /* page_offset_base's value */
	__u64 direct_map_size; /* bytes of guest physical space it covers */
	__u64 pgd_gpa; /* init_top_pgt */
	__u32 levels; /* 4 or 5 */
	__u32 kernel_stack_size;
	__u32 apicid_width; /* bytes of an entry of x86_cpu_to_apicid */
	__u32 pad;
#define GUEST_SYMBOL(id, need, names) __u64 sym_##id;
#include "../vmlinux-guest/symbols.def"
#undef GUEST_SYMBOL
#define GUEST_FIELD(id, need, names) __s32 id;
#define GUEST_SIZE(id, need, names)  __s32 id;
#include "../vmlinux-guest/fields.def"
#undef GUEST_FIELD
#undef GUEST_SIZE
};

/* The same of structures that may be a module's; learned as modules come. */
struct kt_modules {
#define GUEST_MODULE_FIELD(id, module, names) __s32 id;
#include "../vmlinux-guest/modules.def"
#undef GUEST_MODULE_FIELD
};

/* One memslot: guest frames [gfn, gfn + npages) at host address hva. */
struct kt_slot {
	__u64 gfn;
	__u32 npages; /* KVM_MEM_MAX_NR_PAGES is below 2^31 */
	__u32 flags; /* KVM_MEM_* */
	__u64 hva;
};

/* A snapshot of a VM's memslots, sorted by gfn. */
struct kt_memory {
	__u64 generation;
	__u32 count;
	__u32 overflow; /* the VM has more than KT_SLOTS_MAX */
	__u32 first; /* 0: where searches start */
	__u32 pad;
	struct kt_slot slots[KT_SLOTS_MAX];
};

/*
 * A trap; the key is the guest address of the instruction that was replaced, or
 * that has a breakpoint.
 */
struct kt_site {
	__u32 hook; /* enum kt_hook */
	__u32 alternative; /* which name of the hook this guest has; enum kt_entry */
};

/*
 * Managed sets; bpf/carrier.bpf.h has their rules. "cause" is the seq of the
 * record by which labels last grew. "told", of a carrier: the labels that all
 * who waited to read it have taken. "own", of a file or disk: those that did not
 * come from files in it, see bpf/carrier_block.bpf.h.
 */
struct kt_managed {
	__u64 labels;
	__u64 told;
	__u64 own;
	__u64 cause;
	__u64 since_ns; /* CLOCK_MONOTONIC of the host */
};

struct kt_file_key {
	__u64 ino;
	__u32 fs; /* the file system: its UUID, folded; its dev_t where it has none */
	__u32 generation;
};

struct kt_object_key {
	/* signal_struct, pipe_inode_info, sock, msg_msg, key, gendisk, tty_struct or fuse_conn */
	__u64 gva;
};

struct kt_file {
	struct kt_managed managed;
	__u32 judged_epoch; /* the policy's verdict on its path is of this epoch */
	__u32 pad;
	char name[KT_NAME_LEN]; /* last component, for people who read the map */
};

struct kt_process {
	struct kt_managed managed;
	__u32 pid;
	__u32 uid;
	char comm[KT_COMM_LEN];
	__u64 sent; /* labels that a record of a message of this process names */
	__u64 sent_cause; /* seq of that record */
};

struct kt_socket {
	struct kt_managed managed;
	__u64 ino;
	__u32 family;
	__u32 type;
};

struct kt_pipe {
	struct kt_managed managed;
	__u64 ino;
};

struct kt_message {
	struct kt_managed managed;
	__u32 recorded; /* has a spread record of its own, so leaves with one */
	__u32 pad;
};

struct kt_key {
	struct kt_managed managed;
	__s32 serial;
	__u32 pad;
	char description[KT_NAME_LEN];
};

#define KT_DISK_NAME 32 /* DISK_NAME_LEN, include/linux/genhd.h */

struct kt_disk {
	struct kt_managed managed;
	char name[KT_DISK_NAME];
};

struct kt_terminal {
	struct kt_managed managed;
	char name[KT_TTY_LEN]; /* the kernel's: pts0 is /dev/pts/0 */
};

struct kt_fuse {
	struct kt_managed managed;
};

enum kt_record_type {
	KT_RECORD_SPREAD = 1,
	KT_RECORD_LEAK,
	KT_RECORD_GONE,
	KT_RECORD_LOST,
	KT_RECORD_ALLOWED, /* classified data left for where the policy lets them go */
	KT_RECORD_MAX,
};

enum kt_kind {
	KT_KIND_NONE = 0, /* of a cause: the policy itself */
	KT_KIND_FILE,
	KT_KIND_PROCESS,
	KT_KIND_PIPE,
	KT_KIND_SOCKET,
	KT_KIND_MEMORY, /* an address space shared by processes */
	KT_KIND_MESSAGE, /* of a System V or POSIX message queue */
	KT_KIND_KEY,
	KT_KIND_DISK, /* with its partitions */
	KT_KIND_VM, /* another traced VM, as a source: pid, name, and ino: seq of its record */
	KT_KIND_TERMINAL, /* a pty, both its ends; or another tty */
	KT_KIND_FUSE, /* a FUSE file system and its server, as one way between them */
	KT_KIND_DEVICE, /* of a leak: where it went; no carrier */
};

/* What of a terminal is a flow: --terminals. Each takes in the ones before. */
enum kt_terminals {
	KT_TERMINALS_SHOWN, /* that a managed process wrote on it is told, no more */
	KT_TERMINALS_OUTPUT, /* who reads a pty's master reads what was written on it */
	KT_TERMINALS_BOTH, /* and who reads it, what was typed */
};

/* Why a flow could be missed: reasons of a "lost" record. */
enum kt_lost {
	KT_LOST_NONE = 0,
	KT_LOST_GUEST_MEMORY, /* a guest address that its own page tables do not map */
	KT_LOST_HOST_MEMORY, /* a guest page that the host could not read in time */
	KT_LOST_SET_FULL, /* a managed set could not take one more object */
	KT_LOST_PENDING_FULL, /* more blocked readers than the table holds */
	KT_LOST_WALK_BOUND, /* a guest list or path longer than the engine follows */
	KT_LOST_RECURSION, /* the host kernel skipped a program */
	KT_LOST_RING_FULL, /* records dropped; memberships were kept */
	KT_LOST_WIRE_FULL, /* no room to tell other VMs of what is sent */
	KT_LOST_MAX,
};

enum kt_flow {
	KT_FLOW_NONE = 0,
	KT_FLOW_POLICY, /* the operator named the file */
	KT_FLOW_READ,
	KT_FLOW_WRITE,
	KT_FLOW_MMAP,
	KT_FLOW_SEND,
	KT_FLOW_RECEIVE,
	KT_FLOW_FORK,
	KT_FLOW_SHARED_MM,
	KT_FLOW_SPLICE,
	KT_FLOW_BEFORE_ATTACH, /* held before kvmtaint came */
	KT_FLOW_USERFAULT, /* copied by a userfaultfd into another process's memory */
	KT_FLOW_PEEK, /* out of another process's memory or registers */
	KT_FLOW_POKE, /* into them */
	KT_FLOW_CORE_DUMP,
	KT_FLOW_STORED, /* a file and the disk or image that its file system lies on */
	KT_FLOW_WIRE, /* sent by a process in another traced VM */
	KT_FLOW_MAX,
};

/* Of a leak: how sure the engine is that data left the machine. */
enum kt_leak_kind {
	KT_LEAK_REMOTE = 1,
	KT_LEAK_UNRESOLVED, /* routed to this host, but nobody here receives it */
	KT_LEAK_FILESYSTEM, /* a file that another machine, or the host, stores */
	KT_LEAK_DEVICE, /* a block device, raw */
	KT_LEAK_CONSOLE, /* to a serial line, a virtio console or port, a screen, the kernel's log
			  */
};

/* What became of a send that was to leak: the stricter, the greater. */
enum kt_verdict {
	KT_VERDICT_NONE = 0,
	KT_VERDICT_ALLOWED,
	KT_VERDICT_REPORTED,
	KT_VERDICT_BLOCKED,
	KT_VERDICT_PAUSED,
	KT_VERDICT_FAILED, /* it was to be blocked or paused, and was neither */
	KT_VERDICT_MAX,
};

/* Why a send cannot be stopped, or the VM not be paused. */
enum kt_obstacle {
	KT_OBSTACLE_NONE = 0,
	KT_OBSTACLE_NO_MESSAGE, /* nothing in memory says how much is sent */
	KT_OBSTACLE_NO_FIELD, /* this guest's struct msghdr has not the members we know */
	KT_OBSTACLE_NOT_RAM, /* the message is not in guest RAM, or lies across its end */
	KT_OBSTACLE_STALE_MEMSLOT, /* the VM's memory changes right now */
	KT_OBSTACLE_READ_ONLY, /* a memslot that is not plain RAM */
	KT_OBSTACLE_DIRTY_LOG, /* migration is under way: the write would not go along */
	KT_OBSTACLE_CHANGED, /* the message is not what the call said */
	KT_OBSTACLE_NOT_WRITABLE, /* the host shares the page (KSM, fork), or the guest's keys deny
				     it */
	KT_OBSTACLE_NOT_STOPPED, /* the host did not take the signal */
	KT_OBSTACLE_RUNNING, /* the VMM did not come to a stand */
	KT_OBSTACLE_MAX,
};

/* Of a policy: data with these labels, to this destination. The first that fits decides. */
struct kt_sink_rule {
	__u64 labels;
	__u64 address[2]; /* as kt_endpoint.address has it; masked */
	__u64 mask[2];
	__u16 family; /* AF_INET or AF_INET6; 0: any destination */
	__u16 port; /* 0: any */
	__u32 action; /* enum kt_verdict */
	__u32 leak_kind; /* enum kt_leak_kind; 0: any */
	__u32 pad;
};

/* A word of guest memory at a host address of the VMM, as it is and as it is to be. */
struct kt_write {
	__u64 hva;
	__u64 old;
	__u64 fresh;
	__u32 size; /* 4 or 8 bytes */
	__u32 pad;
};

enum kt_held_state {
	KT_HELD_NONE = 0,
	KT_HELD_ASKED, /* in the slow path: user space is to stop the send */
	KT_HELD_LEAK,
	KT_HELD_SPREAD,
	KT_HELD_FAILED, /* was to stand, as its record says, and does not */
};

/*
 * A vCPU that does not enter the guest until user space says so, by the vCPU's
 * id. writes are what would stop the send that it stands at.
 */
struct kt_held {
	__u64 hook_ns; /* CLOCK_MONOTONIC: when the decision fell */
	__u64 seq; /* of the record that tells of it; 0: not out yet */
	__u32 state; /* enum kt_held_state */
	__u32 obstacle; /* enum kt_obstacle */
	__u32 write_count;
	__u32 pad;
	struct kt_write writes[KT_WRITES_MAX];
};

struct kt_endpoint {
	__u8 address[16]; /* network order; IPv4 in the first four bytes */
	__u16 port; /* host order */
	__u16 family; /* AF_*; 0: unknown */
	__u32 pad;
};

/* An object as a record shows it; which members count goes by kind. */
struct kt_object {
	__u32 kind; /* enum kt_kind */
	__u32 dev;
	__u64 ino; /* of a key: its serial number */
	__u32 generation;
	__u32 pid;
	__u32 tid;
	__u32 uid;
	union {
		char comm[KT_COMM_LEN]; /* of a process */
		char fs_type[KT_COMM_LEN]; /* of a file that is a leak */
	};
	__u64 gva;
	__u16 family;
	__u16 type; /* SOCK_* */
	__u16 protocol; /* IPPROTO_* */
	__u16 name_len; /* bytes of name that count; 0: unnamed */
	struct kt_endpoint local, remote;
	/* UNIX socket: sun_path; abstract: first byte 0. Key: description. Disk, terminal, device:
	 * name. File that is a leak: what is mounted ("server:/export"). */
	char name[KT_ADDR_LEN];
	__u32 pad;
};

#define KT_RECORD_HAS_SYSCALL (1U << 0)
#define KT_RECORD_COMPAT      (1U << 1) /* 32-bit system call number */
#define KT_RECORD_HAS_BYTES   (1U << 2)
#define KT_RECORD_KTHREAD     (1U << 3) /* a kernel thread acted */
#define KT_RECORD_IO_WORKER   (1U << 4) /* an io_uring worker acted */
#define KT_RECORD_HAS_ACTOR   (1U << 5)
#define KT_RECORD_PATH_CUT    (1U << 6) /* the path was longer than KT_PATH_MAX */

/* One record as BPF writes it; ends after path_len bytes of path. */
struct kt_record {
	__u64 seq;
	__u64 time_ns; /* CLOCK_MONOTONIC of the host */
	__u64 cause; /* seq of the record that explains the source; 0: none */
	__u64 previous; /* seq of this object's earlier record; 0: none */
	__u64 labels;
	__u64 added; /* of labels: those that are new with this record */
	__u64 bytes;
	__u32 type; /* enum kt_record_type */
	__u32 flow; /* enum kt_flow */
	__u32 leak_kind; /* enum kt_leak_kind */
	__u32 lost; /* enum kt_lost */
	__u32 flags; /* KT_RECORD_* */
	__u32 hook; /* enum kt_hook */
	__u32 vcpu;
	__s32 syscall;
	__u32 verdict; /* enum kt_verdict, of a leak */
	__u32 obstacle; /* enum kt_obstacle */
	struct kt_object actor; /* the thread that acted (always KT_KIND_PROCESS) */
	struct kt_object source; /* where the labels came from; kind NONE: the policy */
	struct kt_object target; /* what became managed, left, or carried the leak */
	__u32 path_len; /* of path, without NUL; 0: none */
	__u32 pad;
	char path[KT_PATH_MAX]; /* of the file or disk among target and source; no NUL */
};

/*
 * An event that waits for a page of the VMM that was not in memory, and the
 * input of a replay: a hook's arguments, as the vCPU's registers had them.
 */
struct kt_deferred {
	__u64 args[6];
	__u64 site; /* guest address of the trap */
	__u64 percpu_base; /* of the guest CPU */
	__u64 fault; /* host address that could not be read; 0: something else was not at hand */
	__u64 syscall; /* of KT_HOOK_SYSCALL: its number */
	__u32 vcpu;
	__u32 result; /* of a replay: enum kt_lost; 0: the event is done */
};

/* Counters, all monotonic; one array per CPU. */
enum kt_counter {
	KT_COUNT_EXITS, /* VM exits seen of this VM */
	KT_COUNT_TRAPS, /* of these: ours */
	KT_COUNT_FOREIGN_INVD, /* INVD, WBINVD or, with the shim, #DB that is not at a site */
	KT_COUNT_NESTED, /* ignored: the vCPU ran a nested guest */
	KT_COUNT_SECOND_ROAD, /* guest reads served through the host's page tables */
	KT_COUNT_HOST_FAULT, /* guest reads that neither road could serve */
	KT_COUNT_GUEST_FAULT, /* guest addresses that the guest does not map */
	KT_COUNT_RETRIED, /* events that were done again by the slow path */
	KT_COUNT_SCANS, /* pending-reader scans */
	KT_COUNT_RESCANS, /* memslot snapshots taken again */
	KT_COUNT_JUDGED, /* first-touch path judgements */
	KT_COUNT_RECORDS,
	KT_COUNT_RECORDS_LOST,
	KT_COUNT_PENDING_LOST,
	KT_COUNT_MAX,
};

#endif
