// SPDX-License-Identifier: GPL-2.0
/* Every kind of record against the schema; hostile names in JSON and on a terminal. */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <json-c/json.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../user/escape.h"
#include "../../user/record.h"

#define VALIDATE                                                                                   \
	"/usr/bin/python3 -c 'import json,sys,jsonschema\n"                                        \
	"s=json.load(open(\"user/record.schema.json\"))\n"                                         \
	"v=jsonschema.Draft202012Validator(s)\n"                                                   \
	"n=0\n"                                                                                    \
	"for line in open(sys.argv[1]):\n"                                                         \
	"    r=json.loads(line); n+=1\n"                                                           \
	"    for e in v.iter_errors(r):\n"                                                         \
	"        print(line, [c.message for c in e.context], e.message, file=sys.stderr)\n"        \
	"        sys.exit(1)\n"                                                                    \
	"sys.exit(0 if n==int(sys.argv[2]) else 2)' %s %d"

/* What Unicode, JSON and terminals each dislike; none of it may reach a line raw. */
static const char hostile[] =
	"a\n{\"seq\":1}\x1b[2J\x7f\r\t\"\\/\xc2\x9b"
	"31m\xe2\x80\xae"
	"\xff\xfe\xc0\xaf\xed\xa0\x80\xf5\x80\x80\x80 \xc3\xa9\xe6\x97\xa5\xe2";

static struct record_context context(enum record_format format)
{
	static struct policy *policy;
	char err[256];

	if (!policy) {
		policy = policy_new();
		policy_add(policy, "hr=/srv/hr/", err, sizeof(err));
		policy_add(policy, "pay=/srv/pay/", err, sizeof(err));
	}
	return (struct record_context){
		.format = format, .vm_pid = 4242, .vm_name = "web1", .policy = policy
	};
}

static struct kt_object process(void)
{
	return (struct kt_object){ .kind = KT_KIND_PROCESS,
				   .pid = 1298,
				   .tid = 1299,
				   .uid = 1000,
				   .comm = "ssh",
				   .gva = 0xffff888012345678 };
}

static struct kt_object file(void)
{
	return (struct kt_object){
		.kind = KT_KIND_FILE, .dev = 254 << 20 | 1, .ino = 77, .generation = 3
	};
}

static struct kt_object inet(void)
{
	return (struct kt_object){
		.kind = KT_KIND_SOCKET,
		.gva = 0xffff888000000001,
		.family = AF_INET,
		.type = SOCK_STREAM,
		.protocol = IPPROTO_TCP,
		.ino = 9,
		.local = { .address = { 10, 0, 2, 15 }, .port = 40112, .family = AF_INET },
		.remote = { .address = { 172, 21, 16, 97 }, .port = 22, .family = AF_INET },
	};
}

static struct kt_object unix_socket(const char *name, size_t len)
{
	struct kt_object o = { .kind = KT_KIND_SOCKET,
			       .gva = 1,
			       .family = AF_UNIX,
			       .type = SOCK_DGRAM,
			       .name_len = len };

	memcpy(o.name, name, len);
	return o;
}

static struct kt_record record(uint32_t type)
{
	struct kt_record r = { .seq = 17,
			       .time_ns = 5,
			       .type = type,
			       .cause = 16,
			       .previous = 3,
			       .labels = 3,
			       .added = 2,
			       .actor = process(),
			       .syscall = 1,
			       .flags = KT_RECORD_HAS_ACTOR | KT_RECORD_HAS_SYSCALL };

	return r;
}

static void set_path(struct kt_record *r, const char *path, size_t len)
{
	memcpy(r->path, path, len);
	r->path_len = len;
}

static char *render(enum record_format format, const struct kt_record *r)
{
	struct record_context ctx = context(format);
	char *line = record_line(&ctx, r, offsetof(struct kt_record, path) + r->path_len);

	assert_non_null(line);
	assert_int_equal(line[strlen(line) - 1], '\n');
	return line;
}

static struct kt_record leak(void)
{
	struct kt_record r = record(KT_RECORD_LEAK);

	r.target = inet();
	r.leak_kind = KT_LEAK_REMOTE;
	r.verdict = KT_VERDICT_REPORTED;
	r.bytes = 1436;
	r.flags |= KT_RECORD_HAS_BYTES;
	r.labels = 1;
	r.time_ns = 1795342272123456789;
	return r;
}

static void leak_as_the_design_shows_it(void **state)
{
	struct kt_record r = leak();
	char *line = render(RECORD_JSON, &r);

	assert_string_equal(
		line, "{\"seq\":17,\"time\":\"2026-11-22T10:11:12.123456789Z\",\"type\":\"leak\","
		      "\"vm\":{\"pid\":4242,\"name\":\"web1\"},\"vcpu\":0,\"syscall\":\"write\","
		      "\"process\":{\"pid\":1298,\"tid\":1299,\"comm\":\"ssh\",\"uid\":1000},"
		      "\"bytes\":1436,\"verdict\":\"reported\",\"kind\":\"remote\","
		      "\"source\":{\"address\":\"10.0.2.15\",\"port\":40112},"
		      "\"destination\":{\"family\":\"inet\",\"transport\":\"tcp\","
		      "\"address\":\"172.21.16.97\",\"port\":22},"
		      "\"socket\":{\"inode\":9,\"object\":\"0xffff888000000001\"},"
		      "\"labels\":[\"hr\"],\"cause\":16}\n");
	free(line);
}

/* What one leak's line has for "destination", for people and for programs. */
static void destination_is(const struct kt_record *r, const char *json, const char *text)
{
	char *line = render(RECORD_JSON, r);

	assert_non_null(strstr(line, json));
	free(line);
	line = render(RECORD_TEXT, r);
	assert_non_null(strstr(line, text));
	free(line);
}

static void leak_by_vsock_names_cid_and_port(void **state)
{
	const uint32_t words[2] = { 2, 0xfffffffe };
	struct kt_record r = leak();

	memset(&r.target, 0, sizeof(r.target));
	r.target.kind = KT_KIND_SOCKET;
	r.target.family = r.target.remote.family = AF_VSOCK;
	r.target.type = SOCK_STREAM;
	memcpy(r.target.remote.address, words, sizeof(words));
	destination_is(&r,
		       "\"destination\":{\"family\":\"vsock\",\"transport\":\"stream\","
		       "\"cid\":2,\"port\":4294967294}",
		       "dcid: 2\ndport: 4294967294\n");
}

static void leak_by_packet_names_device_and_hardware_address(void **state)
{
	static const uint8_t address[] = { 3, 0, 0, 0, 0x52, 0x54, 0, 1, 2, 0xff };
	struct kt_record r = leak();

	memset(&r.target, 0, sizeof(r.target));
	r.target.kind = KT_KIND_SOCKET;
	r.target.family = r.target.remote.family = AF_PACKET;
	r.target.type = SOCK_DGRAM;
	r.target.protocol = 8; /* ETH_P_IP's low byte first: no IPPROTO_ */
	r.target.remote.port = 6;
	memcpy(r.target.remote.address, address, sizeof(address));
	memcpy(r.target.name, "eth0", 5);
	r.target.name_len = 16;
	destination_is(&r,
		       "\"destination\":{\"family\":\"packet\",\"transport\":\"dgram\","
		       "\"device\":\"eth0\",\"ifindex\":3,\"mac\":\"52:54:00:01:02:ff\"}",
		       "device: eth0\nifindex: 3\ndaddr: 52:54:00:01:02:ff\n");
	/* A hostile length is no address. */
	r.target.remote.port = 200;
	destination_is(&r, "\"ifindex\":3}", "ifindex: 3\ncomm");
}

static struct kt_record storage_leak(const struct kt_object *to, uint32_t kind)
{
	struct kt_record r = leak();

	r.flags &= ~KT_RECORD_HAS_BYTES;
	r.leak_kind = kind;
	r.source = process();
	r.target = *to;
	set_path(&r, "/mnt/file", 9);
	return r;
}

static const struct kt_object shared_file = { .kind = KT_KIND_FILE,
					      .dev = 45,
					      .ino = 7,
					      .generation = 3,
					      .fs_type = "nfs4",
					      .name = "10.9.0.1:/",
					      .name_len = 10 };
static const struct kt_object disk = { .kind = KT_KIND_DISK,
				       .dev = 254 << 20 | 16,
				       .gva = 0xffff888000000001,
				       .name = "vdb",
				       .name_len = KT_DISK_NAME };

static void leak_to_a_network_file_system_names_server_and_path(void **state)
{
	struct kt_record r = storage_leak(&shared_file, KT_LEAK_FILESYSTEM);

	destination_is(&r, "\"kind\":\"filesystem\",\"source\":{\"kind\":\"process\",",
		       "sensitive data is leaked.\nfilesystem: nfs4\nserver: 10.9.0.1:/\n"
		       "path: /mnt/file\ninode: 7\ncomm: ");
	destination_is(&r,
		       "\"destination\":{\"filesystem\":\"nfs4\",\"server\":\"10.9.0.1:/\","
		       "\"path\":\"/mnt/file\",\"dev\":\"0:45\",\"inode\":7,\"generation\":3},"
		       "\"labels\":",
		       "server: ");
}

static void leak_to_a_block_device_names_disk_and_node(void **state)
{
	struct kt_record r = storage_leak(&disk, KT_LEAK_DEVICE);

	destination_is(&r,
		       "\"destination\":{\"name\":\"vdb\",\"path\":\"/mnt/file\","
		       "\"dev\":\"254:16\",\"object\":\"0xffff888000000001\"},\"labels\":",
		       "sensitive data is leaked.\ndisk: vdb\npath: /mnt/file\ncomm: ");
}

static void leak_by_console_names_the_device_alone(void **state)
{
	struct kt_record r = leak();

	memset(&r.target, 0, sizeof(r.target));
	r.target.kind = KT_KIND_DEVICE;
	memcpy(r.target.name, "ttyS0", 6);
	r.target.name_len = 16;
	r.leak_kind = KT_LEAK_CONSOLE;
	r.flags &= ~KT_RECORD_HAS_BYTES;
	destination_is(
		&r,
		"\"uid\":1000},\"verdict\":\"reported\",\"kind\":\"console\",\"destination\":{\"device\":\"ttyS0\"},"
		"\"labels\":[\"hr\"]",
		"sensitive data is leaked.\ndevice: ttyS0\ncomm");
	/* No NUL, and a length that is more than there is. */
	memset(r.target.name, 'a', sizeof(r.target.name));
	r.target.name_len = UINT16_MAX;
	destination_is(&r, "aaa\"}", "aaa\ncomm");
}

static void leak_as_the_paper_prints_it(void **state)
{
	struct kt_record r = leak();
	char *text = render(RECORD_TEXT, &r);

	assert_string_equal(text, "write()\nsensitive data is leaked.\ndaddr: 172.21.16.97\n"
				  "dport: 22\ncomm: ssh\npid: 1298\nlabels: hr\nseq: 17\n"
				  "cause: 16\n\n");
	free(text);
}

static int write_spreads(FILE *out, struct kt_record *r)
{
	struct kt_object kinds[] = {
		file(),
		process(),
		inet(),
		unix_socket("/run/a\xff", 7),
		unix_socket("\0x\0y", 4),
		unix_socket("", 0),
		{ .kind = KT_KIND_PIPE, .ino = 5, .gva = 7 },
		{ .kind = KT_KIND_MEMORY, .gva = 5 },
		{ .kind = KT_KIND_MESSAGE, .gva = 6 },
		{ .kind = KT_KIND_KEY, .ino = 9, .gva = 8, .name = "a\xff", .name_len = 2 },
		disk,
		{ .kind = KT_KIND_TERMINAL, .gva = 9, .name = "pts\xff", .name_len = 16 },
		{ .kind = KT_KIND_FUSE, .gva = 10 },
		{ .kind = KT_KIND_NONE },
	};
	size_t n = sizeof(kinds) / sizeof(kinds[0]), i, flow = 0, k;
	int count = 0;

	kinds[2].family = AF_INET6;
	kinds[2].remote.family = AF_INET6;
	kinds[2].local.family = 0;
	for (i = 0; i < n - 1; i++) {
		for (k = 0; k < n; k++, count++) {
			char *line;

			r->target = kinds[i];
			r->source = kinds[k];
			r->flow = flow++ % KT_FLOW_MAX;
			/* That one comes from another VM alone, and nothing else does. */
			if (r->flow == KT_FLOW_WIRE)
				r->source = (struct kt_object){ .kind = KT_KIND_VM,
								.pid = 77,
								.ino = 12,
								.name = "web\xff",
								.name_len = KT_NAME_LEN };
			line = render(RECORD_JSON, r);
			fputs(line, out);
			free(line);
			free(render(RECORD_TEXT, r));
		}
	}
	return count;
}

static int write_user_records(FILE *out)
{
	struct record_context ctx = context(RECORD_JSON);
	struct guest_profile *profile = calloc(1, sizeof(*profile));
	uint64_t counters[KT_COUNT_MAX] = { 1, 2, UINT64_MAX >> 1 };
	const struct guest_record events[] = {
		{ .event = GUEST_ARMED, .profile = profile, .held_ns = 1234 },
		{ .event = GUEST_CHANGED,
		  .function = "do_splice",
		  .found = (const unsigned char *)"\xe8\0\xff\x0f\x1f" },
		{ .event = GUEST_GONE, .profile = profile, .reason = "reset" },
		{ .event = GUEST_REFUSED, .reason = "no \"BTF\"" },
		{ .event = GUEST_RESTORED },
	};
	char *lines[5 + GUEST_EVENT_MAX];
	size_t i;

	profile->hooks[KT_HOOK_task_exit].function.v = 0xffffffff81000000;
	profile->hooks[KT_HOOK_task_exit].alternative = 1;
	profile->cpus = 2;
	strcpy(profile->release, "6.1.0-\xff");
	lines[0] = record_start_line(&ctx, 1, profile, 1234);
	lines[1] = record_stop_line(&ctx, 2, "signal", counters);
	lines[2] = record_lost_line(&ctx, 3, "ring_full", 2, 17, 18);
	lines[3] = record_lost_line(&ctx, 4, "recursion", 2, 0, 0);
	lines[4] = record_start_line(&ctx, 5, NULL, 0);
	for (i = 0; i < GUEST_EVENT_MAX; i++)
		lines[5 + i] = record_guest_line(&ctx, 6 + i, &events[i]);
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		assert_non_null(lines[i]);
		fputs(lines[i], out);
		free(lines[i]);
	}
	free(profile);
	return sizeof(lines) / sizeof(lines[0]);
}

static int write_others(FILE *out)
{
	const struct kt_record storage[] = { storage_leak(&shared_file, KT_LEAK_FILESYSTEM),
					     storage_leak(&disk, KT_LEAK_DEVICE) };
	struct kt_record r = leak();
	int count = 0;

	for (size_t i = 0; i < sizeof(storage) / sizeof(storage[0]); i++, count++) {
		char *line = render(RECORD_JSON, &storage[i]);

		fputs(line, out);
		free(line);
	}

	for (r.lost = 0; r.lost < KT_LOST_MAX; r.lost++) {
		for (r.type = KT_RECORD_SPREAD; r.type < KT_RECORD_MAX; r.type++) {
			char *line;

			if (r.type == KT_RECORD_SPREAD)
				continue;
			r.target.kind = r.type == KT_RECORD_LEAK && r.lost & 1 ? KT_KIND_DEVICE
									       : KT_KIND_SOCKET;
			r.verdict = r.type == KT_RECORD_ALLOWED ? KT_VERDICT_ALLOWED
								: KT_VERDICT_REPORTED;
			line = render(RECORD_JSON, &r);
			fputs(line, out);
			free(line);
			count++;
		}
		r.flags = r.lost & 1 ? KT_RECORD_KTHREAD | KT_RECORD_HAS_ACTOR
				     : KT_RECORD_IO_WORKER | KT_RECORD_HAS_ACTOR;
		r.leak_kind = r.lost & 1 ? KT_LEAK_CONSOLE : KT_LEAK_UNRESOLVED;
		r.target.protocol = r.lost * 31;
		r.target.remote.family = r.lost == 3 ? 0 : AF_INET6;
		r.target.family = r.lost;
	}
	return count;
}

/* Leaks that were to be stopped, with what was in the way, and what became of the VM. */
static int write_verdicts(FILE *out)
{
	struct record_context ctx = context(RECORD_JSON);
	struct kt_record r = leak();
	struct pause_record pause = { .cause = 17, .verdict = KT_VERDICT_PAUSED, .ns = 1 };
	int count = 1;
	char *line;

	r.verdict = KT_VERDICT_BLOCKED;
	line = render(RECORD_JSON, &r);
	fputs(line, out);
	free(line);
	for (r.obstacle = 1; r.obstacle < KT_OBSTACLE_MAX; r.obstacle++) {
		r.verdict = r.obstacle & 1 ? KT_VERDICT_PAUSED : KT_VERDICT_FAILED;
		line = render(RECORD_JSON, &r);
		fputs(line, out);
		free(line);
		pause.resumed = r.obstacle & 1;
		pause.by = pause.resumed ? "timeout" : NULL;
		pause.verdict = KT_VERDICT_FAILED;
		pause.obstacle = r.obstacle;
		line = record_pause_line(&ctx, 1, &pause);
		assert_non_null(line);
		fputs(line, out);
		free(line);
		count += 2;
	}
	return count;
}

static void a_stopped_leak_is_not_told_as_one_that_left(void **state)
{
	struct kt_record r = leak();
	char *text;

	r.verdict = KT_VERDICT_BLOCKED;
	text = render(RECORD_TEXT, &r);
	assert_null(strstr(text, "is leaked"));
	assert_non_null(strstr(text, "verdict: blocked\n"));
	free(text);
	r.verdict = KT_VERDICT_FAILED;
	r.obstacle = KT_OBSTACLE_DIRTY_LOG;
	text = render(RECORD_TEXT, &r);
	assert_non_null(strstr(text, "is leaked"));
	assert_non_null(strstr(text, "verdict: failed\nreason: dirty_log\n"));
	free(text);
}

static void the_system_call_view_says_what_it_does_not_see(void **state)
{
	struct record_context ctx = context(RECORD_JSON);
	struct guest_profile *profile = calloc(1, sizeof(*profile));
	char *line;

	line = record_start_line(&ctx, 1, profile, 0);
	assert_non_null(strstr(line, "\"hook\":\"tee\""));
	assert_null(strstr(line, "io_uring"));
	free(line);
	ctx.trap = TRAP_SHIM;
	line = record_start_line(&ctx, 1, profile, 0);
	assert_non_null(strstr(line, "{\"hook\":\"io_uring\",\"unseen\":\""));
	assert_null(strstr(line, "\"hook\":\"tee\""));
	free(line);
	free(profile);
}

static void every_kind_fits_the_schema(void **state)
{
	char path[] = "/tmp/kvmtaint-records-XXXXXX", command[1024];
	struct kt_record r = record(KT_RECORD_SPREAD);
	FILE *out = fdopen(mkstemp(path), "w");
	int n;

	set_path(&r, hostile, sizeof(hostile) - 1);
	r.flags |= KT_RECORD_PATH_CUT;
	strcpy(r.actor.comm, "\xff\x1b]0;x");
	n = write_spreads(out, &r);
	n += write_user_records(out);
	n += write_others(out);
	n += write_verdicts(out);
	fclose(out);
	snprintf(command, sizeof(command), VALIDATE, path, n);
	assert_int_equal(system(command), 0);
	unlink(path);
}

static void hostile_path_is_one_clean_json_line(void **state)
{
	struct kt_record r = record(KT_RECORD_SPREAD);
	struct json_object *parsed, *target, *member;
	char *line, hex[2 * sizeof(hostile)];
	size_t i;

	r.target = file();
	set_path(&r, hostile, sizeof(hostile) - 1);
	line = render(RECORD_JSON, &r);
	for (i = 0; line[i + 1]; i++)
		assert_true((unsigned char)line[i] >= 0x20 && line[i] != 0x7f);
	assert_true(escape_is_utf8(line, strlen(line)));
	assert_null(strstr(line, "\xc2\x9b"));
	assert_null(strstr(line, "\xe2\x80\xae"));
	parsed = json_tokener_parse(line);
	assert_non_null(parsed);
	assert_true(json_object_object_get_ex(parsed, "target", &target));
	assert_true(json_object_object_get_ex(target, "path_hex", &member));
	for (i = 0; i < sizeof(hostile) - 1; i++)
		sprintf(hex + 2 * i, "%02x", (unsigned char)hostile[i]);
	assert_string_equal(json_object_get_string(member), hex);
	json_object_put(parsed);
	free(line);
}

static void utf8_path_needs_no_hex(void **state)
{
	static const char path[] = "/srv/hr/\xc3\xa9\xe6\x97\xa5\xf0\x9f\x94\x91 \"x\" \\y\n";
	struct kt_record r = record(KT_RECORD_SPREAD);
	struct json_object *parsed, *target, *member;
	char *line;

	r.target = file();
	set_path(&r, path, sizeof(path) - 1);
	line = render(RECORD_JSON, &r);
	assert_null(strstr(line, "_hex"));
	parsed = json_tokener_parse(line);
	json_object_object_get_ex(parsed, "target", &target);
	json_object_object_get_ex(target, "path", &member);
	assert_string_equal(json_object_get_string(member), path);
	json_object_put(parsed);
	free(line);
}

static void hostile_path_is_safe_on_a_terminal(void **state)
{
	struct kt_record r = record(KT_RECORD_SPREAD);
	char *text;
	size_t i;

	r.target = file();
	set_path(&r, hostile, sizeof(hostile) - 1);
	text = render(RECORD_TEXT, &r);
	for (i = 0; text[i]; i++)
		assert_true((unsigned char)text[i] >= 0x20 || text[i] == '\n');
	assert_non_null(strstr(text, "path: a\\x0a{"));
	assert_non_null(strstr(text, "\\x1b[2J\\x7f\\x0d\\x09\"\\\\/\\xc2\\x9b"
				     "31m\\xe2\\x80\\xae"));
	assert_true(escape_is_utf8(text, strlen(text)));
	free(text);
}

static void random_bytes_always_parse(void **state)
{
	struct kt_record r = record(KT_RECORD_SPREAD);
	struct json_object *parsed;
	char *line;
	int i, k;

	srand(7);
	r.target = file();
	for (i = 0; i < 3000; i++) {
		r.path_len = rand() % 64;
		for (k = 0; k < (int)r.path_len; k++)
			r.path[k] = rand() % 3 ? rand() : 0x80 + rand() % 0x80;
		line = render(RECORD_JSON, &r);
		assert_true(escape_is_utf8(line, strlen(line)));
		parsed = json_tokener_parse(line);
		assert_non_null(parsed);
		json_object_put(parsed);
		free(line);
		free(render(RECORD_TEXT, &r));
	}
}

static void malformed_records_are_refused(void **state)
{
	struct record_context ctx = context(RECORD_JSON);
	struct kt_record r = record(KT_RECORD_GONE);
	size_t head = offsetof(struct kt_record, path);

	assert_null(record_line(&ctx, &r, 0));
	assert_null(record_line(&ctx, &r, head - 1));
	r.path_len = 1;
	assert_null(record_line(&ctx, &r, head));
	r.path_len = UINT32_MAX;
	assert_null(record_line(&ctx, &r, sizeof(r)));
	r.path_len = 0;
	r.type = 0;
	assert_null(record_line(&ctx, &r, sizeof(r)));
	r.type = 99;
	assert_null(record_line(&ctx, &r, sizeof(r)));
}

static void wild_numbers_get_names(void **state)
{
	struct kt_record r;
	char *line;

	memset(&r, 0xff, sizeof(r));
	r.type = KT_RECORD_SPREAD;
	r.path_len = 0;
	line = render(RECORD_JSON, &r);
	assert_non_null(strstr(line, "\"kind\":\"unknown\""));
	free(line);
	r.type = KT_RECORD_LEAK;
	free(render(RECORD_JSON, &r));
	free(render(RECORD_TEXT, &r));
}

static void system_calls_of_both_kinds(void **state)
{
	struct kt_record r = { .syscall = 1 };
	char buf[64];

	assert_string_equal(record_syscall_name(&r, buf, sizeof(buf)), "write");
	r.flags = KT_RECORD_COMPAT;
	assert_string_equal(record_syscall_name(&r, buf, sizeof(buf)), "exit");
	r.syscall = 99999;
	assert_string_equal(record_syscall_name(&r, buf, sizeof(buf)), "syscall_99999");
}

static void clock_offset_gives_the_wall_clock(void **state)
{
	struct record_context ctx = context(RECORD_JSON);
	time_t now = time(NULL);
	struct tm tm;
	char got[40], want[40];

	ctx.clock_offset_ns = record_clock_offset();
	record_time(&ctx, record_now(), got, sizeof(got));
	gmtime_r(&now, &tm);
	strftime(want, sizeof(want), "%Y-%m-%dT%H:%M", &tm);
	if (tm.tm_sec < 58)
		assert_memory_equal(got, want, strlen(want));
	assert_int_equal(strlen(got), 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leak_as_the_design_shows_it),
		cmocka_unit_test(leak_by_console_names_the_device_alone),
		cmocka_unit_test(leak_as_the_paper_prints_it),
		cmocka_unit_test(leak_by_vsock_names_cid_and_port),
		cmocka_unit_test(leak_by_packet_names_device_and_hardware_address),
		cmocka_unit_test(leak_to_a_network_file_system_names_server_and_path),
		cmocka_unit_test(leak_to_a_block_device_names_disk_and_node),
		cmocka_unit_test(a_stopped_leak_is_not_told_as_one_that_left),
		cmocka_unit_test(the_system_call_view_says_what_it_does_not_see),
		cmocka_unit_test(every_kind_fits_the_schema),
		cmocka_unit_test(hostile_path_is_one_clean_json_line),
		cmocka_unit_test(utf8_path_needs_no_hex),
		cmocka_unit_test(hostile_path_is_safe_on_a_terminal),
		cmocka_unit_test(random_bytes_always_parse),
		cmocka_unit_test(malformed_records_are_refused),
		cmocka_unit_test(wild_numbers_get_names),
		cmocka_unit_test(system_calls_of_both_kinds),
		cmocka_unit_test(clock_offset_gives_the_wall_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
