// SPDX-License-Identifier: GPL-2.0
/*
 * bench/growth [EVENTS]: how what an event costs grows with what is managed: the median of
 * one where a million files, processes and sockets are, by that where ten are. Each in
 * a world of its own, a few thousand events here, a few thousand there. Prints one JSON
 * object; files, processes, sockets: the event's own object is drawn from all that
 * are managed; _of_1000: from a thousand of them, as a guest is at work with
 * some of what it has; unmanaged: an event of what is in no set.
 */
#include "scenes.h"

#define FEW  10
#define SOME 1000
#define MANY 1000000
/* Addresses that no object has: the identities of managed ones. */
#define FIRST_SIGNAL 0xffff900000000000ULL
#define FIRST_SOCKET 0xffffa00000000000ULL
#define SPACING	     1088

static uint64_t draw(struct stage *s)
{
	uint64_t x = s->random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	s->random = x;
	return (x >> 11) % s->drawn;
}

static void manage_many(struct stage *s, uint32_t count)
{
	struct kt_file_key file = file_key(s, 0);
	uint64_t key;

	for (uint32_t n = 0; n < count; n++) {
		file.ino = FIRST_INO + n;
		manage_with(&s->b, "files", &file);
		key = FIRST_SIGNAL + (uint64_t)n * SPACING;
		manage_with(&s->b, "processes", &key);
		key = FIRST_SOCKET + (uint64_t)n * SPACING;
		manage_with(&s->b, "sockets", &key);
	}
	s->drawn = count;
}

/* A managed process reads a file of all those that are managed. */
static void read_some_file(struct stage *s, int i)
{
	set(&s->b.w, s->inode[i] + s->b.w.profile->guest.inode_ino, FIRST_INO + draw(s), 8);
	read_managed(s, i);
}

/* A process of all those that are managed sends. */
static void some_process_sends(struct stage *s, int i)
{
	set(&s->b.w, task(&s->b.w, CLEAN + i) + s->b.w.profile->guest.task_signal,
	    FIRST_SIGNAL + draw(s) * SPACING, 8);
	send_clean(s, i);
}

static void send_to_some_socket(struct stage *s, int i)
{
	set(&s->b.w, s->from[i] + s->b.w.profile->guest.unix_peer, FIRST_SOCKET + draw(s) * SPACING,
	    8);
	send_managed(s, i);
}

/* What is in no set, while much else is. */
static void read_no_file(struct stage *s, int i)
{
	draw(s);
	read_clean(s, i);
}

static const struct {
	const char *name;
	uint32_t drawn; /* of a million */
	struct scene scene;
} growth[] = {
	{ "files", MANY, { .name = "a file is read", .next = read_some_file, .every_time = true } },
	{ "processes",
	  MANY,
	  { .name = "a process sends",
	    .begin = sockets_are_managed,
	    .next = some_process_sends,
	    .every_time = true } },
	{ "sockets",
	  MANY,
	  { .name = "a socket is sent to", .next = send_to_some_socket, .every_time = true } },
	{ "files_of_1000",
	  SOME,
	  { .name = "a file of 1000 is read", .next = read_some_file, .every_time = true } },
	{ "processes_of_1000",
	  SOME,
	  { .name = "a process of 1000 sends",
	    .begin = sockets_are_managed,
	    .next = some_process_sends,
	    .every_time = true } },
	{ "sockets_of_1000",
	  SOME,
	  { .name = "a socket of 1000 is sent to",
	    .next = send_to_some_socket,
	    .every_time = true } },
	{ "unmanaged",
	  SOME,
	  { .name = "a file in no set is read",
	    .begin = files_are_clean,
	    .next = read_no_file,
	    .every_time = true } },
};

#define GROWTHS (sizeof(growth) / sizeof(growth[0]))
#define ROUNDS	21

/* The median of so many events. */
static double chunk(struct stage *s, const struct scene *scene, uint64_t events, double clock)
{
	static struct histogram h;

	memset(&h, 0, sizeof(h));
	scene_begin(s, scene);
	for (uint64_t batch = 0; batch < events / BENCH_BATCH; batch++) {
		scene_batch(s, scene);
		for (int i = 0; i < BENCH_BATCH; i++)
			add(&h, s->b.bench->ns[i]);
	}
	drain(s);
	if (s->records)
		die("%s: it made records", scene->name);
	return percentile(&h, 0.5) - clock;
}

/* One pair after the other: what disturbs one disturbs the other. */
static void print_growth_of(struct stage *few, struct stage *many, size_t which, uint64_t events,
			    double clock)
{
	const struct scene *scene = &growth[which].scene;
	double ratios[ROUNDS], of_few[ROUNDS], of_many[ROUNDS], a, b;

	many->drawn = growth[which].drawn;
	/* Twice before it counts. */
	for (int round = -2; round < ROUNDS; round++) {
		a = chunk(few, scene, events / ROUNDS, clock);
		b = chunk(many, scene, events / ROUNDS, clock);
		if (round < 0)
			continue;
		of_few[round] = a;
		of_many[round] = b;
		ratios[round] = b / a;
	}
	fprintf(stderr, "growth, %-28s %6.0f ns -> %6.0f ns: %.2f\n", scene->name,
		median(of_few, ROUNDS), median(of_many, ROUNDS), median(ratios, ROUNDS));
	printf("  \"%s\": %.3f,\n  \"%s_ns\": [%.0f, %.0f]%s\n", growth[which].name,
	       median(ratios, ROUNDS), growth[which].name, median(of_few, ROUNDS),
	       median(of_many, ROUNDS), which + 1 < GROWTHS ? "," : "");
}

/* Bytes that a map takes, as the kernel counts them. */
static uint64_t map_bytes(struct stage *s, const char *map)
{
	char path[64], line[256];
	unsigned long bytes = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", engine_map_fd(s->b.w.engine, map));
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "memlock: %lu", &bytes);
	if (f)
		fclose(f);
	return bytes;
}

static void print_memory(struct stage *few, struct stage *many)
{
	static const char *const maps[] = { "files", "processes", "sockets" };

	printf(" \"map_kib_per_100000\": {\n");
	for (int i = 0; i < 3; i++)
		printf("  \"%s\": %.0f%s\n", maps[i],
		       (map_bytes(many, maps[i]) - map_bytes(few, maps[i])) * 100000.0 /
			       (MANY - FEW) / 1024,
		       i < 2 ? "," : "");
	printf(" }\n");
}

int main(int argc, char **argv)
{
	static struct stage few, many;
	uint64_t events = argc > 1 ? strtoull(argv[1], NULL, 0) : 1000000;
	double clock;

	pin();
	stage_open(&few, MANY + MANY / 2);
	stage_open(&many, MANY + MANY / 2);
	clock = measure_units(&few).clock;
	manage_many(&few, FEW);
	manage_many(&many, MANY);
	few.records = many.records = 0;
	printf("{\n \"growth\": {\n");
	for (size_t i = 0; i < GROWTHS; i++)
		print_growth_of(&few, &many, i, events, clock);
	printf(" },\n");
	print_memory(&few, &many);
	printf("}\n");
	return 0;
}
