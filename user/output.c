// SPDX-License-Identifier: GPL-2.0
/* Puts records in order. BPF numbers a record before it queues it, on any CPU. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "sink.h"

#define HOLE_WAIT_NS 200000000ULL
#define FLUSH_NS     100000000ULL
#define QUEUE_MAX    100000

struct queued_line {
	uint64_t seq;
	uint64_t since_ns;
	char *line;
};

struct output {
	struct output_options opt;
	struct sink console, file;
	struct queued_line *queue;
	size_t count, room;
	uint64_t expected; /* seq of the next line */
};

int output_open(const struct output_options *opt, struct output **out, char *err, size_t err_len)
{
	struct output *output = calloc(1, sizeof(*output));
	int rc = 0;

	if (!output)
		return -ENOMEM;
	output->opt = *opt;
	output->expected = 1;
	output->file.fd = -1;
	output->console.fd = -1;
	if (opt->use_stdout)
		sink_init_stdout(&output->console, opt->abort_fd);
	if (opt->path)
		rc = sink_open_file(&output->file, opt->path, opt->abort_fd, err, err_len);
	output->console.idle = output->file.idle = opt->idle;
	output->console.idle_ctx = output->file.idle_ctx = opt->idle_ctx;
	if (rc) {
		output_free(output);
		return rc;
	}
	*out = output;
	return 0;
}

void output_free(struct output *output)
{
	size_t i;

	if (!output)
		return;
	for (i = 0; i < output->count; i++)
		free(output->queue[i].line);
	free(output->queue);
	sink_deinit(&output->file);
	free(output);
}

int output_queue(struct output *output, uint64_t seq, char *line)
{
	struct queued_line *grown;

	if (!line)
		return -ENOMEM;
	if (output->count == output->room) {
		output->room = output->room ? 2 * output->room : 256;
		grown = reallocarray(output->queue, output->room, sizeof(*grown));
		if (!grown) {
			free(line);
			return -ENOMEM;
		}
		output->queue = grown;
	}
	output->queue[output->count++] = (struct queued_line){ seq, record_now(), line };
	return 0;
}

int output_take(void *ctx, const struct kt_record *rec, size_t len)
{
	struct output *output = ctx;
	char *line;

	if (output->count >= QUEUE_MAX)
		return 0;
	line = record_line(output->opt.record, rec, len);
	/* Without its line the record leaves a hole, and the hole is told of. */
	if (!line)
		return 0;
	return output_queue(output, rec->seq, line);
}

static uint64_t next_seq(struct output *output)
{
	return output->opt.next_seq(output->opt.next_seq_ctx);
}

int output_lost(struct output *output, const char *reason, uint64_t count)
{
	uint64_t seq = next_seq(output);

	return output_queue(output, seq,
			    record_lost_line(output->opt.record, seq, reason, count, 0, 0));
}

static int tell_hole(struct output *output, uint64_t first, uint64_t last)
{
	uint64_t seq = next_seq(output);
	char *line = record_lost_line(output->opt.record, seq, record_lost_name(KT_LOST_RING_FULL),
				      last - first + 1, first, last);

	return output_queue(output, seq, line);
}

static void write_line(struct output *output, const char *line)
{
	uint64_t missed;

	sink_write(&output->console, line);
	sink_write(&output->file, line);
	missed = sink_take_recovered(&output->file);
	if (missed)
		output_lost(output, "output", missed);
}

static int by_seq(const void *x, const void *y)
{
	const struct queued_line *a = x, *b = y;

	return a->seq < b->seq ? -1 : a->seq > b->seq;
}

/* Writes from the head of the queue up to the first hole that may still fill, as long as there is
 * time. */
static size_t write_ready(struct output *output, bool all, uint64_t began)
{
	uint64_t now = record_now();
	size_t i, count = output->count; /* lines may be queued meanwhile, at the end */

	for (i = 0; i < count; i++) {
		struct queued_line *head = &output->queue[i];
		uint64_t seq = head->seq;
		char *line = head->line;

		if (!all && record_now() - began >= FLUSH_NS)
			break;
		if (seq > output->expected) {
			if (!all && now - head->since_ns < HOLE_WAIT_NS)
				break;
			tell_hole(output, output->expected, seq - 1);
		}
		write_line(output, line);
		free(line);
		if (seq >= output->expected)
			output->expected = seq + 1;
	}
	return i;
}

static int state(const struct output *output)
{
	if (output->opt.use_stdout && output->console.error)
		return -output->console.error;
	if (!output->opt.use_stdout && output->file.error)
		return -output->file.error;
	return 0;
}

int output_flush(struct output *output, bool all)
{
	size_t before = output->count, written;
	uint64_t began = record_now();

	do {
		qsort(output->queue, output->count, sizeof(*output->queue), by_seq);
		before = output->count;
		written = write_ready(output, all, began);
		memmove(output->queue, output->queue + written,
			(output->count - written) * sizeof(*output->queue));
		output->count -= written;
		/* Lines that were queued on the way may be next. */
	} while (output->count && before - written < output->count &&
		 (all || record_now() - began < FLUSH_NS));
	return state(output);
}

int output_timeout_ms(const struct output *output)
{
	if (!output->count)
		return -1;
	/* The queue is in order but for lines that came since: these are looked at in time. */
	return output->queue[0].seq <= output->expected ? 0 : (int)(HOLE_WAIT_NS / 1000000);
}

uint64_t output_file_lost(const struct output *output)
{
	return output->file.missed_ever;
}
