/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An engine set back to how it was loaded. The verifier takes half a second for
 * each load; a test needs maps that nothing has been in, not a load of its own.
 */
#ifndef KVMTAINT_TESTS_ENGINE_SNAPSHOT_H
#define KVMTAINT_TESTS_ENGINE_SNAPSHOT_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "user/engine_internal.h"

#define SNAPSHOT_MAPS 64
#define SNAPSHOT_KEY  64 /* bytes of the longest key */

/* A map as it was; of a hash map entries, of an array all of its elements. */
struct map_snapshot {
	int fd;
	enum bpf_map_type type;
	uint32_t key_size, value_size, count;
	char *keys, *values;
};

struct engine_snapshot {
	struct map_snapshot maps[SNAPSHOT_MAPS];
	size_t count;
};

static inline bool is_hash(enum bpf_map_type type)
{
	return type == BPF_MAP_TYPE_HASH || type == BPF_MAP_TYPE_LRU_HASH;
}

/* Adds the element with this key; where there is none, nothing. */
static inline void snapshot_element(struct map_snapshot *map, const void *key)
{
	void *value = map->values + (size_t)map->count * map->value_size;

	memcpy(map->keys + (size_t)map->count * map->key_size, key, map->key_size);
	if (!bpf_map_lookup_elem(map->fd, key, value))
		map->count++;
}

static inline void snapshot_map(struct map_snapshot *map, const struct bpf_map *from)
{
	uint32_t max = bpf_map__max_entries(from);
	char key[SNAPSHOT_KEY], *before = NULL;

	map->fd = bpf_map__fd(from);
	map->type = bpf_map__type(from);
	map->key_size = bpf_map__key_size(from);
	map->value_size = bpf_map__value_size(from);
	if (map->type == BPF_MAP_TYPE_PERCPU_ARRAY)
		map->value_size = (map->value_size + 7) / 8 * 8 * libbpf_num_possible_cpus();
	if (map->type == BPF_MAP_TYPE_RINGBUF || map->type == BPF_MAP_TYPE_STACK)
		return; /* empty */
	assert_true(map->key_size <= sizeof(key));
	if (is_hash(map->type)) {
		/* Those that a load leaves entries in are short. */
		for (max = 0; !bpf_map_get_next_key(map->fd, before, key); before = key)
			max++;
		before = NULL;
	}
	map->keys = calloc(max + 1, map->key_size);
	map->values = calloc(max + 1, map->value_size);
	assert_true(map->keys && map->values);
	for (; map->count < max && !bpf_map_get_next_key(map->fd, before, key); before = key)
		snapshot_element(map, key);
}

/* How an engine is that nothing has run in yet. */
static inline void snapshot_take(struct engine_snapshot *s, const struct engine *engine)
{
	const struct bpf_map *map;

	*s = (struct engine_snapshot){};
	bpf_object__for_each_map(map, engine->skel->obj) {
		if (bpf_map__map_flags(map) & BPF_F_RDONLY_PROG)
			continue; /* the constants */
		assert_true(s->count < SNAPSHOT_MAPS);
		snapshot_map(&s->maps[s->count++], map);
	}
}

static inline void snapshot_free(struct engine_snapshot *s)
{
	for (size_t i = 0; i < s->count; i++) {
		free(s->maps[i].keys);
		free(s->maps[i].values);
	}
	s->count = 0;
}

static inline void empty(const struct map_snapshot *map)
{
	char key[SNAPSHOT_KEY];
	uint64_t value;

	if (map->type == BPF_MAP_TYPE_STACK)
		while (!bpf_map_lookup_and_delete_elem(map->fd, NULL, &value))
			;
	if (is_hash(map->type))
		while (!bpf_map_get_next_key(map->fd, NULL, key))
			assert_int_equal(bpf_map_delete_elem(map->fd, key), 0);
}

/* A table of programs is read as their ids and written as descriptors. */
static inline void restore_programs(const struct map_snapshot *map)
{
	for (uint32_t i = 0; i < map->count; i++) {
		int fd = bpf_prog_get_fd_by_id(((uint32_t *)map->values)[i]);

		assert_true(fd >= 0);
		assert_int_equal(bpf_map_update_elem(map->fd, map->keys + 4 * i, &fd, BPF_ANY), 0);
		close(fd);
	}
}

static inline void snapshot_restore(const struct engine_snapshot *s, struct engine *engine)
{
	assert_true(engine_drain(engine, NULL, NULL) >= 0);
	assert_true(ring_buffer__consume(engine->deferred) >= 0);
	for (size_t i = 0; i < s->count; i++) {
		const struct map_snapshot *map = &s->maps[i];
		uint32_t count = map->count;

		empty(map);
		if (map->type == BPF_MAP_TYPE_PROG_ARRAY)
			restore_programs(map);
		else if (count)
			assert_int_equal(bpf_map_update_batch(map->fd, map->keys, map->values,
							      &count, NULL),
					 0);
	}
}

#endif
