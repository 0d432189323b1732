// SPDX-License-Identifier: GPL-2.0
/*
 * The shared maps: made by the first kvmtaint of a host, removed by the last. A slot
 * belongs to a process; whoever finds that process dead takes its leavings out.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "vm_lock.h"
#include "wires.h"

#define LOAD_WAIT_MS  60000 /* for another one that loads its programs */
#define LEAVE_WAIT_MS 5000

/* With more than half of the room in use, what nobody sent on for so long goes. */
#define OLD_NS (600 * 1000000000ULL)

static const char *const shared_maps[] = { "wires", "wire_vms", "wire_state" };
#define SHARED_MAPS (sizeof(shared_maps) / sizeof(shared_maps[0]))

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static void pin_path(const struct wires *wires, size_t map, char *buf, size_t len)
{
	snprintf(buf, len, "%s/%s", wires->dir, shared_maps[map]);
}

static uint64_t bit_of(uint32_t slot)
{
	return 1ULL << slot;
}

/* --- who is there --------------------------------------------------------- */

/* When a process began: field 22 of /proc/PID/stat (proc(5)); 0: there is none. */
static uint64_t process_start(pid_t pid)
{
	char path[64], line[1024] = "", *at;
	_cleanup_fclose_ FILE *f = NULL;
	unsigned long long start;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f || !fgets(line, sizeof(line), f))
		return 0;
	at = strrchr(line, ')');
	if (!at || sscanf(at + 1,
			  " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d"
			  " %*d %*d %*d %*d %llu",
			  &start) != 1)
		return 0;
	return start;
}

static bool owner_lives(const struct kt_wire_vm *vm)
{
	return vm->owner && process_start(vm->owner) == vm->owner_start;
}

static struct kt_wire_vm *read_slot(const struct wires *wires, uint32_t slot)
{
	struct kt_wire_vm *vm = malloc(sizeof(*vm));

	if (vm && !bpf_map_lookup_elem(wires->vms, &slot, vm))
		return vm;
	free(vm);
	return NULL;
}

/* Deletes the wires of a run that were last used before before_ns. */
static void sweep(struct wires *wires, uint64_t run, uint64_t before_ns)
{
	struct kt_wire_key key, next;
	struct kt_wire wire;
	bool more = !bpf_map_get_next_key(wires->wires, NULL, &next);

	/* The next key is asked for before this one goes. */
	for (uint32_t left = 2 * wires->max; more && left; left--) {
		key = next;
		more = !bpf_map_get_next_key(wires->wires, &key, &next);
		if (!bpf_map_lookup_elem(wires->wires, &key, &wire) && wire.run == run &&
		    wire.used_ns < before_ns && !bpf_map_delete_elem(wires->wires, &key))
			__atomic_fetch_sub(&wires->state->count, 1, __ATOMIC_SEQ_CST);
	}
}

/* The slot is nobody's again. The caller holds the lock. */
static void clear_slot(struct wires *wires, uint32_t slot, uint64_t run)
{
	__atomic_fetch_and(&wires->state->live, ~bit_of(slot), __ATOMIC_SEQ_CST);
	sweep(wires, run, UINT64_MAX);
	__atomic_fetch_and(&wires->state->overflow, ~bit_of(slot), __ATOMIC_SEQ_CST);
	__atomic_fetch_and(&wires->state->taken, ~bit_of(slot), __ATOMIC_SEQ_CST);
}

/* The first slot whose kvmtaint was killed; KT_WIRE_VMS: none. */
static uint32_t dead_slot(const struct wires *wires, uint64_t *run)
{
	uint64_t taken = __atomic_load_n(&wires->state->taken, __ATOMIC_SEQ_CST);

	for (uint32_t slot = 0; slot < KT_WIRE_VMS; slot++) {
		_cleanup_free_ struct kt_wire_vm *vm = NULL;

		if (!(taken & bit_of(slot)))
			continue;
		vm = read_slot(wires, slot);
		if (!vm || owner_lives(vm))
			continue;
		*run = vm->run;
		return slot;
	}
	return KT_WIRE_VMS;
}

static void clear_dead(struct wires *wires)
{
	uint64_t run = 0;
	uint32_t slot;

	for (uint32_t i = 0; i < KT_WIRE_VMS; i++) {
		slot = dead_slot(wires, &run);
		if (slot == KT_WIRE_VMS)
			return;
		clear_slot(wires, slot, run);
	}
}

/* --- the maps --------------------------------------------------------------- */

/*
 * Whether a pinned map is what this version would make, but for its room, which is the
 * first one's choice. 0, -ENOENT or -EEXIST.
 */
static int check_pin(const char *path, struct bpf_map *map)
{
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info);
	int fd = bpf_obj_get(path), rc;

	if (fd < 0)
		return -errno;
	rc = bpf_obj_get_info_by_fd(fd, &info, &len) ? -errno : 0;
	close(fd);
	if (rc)
		return rc;
	if (info.key_size != bpf_map__key_size(map) ||
	    info.value_size != bpf_map__value_size(map) ||
	    info.map_flags != bpf_map__map_flags(map))
		return -EEXIST;
	return bpf_map__set_max_entries(map, info.max_entries);
}

/* Whether a slot is left. What killed runs hold the others give back within a second. */
static int check_room(const char *path)
{
	_cleanup_free_ struct kt_wire_state *state = malloc(sizeof(*state));
	int fd = bpf_obj_get(path), rc = 0;
	uint32_t zero = 0;

	if (!state)
		rc = -ENOMEM;
	else if (fd >= 0 && !bpf_map_lookup_elem(fd, &zero, state) && state->taken == UINT64_MAX)
		rc = -EBUSY;
	if (fd >= 0)
		close(fd);
	return rc;
}

static int pin_shared(struct wires *wires, struct bpf_object *obj)
{
	struct bpf_map *map[SHARED_MAPS];
	char path[SHARED_MAPS][256];
	int rc = 0;

	if (mkdir(wires->dir, 0700) && errno != EEXIST)
		return -errno;
	for (size_t i = 0; i < SHARED_MAPS; i++) {
		map[i] = bpf_object__find_map_by_name(obj, shared_maps[i]);
		if (map[i] && !i && wires->max)
			bpf_map__set_max_entries(map[i], wires->max);
		pin_path(wires, i, path[i], sizeof(path[i]));
		rc = map[i] ? check_pin(path[i], map[i]) : -ENOENT;
		if (rc && rc != -ENOENT)
			return rc;
	}
	rc = wires->state ? 0 : check_room(path[SHARED_MAPS - 1]);
	for (size_t i = 0; !rc && i < SHARED_MAPS; i++)
		rc = bpf_map__set_pin_path(map[i], path[i]);
	wires->max = bpf_map__max_entries(map[0]);
	return rc;
}

int wires_load_begin(struct wires *wires, struct bpf_object *obj)
{
	int rc;

	wires->pinned = false;
	wires->lock = host_lock_take(LOAD_WAIT_MS);
	if (wires->lock < 0)
		return wires->lock;
	rc = pin_shared(wires, obj);
	wires->pinned = !rc;
	return rc;
}

static int open_shared(struct wires *wires, struct bpf_object *obj)
{
	void *state;

	wires->wires = dup(bpf_object__find_map_fd_by_name(obj, "wires"));
	wires->vms = dup(bpf_object__find_map_fd_by_name(obj, "wire_vms"));
	state = mmap(NULL, sizeof(*wires->state), PROT_READ | PROT_WRITE, MAP_SHARED,
		     bpf_object__find_map_fd_by_name(obj, "wire_state"), 0);
	if (state == MAP_FAILED || wires->wires < 0 || wires->vms < 0)
		return -errno;
	wires->state = state;
	return 0;
}

static void close_shared(struct wires *wires)
{
	if (!wires->state)
		return;
	munmap(wires->state, sizeof(*wires->state));
	close(wires->wires);
	close(wires->vms);
	wires->state = NULL;
}

/* A name becomes a label: whatever is no printable ASCII does not. */
static void label_of_vm(char label[KT_LABEL_LEN], const char *name)
{
	snprintf(label, KT_LABEL_LEN, "from:%s", name);
	for (char *at = label; *at; at++)
		if (*at < ' ' || *at > '~')
			*at = '_';
}

static int take_slot(struct wires *wires)
{
	_cleanup_free_ struct kt_wire_vm *vm = calloc(1, sizeof(*vm));
	const char *label;

	if (!vm)
		return -ENOMEM;
	if (wires->state->taken == UINT64_MAX)
		return -ENOSPC;
	wires->slot = __builtin_ctzll(~wires->state->taken);
	wires->run = vm->run = now_ns();
	vm->pid = wires->pid;
	vm->owner = getpid();
	vm->owner_start = process_start(getpid());
	snprintf(vm->name, sizeof(vm->name), "%s", wires->name);
	label_of_vm(vm->from, wires->name);
	for (unsigned int bit = 0; bit < KT_LABELS_MAX; bit++) {
		label = policy_label(wires->policy, bit);
		snprintf(vm->labels[bit], sizeof(vm->labels[bit]), "%s", label ? label : "");
	}
	if (bpf_map_update_elem(wires->vms, &wires->slot, vm, BPF_ANY))
		return -errno;
	__atomic_fetch_or(&wires->state->taken, bit_of(wires->slot), __ATOMIC_SEQ_CST);
	__atomic_fetch_or(&wires->state->live, bit_of(wires->slot), __ATOMIC_SEQ_CST);
	return 0;
}

static int fill_label_bits(struct wires *wires, struct bpf_object *obj)
{
	int fd = bpf_object__find_map_fd_by_name(obj, "label_bits");
	char name[KT_LABEL_LEN];

	for (uint32_t bit = 0; bit < KT_LABELS_MAX; bit++)
		if (wires_label(wires, bit, name) && bpf_map_update_elem(fd, name, &bit, BPF_ANY))
			return -errno;
	return 0;
}

int wires_load_end(struct wires *wires, struct bpf_object *obj, bool loaded)
{
	int rc = 0;

	if (loaded && wires->pinned && !wires->state) {
		rc = open_shared(wires, obj);
		if (!rc) {
			clear_dead(wires);
			rc = take_slot(wires);
		}
		if (rc)
			close_shared(wires);
	}
	if (!rc && wires->state)
		rc = fill_label_bits(wires, obj);
	if (wires->lock >= 0)
		close(wires->lock);
	wires->lock = -1;
	return rc;
}

/* --- labels ------------------------------------------------------------------- */

bool wires_label(const struct wires *wires, uint32_t bit, char name[KT_LABEL_LEN])
{
	_cleanup_free_ struct kt_wire_vm *vm = NULL;

	if (!wires->state || bit >= KT_LABELS_MAX)
		return false;
	vm = read_slot(wires, wires->slot);
	if (!vm || !vm->labels[bit][0])
		return false;
	/* With the zeros behind it: it is a key, too. */
	memcpy(name, vm->labels[bit], KT_LABEL_LEN);
	name[KT_LABEL_LEN - 1] = '\0';
	return true;
}

uint32_t wires_labels_used(const struct wires *wires)
{
	char name[KT_LABEL_LEN];
	uint32_t bit = KT_LABELS_MAX;

	while (bit && !wires_label(wires, bit - 1, name))
		bit--;
	return bit;
}

/* --- as time goes by ------------------------------------------------------------ */

void wires_tick(struct wires *wires)
{
	uint64_t run, now = now_ns();
	int lock;

	if (!wires->state)
		return;
	if (dead_slot(wires, &run) != KT_WIRE_VMS) {
		lock = host_lock_take(0);
		if (lock < 0)
			return;
		clear_dead(wires);
		close(lock);
	}
	if (__atomic_load_n(&wires->state->count, __ATOMIC_SEQ_CST) > wires->max / 2 &&
	    now > OLD_NS)
		sweep(wires, wires->run, now - OLD_NS);
}

void wires_leave(struct wires *wires)
{
	char path[256];
	int lock;

	if (!wires->state)
		return;
	lock = host_lock_take(LEAVE_WAIT_MS);
	clear_slot(wires, wires->slot, wires->run);
	if (lock >= 0 && !wires->state->taken) {
		for (size_t i = 0; i < SHARED_MAPS; i++) {
			pin_path(wires, i, path, sizeof(path));
			unlink(path);
		}
		rmdir(wires->dir);
	}
	close_shared(wires);
	if (lock >= 0)
		close(lock);
}
