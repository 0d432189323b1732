// SPDX-License-Identifier: GPL-2.0
/* Channels from a process to what it makes, or by a descriptor that is handed on. */
#include "channel.h"

#include <linux/sched.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>

extern char **environ;

/* --- children ------------------------------------------------------------ */

static int send_fork(struct run *r, const void *data, size_t size)
{
	r->heir = fork();
	if (!r->heir)
		heir_ends(data, size);
	return r->heir < 0 ? -errno : reap(r->heir);
}
CHANNEL(fork, .name = "process/fork", .hook = "task_new", .flags = HEIR, .send = send_fork);

/* argument: at most MAX_ARG_STRLEN; a 0 ends it. */
static char text[CHANNEL_SIZE + 1];

static int send_vfork(struct run *r, const void *data, size_t size)
{
	memcpy(text, data, size);
	r->heir = vfork();
	if (!r->heir) {
		heir_executes(text, NULL);
		_exit(1);
	}
	return r->heir < 0 ? -errno : reap(r->heir);
}
CHANNEL(vfork, .name = "process/vfork", .hook = "task_new", .flags = HEIR, .send = send_vfork);

static int send_clone3(struct run *r, const void *data, size_t size)
{
	struct clone_args args = { .exit_signal = SIGCHLD };

	r->heir = syscall(SYS_clone3, &args, sizeof(args));
	if (!r->heir)
		heir_ends(data, size);
	return r->heir < 0 ? -errno : reap(r->heir);
}
CHANNEL(clone3, .name = "process/clone3", .hook = "task_new", .flags = HEIR, .send = send_clone3);

static int send_environment(struct run *r, const void *data, size_t size)
{
	static char variable[CHANNEL_SIZE + 16] = "HEIR_DATA=";
	char *environment[] = { variable, NULL };

	memcpy(variable + strlen("HEIR_DATA="), data, size);
	r->heir = fork();
	if (!r->heir) {
		heir_executes(NULL, environment);
		_exit(1);
	}
	return r->heir < 0 ? -errno : reap(r->heir);
}
CHANNEL(environment, .name = "process/environment", .hook = "task_new", .flags = HEIR,
	.send = send_environment);

/* --- threads: a process is one unit --------------------------------------- */

static int setup_pipe(struct run *r)
{
	return result(pipe2(r->fd, O_CLOEXEC));
}

static int receive_read(struct run *r, void *data, size_t size)
{
	return read_all(r->fd[0], data, size);
}

struct job {
	struct run *run;
	const void *data;
	size_t size;
	int error;
};

static void *write_in_thread(void *at)
{
	struct job *job = at;

	job->error = write_all(job->run->fd[1], job->data, job->size);
	return NULL;
}

static int send_thread(struct run *r, const void *data, size_t size)
{
	struct job job = { r, data, size, 0 };
	pthread_t thread;
	int error = pthread_create(&thread, NULL, write_in_thread, &job);

	if (error)
		return -error;
	pthread_join(thread, NULL);
	return job.error;
}
CHANNEL(thread, .name = "process/thread", .hook = "file_permission", .carrier = "pipe",
	.flags = BOTH, .setup = setup_pipe, .send = send_thread, .receive = receive_read);

/* A child of the sender reads the source into the memory that they share. */
static int send_from_vfork(struct run *r, const void *unused, size_t size)
{
	(void)unused;
	r->heir = vfork();
	if (!r->heir) {
		int fd = open(r->source, O_RDONLY | O_CLOEXEC);

		_exit(fd < 0 || read_all(fd, text, size));
	}
	if (r->heir < 0 || reap(r->heir))
		return -ECHILD;
	return write_all(r->fd[1], text, size);
}
CHANNEL(vfork_reads, .name = "process/vfork-child-reads", .hook = "task_new", .carrier = "pipe",
	.flags = COPIES_SOURCE, .setup = setup_pipe, .send = send_from_vfork,
	.receive = receive_read);

/* --- exec ---------------------------------------------------------------- */

/* A process that has read the source executes a clean program, which writes its argument on. */
static int send_exec(struct run *r, const void *unused, size_t size)
{
	char out[24];

	(void)unused;
	snprintf(out, sizeof(out), "/dev/fd/%d", r->fd[1]);
	r->heir = fork();
	if (!r->heir) {
		int fd = open(r->source, O_RDONLY | O_CLOEXEC);

		if (fd < 0 || read_all(fd, text, size))
			_exit(1);
		fcntl(r->fd[1], F_SETFD, 0);
		dup2(r->fd[1], 1);
		execl("/bin/echo", "echo", "-n", text, NULL);
		_exit(1);
	}
	return r->heir < 0 ? -errno : reap(r->heir);
}
CHANNEL(exec, .name = "process/exec-clean-program", .hook = "file_permission", .carrier = "pipe",
	.flags = COPIES_SOURCE, .setup = setup_pipe, .send = send_exec, .receive = receive_read);

/* The source is a script: who executes it has read it. */
static int send_script(struct run *r, const void *data, size_t size)
{
	(void)data;
	(void)size;
	r->heir = fork();
	if (!r->heir) {
		execl(r->source, r->source, NULL);
		_exit(1);
	}
	return r->heir < 0 ? -errno : reap(r->heir);
}
CHANNEL(script, .name = "process/exec-classified-script", .hook = "file_permission",
	.flags = HEIR | READS_SOURCE, .head = "#!/usr/local/bin/channels script\n",
	.send = send_script);

/* --- a pid again ---------------------------------------------------------- */

static pid_t fork_with_pid(pid_t pid)
{
	struct clone_args args = { .exit_signal = SIGCHLD,
				   .set_tid = (uintptr_t)&pid,
				   .set_tid_size = 1 };

	return syscall(SYS_clone3, &args, sizeof(args));
}

static int setup_pid(struct run *r)
{
	r->number[0] = 31000;
	return 0;
}

static int send_dies(struct run *r, const void *data, size_t size)
{
	pid_t pid = fork_with_pid(r->number[0]);

	(void)data;
	(void)size;
	if (!pid)
		_exit(0);
	return pid < 0 ? -errno : reap(pid);
}

/* Someone else has the dead process's pid, and writes what the receiver reads. */
static int receive_from_same_pid(struct run *r, void *data, size_t size)
{
	int ends[2], error;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	pid = fork_with_pid(r->number[0]);
	if (!pid)
		_exit(write_all(ends[1], text, size) != 0);
	error = pid < 0 ? -errno : reap(pid);
	if (!error)
		error = read_all(ends[0], data, size);
	close(ends[0]);
	close(ends[1]);
	return error;
}
CHANNEL(pid_reuse, .name = "process/pid-reuse", .hook = "", .flags = SILENT, .setup = setup_pid,
	.send = send_dies, .receive = receive_from_same_pid);

/* --- a descriptor that is handed on --------------------------------------- */

/* The coordinator, which is clean, hands fd[0] on; the receiver has it from there only. */
static int hand_on(struct run *r)
{
	int error = result(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, r->fd + 2));

	if (!error)
		error = pass_descriptor(r->fd[3], r->fd[0]);
	close(r->fd[0]);
	r->fd[0] = -1;
	return error;
}

static int setup_file_by_scm(struct run *r)
{
	r->fd[1] = open_in_dir(r, "file", O_WRONLY | O_CREAT);
	r->fd[0] = open_in_dir(r, "file", O_RDONLY);
	return r->fd[0] < 0 ? r->fd[0] : hand_on(r);
}

static int setup_pipe_by_scm(struct run *r)
{
	return setup_pipe(r) ?: hand_on(r);
}

static int setup_socket_by_scm(struct run *r)
{
	return result(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, r->fd)) ?: hand_on(r);
}

static int send_write(struct run *r, const void *data, size_t size)
{
	if (lseek(r->fd[1], 0, SEEK_SET) < 0 && errno != ESPIPE)
		return -errno;
	return write_all(r->fd[1], data, size);
}

static int receive_by_scm(struct run *r, void *data, size_t size)
{
	if (r->fd[0] < 0)
		r->fd[0] = take_descriptor(r->fd[2]);
	if (r->fd[0] < 0)
		return r->fd[0];
	if (lseek(r->fd[0], 0, SEEK_SET) < 0 && errno != ESPIPE)
		return -errno;
	return read_all(r->fd[0], data, size);
}

CHANNEL(scm_file, .name = "descriptor/scm-rights-file", .hook = "file_permission",
	.carrier = "file", .setup = setup_file_by_scm, .send = send_write,
	.receive = receive_by_scm);
CHANNEL(scm_pipe, .name = "descriptor/scm-rights-pipe", .hook = "file_permission",
	.carrier = "pipe", .flags = BOTH, .setup = setup_pipe_by_scm, .send = send_write,
	.receive = receive_by_scm);
CHANNEL(scm_socket, .name = "descriptor/scm-rights-socket", .hook = "socket_sendmsg",
	.carrier = "socket", .flags = BOTH, .setup = setup_socket_by_scm, .send = send_write,
	.receive = receive_by_scm);

/* What the sender itself hands on comes in a message of a managed process. */
static int send_descriptor(struct run *r, const void *data, size_t size)
{
	int ends[2], error;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	error = pass_descriptor(r->fd[1], ends[0]);
	return error ? error : write_all(ends[1], data, size);
}

static int setup_pair(struct run *r)
{
	return result(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, r->fd));
}

static int receive_descriptor(struct run *r, void *data, size_t size)
{
	int fd = take_descriptor(r->fd[0]), error;

	if (fd < 0)
		return fd;
	error = read_all(fd, data, size);
	close(fd);
	return error;
}
CHANNEL(scm_from_sender, .name = "descriptor/scm-rights-from-sender",
	.hook = "socket_sendmsg,file_permission", .carrier = "socket", .flags = BOTH,
	.setup = setup_pair, .send = send_descriptor, .receive = receive_descriptor);

/* The coordinator's end of the pipe, taken by pidfd_getfd(2). */
static int receive_getfd(struct run *r, void *data, size_t size)
{
	if (!r->number[0]) {
		int parent = syscall(SYS_pidfd_open, getppid(), 0);

		r->number[0] = syscall(SYS_pidfd_getfd, parent, r->fd[0], 0);
		close(parent);
		if (r->number[0] < 0)
			return -errno;
		close(r->fd[0]);
	}
	return read_all(r->number[0], data, size);
}
CHANNEL(pidfd_getfd, .name = "descriptor/pidfd-getfd", .hook = "file_permission", .carrier = "pipe",
	.at = "#1", .flags = BOTH, .setup = setup_pipe, .send = send_write,
	.receive = receive_getfd);
