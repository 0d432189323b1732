/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Processes that share files by memory, laid over a RAM image in the layout of
 * its own kernel: VMAs in a list (5.10) or a maple tree, i_mmap as a binary tree.
 */
#ifndef KVMTAINT_TESTS_MAPPING_WORLD_H
#define KVMTAINT_TESTS_MAPPING_WORLD_H

#include "replay_world.h"

#define SMALL	    256 /* room for a VMA, a maple node or a struct file */
#define LEAF_VMAS   7 /* of each leaf; every second slot is a gap */
#define VMAS_MAX    56
#define SHARES_MAX  256
#define FILES_MAX   32
#define PEOPLE_MAX  220
#define RECORDS	    1024

#define VM_READ	    0x01UL
#define VM_WRITE    0x02UL
#define VM_SHARED   0x08UL
#define VM_MAYWRITE 0x20UL
#define VM_MAYSHARE 0x80UL
#define SHARED_RW   (VM_READ | VM_WRITE | VM_SHARED | VM_MAYWRITE | VM_MAYSHARE)
#define PRIVATE_RO  (VM_READ | VM_MAYWRITE)

struct shared_file {
	uint64_t inode, file, mapping;
	uint64_t vmas[SHARES_MAX];
	uint32_t count;
};

struct person {
	uint64_t mm;
	uint64_t vmas[VMAS_MAX];
	uint32_t count;
};

struct mapping_world {
	struct world w;
	struct shared_file files[FILES_MAX];
	struct person people[PEOPLE_MAX];
	uint64_t small; /* where the next small object goes */
	uint64_t pipe, pipe_file;
	struct kt_record records[RECORDS];
	size_t count;
};

/* --- guest objects --------------------------------------------------------- */

static inline uint64_t small_object(struct mapping_world *m)
{
	uint64_t at;

	if (m->small % OBJECT_SIZE == 0)
		m->small = m->w.objects + (uint64_t)OBJECT_SIZE * m->w.object_count++;
	at = m->small;
	assert_true(at + SMALL <= m->w.profile->guest.text_gva + m->w.profile->guest.image_size);
	memset((void *)(uintptr_t)(at + m->w.moved), 0, SMALL);
	m->small += SMALL;
	return at;
}

/* The key of file n in the set; false: it is not in it. */
static inline bool file_key(const struct mapping_world *m, uint32_t n, struct kt_file_key *key)
{
	int fd = engine_map_fd(m->w.engine, "files");
	struct kt_file_key *before = NULL;

	for (; !bpf_map_get_next_key(fd, before, key); before = key)
		if (key->ino == 0x10000 + n)
			return true;
	return false;
}

/* A regular file with an inode of its own, that nobody has mapped. */
static inline void make_file(struct mapping_world *m, uint32_t n, const char *series)
{
	const struct kt_guest *g = &m->w.profile->guest;
	uint64_t like = file_of(&m->w, series, m->w.bystander, "plain");
	uint64_t inode = peek(&m->w, like + g->file_inode, 8);
	struct shared_file *f = &m->files[n];

	f->inode = copy_of(&m->w, inode);
	f->file = copy_of(&m->w, like);
	f->mapping = f->inode + peek(&m->w, inode + g->inode_mapping, 8) - inode;
	f->count = 0;
	set(&m->w, f->inode + g->inode_mapping, f->mapping, 8);
	set(&m->w, f->inode + g->inode_ino, 0x10000 + n, 8);
	set(&m->w, f->file + g->file_inode, f->inode, 8);
	set(&m->w, f->mapping + g->mapping_i_mmap, 0, 8);
	set(&m->w, f->mapping + g->mapping_rwsem, 0, 8);
}

/* Gives task n an address space and a thread list of its own. */
static inline void make_person(struct mapping_world *m, uint32_t n)
{
	const struct kt_guest *g = &m->w.profile->guest;
	uint64_t at = task(&m->w, n), head = signal_of(&m->w, n) + g->signal_thread_head;
	struct person *p = &m->people[n];

	if (!p->mm)
		p->mm = copy_of(&m->w, peek(&m->w, m->w.holder + g->task_mm, 8));
	p->count = 0;
	set(&m->w, p->mm + g->mm_owner, at, 8);
	set(&m->w, p->mm + g->mm_users, 1, 4);
	set(&m->w, p->mm + g->mm_lock, 0, 8);
	set(&m->w, at + g->task_mm, p->mm, 8);
	set(&m->w, head, at + g->task_thread_node, 8);
	set(&m->w, at + g->task_thread_node, head, 8);
}

/* A leaf for vmas [first, first + count), which covers low to high. */
static inline uint64_t make_leaf(struct mapping_world *m, const struct person *p, uint32_t first,
				 uint32_t count, uint64_t low, uint64_t high)
{
	const struct kt_guest *g = &m->w.profile->guest;
	uint64_t leaf = small_object(m);
	uint32_t slot = 0;

	for (uint32_t i = first; i < first + count; i++) {
		uint64_t start = peek(&m->w, p->vmas[i] + g->vma_start, 8);

		if (start > low) {
			set(&m->w, leaf + g->maple_range_pivot + 8 * slot, start - 1, 8);
			slot++;
		}
		set(&m->w, leaf + g->maple_range_slot + 8 * slot, p->vmas[i], 8);
		low = start + 0x1000;
		set(&m->w, leaf + g->maple_range_pivot + 8 * slot, low - 1, 8);
		slot++;
	}
	/* What is left of the leaf is a gap; a pivot of 0 means the rest. */
	if (slot < 15 && high != UINT64_MAX)
		set(&m->w, leaf + g->maple_range_pivot + 8 * slot, high, 8);
	return leaf;
}

static inline void build_tree(struct mapping_world *m, struct person *p)
{
	const struct kt_guest *g = &m->w.profile->guest;
	uint32_t leaves = (p->count + LEAF_VMAS - 1) / LEAF_VMAS;
	uint64_t root = small_object(m), low = 0, high, leaf, pointer;

	set(&m->w, root + g->maple_parent, p->mm | 1, 8);
	for (uint32_t i = 0; i < leaves; i++) {
		uint32_t first = i * LEAF_VMAS, count = p->count - first;

		if (count > LEAF_VMAS)
			count = LEAF_VMAS;
		high = i + 1 < leaves
			       ? peek(&m->w, p->vmas[first + count] + g->vma_start, 8) - 0x1001
			       : UINT64_MAX;
		leaf = make_leaf(m, p, first, count, low, high);
		if (leaves == 1) {
			set(&m->w, leaf + g->maple_parent, p->mm | 1, 8);
			root = leaf;
			break;
		}
		set(&m->w, leaf + g->maple_parent, root | 6, 8);
		set(&m->w, root + g->maple_arange_slot + 8 * i, leaf | 1 << 3 | 4, 8);
		if (i < 9)
			set(&m->w, root + g->maple_arange_pivot + 8 * i, high, 8);
		low = high + 1;
	}
	pointer = root | (leaves > 1 ? 3 : 1) << 3 | 2;
	set(&m->w, p->mm + g->mm_mt + g->maple_root, p->count ? pointer : 0, 8);
}

static inline void build_list(struct mapping_world *m, struct person *p)
{
	const struct kt_guest *g = &m->w.profile->guest;

	set(&m->w, p->mm + g->mm_mmap, p->count ? p->vmas[0] : 0, 8);
	for (uint32_t i = 0; i < p->count; i++)
		set(&m->w, p->vmas[i] + g->vma_next, i + 1 < p->count ? p->vmas[i + 1] : 0, 8);
}

static inline bool has_tree(const struct mapping_world *m)
{
	return m->w.profile->guest.mm_mt != KT_ABSENT;
}

static inline void build_mm(struct mapping_world *m, uint32_t n)
{
	if (has_tree(m))
		build_tree(m, &m->people[n]);
	else
		build_list(m, &m->people[n]);
}

/* Adds a VMA to process n; f NULL: of no file. build_mm() is to follow. */
static inline uint64_t add_vma(struct mapping_world *m, uint32_t n, struct shared_file *f,
			       uint64_t flags)
{
	const struct kt_guest *g = &m->w.profile->guest;
	struct person *p = &m->people[n];
	uint64_t vma = small_object(m);

	assert_true(p->count < VMAS_MAX);
	set(&m->w, vma + g->vma_start, 0x400000 + 0x3000UL * p->count, 8);
	set(&m->w, vma + g->vma_mm, p->mm, 8);
	set(&m->w, vma + g->vma_flags, flags, 8);
	p->vmas[p->count++] = vma;
	if (!f)
		return vma;
	set(&m->w, vma + g->vma_file, f->file, 8);
	/* A heap's order makes a balanced tree. */
	assert_true(f->count < SHARES_MAX);
	if (!f->count)
		set(&m->w, f->mapping + g->mapping_i_mmap, vma + g->vma_rb, 8);
	else
		set(&m->w,
		    f->vmas[(f->count - 1) / 2] + g->vma_rb +
			    (f->count % 2 ? g->rb_left : g->rb_right),
		    vma + g->vma_rb, 8);
	f->vmas[f->count++] = vma;
	return vma;
}

/* --- events ---------------------------------------------------------------- */

static inline int keep_record(void *ctx, const struct kt_record *record, size_t len)
{
	struct mapping_world *m = ctx;

	assert_true(m->count < RECORDS && len <= sizeof(*record));
	memset(&m->records[m->count], 0, sizeof(*record));
	memcpy(&m->records[m->count++], record, len);
	return 0;
}

/* As run_hook(), with a third argument and a fifth; the records are kept. */
static inline uint32_t event(struct mapping_world *m, enum kt_hook hook, uint64_t current,
			     const uint64_t args[6])
{
	const struct kt_guest *g = &m->w.profile->guest;
	struct kt_deferred input = {
		.site = m->w.profile->hooks[hook].site.v,
		.percpu_base = current + g->task_group_leader - g->sym_current_task,
	};

	memcpy(input.args, args, sizeof(input.args));
	m->count = 0;
	for (int i = 0; i < 256; i++) {
		assert_int_equal(engine_replay(m->w.engine, &input, true), 0);
		assert_true(engine_drain(m->w.engine, keep_record, m) >= 0);
		if (input.result != KT_LOST_HOST_MEMORY)
			break;
		(void)*(volatile char *)(uintptr_t)input.fault;
	}
	return input.result;
}

#define EVENT(m, hook, current, ...)                                                               \
	event(m, KT_HOOK_##hook, current, (const uint64_t[6]){ __VA_ARGS__ })

#define MAY_WRITE 2
#define MAY_READ  4

/* Task n reads the pipe, which has these labels. */
static inline uint32_t learns(struct mapping_world *m, uint32_t n, uint64_t labels)
{
	manage(&m->w, "pipes", m->pipe, labels);
	return EVENT(m, file_permission, task(&m->w, n), m->pipe_file, MAY_READ);
}

static inline uint64_t process_labels(struct mapping_world *m, uint32_t n)
{
	uint64_t signal = signal_of(&m->w, n);

	return labels_of(&m->w, "processes", &signal);
}

static inline uint64_t file_labels(struct mapping_world *m, uint32_t n)
{
	struct kt_file_key key;

	return file_key(m, n, &key) ? labels_of(&m->w, "files", &key) : 0;
}

static inline void forget_file(struct mapping_world *m, uint32_t n)
{
	struct kt_file_key key;

	if (file_key(m, n, &key))
		bpf_map_delete_elem(engine_map_fd(m->w.engine, "files"), &key);
}

/* How many spread records have this target. */
static inline size_t spreads_to(const struct mapping_world *m, uint64_t object)
{
	size_t found = 0;

	for (size_t i = 0; i < m->count; i++)
		found += m->records[i].type == KT_RECORD_SPREAD &&
			 m->records[i].target.gva == object;
	return found;
}

static inline const struct kt_record *spread_to(const struct mapping_world *m, uint64_t object)
{
	for (size_t i = 0; i < m->count; i++)
		if (m->records[i].type == KT_RECORD_SPREAD && m->records[i].target.gva == object)
			return &m->records[i];
	fail_msg("no spread to %#llx", (unsigned long long)object);
	return NULL;
}

#endif
