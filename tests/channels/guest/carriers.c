// SPDX-License-Identifier: GPL-2.0
/*
 * What each carrier of the secret round is, as its guest knows it: the judge compares it with
 * the records. The coordinator looks, while sender and receiver are still there; it only asks
 * for attributes, so that nothing flows.
 */
#include "coordinator.h"

#include <linux/magic.h>
#include <poll.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

/* The N-th word of a list with commas, in WORD; false: there is none. */
static bool word_at(const char *list, int n, char *word, size_t size)
{
	while (list && n-- > 0) {
		list = strchr(list, ',');
		list = list ? list + 1 : NULL;
	}
	if (!list || !*list)
		return false;
	snprintf(word, size, "%.*s", (int)strcspn(list, ","), list);
	return true;
}

/* Where the N-th carrier is to be found (channel.h, at), in WORD; false: there is no such. */
static bool place_of(const struct channel *channel, int n, char *word, size_t size)
{
	static const char *const usual[][2] = { { "file", "file" },
						{ "pipe", "#0" },
						{ "socket", "#0" },
						{ "terminal", "#1" },
						{ "key", "=0" } };
	char kind[16];

	if (channel->at)
		return word_at(channel->at, n, word, size);
	if (!word_at(channel->carrier, n, kind, sizeof(kind)))
		return false;
	snprintf(word, size, "-");
	for (unsigned i = 0; i < sizeof(usual) / sizeof(*usual); i++)
		if (!strcmp(kind, usual[i][0]))
			snprintf(word, size, "%s", usual[i][1]);
	return true;
}

static bool receiver_tells(const struct channel *channel)
{
	return channel->receive && !(channel->flags & (HEIR | LEAK));
}

void tell_own(struct play *play, bool receiver)
{
	char place[64];

	if (play->round != 2 || receiver != receiver_tells(play->channel))
		return;
	for (int n = 0; place_of(play->channel, n, place, sizeof(place)); n++) {
		if (*place == '#' && play->run.fd[place[1] - '0'] >= 0)
			tell(play->line[OWN], play->run.fd[place[1] - '0'] + 1);
		if (*place == '=')
			tell(play->line[OWN], play->run.number[place[1] - '0'] + 1);
	}
}

/* As text: path, device and inode of what is at a path. */
static void describe(const char *path, bool follow, char *text, size_t size)
{
	char name[160];
	ssize_t length = follow ? readlink(path, name, sizeof(name) - 1) : -1;
	struct statfs fs;
	struct stat st;
	int done;

	snprintf(text, size, "{}");
	if (follow ? stat(path, &st) : lstat(path, &st))
		return;
	if (length > 0)
		name[length] = 0;
	else
		snprintf(name, sizeof(name), "%s", path);
	if (strstr(name, " (deleted)"))
		*strstr(name, " (deleted)") = 0;
	done = snprintf(text, size, "{\"path\": \"%s\", \"inode\": %lu, \"rdev\": \"%u:%u\"", name,
			st.st_ino, major(st.st_rdev), minor(st.st_rdev));
	/* Each subvolume of btrfs has a device of its own, that of the file system is not told. */
	if (!statfs(path, &fs) && fs.f_type != BTRFS_SUPER_MAGIC)
		done += snprintf(text + done, size - done, ", \"dev\": \"%u:%u\"", major(st.st_dev),
				 minor(st.st_dev));
	snprintf(text + done, size - done, "}");
}

/* What tell_own() told, less 1; -1: nothing. */
static long told(const struct play *play)
{
	struct pollfd poll_fd = { .fd = play->line[OWN], .events = POLLIN };

	return poll(&poll_fd, 1, 0) == 1 ? (long)hear(play->line[OWN]) - 1 : -1;
}

void look_at_carriers(struct play *play, pid_t sender, pid_t receiver)
{
	char place[64], path[128], *text = play->carriers;
	size_t left;

	for (int n = 0; n < CARRIERS && place_of(play->channel, n, place, sizeof(place)); n++) {
		if (n)
			text += strlen(strcpy(text, ", "));
		left = sizeof(play->carriers) - (text - play->carriers);
		if (*place == '#') {
			snprintf(path, sizeof(path), "/proc/%d/fd/%ld",
				 receiver_tells(play->channel) ? receiver : sender, told(play));
			describe(path, true, text, left);
		} else if (*place == '=') {
			snprintf(text, left, "{\"number\": %ld}", told(play));
		} else if (*place == '-') {
			snprintf(text, left, "{}");
		} else {
			snprintf(path, sizeof(path), "%s%s%s", *place == '/' ? "" : play->dir,
				 *place == '/' ? "" : "/", place);
			describe(path, !strcmp(place, "disk"), text, left);
		}
		text += strlen(text);
	}
}
