// SPDX-License-Identifier: GPL-2.0
/* From a record as BPF wrote it to one line. The keys are those of record.schema.json. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "record.h"
#include "record_json.h"
#include "trap.h"
#include "version.h"

#define RECORD_HEAD offsetof(struct kt_record, path)

static struct json_object *labels_json(const struct record_context *ctx, uint64_t labels)
{
	struct json_object *array = json_object_new_array();
	char buf[KT_LABEL_LEN];
	unsigned int bit;

	for (bit = 0; bit < KT_LABELS_MAX; bit++)
		if (labels >> bit & 1)
			json_object_array_add(array,
					      json_object_new_string(record_label(ctx, bit, buf)));
	return array;
}

static void add_comm(struct json_object *to, const struct kt_object *o)
{
	json_add_bytes(to, "comm", o->comm, strnlen(o->comm, sizeof(o->comm)));
}

static void add_endpoint(struct json_object *to, const struct kt_endpoint *endpoint)
{
	char buf[64];

	if (!record_address(endpoint, buf, sizeof(buf)))
		return;
	json_add_string(to, "address", buf);
	json_add_number(to, "port", endpoint->port);
}

/* Bytes of a name that ends at its first NUL, if it has one. */
static size_t name_length(const struct kt_object *o)
{
	return strnlen(o->name, o->name_len < sizeof(o->name) ? o->name_len : sizeof(o->name));
}

/* Where a leak went, in the terms of its family; see bpf/carrier_*.bpf.h. */
static void add_destination(struct json_object *to, const struct kt_object *o)
{
	const struct kt_endpoint *remote = &o->remote;
	char buf[32];

	switch (remote->family) {
	case AF_VSOCK:
		json_add_number(to, "cid", record_endpoint_word(remote, 0));
		json_add_number(to, "port", record_endpoint_word(remote, 1));
		break;
	case AF_PACKET:
		if (o->name_len)
			json_add_bytes(to, "device", o->name, name_length(o));
		json_add_number(to, "ifindex", record_endpoint_word(remote, 0));
		if (record_mac(remote, buf, sizeof(buf)))
			json_add_string(to, "mac", buf);
		break;
	default:
		add_endpoint(to, remote);
	}
}

static void add_path(struct json_object *to, const struct kt_record *rec, const struct kt_object *o)
{
	char dev[32];

	if (record_path_owner(rec) == o) {
		json_add_bytes(to, "path", rec->path, rec->path_len);
		if (rec->flags & KT_RECORD_PATH_CUT)
			json_add_new(to, "path_cut", json_object_new_boolean(true));
	}
	/* The kernel's own form: include/linux/kdev_t.h. */
	snprintf(dev, sizeof(dev), "%u:%u", o->dev >> 20, o->dev & 0xfffff);
	json_add_string(to, "dev", dev);
}

static void add_file(struct json_object *to, const struct kt_record *rec, const struct kt_object *o)
{
	add_path(to, rec, o);
	json_add_number(to, "inode", o->ino);
	json_add_number(to, "generation", o->generation);
}

static void add_socket(struct json_object *to, const struct kt_object *o)
{
	struct json_object *side;
	const char *name;
	bool abstract;
	char buf[32];
	size_t len;

	json_add_string(to, "family", record_family_name(o->family, buf, sizeof(buf)));
	json_add_string(to, "socket_type", record_socket_type_name(o->type));
	json_add_number(to, "inode", o->ino);
	json_add_address(to, "object", o->gva);
	if (o->family == AF_UNIX) {
		len = record_unix_name(o, &name, &abstract);
		if (len || abstract)
			json_add_bytes(to, "name", name, len);
		if (abstract)
			json_add_new(to, "abstract", json_object_new_boolean(true));
	}
	if (o->family != AF_INET && o->family != AF_INET6)
		return;
	json_add_string(to, "transport", record_protocol_name(o, buf, sizeof(buf)));
	side = json_object_new_object();
	add_endpoint(side, &o->local);
	json_add_new(to, "local", side);
	side = json_object_new_object();
	add_endpoint(side, &o->remote);
	json_add_new(to, "remote", side);
}

static void add_key(struct json_object *to, const struct kt_object *o)
{
	json_add_number(to, "serial", o->ino);
	json_add_bytes(to, "description", o->name, name_length(o));
	json_add_address(to, "object", o->gva);
}

static void add_disk(struct json_object *to, const struct kt_record *rec, const struct kt_object *o)
{
	json_add_bytes(to, "name", o->name, strnlen(o->name, KT_DISK_NAME));
	add_path(to, rec, o);
	json_add_address(to, "object", o->gva);
}

static void add_vm(struct json_object *to, const struct kt_object *o)
{
	json_add_number(to, "pid", o->pid);
	json_add_bytes(to, "name", o->name, strnlen(o->name, sizeof(o->name)));
}

/* The record of another VM's kvmtaint that explains this one. */
static void add_remote_cause(struct json_object *to, const struct kt_object *o)
{
	struct json_object *cause = json_object_new_object(), *vm = json_object_new_object();

	add_vm(vm, o);
	json_add_new(cause, "vm", vm);
	json_add_number(cause, "seq", o->ino);
	json_add_new(to, "remote_cause", cause);
}

static struct json_object *object_json(const struct kt_record *rec, const struct kt_object *o)
{
	struct json_object *to = json_object_new_object();

	json_add_string(to, "kind", record_kind_name(o->kind));
	switch (o->kind) {
	case KT_KIND_FILE:
		add_file(to, rec, o);
		break;
	case KT_KIND_SOCKET:
		add_socket(to, o);
		break;
	case KT_KIND_PIPE:
		json_add_number(to, "inode", o->ino);
		json_add_address(to, "object", o->gva);
		break;
	case KT_KIND_TERMINAL:
		json_add_bytes(to, "name", o->name, name_length(o));
		json_add_address(to, "object", o->gva);
		break;
	case KT_KIND_MESSAGE:
	case KT_KIND_FUSE:
		json_add_address(to, "object", o->gva);
		break;
	case KT_KIND_KEY:
		add_key(to, o);
		break;
	case KT_KIND_DISK:
		add_disk(to, rec, o);
		break;
	case KT_KIND_VM:
		add_vm(to, o);
		break;
	case KT_KIND_PROCESS:
	case KT_KIND_MEMORY:
		json_add_number(to, "pid", o->pid);
		json_add_number(to, "uid", o->uid);
		add_comm(to, o);
		json_add_address(to, "object", o->gva);
		break;
	}
	return to;
}

static struct json_object *begin(const struct record_context *ctx, uint64_t seq, uint64_t time_ns,
				 const char *type)
{
	struct json_object *to = json_object_new_object(), *vm = json_object_new_object();
	char time[40];

	record_time(ctx, time_ns, time, sizeof(time));
	json_add_number(to, "seq", seq);
	json_add_string(to, "time", time);
	json_add_string(to, "type", type);
	json_add_number(vm, "pid", ctx->vm_pid);
	json_add_bytes(vm, "name", ctx->vm_name, strlen(ctx->vm_name));
	json_add_new(to, "vm", vm);
	return to;
}

static void add_actor(struct json_object *to, const struct kt_record *rec)
{
	struct json_object *process;
	char buf[64];

	if (rec->flags & KT_RECORD_HAS_SYSCALL)
		json_add_string(to, "syscall", record_syscall_name(rec, buf, sizeof(buf)));
	if (!(rec->flags & KT_RECORD_HAS_ACTOR))
		return;
	process = json_object_new_object();
	json_add_number(process, "pid", rec->actor.pid);
	json_add_number(process, "tid", rec->actor.tid);
	add_comm(process, &rec->actor);
	json_add_number(process, "uid", rec->actor.uid);
	if (rec->flags & KT_RECORD_KTHREAD)
		json_add_new(process, "kthread", json_object_new_boolean(true));
	if (rec->flags & KT_RECORD_IO_WORKER)
		json_add_new(process, "io_worker", json_object_new_boolean(true));
	json_add_new(to, "process", process);
}

static void add_spread(struct json_object *to, const struct record_context *ctx,
		       const struct kt_record *rec)
{
	json_add_string(to, "flow", record_flow_name(rec->flow));
	json_add_new(to, "source", object_json(rec, &rec->source));
	json_add_new(to, "target", object_json(rec, &rec->target));
	json_add_new(to, "labels", labels_json(ctx, rec->labels));
	json_add_new(to, "added", labels_json(ctx, rec->added));
	json_add_number(to, "cause", rec->cause);
	if (rec->source.kind == KT_KIND_VM)
		add_remote_cause(to, &rec->source);
	json_add_number(to, "previous", rec->previous);
}

/* By storage: see bpf/storage_leak.bpf.h. */
static void add_leak_by_storage(struct json_object *to, const struct kt_record *rec)
{
	const struct kt_object *o = &rec->target;
	struct json_object *destination = json_object_new_object();

	json_add_new(to, "source", object_json(rec, &rec->source));
	if (o->kind == KT_KIND_DISK) {
		add_disk(destination, rec, o);
	} else {
		json_add_bytes(destination, "filesystem", o->fs_type,
			       strnlen(o->fs_type, sizeof(o->fs_type)));
		if (o->name_len)
			json_add_bytes(destination, "server", o->name,
				       strnlen(o->name, sizeof(o->name)));
		add_file(destination, rec, o);
	}
	json_add_new(to, "destination", destination);
}

/* By a socket: where it goes, and which socket. */
static void add_leak_by_socket(struct json_object *to, const struct kt_object *o)
{
	struct json_object *end = json_object_new_object();
	uint32_t family = o->remote.family ? o->remote.family : o->family;
	char buf[32];

	add_endpoint(end, &o->local);
	json_add_new(to, "source", end);
	end = json_object_new_object();
	json_add_string(end, "family", record_family_name(family, buf, sizeof(buf)));
	json_add_string(end, "transport", record_protocol_name(o, buf, sizeof(buf)));
	add_destination(end, o);
	json_add_new(to, "destination", end);
	end = json_object_new_object();
	json_add_number(end, "inode", o->ino);
	json_add_address(end, "object", o->gva);
	json_add_new(to, "socket", end);
}

static void add_leak(struct json_object *to, const struct record_context *ctx,
		     const struct kt_record *rec)
{
	const struct kt_object *o = &rec->target;
	struct json_object *device;

	json_add_string(to, "verdict", record_verdict_name(rec->verdict));
	if (rec->obstacle)
		json_add_string(to, "reason", record_obstacle_name(rec->obstacle));
	json_add_string(to, "kind", record_leak_name(rec->leak_kind));
	if (o->kind == KT_KIND_DEVICE) {
		device = json_object_new_object();
		json_add_bytes(device, "device", o->name, name_length(o));
		json_add_new(to, "destination", device);
	} else if (o->kind == KT_KIND_FILE || o->kind == KT_KIND_DISK) {
		add_leak_by_storage(to, rec);
	} else {
		add_leak_by_socket(to, o);
	}
	json_add_new(to, "labels", labels_json(ctx, rec->labels));
	json_add_number(to, "cause", rec->cause);
}

static void add_gone(struct json_object *to, const struct record_context *ctx,
		     const struct kt_record *rec)
{
	json_add_new(to, "target", object_json(rec, &rec->target));
	json_add_new(to, "labels", labels_json(ctx, rec->labels));
	json_add_number(to, "cause", rec->cause);
	json_add_number(to, "previous", rec->previous);
}

static void add_lost(struct json_object *to, const struct record_context *ctx,
		     const struct kt_record *rec)
{
	json_add_string(to, "reason", record_lost_name(rec->lost));
	json_add_number(to, "count", 1);
	/* The engine says which address it could not read. */
	if (rec->bytes && !(rec->flags & KT_RECORD_HAS_BYTES))
		json_add_address(to, "address", rec->bytes);
	if (rec->lost != KT_LOST_SET_FULL && rec->lost != KT_LOST_PENDING_FULL &&
	    rec->lost != KT_LOST_WIRE_FULL)
		return;
	/* What the table had no room for, and what it counts as having from now on. */
	if (rec->target.kind)
		json_add_new(to, "target", object_json(rec, &rec->target));
	json_add_new(to, "labels", labels_json(ctx, rec->labels));
	json_add_number(to, "cause", rec->cause);
}

static void add_body(struct json_object *to, const struct record_context *ctx,
		     const struct kt_record *rec)
{
	if (rec->flags & KT_RECORD_HAS_BYTES)
		json_add_number(to, "bytes", rec->bytes);
	switch (rec->type) {
	case KT_RECORD_SPREAD:
		add_spread(to, ctx, rec);
		break;
	case KT_RECORD_LEAK:
	case KT_RECORD_ALLOWED:
		add_leak(to, ctx, rec);
		break;
	case KT_RECORD_GONE:
		add_gone(to, ctx, rec);
		break;
	case KT_RECORD_LOST:
		add_lost(to, ctx, rec);
		break;
	}
}

static char *text_line(const struct record_context *ctx, const struct kt_record *rec)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	record_write_text(out, ctx, rec);
	fclose(out);
	return text;
}

char *record_line(const struct record_context *ctx, const struct kt_record *rec, size_t len)
{
	struct json_object *to;

	if (len < RECORD_HEAD || rec->path_len > KT_PATH_MAX || rec->path_len > len - RECORD_HEAD ||
	    rec->type < KT_RECORD_SPREAD || rec->type >= KT_RECORD_MAX)
		return NULL;
	if (ctx->format == RECORD_TEXT)
		return text_line(ctx, rec);
	to = begin(ctx, rec->seq, rec->time_ns, record_type_name(rec->type));
	json_add_number(to, "vcpu", rec->vcpu);
	add_actor(to, rec);
	add_body(to, ctx, rec);
	return json_take_line(to);
}

static void add_hook(struct json_object *array, const char *name, gva_t address)
{
	struct json_object *hook = json_object_new_object();

	json_add_string(hook, "name", name);
	json_add_address(hook, "address", address.v);
	json_object_array_add(array, hook);
}

static struct json_object *hooks_json(enum trap_kind trap, const struct guest_profile *profile)
{
	struct json_object *array = json_object_new_array();
	struct breakpoint points[KT_BREAKPOINTS_MAX];
	size_t i, count = breakpoints_of(trap, profile, points);
	char name[64];
	int h;

	for (i = 0; i < count; i++)
		add_hook(array, points[i].name, points[i].address);
	for (h = 0; trap == TRAP_PATCH && h < KT_HOOK_MAX; h++)
		if (profile->hooks[h].function.v)
			add_hook(array, trap_hook_name(profile, h, name, sizeof(name)),
				 profile->hooks[h].function);
	return array;
}

/* What the system-call view does not see. */
static const struct {
	const char *call, *what;
} unseen_calls[] = {
#define SYSCALL(name, number, number32, kind, in, out, bytes)
#define SYSCALL_UNSEEN(call, what) { call, what },
#include "../bpf/syscalls.def"
#undef SYSCALL
};

static void add_missing(struct json_object *array, const char *key, const char *name,
			const char *unseen)
{
	struct json_object *missing = json_object_new_object();

	json_add_string(missing, key, name);
	json_add_string(missing, "unseen", unseen);
	json_object_array_add(array, missing);
}

/* What the guest lacks, and what is not seen for want of it. */
static struct json_object *missing_json(enum trap_kind trap, const struct guest_profile *profile)
{
	struct json_object *array = json_object_new_array();
	struct profile_gap gap;
	size_t at = 0;

	for (size_t i = 0; trap == TRAP_SHIM && i < sizeof(unseen_calls) / sizeof(*unseen_calls);
	     i++)
		add_missing(array, "hook", unseen_calls[i].call, unseen_calls[i].what);
	while (profile_next_gap(profile, &at, &gap))
		if (trap != TRAP_SHIM || !gap.hook)
			add_missing(array, gap.hook ? "hook" : "field", gap.name, gap.unseen);
	return array;
}

static char *text_of(const char *format, ...)
{
	va_list args;
	char *text;
	int n;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	return n < 0 ? NULL : text;
}

static uint64_t all_labels(const struct record_context *ctx)
{
	uint64_t labels = 0;
	unsigned int bit;

	for (bit = 0; policy_label(ctx->policy, bit); bit++)
		labels |= 1ULL << bit;
	return labels;
}

static struct json_object *guest_json(const struct guest_profile *profile)
{
	struct json_object *guest = json_object_new_object();

	json_add_bytes(guest, "release", profile->release, strlen(profile->release));
	json_add_number(guest, "cpus", profile->cpus);
	json_add_address(guest, "kaslr_offset", profile->kaslr_offset);
	return guest;
}

static void add_armed(struct json_object *to, enum trap_kind trap,
		      const struct guest_profile *profile, uint64_t held_ns)
{
	json_add_new(to, "guest", guest_json(profile));
	json_add_string(to, "trap", trap_kind_name(trap));
	json_add_new(to, "hooks", hooks_json(trap, profile));
	json_add_new(to, "missing", missing_json(trap, profile));
	json_add_number(to, "held_ns", held_ns);
}

char *record_start_line(const struct record_context *ctx, uint64_t seq,
			const struct guest_profile *profile, uint64_t held_ns)
{
	struct json_object *to;

	if (ctx->format == RECORD_TEXT)
		return text_of("tracing starts.\nvm: %d\nseq: %llu\n\n", ctx->vm_pid,
			       (unsigned long long)seq);
	to = begin(ctx, seq, record_now(), "start");
	json_add_string(to, "version", KVMTAINT_VERSION);
	json_add_new(to, "labels", labels_json(ctx, all_labels(ctx)));
	if (profile)
		add_armed(to, ctx->trap, profile, held_ns);
	return json_take_line(to);
}

static char *guest_text(const struct record_context *ctx, uint64_t seq,
			const struct guest_record *guest)
{
	static const char *const what[] = {
		[GUEST_ARMED] = "a guest kernel is traced",
		[GUEST_CHANGED] = "a trap was written over",
		[GUEST_GONE] = "the guest kernel is gone",
		[GUEST_REFUSED] = "a guest kernel cannot be traced",
		[GUEST_RESTORED] = "the guest was set back to an earlier state",
	};
	const char *detail = guest->reason;

	if (guest->event == GUEST_ARMED)
		detail = guest->profile->release;
	else if (guest->event == GUEST_CHANGED)
		detail = guest->function;
	return text_of("%s%s%s.\nseq: %llu\n\n", what[guest->event], detail ? ": " : "",
		       detail ? detail : "", (unsigned long long)seq);
}

char *record_guest_line(const struct record_context *ctx, uint64_t seq,
			const struct guest_record *guest)
{
	struct json_object *to;
	char bytes[2 * TRAP_LEN + 1];
	int i;

	if (ctx->format == RECORD_TEXT)
		return guest_text(ctx, seq, guest);
	to = begin(ctx, seq, record_now(), "guest");
	json_add_string(to, "event", record_guest_event_name(guest->event));
	if (guest->reason)
		json_add_string(to, "reason", guest->reason);
	switch (guest->event) {
	case GUEST_ARMED:
		add_armed(to, ctx->trap, guest->profile, guest->held_ns);
		break;
	case GUEST_GONE:
		json_add_new(to, "guest", guest_json(guest->profile));
		break;
	case GUEST_CHANGED:
		for (i = 0; i < TRAP_LEN; i++)
			snprintf(bytes + 2 * i, 3, "%02x", guest->found[i]);
		json_add_string(to, "function", guest->function);
		json_add_string(to, "bytes", bytes);
		json_add_new(to, "planted", json_object_new_boolean(guest->planted));
		break;
	default:
		break;
	}
	return json_take_line(to);
}

static char *pause_text(uint64_t seq, const struct pause_record *pause)
{
	const char *obstacle = pause->obstacle ? record_obstacle_name(pause->obstacle) : NULL;

	return text_of("the VM %s%s.\nverdict: %s%s%s\nseq: %llu\ncause: %llu\n\n",
		       pause->resumed ? "goes on: " : "stands", pause->resumed ? pause->by : "",
		       record_verdict_name(pause->verdict), obstacle ? ": " : "",
		       obstacle ? obstacle : "", (unsigned long long)seq,
		       (unsigned long long)pause->cause);
}

char *record_pause_line(const struct record_context *ctx, uint64_t seq,
			const struct pause_record *pause)
{
	struct json_object *to;

	if (ctx->format == RECORD_TEXT)
		return pause_text(seq, pause);
	to = begin(ctx, seq, record_now(), "pause");
	json_add_number(to, "vcpu", pause->vcpu);
	json_add_string(to, "event", pause->resumed ? "resumed" : "paused");
	json_add_string(to, "verdict", record_verdict_name(pause->verdict));
	if (pause->obstacle)
		json_add_string(to, "reason", record_obstacle_name(pause->obstacle));
	if (pause->by)
		json_add_string(to, "by", pause->by);
	json_add_number(to, pause->resumed ? "stood_ns" : "standstill_ns", pause->ns);
	json_add_number(to, "cause", pause->cause);
	return json_take_line(to);
}

char *record_stop_line(const struct record_context *ctx, uint64_t seq, const char *reason,
		       const uint64_t counters[KT_COUNT_MAX])
{
	struct json_object *to, *all;
	int i;

	if (ctx->format == RECORD_TEXT)
		return text_of("tracing ends: %s.\nseq: %llu\n\n", reason, (unsigned long long)seq);
	to = begin(ctx, seq, record_now(), "stop");
	json_add_string(to, "reason", reason);
	all = json_object_new_object();
	for (i = 0; i < KT_COUNT_MAX; i++)
		json_add_number(all, record_counter_name(i), counters[i]);
	json_add_new(to, "counters", all);
	return json_take_line(to);
}

char *record_lost_line(const struct record_context *ctx, uint64_t seq, const char *reason,
		       uint64_t count, uint64_t first, uint64_t last)
{
	struct json_object *to, *missing;

	if (ctx->format == RECORD_TEXT)
		return text_of("data flows or records may have been missed: %s.\ncount: %llu\n"
			       "seq: %llu\n\n",
			       reason, (unsigned long long)count, (unsigned long long)seq);
	to = begin(ctx, seq, record_now(), "lost");
	json_add_string(to, "reason", reason);
	json_add_number(to, "count", count);
	if (first) {
		missing = json_object_new_object();
		json_add_number(missing, "first", first);
		json_add_number(missing, "last", last);
		json_add_new(to, "missing", missing);
	}
	return json_take_line(to);
}
