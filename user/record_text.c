// SPDX-License-Identifier: GPL-2.0
/*
 * Records for people, in the layout of figure 4 of the paper ("Design of
 * Function for Tracing Diffusion of Classified Information for IPC on KVM"):
 * the call, what happened, then one fact a line.
 */
#include <string.h>
#include <sys/socket.h>

#include "escape.h"
#include "record.h"

static void line(FILE *out, const char *key, const char *bytes, size_t len)
{
	fprintf(out, "%s: ", key);
	escape_text(out, bytes, len);
	fputc('\n', out);
}

static void write_labels(FILE *out, const struct record_context *ctx, const char *key,
			 uint64_t labels)
{
	char buf[KT_LABEL_LEN];
	const char *name;
	unsigned int bit;

	if (!labels)
		return;
	fprintf(out, "%s:", key);
	for (bit = 0; bit < KT_LABELS_MAX; bit++) {
		if (!(labels >> bit & 1))
			continue;
		fputc(' ', out);
		name = record_label(ctx, bit, buf);
		escape_text(out, name, strlen(name));
	}
	fputc('\n', out);
}

static void write_endpoint(FILE *out, const char *address_key, const char *port_key,
			   const struct kt_endpoint *endpoint)
{
	char buf[64];

	if (!record_address(endpoint, buf, sizeof(buf)))
		return;
	fprintf(out, "%s: %s\n%s: %u\n", address_key, buf, port_key, endpoint->port);
}

static void write_destination(FILE *out, const struct kt_object *o)
{
	const struct kt_endpoint *remote = &o->remote;
	size_t len = o->name_len < sizeof(o->name) ? o->name_len : sizeof(o->name);
	char buf[32];

	switch (remote->family) {
	case AF_VSOCK:
		fprintf(out, "dcid: %u\ndport: %u\n", record_endpoint_word(remote, 0),
			record_endpoint_word(remote, 1));
		break;
	case AF_PACKET:
		if (len)
			line(out, "device", o->name, strnlen(o->name, len));
		fprintf(out, "ifindex: %u\n", record_endpoint_word(remote, 0));
		if (record_mac(remote, buf, sizeof(buf)))
			fprintf(out, "daddr: %s\n", buf);
		break;
	default:
		write_endpoint(out, "daddr", "dport", remote);
	}
}

static void write_socket(FILE *out, const struct kt_object *o)
{
	const char *name;
	bool abstract;
	char buf[32];
	size_t len = record_unix_name(o, &name, &abstract);

	fprintf(out, "family: %s\n", record_family_name(o->family, buf, sizeof(buf)));
	fprintf(out, "type: %s\n", record_socket_type_name(o->type));
	if (o->family == AF_UNIX && (len || abstract)) {
		fputs(abstract ? "name: @" : "name: ", out);
		escape_text(out, name, len);
		fputc('\n', out);
	}
	write_endpoint(out, "laddr", "lport", &o->local);
	write_endpoint(out, "raddr", "rport", &o->remote);
	fprintf(out, "inode: %llu\n", (unsigned long long)o->ino);
}

static void write_path(FILE *out, const struct kt_record *rec)
{
	line(out, "path", rec->path, rec->path_len);
}

static void write_target(FILE *out, const struct kt_record *rec)
{
	const struct kt_object *o = &rec->target;

	switch (o->kind) {
	case KT_KIND_FILE:
		if (rec->path_len)
			write_path(out, rec);
		fprintf(out, "inode: %llu\n", (unsigned long long)o->ino);
		break;
	case KT_KIND_SOCKET:
		write_socket(out, o);
		break;
	case KT_KIND_PIPE:
		fprintf(out, "inode: %llu\n", (unsigned long long)o->ino);
		break;
	case KT_KIND_DISK:
		line(out, "disk", o->name, strnlen(o->name, KT_DISK_NAME));
		if (rec->path_len)
			write_path(out, rec);
		break;
	case KT_KIND_KEY:
		fprintf(out, "serial: %llu\n", (unsigned long long)o->ino);
		line(out, "description", o->name, strnlen(o->name, sizeof(o->name)));
		break;
	case KT_KIND_TERMINAL:
		line(out, "name", o->name, strnlen(o->name, sizeof(o->name)));
		break;
	case KT_KIND_PROCESS:
	case KT_KIND_MEMORY:
		line(out, "comm", o->comm, strnlen(o->comm, sizeof(o->comm)));
		fprintf(out, "pid: %u\n", o->pid);
		break;
	}
}

static void write_actor(FILE *out, const struct kt_record *rec)
{
	if (!(rec->flags & KT_RECORD_HAS_ACTOR))
		return;
	line(out, "comm", rec->actor.comm, strnlen(rec->actor.comm, sizeof(rec->actor.comm)));
	fprintf(out, "pid: %u\n", rec->actor.pid);
}

static void write_call(FILE *out, const struct kt_record *rec)
{
	char buf[64];

	if (rec->flags & KT_RECORD_HAS_SYSCALL)
		fprintf(out, "%s()\n", record_syscall_name(rec, buf, sizeof(buf)));
}

static void write_leak(FILE *out, const struct kt_record *rec)
{
	const struct kt_object *o = &rec->target;
	const char *unknown =
		rec->leak_kind == KT_LEAK_UNRESOLVED ? ", or sent to an unknown receiver" : "";

	if (rec->type == KT_RECORD_ALLOWED)
		fprintf(out, "sensitive data is sent to where it may go.\n");
	else if (rec->verdict == KT_VERDICT_BLOCKED || rec->verdict == KT_VERDICT_PAUSED)
		fprintf(out, "sensitive data was about to be leaked%s.\n", unknown);
	else
		fprintf(out, "sensitive data is leaked%s.\n", unknown);
	if (rec->verdict > KT_VERDICT_REPORTED)
		fprintf(out, "verdict: %s\n", record_verdict_name(rec->verdict));
	if (rec->obstacle)
		fprintf(out, "reason: %s\n", record_obstacle_name(rec->obstacle));
	if (o->kind == KT_KIND_FILE) {
		line(out, "filesystem", o->fs_type, strnlen(o->fs_type, sizeof(o->fs_type)));
		if (o->name_len)
			line(out, "server", o->name, strnlen(o->name, sizeof(o->name)));
		write_target(out, rec);
	} else if (o->kind == KT_KIND_DISK) {
		write_target(out, rec);
	} else if (o->kind == KT_KIND_DEVICE) {
		line(out, "device", o->name, strnlen(o->name, sizeof(o->name)));
	} else {
		write_destination(out, o);
	}
	write_actor(out, rec);
}

static void write_spread(FILE *out, const struct kt_record *rec)
{
	const struct kt_object *file = record_path_owner(rec);

	fprintf(out, "%s is managed%s.\n", record_kind_name(rec->target.kind),
		rec->flow == KT_FLOW_POLICY ? " by the policy" : "");
	write_target(out, rec);
	if (file == &rec->source)
		write_path(out, rec);
	if (rec->target.kind != KT_KIND_PROCESS)
		write_actor(out, rec);
	if (rec->source.kind == KT_KIND_VM) {
		line(out, "from vm", rec->source.name,
		     strnlen(rec->source.name, sizeof(rec->source.name)));
		fprintf(out, "vm pid: %u\nits seq: %llu\n", rec->source.pid,
			(unsigned long long)rec->source.ino);
	}
}

void record_write_text(FILE *out, const struct record_context *ctx, const struct kt_record *rec)
{
	write_call(out, rec);
	switch (rec->type) {
	case KT_RECORD_LEAK:
	case KT_RECORD_ALLOWED:
		write_leak(out, rec);
		break;
	case KT_RECORD_SPREAD:
		write_spread(out, rec);
		break;
	case KT_RECORD_GONE:
		fprintf(out, "%s is no longer managed.\n", record_kind_name(rec->target.kind));
		write_target(out, rec);
		break;
	case KT_RECORD_LOST:
		fprintf(out, "data flows may have been missed: %s.\n", record_lost_name(rec->lost));
		if (rec->target.kind)
			fprintf(out, "no room for: %s\n", record_kind_name(rec->target.kind));
		write_actor(out, rec);
		break;
	default:
		fprintf(out, "%s\n", record_type_name(rec->type));
	}
	write_labels(out, ctx, "labels", rec->labels);
	fprintf(out, "seq: %llu\n", (unsigned long long)rec->seq);
	if (rec->cause)
		fprintf(out, "cause: %llu\n", (unsigned long long)rec->cause);
	fputc('\n', out);
}
