// SPDX-License-Identifier: GPL-2.0
#include "guest_types.h"

#include <bpf/btf.h>
#include <errno.h>
#include <linux/btf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../bpf/kvmtaint.h"

#define DEPTH_MAX    16 /* typedefs and qualifiers in a row, nested anonymous types */
#define NAME_MAX_LEN 128 /* of a struct; the longest of 5.10 to 7.3 has 65 */

struct guest_types {
	struct btf *btf;
	uint32_t *buckets; /* hash of the name -> id of a struct or union; linear probing */
	uint32_t mask;
	/*
	 * Steps that are left, in the life of this object: buckets, members and typedefs looked
	 * at. All types may have one name, and a few nest without end.
	 */
	size_t budget;
};

static bool take_step(struct guest_types *types)
{
	if (!types->budget)
		return false;
	types->budget--;
	return true;
}

/* Documentation/bpf/btf.rst, "BTF Type and String Encoding". */
static bool header_valid(const void *blob, size_t len)
{
	struct btf_header header;

	if (len < sizeof(header))
		return false;
	memcpy(&header, blob, sizeof(header));
	if (header.magic != BTF_MAGIC || header.version != BTF_VERSION ||
	    header.hdr_len < sizeof(header) || header.hdr_len > len)
		return false;
	len -= header.hdr_len;
	return header.type_off <= len && header.type_len <= len - header.type_off &&
	       header.str_off <= len && header.str_len <= len - header.str_off &&
	       header.type_off % 4 == 0 && header.str_len &&
	       header.type_off + header.type_len <= header.str_off;
}

static uint32_t hash_of(const char *name, size_t len)
{
	uint32_t hash = 2166136261U; /* FNV-1a */

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)name[i]) * 16777619U;
	return hash;
}

static const char *name_at(const struct btf *btf, uint32_t offset)
{
	const char *name = btf__name_by_offset(btf, offset);

	return name ? name : "";
}

static int index_structs(struct guest_types *types, uint32_t first)
{
	uint32_t count = btf__type_cnt(types->btf), size = 1;

	while (size < (count - first) * 2)
		size *= 2;
	types->mask = size - 1;
	types->buckets = calloc(size, sizeof(*types->buckets));
	if (!types->buckets)
		return -ENOMEM;
	for (uint32_t id = first; id < count; id++) {
		const struct btf_type *type = btf__type_by_id(types->btf, id);
		const char *name;
		uint32_t slot;
		size_t len;

		if (!btf_is_composite(type) || !btf_vlen(type))
			continue;
		name = name_at(types->btf, type->name_off);
		/* All names may be one that is as long as the string section. */
		len = strnlen(name, NAME_MAX_LEN + 1);
		if (!len || len > NAME_MAX_LEN)
			continue;
		slot = hash_of(name, len);
		while (types->buckets[slot & types->mask] && take_step(types))
			slot++;
		if (!types->buckets[slot & types->mask])
			types->buckets[slot & types->mask] = id;
	}
	return 0;
}

/* By a file, since Debian 12's libbpf 1.1 does not export btf__new_split(). */
static struct btf *parse_split(const void *blob, size_t len, struct btf *base)
{
	int fd = memfd_create("btf", MFD_CLOEXEC);
	struct btf *btf = NULL;
	char path[32];

	if (fd >= 0 && write(fd, blob, len) == (ssize_t)len) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		btf = btf__parse_raw_split(path, base);
	}
	if (fd >= 0)
		close(fd);
	return btf;
}

int guest_types_new_module(const void *blob, size_t len, struct btf *base, struct guest_types **out,
			   char *why, size_t why_len)
{
	struct guest_types *types;
	int err;

	if (!header_valid(blob, len)) {
		snprintf(why, why_len, "no valid BTF header");
		return -ENODATA;
	}
	types = calloc(1, sizeof(*types));
	if (!types)
		return -ENOMEM;
	/* Real kernels and modules, of 5.10 to 7.3, need at most one for 180 bytes. */
	types->budget = len;
	types->btf = base ? parse_split(blob, len, base) : btf__new(blob, len);
	if (!types->btf) {
		snprintf(why, why_len, "the BTF does not parse: %s", strerror(errno));
		free(types);
		return -ENODATA;
	}
	err = index_structs(types, base ? btf__type_cnt(base) : 1);
	if (err) {
		guest_types_free(types);
		return err;
	}
	*out = types;
	return 0;
}

int guest_types_new(const void *blob, size_t len, struct guest_types **out, char *why,
		    size_t why_len)
{
	return guest_types_new_module(blob, len, NULL, out, why, why_len);
}

void guest_types_free(struct guest_types *types)
{
	if (!types)
		return;
	btf__free(types->btf);
	free(types->buckets);
	free(types);
}

struct btf *guest_types_detach(struct guest_types *types)
{
	struct btf *btf = types->btf;

	types->btf = NULL;
	return btf;
}

struct btf *guest_types_btf(const struct guest_types *types)
{
	return types->btf;
}

/* The type behind typedefs and qualifiers; NULL where the chain is broken or too long. */
static const struct btf_type *bare_type(struct guest_types *types, uint32_t id)
{
	for (int depth = 0; depth < DEPTH_MAX && take_step(types); depth++) {
		const struct btf_type *type = btf__type_by_id(types->btf, id);

		if (!type || (!btf_is_mod(type) && !btf_is_typedef(type)))
			return type;
		id = type->type;
	}
	return NULL;
}

/*
 * Finds member name (len bytes) of a struct or union, its own or one of the
 * anonymous types in it. Adds its offset, in bits, to *bits and sets *id to its
 * type.
 */
static bool find_member(struct guest_types *types, const struct btf_type *outer, const char *name,
			size_t len, int depth, uint64_t *bits, uint32_t *id)
{
	const struct btf_member *member = btf_members(outer);

	for (uint32_t i = 0; i < btf_vlen(outer); i++, member++) {
		uint64_t offset = btf_member_bit_offset(outer, i);
		const char *own = name_at(types->btf, member->name_off);

		if (!take_step(types))
			return false;
		if (own[0]) {
			if (strncmp(own, name, len) || own[len])
				continue;
			/* A bit field that starts a byte is found there: it is its lowest bits. */
			if (offset % 8)
				return false;
			*bits += offset;
			*id = member->type;
			return true;
		}
		if (depth < DEPTH_MAX) {
			const struct btf_type *inner = bare_type(types, member->type);

			if (inner && btf_is_composite(inner) &&
			    find_member(types, inner, name, len, depth + 1, bits, id)) {
				*bits += offset;
				return true;
			}
		}
	}
	return false;
}

/* Follows "member[.member...]" (up to end) from struct id. Offset in bytes, or KT_ABSENT. */
static int32_t follow(struct guest_types *types, uint32_t id, const char *path, const char *end)
{
	uint64_t bits = 0;

	while (path < end) {
		const struct btf_type *type = bare_type(types, id);
		const char *dot = memchr(path, '.', end - path);
		size_t len = (dot ? dot : end) - path;

		if (!type || !btf_is_composite(type) ||
		    !find_member(types, type, path, len, 0, &bits, &id))
			return KT_ABSENT;
		path += len + 1;
	}
	return bits / 8 <= INT32_MAX ? (int32_t)(bits / 8) : KT_ABSENT;
}

/* One alternative: all structs of its name are tried, since BTF may hold several. */
static int32_t resolve(struct guest_types *types, const char *path, const char *end, bool size)
{
	const char *dot = memchr(path, '.', end - path);
	size_t len = (dot ? dot : end) - path;
	uint32_t slot = hash_of(path, len), id;

	for (; take_step(types); slot++) {
		const struct btf_type *type;
		const char *name;
		int32_t result;

		id = types->buckets[slot & types->mask];
		if (!id)
			break;
		type = btf__type_by_id(types->btf, id);
		name = name_at(types->btf, type->name_off);
		if (strncmp(name, path, len) || name[len])
			continue;
		if (size)
			return type->size <= INT32_MAX ? (int32_t)type->size : KT_ABSENT;
		result = dot ? follow(types, id, dot + 1, end) : KT_ABSENT;
		if (result != KT_ABSENT)
			return result;
	}
	return KT_ABSENT;
}

static int32_t first_of(struct guest_types *types, const char *alternatives, bool size)
{
	while (*alternatives) {
		const char *end = strchrnul(alternatives, '|');
		int32_t result = resolve(types, alternatives, end, size);

		if (result != KT_ABSENT || !*end)
			return result;
		alternatives = end + 1;
	}
	return KT_ABSENT;
}

int32_t guest_types_offset(struct guest_types *types, const char *alternatives)
{
	return first_of(types, alternatives, false);
}

int32_t guest_types_size(struct guest_types *types, const char *alternatives)
{
	return first_of(types, alternatives, true);
}

int32_t guest_types_variable_size(struct guest_types *types, const char *name)
{
	int32_t id = btf__find_by_name_kind(types->btf, name, BTF_KIND_VAR);
	const struct btf_type *type;

	if (id < 0)
		return KT_ABSENT;
	type = bare_type(types, btf__type_by_id(types->btf, id)->type);
	if (!type || !(btf_is_int(type) || btf_is_composite(type)) || type->size > INT32_MAX)
		return KT_ABSENT;
	return type->size;
}
