// SPDX-License-Identifier: GPL-2.0
#include "guest_mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE_SHIFT  12
#define PAGE_SIZE   (1ULL << PAGE_SHIFT)
#define GFN_MAX	    (1ULL << (52 - PAGE_SHIFT)) /* x86 has at most 52 physical address bits */
#define HEADS_BATCH 512U /* below IOV_MAX (1024) */

struct guest_mem {
	pid_t pid; /* of the VMM; 0: an image */
	int pagemap; /* /proc/<pid>/pagemap, or -1 */
	void *map; /* of an image */
	size_t map_len; /* bytes */
	size_t count;
	struct kt_slot *slots;
};

static int set_slots(struct guest_mem *mem, const struct kt_slot *slots, size_t count)
{
	struct kt_slot *copy = calloc(count + 1, sizeof(*slots));

	if (!copy)
		return -ENOMEM;
	if (count)
		memcpy(copy, slots, count * sizeof(*slots));
	free(mem->slots);
	mem->slots = copy;
	mem->count = count;
	return 0;
}

static struct guest_mem *guest_mem_new(const struct kt_slot *slots, size_t count)
{
	struct guest_mem *mem = calloc(1, sizeof(*mem));

	if (!mem)
		return NULL;
	mem->pagemap = -1;
	if (set_slots(mem, slots, count)) {
		free(mem);
		return NULL;
	}
	return mem;
}

static bool slots_valid(const struct kt_slot *slots, size_t count)
{
	uint64_t end = 0;

	for (size_t i = 0; i < count; i++) {
		if (slots[i].gfn < end || slots[i].gfn >= GFN_MAX ||
		    slots[i].npages > GFN_MAX - slots[i].gfn)
			return false;
		end = slots[i].gfn + slots[i].npages;
	}
	return true;
}

int guest_mem_open_vm(pid_t pid, const struct kt_slot *slots, size_t count, struct guest_mem **out)
{
	struct guest_mem *mem;
	char path[64];

	if (pid <= 0 || !slots_valid(slots, count))
		return -EINVAL;
	mem = guest_mem_new(slots, count);
	if (!mem)
		return -ENOMEM;
	mem->pid = pid;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	mem->pagemap = open(path, O_RDONLY | O_CLOEXEC);
	*out = mem;
	return 0;
}

int guest_mem_update(struct guest_mem *mem, const struct kt_slot *slots, size_t count)
{
	if (!mem->pid || !slots_valid(slots, count))
		return -EINVAL;
	return set_slots(mem, slots, count);
}

int guest_mem_open_image(const char *path, struct guest_mem **out)
{
	struct kt_slot slot = { 0 };
	struct guest_mem *mem;
	struct stat st;
	void *map;
	int fd, err = 0;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		err = -errno;
	else if (st.st_size < (off_t)PAGE_SIZE)
		err = -EINVAL;
	if (err) {
		close(fd);
		return err;
	}
	map = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	err = map == MAP_FAILED ? -errno : 0;
	close(fd);
	if (err)
		return err;
	slot.npages = (uint64_t)st.st_size >> PAGE_SHIFT;
	slot.hva = (uintptr_t)map;
	mem = guest_mem_new(&slot, 1);
	if (!mem) {
		munmap(map, st.st_size);
		return -ENOMEM;
	}
	mem->map = map;
	mem->map_len = st.st_size;
	*out = mem;
	return 0;
}

void guest_mem_close(struct guest_mem *mem)
{
	if (!mem)
		return;
	if (mem->map)
		munmap(mem->map, mem->map_len);
	if (mem->pagemap >= 0)
		close(mem->pagemap);
	free(mem->slots);
	free(mem);
}

const struct kt_slot *guest_mem_slots(const struct guest_mem *mem, size_t *count)
{
	*count = mem->count;
	return mem->slots;
}

uint64_t guest_mem_end(const struct guest_mem *mem)
{
	const struct kt_slot *last;

	if (!mem->count)
		return 0;
	last = &mem->slots[mem->count - 1];
	return (last->gfn + last->npages) << PAGE_SHIFT;
}

/* The slot that holds gfn, or NULL. */
static const struct kt_slot *slot_of(const struct guest_mem *mem, uint64_t gfn)
{
	size_t low = 0, high = mem->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct kt_slot *slot = &mem->slots[middle];

		if (gfn < slot->gfn)
			high = middle;
		else if (gfn - slot->gfn >= slot->npages)
			low = middle + 1;
		else
			return slot;
	}
	return NULL;
}

/* Host address of gpa and, in *left, the bytes from there to the end of its slot. 0: not RAM. */
static uint64_t host_address(const struct guest_mem *mem, gpa_t gpa, uint64_t *left)
{
	const struct kt_slot *slot = slot_of(mem, gpa.v >> PAGE_SHIFT);
	uint64_t within;

	if (!slot)
		return 0;
	within = gpa.v - (slot->gfn << PAGE_SHIFT);
	*left = ((uint64_t)slot->npages << PAGE_SHIFT) - within;
	return slot->hva + within;
}

/* Copies len bytes between the VMM's memory at hva and buf. */
static int copy(const struct guest_mem *mem, uint64_t hva, void *buf, size_t len, bool write)
{
	struct iovec local = { .iov_base = buf, .iov_len = len };
	struct iovec remote = { .iov_base = (void *)(uintptr_t)hva, .iov_len = len };
	ssize_t done;

	if (!mem->pid) {
		memcpy(buf, (const void *)(uintptr_t)hva, len);
		return 0;
	}
	done = write ? process_vm_writev(mem->pid, &local, 1, &remote, 1, 0)
		     : process_vm_readv(mem->pid, &local, 1, &remote, 1, 0);
	if (done < 0)
		return -errno;
	return (size_t)done == len ? 0 : -EFAULT;
}

static int transfer(struct guest_mem *mem, gpa_t gpa, void *buf, size_t len, bool write)
{
	char *at = buf;

	while (len) {
		uint64_t left, hva = host_address(mem, gpa, &left);
		size_t part;
		int err;

		if (!hva)
			return -EFAULT;
		part = len < left ? len : left;
		err = copy(mem, hva, at, part, write);
		if (err)
			return err;
		at += part;
		gpa.v += part;
		len -= part;
	}
	return 0;
}

int guest_mem_read(struct guest_mem *mem, gpa_t gpa, void *buf, size_t len)
{
	return transfer(mem, gpa, buf, len, false);
}

int guest_mem_write(struct guest_mem *mem, gpa_t gpa, const void *buf, size_t len)
{
	if (!mem->pid)
		return -EROFS;
	return transfer(mem, gpa, (void *)(uintptr_t)buf, len, true);
}

/*
 * Marks which of count pages from hva on the VMM has ever touched: bit 63
 * (present) or 62 (swapped) of pagemap, Documentation/admin-guide/mm/pagemap.rst.
 * Reading the others would only make the host allocate them.
 */
static void populated(const struct guest_mem *mem, uint64_t hva, size_t count, bool *touched)
{
	uint64_t entries[HEADS_BATCH];
	ssize_t got = -1;

	if (mem->pagemap >= 0)
		got = pread(mem->pagemap, entries, count * 8, (off_t)(hva / PAGE_SIZE * 8));
	for (size_t i = 0; i < count; i++)
		touched[i] = got != (ssize_t)(count * 8) || entries[i] >> 62;
}

/* The heads of count pages (at most HEADS_BATCH) that lie one after the other at hva. */
static void batch_heads(const struct guest_mem *mem, uint64_t hva, size_t count, char *heads,
			size_t len)
{
	struct iovec local[HEADS_BATCH], remote[HEADS_BATCH];
	bool touched[HEADS_BATCH];
	size_t wanted = 0, done = 0;

	populated(mem, hva, count, touched);
	for (size_t i = 0; i < count; i++) {
		if (!touched[i])
			continue;
		local[wanted] = (struct iovec){ heads + i * len, len };
		remote[wanted++] = (struct iovec){ (void *)(uintptr_t)(hva + i * PAGE_SIZE), len };
	}
	while (done < wanted) {
		size_t part = wanted - done;
		ssize_t got =
			process_vm_readv(mem->pid, local + done, part, remote + done, part, 0);

		/* The call ends at the first page that cannot be read: step over it. */
		done += got > 0 ? (size_t)got / len : 0;
		if (done < wanted && (got < 0 || (size_t)got < part * len)) {
			memset(local[done].iov_base, 0, len);
			done++;
		}
	}
}

void guest_mem_read_heads(struct guest_mem *mem, uint64_t gfn, size_t count, void *heads,
			  size_t len)
{
	char *at = heads;

	memset(heads, 0, count * len);
	while (count) {
		uint64_t left, hva = host_address(mem, GPA(gfn << PAGE_SHIFT), &left);
		size_t part = count < HEADS_BATCH ? count : HEADS_BATCH;

		if (!hva)
			part = 1;
		else if (part > left >> PAGE_SHIFT)
			part = left >> PAGE_SHIFT;
		if (hva && mem->pid)
			batch_heads(mem, hva, part, at, len);
		for (size_t i = 0; hva && !mem->pid && i < part; i++)
			memcpy(at + i * len, (const char *)(uintptr_t)hva + i * PAGE_SIZE, len);
		at += part * len;
		gfn += part;
		count -= part;
	}
}
