/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Terminals. A pty is one carrier, known by its slave's tty_struct: what is written
 * to either end is read at the other, and what comes to the master may be echoed to
 * its own reader. Whom that makes managed is the operator's choice (--terminals),
 * because a process that reads a terminal is as a rule a shell, and who reads its
 * master the session that the shell lives in.
 *
 * Any other tty (serial line, virtio console, screen) leads out of the guest.
 */
#ifndef KVMTAINT_CARRIER_TTY_BPF_H
#define KVMTAINT_CARRIER_TTY_BPF_H

#include "carrier.bpf.h"

#define PTY_TYPE_MASTER 1 /* include/linux/tty_driver.h */

__noinline int device_leak(struct event *e, u32 kind, u64 name, u32 len);

/*
 * The tty_struct of an open file; 0: it is no terminal, or no more (after a hangup
 * it has other operations).
 */
static __always_inline u64 tty_of_file(struct event *e, u64 file)
{
	u64 operations = g64(e, file + guest.file_op);

	if (!operations || guest.tty_link == KT_ABSENT ||
	    (operations != guest.sym_tty_fops && operations != guest.sym_console_fops &&
	     operations != guest.sym_ptmx_fops))
		return 0;
	return g64(e, g64(e, file + guest.file_private_data) + guest.tty_file_tty);
}

/* Of a tty that has a link: is it the end that sshd, tmux or script hold? */
static __always_inline bool is_master(struct event *e, u64 tty)
{
	return g16(e, g64(e, tty + guest.tty_driver) + guest.tty_driver_subtype) == PTY_TYPE_MASTER;
}

/* The terminal becomes the carrier that is read; false: the operator wants no such flow. */
static __always_inline bool tty_to_read(struct event *e, u64 tty)
{
	u64 link = g64(e, tty + guest.tty_link);
	bool master = link && is_master(e, tty);

	if (!master && follow_terminals != KT_TERMINALS_BOTH)
		return false;
	carrier_is_object(e, KT_KIND_TERMINAL, master ? link : tty);
	return true;
}

/* The actor, which is managed, wrote to a terminal. */
static __always_inline void tty_is_written(struct event *e, u64 tty)
{
	u64 link = g64(e, tty + guest.tty_link);
	bool master = link && is_master(e, tty);

	if (!link)
		device_leak(e, KT_LEAK_CONSOLE, tty + guest.tty_name, KT_TTY_LEN);
	if (!link || (master && follow_terminals != KT_TERMINALS_BOTH))
		return;
	carrier_is_object(e, KT_KIND_TERMINAL, master ? link : tty);
	write_to(e, KT_FLOW_WRITE);
}

/* The actor, which is managed, has a byte read from a terminal as if it was typed, and echoed. */
static __always_inline void tty_is_typed_at(struct event *e, u64 tty)
{
	u64 link;

	if (guest.tty_link == KT_ABSENT)
		return;
	link = g64(e, tty + guest.tty_link);
	if (!link)
		device_leak(e, KT_LEAK_CONSOLE, tty + guest.tty_name, KT_TTY_LEN);
	carrier_is_object(e, KT_KIND_TERMINAL, link && is_master(e, tty) ? link : tty);
	write_to(e, KT_FLOW_WRITE);
}

/* tty_audit_tiocsti(tty, byte), tiocsti(tty, byte) */
static __always_inline void on_tiocsti(struct event *e)
{
	if (actor_labels(e))
		tty_is_typed_at(e, e->args[0]);
}

/* release_one_tty(&tty->hangup_work): nobody has it open, nor is it anybody's terminal. */
static __always_inline void on_tty_free(struct event *e)
{
	struct kt_object_key key = { .gva = e->args[0] - guest.tty_hangup_work };
	struct kt_terminal *terminal;

	if (guest.tty_hangup_work == KT_ABSENT)
		return;
	terminal = bpf_map_lookup_elem(&terminals, &key);
	if (!terminal)
		return;
	record_begin(e, KT_RECORD_GONE);
	e->record.target.kind = KT_KIND_TERMINAL;
	e->record.target.gva = key.gva;
	__builtin_memcpy(e->record.target.name, terminal->name, KT_TTY_LEN);
	e->record.target.name_len = KT_TTY_LEN;
	set_leave(e, &terminal->managed, &terminals, &key);
	record_emit(e);
}

#endif
