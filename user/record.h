/* SPDX-License-Identifier: GPL-2.0 */
/* Records as lines: JSON objects (user/record.schema.json) or text for people. */
#ifndef KVMTAINT_RECORD_H
#define KVMTAINT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "../bpf/kvmtaint.h"
#include "breakpoints.h"
#include "policy.h"
#include "profile.h"
#include "wires.h"

enum record_format { RECORD_JSON, RECORD_TEXT };

/* What every record of one VM shares. */
struct record_context {
	enum record_format format;
	enum trap_kind trap;
	pid_t vm_pid;
	const char *vm_name;
	const struct policy *policy; /* names of the labels */
	const struct wires *wires; /* and of those that only other VMs have; may be NULL */
	int64_t clock_offset_ns; /* record_clock_offset(), sampled now and then */
};

/* CLOCK_REALTIME - CLOCK_MONOTONIC, ns. The host's clock may be set while we run. */
int64_t record_clock_offset(void);

/* CLOCK_MONOTONIC, ns: the time_ns of records that user space makes. */
uint64_t record_now(void);

/*
 * Each returns the record as a malloc()ed string that ends with '\n' and holds
 * exactly one JSON object, or one block of text with an empty line behind it.
 * NULL: out of memory, or (record_line) not a record.
 */
char *record_line(const struct record_context *ctx, const struct kt_record *rec, size_t len);
/* profile NULL: no kernel runs yet, a guest record will tell of it. */
char *record_start_line(const struct record_context *ctx, uint64_t seq,
			const struct guest_profile *profile, uint64_t held_ns);

/* What a guest record tells. */
enum guest_event {
	GUEST_ARMED, /* a kernel was found, and the traps are in */
	GUEST_CHANGED, /* somebody wrote over a trap */
	GUEST_GONE, /* the kernel that was traced runs no more */
	GUEST_REFUSED, /* a kernel was found that cannot be traced */
	GUEST_RESTORED, /* the guest was set back to an earlier state of its own */
	GUEST_EVENT_MAX,
};

/* Which members count goes by event; strings are not owned. */
struct guest_record {
	enum guest_event event;
	const struct guest_profile *profile; /* armed, gone */
	const char *reason; /* gone: a word; refused: a sentence */
	uint64_t held_ns; /* armed */
	const char *function; /* changed: whose trap */
	const unsigned char *found; /* changed: the five bytes that are there */
	bool planted; /* changed: the trap is in again */
};
char *record_guest_line(const struct record_context *ctx, uint64_t seq,
			const struct guest_record *guest);
const char *record_guest_event_name(uint32_t event);

/* A VM that was paused for a verdict: that it stands, or goes on. */
struct pause_record {
	bool resumed;
	uint64_t cause; /* seq of the leak or spread record */
	enum kt_verdict verdict; /* paused or failed; resumed: blocked, allowed or failed */
	enum kt_obstacle obstacle; /* failed */
	const char *by; /* resumed: operator, timeout, end */
	uint64_t ns; /* from the hook to the standstill; resumed: how long it stood */
	uint32_t vcpu;
};
char *record_pause_line(const struct record_context *ctx, uint64_t seq,
			const struct pause_record *pause);

char *record_stop_line(const struct record_context *ctx, uint64_t seq, const char *reason,
		       const uint64_t counters[KT_COUNT_MAX]);

/* User space's own losses: reason is a word; first and last seq missing, or 0. */
char *record_lost_line(const struct record_context *ctx, uint64_t seq, const char *reason,
		       uint64_t count, uint64_t first, uint64_t last);

/* Name of a label, which may need buf. */
const char *record_label(const struct record_context *ctx, unsigned int bit,
			 char buf[KT_LABEL_LEN]);

/* Names of what the enums of kvmtaint.h count; "unknown" beyond them. */
const char *record_type_name(uint32_t type);
const char *record_flow_name(uint32_t flow);
const char *record_kind_name(uint32_t kind);
const char *record_lost_name(uint32_t reason);
const char *record_leak_name(uint32_t kind);
const char *record_verdict_name(uint32_t verdict);
const char *record_obstacle_name(uint32_t obstacle);
const char *record_counter_name(uint32_t counter);
const char *record_socket_type_name(uint32_t type);

/* These may need buf: "af_27", "ip_4", "syscall_999". */
const char *record_family_name(uint32_t family, char *buf, size_t len);
const char *record_protocol_name(const struct kt_object *socket, char *buf, size_t len);
const char *record_syscall_name(const struct kt_record *rec, char *buf, size_t len);

/* "192.0.2.1" or "2001:db8::1"; NULL when the family has no such address. */
const char *record_address(const struct kt_endpoint *endpoint, char *buf, size_t len);
/* The nth 32-bit word of an endpoint that is no INET address: a cid and port, an ifindex. */
uint32_t record_endpoint_word(const struct kt_endpoint *endpoint, unsigned int n);
/* The hardware address of an AF_PACKET endpoint; NULL: it has none. */
const char *record_mac(const struct kt_endpoint *endpoint, char *buf, size_t len);

/* RFC 3339, UTC, nine digits; buf of at least 31 bytes. */
void record_time(const struct record_context *ctx, uint64_t time_ns, char *buf, size_t len);

/* The file or disk whose path the record carries: target, source or NULL. */
const struct kt_object *record_path_owner(const struct kt_record *rec);

/* A UNIX socket's name: its bytes, and whether it is abstract (without the NUL). */
size_t record_unix_name(const struct kt_object *socket, const char **name, bool *abstract);

/* user/record_text.c */
void record_write_text(FILE *out, const struct record_context *ctx, const struct kt_record *rec);

#endif
