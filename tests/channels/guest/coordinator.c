// SPDX-License-Identifier: GPL-2.0
/*
 * channels list               a line of JSON for each channel
 * channels run [NAME...]      runs them; a line of JSON for each, once it is over
 *
 * The coordinator makes the sources, forks the receiver, which lives through the
 * public and the secret round, and forks a sender for each round; then it does a
 * public round once more with all new. They talk by eventfds only, which
 * carry no data. Each calls itself INDEX.ROLE, which is how the judge of the
 * records knows whose a record is: c coordinator, s1 s2 s3 senders, r receiver,
 * f the fresh receiver.
 */
#include "coordinator.h"
#include "sockets.h"

#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>

#define FOLDER	 "/srv/runs/channels"
#define ATTACH_S 300

extern const struct channel *const __start_channels[], *const __stop_channels[];
extern const struct not_covered *const __start_not_covered[], *const __stop_not_covered[];

static const struct play *current;
static char buffer[SIZE_MAX_OF_ALL] __attribute__((aligned(4096)));

/* --- for channels -------------------------------------------------------- */

/* FNV-1a: what was sent is compared, not kept. */
static uint64_t digest(const void *data, size_t size)
{
	const unsigned char *bytes = data;
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3;
	return hash;
}

bool received(const void *data, size_t size)
{
	return size == current->size && digest(data, size) == current->digest[current->round];
}

void heir_ends(const void *data, size_t size)
{
	_exit(!received(data, size));
}

int heir_executes(const char *argument, char *const *environment)
{
	char hash[24], size[24];
	char *words[] = { "channels", "heir", hash, size, (char *)argument, NULL };

	snprintf(hash, sizeof(hash), "%lx", current->digest[current->round]);
	snprintf(size, sizeof(size), "%zu", current->size);
	execve("/proc/self/exe", words, environment ? environment : environ);
	return -errno;
}

/* --- eventfds ------------------------------------------------------------ */

void tell(int fd, uint64_t value)
{
	if (write(fd, &value, sizeof(value)) != sizeof(value))
		_exit(9);
}

uint64_t hear(int fd)
{
	uint64_t value;

	while (read(fd, &value, sizeof(value)) != sizeof(value))
		if (errno != EINTR)
			_exit(9);
	return value;
}

uint64_t hear_in_time(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	return poll(&poll_fd, 1, WAIT_MS) == 1 ? hear(fd) : 0;
}

uint64_t answer(int error, pid_t heir)
{
	return (uint64_t)heir << 32 | (uint32_t)(1 - error);
}

int error_of(uint64_t heard)
{
	return 1 - (int)(uint32_t)heard;
}

/* --- sender and receiver ------------------------------------------------- */

/* channels heir DIGEST SIZE [DATA]: without DATA they come from descriptor 0. */
static int be_heir(const char *hash, const char *data, size_t size)
{
	if (size > sizeof(buffer))
		return 2;
	if (data)
		memcpy(buffer, data, strnlen(data, size));
	else if (read_all(0, buffer, size))
		return 3;
	return digest(buffer, size) != strtoul(hash, NULL, 16);
}

void call_myself(const struct play *play, const char *role, int number)
{
	char comm[16];

	snprintf(comm, sizeof(comm), "%d.%s", play->index, role);
	if (number)
		snprintf(comm + strlen(comm), sizeof(comm) - strlen(comm), "%d", number);
	prctl(PR_SET_NAME, comm);
}

void round_is(struct play *play, int round)
{
	play->round = round;
	play->run.round = round == 2 ? 2 : 1;
	play->run.source = play->source[round];
}

/* By mmap() and by read(): whichever of their hooks is off, the sender is managed. */
static int read_source(const struct play *play)
{
	int error = 0, fd = open(play->run.source, O_RDONLY | O_CLOEXEC);
	void *map;

	if (fd < 0)
		return -errno;
	map = mmap(NULL, play->size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		error = -errno;
	else
		munmap(map, play->size);
	if (!error)
		error = read_all(fd, buffer, play->size);
	close(fd);
	return error;
}

static void __attribute__((noreturn)) be_sender(struct play *play, int round)
{
	int error = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	call_myself(play, "s", round);
	round_is(play, round);
	play->run.sender = getpid();
	if (!(play->channel->flags & (READS_SOURCE | COPIES_SOURCE)))
		error = read_source(play);
	if (!error)
		error = play->channel->send(&play->run, buffer, play->size);
	tell_own(play, false);
	tell(play->line[SENT], answer(error, play->run.heir));
	hear(play->line[DONE]);
	_exit(0);
}

int receive_and_compare(struct play *play, int round)
{
	int error;

	round_is(play, round);
	memset(buffer, 0, sizeof(buffer));
	error = play->channel->receive(&play->run, buffer, play->size);
	if (!error && !(play->channel->flags & SILENT) &&
	    digest(buffer, play->size) != play->digest[round])
		error = -EBADMSG;
	return error;
}

static void __attribute__((noreturn)) be_receiver(struct play *play, bool fresh)
{
	int round, error;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	call_myself(play, fresh ? "f" : "r", 0);
	play->run.receiver = getpid();
	for (;;) {
		round = hear(play->line[GO]);
		if (round >= ROUNDS)
			_exit(0);
		error = receive_and_compare(play, round);
		tell_own(play, true);
		tell(play->line[RESULT], answer(error, play->run.heir));
	}
}

/* --- the coordinator ----------------------------------------------------- */

bool fail(struct play *play, int round, const char *what, int error)
{
	if (!play->failed)
		snprintf(play->why, sizeof(play->why), "round %d: %s: %s", round, what,
			 error == -EBADMSG ? "other bytes than were sent" : strerror(-error));
	play->failed = true;
	return false;
}

static pid_t fork_as(struct play *play, int round, bool sender)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	if (sender)
		be_sender(play, round);
	be_receiver(play, round == FRESH_ROUND);
}

/* One round; false when it could not be done. */
static bool play_one(struct play *play, int round, pid_t receiver)
{
	const struct channel *channel = play->channel;
	uint64_t heard = 0;
	pid_t sender = 0;
	bool early = receiver && (play->blocked || !channel->send), good = true;

	if (early)
		tell(play->line[GO], round);
	if (early && play->blocked && !sleeps(receiver))
		return fail(play, round, "the receiver does not wait", -ETIMEDOUT);
	if (channel->send) {
		sender = fork_as(play, round, true);
		play->senders[round] = sender;
		heard = hear_in_time(play->line[SENT]);
		play->heirs[round] = heard >> 32;
		if (!heard || error_of(heard))
			good = fail(play, round, "send", heard ? error_of(heard) : -ETIMEDOUT);
	}
	if (good && receiver) {
		if (!early)
			tell(play->line[GO], round);
		heard = hear_in_time(play->line[RESULT]);
		if (!heard || error_of(heard))
			good = fail(play, round, "receive", heard ? error_of(heard) : -ETIMEDOUT);
		if (heard >> 32)
			play->heirs[round] = heard >> 32;
	}
	if (good && round == 2)
		look_at_carriers(play, sender, receiver);
	if (sender) {
		tell(play->line[DONE], 1);
		if (!good)
			kill(sender, SIGKILL);
		reap(sender);
	}
	return good;
}

/* A source's bytes: its head, then random letters, fit for a name or an argument too. */
static bool make_source(struct play *play, int round)
{
	const char *head = play->channel->head ? play->channel->head : "";
	size_t at = strlen(head);
	bool good;
	int fd;

	if (getrandom(buffer, play->size, 0) != (ssize_t)play->size)
		return false;
	for (size_t i = 0; i < play->size; i++)
		buffer[i] = i < at ? head[i] : 'a' + (buffer[i] & 15);
	play->digest[round] = digest(buffer, play->size);
	fd = open(play->source[round], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	good = fd >= 0 && !write_all(fd, buffer, play->size);
	close(fd);
	memset(buffer, 0, sizeof(buffer));
	return good;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	return type == FTW_DP ? rmdir(path) : unlink(path);
}

bool begin(struct play *play, bool fresh)
{
	static const char *const folders[ROUNDS] = { "", "public", "secret", "public" };

	play->run = (struct run){ .dir = play->dir };
	for (int i = 0; i < CHANNEL_FDS; i++)
		play->run.fd[i] = -1;
	for (int round = fresh ? FRESH_ROUND : 1; round <= (fresh ? FRESH_ROUND : 2); round++) {
		snprintf(play->source[round], sizeof(play->source[round]),
			 "/srv/%s/channels/%d.h%d", folders[round], play->index, round);
		if (!make_source(play, round))
			return fail(play, round, "its source", -errno);
	}
	snprintf(play->dir, sizeof(play->dir), FOLDER "/%d%s", play->index, fresh ? "f" : "");
	if (mkdir(play->dir, 0755))
		return fail(play, 0, play->dir, -errno);
	for (int i = 0; i < LINES; i++)
		play->line[i] = eventfd(0, EFD_CLOEXEC);
	return true;
}

void end(struct play *play, bool fresh, bool was_set_up)
{
	if (was_set_up && play->channel->teardown)
		play->channel->teardown(&play->run);
	for (int i = 0; i < CHANNEL_FDS; i++)
		if (play->run.fd[i] >= 0)
			close(play->run.fd[i]);
	for (int i = 0; i < LINES; i++)
		close(play->line[i]);
	nftw(play->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	for (int round = fresh ? FRESH_ROUND : 1; round <= (fresh ? FRESH_ROUND : 2); round++)
		unlink(play->source[round]);
}

/* Rounds 1 and 2, or the fresh one. Returns 0, ABSENT, or -1: could not be done. */
static int play_rounds(struct play *play, bool fresh)
{
	const struct channel *channel = play->channel;
	pid_t receiver = 0;
	bool good;
	int error;

	good = begin(play, fresh);
	error = good && channel->setup ? channel->setup(&play->run) : 0;
	if (error < 0)
		good = fail(play, fresh ? FRESH_ROUND : 1, "setup", error);
	if (good && error != ABSENT) {
		if (channel->receive && !(channel->flags & (HEIR | LEAK))) {
			receiver = fork_as(play, fresh ? FRESH_ROUND : 1, false);
			play->receivers[fresh] = play->run.receiver = receiver;
		}
		good = fresh ? play_one(play, FRESH_ROUND, receiver)
			     : play_one(play, 1, receiver) && play_one(play, 2, receiver);
		if (receiver) {
			kill(receiver, SIGKILL);
			waitpid(receiver, NULL, 0);
		}
	}
	end(play, fresh, !error && good);
	return error == ABSENT ? ABSENT : good ? 0 : -1;
}

/* --- what is printed ----------------------------------------------------- */

static void print_flags(unsigned flags)
{
	static const char *const names[] = { "blocked",	     "both", "leak",	      "silent",
					     "reads_source", "heir", "copies_source", "held" };
	const char *comma = "";

	printf("\"flags\": [");
	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (!(flags & 1 << i) || 1 << i == BOTH)
			continue;
		printf("%s\"%s\"", comma, names[i]);
		comma = ", ";
	}
	printf("]");
}

static void print_channel(const struct play *play)
{
	const struct channel *channel = play->channel;

	printf("{\"index\": %d, \"name\": \"%s\", \"hook\": \"%s\", \"receive_hook\": \"%s\", "
	       "\"carrier\": \"%s\", ",
	       play->index, play->name, channel->hook, hooks_of_receive(channel->receive),
	       channel->carrier ? channel->carrier : "");
	print_flags(channel->flags | (play->blocked ? BLOCKED : 0));
	if (channel->leak)
		printf(", \"leak\": \"%s\"", channel->leak);
}

static void print_pids(const char *key, const pid_t *pids, int count)
{
	printf(", \"%s\": [", key);
	for (int i = 0; i < count; i++)
		printf("%s%d", i ? ", " : "", pids[i]);
	printf("]");
}

static void run_channel(struct play *play)
{
	int verdict;

	current = play;
	call_myself(play, "c", 0);
	if (play->channel->flags & HELD)
		verdict = release(play);
	else
		verdict = play_rounds(play, false) ?: play_rounds(play, true);
	print_channel(play);
	printf(", \"status\": \"%s\", \"why\": \"%s\"",
	       !verdict		   ? "ran"
	       : verdict == ABSENT ? "absent"
				   : "failed",
	       verdict == ABSENT ? absent_why() : play->why);
	print_pids("senders", play->senders, ROUNDS);
	print_pids("heirs", play->heirs, ROUNDS);
	print_pids("receivers", play->receivers, 2);
	printf(", \"carriers\": [%s]", play->carriers);
	printf("}\n");
	fflush(stdout);
}

static void print_not_covered(void)
{
	const struct not_covered *const *each;

	for (each = __start_not_covered; each < __stop_not_covered; each++)
		printf("{\"not_covered\": \"%s\", \"why\": \"%s\"}\n", (*each)->way, (*each)->why);
}

static bool is_wanted(const char *name, char **names, int count)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(name, names[i]))
			return true;
	return !count;
}

/* kvmtaint comes now: tests/channels/job.sh waits for one file, and makes the other. */
static void await_attach(void)
{
	close(open(FOLDER "/held", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	for (int left = ATTACH_S * 20; left > 0 && access(FOLDER "/attached", F_OK); left--)
		sleep_ms(50);
}

/* All channels that are wanted; returns how many. */
static int plan(struct play *plays, char **names, int count)
{
	const struct channel *const *each;
	int index = 0, wanted = 0;

	for (each = __start_channels; each < __stop_channels; each++) {
		for (int form = 0; form < ((*each)->flags & BOTH ? 2 : 1); form++) {
			struct play play = { .channel = *each,
					     .index = ++index,
					     .size = (*each)->size ? (*each)->size : CHANNEL_SIZE,
					     .blocked = form || (*each)->flags & BLOCKED };

			snprintf(play.name, sizeof(play.name), "%s%s", (*each)->name,
				 form ? "/blocked" : "");
			if (is_wanted(play.name, names, count))
				plays[wanted++] = play;
		}
	}
	return wanted;
}

static int run_all(struct play *plays, int count)
{
	if ((mkdir(FOLDER, 0755) | mkdir("/srv/secret/channels", 0755) |
	     mkdir("/srv/public/channels", 0755)) &&
	    errno != EEXIST)
		return 1;
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < count; i++)
		if (plays[i].channel->flags & HELD)
			hold(&plays[i]);
	await_attach();
	for (int i = 0; i < count; i++)
		run_channel(&plays[i]);
	return 0;
}

int main(int argc, char **argv)
{
	struct play *plays = calloc(2 * (__stop_channels - __start_channels), sizeof(*plays));
	const char *command = argc > 1 ? argv[1] : "";
	int count;

	if (!strcmp(command, "script"))
		return 0; /* the interpreter of a source: to execute it was all */
	if (!strcmp(command, "heir") && argc > 3)
		return be_heir(argv[2], argc > 4 ? argv[4] : getenv("HEIR_DATA"), atoi(argv[3]));
	if (!strcmp(command, "helper") && argc > 3)
		return be_helper(argv[2], argv[3]);
	count = plan(plays, argv + 2, argc > 2 ? argc - 2 : 0);
	if (!strcmp(command, "run"))
		return run_all(plays, count);
	if (strcmp(command, "list")) {
		fprintf(stderr, "usage: channels list | channels run [NAME...]\n");
		return 2;
	}
	for (int i = 0; i < count; i++) {
		print_channel(&plays[i]);
		printf("}\n");
	}
	print_not_covered();
	return 0;
}
