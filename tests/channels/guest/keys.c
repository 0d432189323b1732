// SPDX-License-Identifier: GPL-2.0
/* Channels through the kernel's key service. */
#include "channel.h"

#include <linux/keyctl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* include/linux/key.h */
#define OWNER_ALL	0x003f0000
#define POSSESSOR_ALL	0x3f000000
#define POSSESSOR_FINDS 0x09000000 /* may view and search, not read */

static int setup_keys(struct run *r)
{
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0)
		return errno == ENOSYS ? absent("CONFIG_KEYS is off") : -errno;
	r->fd[0] = eventfd(0, EFD_CLOEXEC);
	return result(r->fd[0]);
}

static long add(const char *name, const void *data, size_t size)
{
	return syscall(SYS_add_key, "user", name, data, size, KEY_SPEC_SESSION_KEYRING);
}

static int send_with(struct run *r, const void *data, size_t size, unsigned int rights)
{
	char name[32];
	uint64_t serial;
	long key;

	snprintf(name, sizeof(name), "channel-%d", getpid());
	key = add(name, data, size);
	if (key < 0 || syscall(SYS_keyctl, KEYCTL_SETPERM, key, rights))
		return -errno;
	serial = key;
	return write_all(r->fd[0], &serial, sizeof(serial));
}

static int read_key(long key, void *data, size_t size)
{
	long n = syscall(SYS_keyctl, KEYCTL_READ, key, data, size);

	return n < 0 ? -errno : n == (long)size ? 0 : -EBADMSG;
}

static int send_key(struct run *r, const void *data, size_t size)
{
	return send_with(r, data, size, OWNER_ALL | POSSESSOR_ALL);
}

/* Who possesses a key may read it, whatever its rights say: no LSM hook is asked. */
static int send_possessed(struct run *r, const void *data, size_t size)
{
	return send_with(r, data, size, POSSESSOR_FINDS);
}

/* number[0] gets the serial that the sender tells. */
static int hear_serial(struct run *r)
{
	uint64_t serial = 0;
	int error = read_all(r->fd[0], &serial, sizeof(serial));

	r->number[0] = serial;
	return error;
}

static int receive_key(struct run *r, void *data, size_t size)
{
	return hear_serial(r) ?: read_key(r->number[0], data, size);
}

CHANNEL(add_key, .name = "key/add_key", .hook = "key_instantiate,key_validate", .carrier = "key",
	.setup = setup_keys, .send = send_key, .receive = receive_key);
CHANNEL(possessed_key, .name = "key/possessed", .hook = "key_instantiate,key_validate",
	.carrier = "key", .setup = setup_keys, .send = send_possessed, .receive = receive_key);

/* Read by the call of 32-bit processes. */

#define KEYCTL32 288

static int setup_keys32(struct run *r)
{
	int error = has_calls32() ?: setup_keys(r);

	if (error)
		return error;
	r->data = memory32(CHANNEL_SIZE);
	return r->data ? 0 : -ENOMEM;
}

static void teardown_keys32(struct run *r)
{
	munmap(r->data, CHANNEL_SIZE);
}

static int receive_key32(struct run *r, void *data, size_t size)
{
	long n = hear_serial(r)
			 ?: call32(KEYCTL32, KEYCTL_READ, r->number[0], (uintptr_t)r->data, size);

	memcpy(data, r->data, size);
	return n < 0 ? n : n == (long)size ? 0 : -EBADMSG;
}

CHANNEL(key32, .name = "key/read-32-bit", .hook = "key_instantiate,key_validate", .carrier = "key",
	.setup = setup_keys32, .send = send_key, .receive = receive_key32,
	.teardown = teardown_keys32);

static int setup_update(struct run *r)
{
	int error = setup_keys(r);

	if (error)
		return error;
	r->number[0] = add("channel", "clean", 5);
	return result(r->number[0]);
}

static int send_update(struct run *r, const void *data, size_t size)
{
	return result(syscall(SYS_keyctl, KEYCTL_UPDATE, r->number[0], data, size));
}

static int receive_update(struct run *r, void *data, size_t size)
{
	return read_key(r->number[0], data, size);
}

CHANNEL(update_key, .name = "key/update", .hook = "key_update,key_validate", .carrier = "key",
	.setup = setup_update, .send = send_update, .receive = receive_update);

NOT_COVERED(computed_keys, "`KEYCTL_DH_COMPUTE`, `encrypted` keys, what the kernel does with a key",
	    "what comes out is computed from the key, not copied");
