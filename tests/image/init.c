// SPDX-License-Identifier: GPL-2.0
/*
 * PID 1 of the guests whose RAM scripts/ram-image saves. It puts some life into
 * the guest (files, pipes, sockets, processes), describes it as key=value lines
 * on the console, and leaves /proc/kallsyms and the kernel's BTF in its own
 * memory, whose physical pages it names: the image is read back from there,
 * which is far quicker than a serial line.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#define PAGE	   4096UL
#define SHELF_SIZE (32UL << 20) /* bytes for each of kallsyms and BTF */

static void fact(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("FACT ");
	vprintf(fmt, ap);
	printf("\n");
	va_end(ap);
}

static int need(int result, const char *what)
{
	if (result < 0) {
		printf("FAILED %s: %m\n", what);
		fflush(stdout);
		for (;;)
			pause();
	}
	return result;
}

/* A file as the engine's records show it: device in the kernel's own form. */
static void fact_fd(const char *name, int fd)
{
	char path[64], target[256];
	struct stat st;
	ssize_t len;

	need(fstat(fd, &st), name);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	len = readlink(path, target, sizeof(target) - 1);
	target[len < 0 ? 0 : len] = 0;
	fact("%s.fd=%d", name, fd);
	fact("%s.ino=%llu", name, (unsigned long long)st.st_ino);
	fact("%s.dev=%u", name, (major(st.st_dev) << 20) | minor(st.st_dev));
	fact("%s.path=%s", name, target);
}

static void loopback_up(void)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = need(socket(AF_INET, SOCK_DGRAM, 0), "socket");

	need(ioctl(fd, SIOCSIFFLAGS, &ifr), "loopback");
	close(fd);
}

static int open_file(const char *path, const char *text)
{
	int fd = need(open(path, O_RDWR | O_CREAT, 0600), path);

	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		need(-1, path);
	return fd;
}

static void fact_port(const char *name, int fd)
{
	struct sockaddr_in6 address = { 0 }; /* the port is at the same place in both families */
	socklen_t len = sizeof(address);

	need(getsockname(fd, (struct sockaddr *)&address, &len), name);
	fact("%s.port=%u", name, ntohs(address.sin6_port));
}

/* A connected pair of TCP sockets over the loopback address of a family. */
static void tcp_pair(const char *name, struct sockaddr *address, socklen_t len)
{
	int listener = need(socket(address->sa_family, SOCK_STREAM, 0), name);
	int client = need(socket(address->sa_family, SOCK_STREAM, 0), name);
	char key[64];
	int server;

	need(bind(listener, address, len), "bind");
	need(listen(listener, 4), "listen");
	need(getsockname(listener, address, &len), "getsockname");
	need(connect(client, address, len), "connect");
	server = need(accept(listener, NULL, NULL), "accept");
	snprintf(key, sizeof(key), "%s_listener", name);
	fact_fd(key, listener);
	snprintf(key, sizeof(key), "%s_client", name);
	fact_fd(key, client);
	fact_port(key, client);
	snprintf(key, sizeof(key), "%s_server", name);
	fact_fd(key, server);
	fact_port(key, server);
}

static void open_inet(void)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int bound, connected;

	v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	tcp_pair("tcp4", (struct sockaddr *)&v4, sizeof(v4));
	tcp_pair("tcp6", (struct sockaddr *)&v6, sizeof(v6));

	v4.sin_port = htons(9999);
	bound = need(socket(AF_INET, SOCK_DGRAM, 0), "udp");
	need(bind(bound, (struct sockaddr *)&v4, sizeof(v4)), "udp 9999");
	fact_fd("udp_bound", bound);
	fact_port("udp_bound", bound);
	connected = need(socket(AF_INET, SOCK_DGRAM, 0), "udp");
	need(connect(connected, (struct sockaddr *)&v4, sizeof(v4)), "udp connect");
	fact_fd("udp_connected", connected);
	fact_port("udp_connected", connected);
}

static void open_local(void)
{
	struct sockaddr_un named = { .sun_family = AF_UNIX, .sun_path = "/tmp/server.sock" };
	int pair[2], fd;

	need(pipe(pair), "pipe");
	fact_fd("pipe_read", pair[0]);
	fact_fd("pipe_write", pair[1]);
	need(mkfifo("/tmp/fifo", 0600), "mkfifo");
	fact_fd("fifo", need(open("/tmp/fifo", O_RDWR), "fifo"));
	need(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
	fact_fd("unix_stream_0", pair[0]);
	fact_fd("unix_stream_1", pair[1]);
	need(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), "socketpair");
	fact_fd("unix_dgram_0", pair[0]);
	fact_fd("unix_dgram_1", pair[1]);
	fd = need(socket(AF_UNIX, SOCK_DGRAM, 0), "unix");
	need(bind(fd, (struct sockaddr *)&named, sizeof(named)), "unix bind");
	fact_fd("unix_named", fd);
}

static void sleep_for_ever(void)
{
	for (;;)
		pause();
}

/* Starts a process called name; returns when its body is done and it went on to after. */
static pid_t process(const char *name, void (*body)(void), void (*after)(void))
{
	int done[2];
	char byte;
	pid_t pid;

	need(pipe(done), "pipe");
	fflush(stdout);
	pid = need(fork(), "fork");
	if (!pid) {
		close(done[0]);
		prctl(PR_SET_NAME, name);
		fact("%s.pid=%d", name, getpid());
		body();
		fflush(stdout);
		close(done[1]);
		after();
	}
	close(done[1]);
	while (read(done[0], &byte, 1) > 0)
		;
	close(done[0]);
	return pid;
}

static void holder(void)
{
	void *shared;
	int fd;

	fd = open_file("/tmp/secret.txt", "TOP-SECRET");
	fact_fd("secret", fd);
	shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	need(shared == MAP_FAILED ? -1 : 0, "mmap");
	fact("secret.mapped=%#lx", (unsigned long)shared);
	open_local();
	open_inet();
}

static void bystander(void)
{
	need(mkdir("/tmp/folder", 0700), "mkdir");
	fact_fd("plain", open_file("/tmp/folder/plain.txt", "public"));
}

/* Keeps a vCPU in user mode, so that its current task is known in the image. */
static void spinner(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(1, &set);
	need(sched_setaffinity(0, sizeof(set), &set), "affinity");
}

static void spin_for_ever(void)
{
	for (;;)
		__asm__ volatile("pause");
}

/* Copies a file into locked memory and names the physical pages of the copy. */
static void shelve(const char *name, const char *path)
{
	char *shelf =
		mmap(NULL, SHELF_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open(path, O_RDONLY),
	    pagemap = need(open("/proc/self/pagemap", O_RDONLY), "pagemap");
	size_t len = 0;
	ssize_t got;

	need(shelf == MAP_FAILED ? -1 : 0, "shelf");
	if (fd < 0) {
		fact("%s.bytes=0", name);
		return;
	}
	while ((got = read(fd, shelf + len, SHELF_SIZE - len)) > 0)
		len += got;
	fact("%s.bytes=%zu", name, len);
	printf("SHELF %s", name);
	for (size_t i = 0; i < len; i += PAGE) {
		uint64_t entry = 0;

		if (pread(pagemap, &entry, 8, ((uintptr_t)shelf + i) / PAGE * 8) != 8)
			entry = 0;
		printf(" %llx", (unsigned long long)(entry & ((1ULL << 55) - 1)));
	}
	printf("\n");
	close(fd);
	close(pagemap);
}

/* Loads what is in /modules, and keeps its types. */
static void load_modules(void)
{
	DIR *folder = opendir("/modules");
	char path[300], name[300];
	struct dirent *entry;
	int fd;

	need(folder ? 0 : -1, "/modules");
	while ((entry = readdir(folder))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/modules/%s", entry->d_name);
		fd = need(open(path, O_RDONLY | O_CLOEXEC), path);
		need(syscall(SYS_finit_module, fd, "", 0), path);
		close(fd);
		snprintf(path, sizeof(path), "/sys/kernel/btf/%s", entry->d_name);
		snprintf(name, sizeof(name), "btf.%s", entry->d_name);
		shelve(name, path);
	}
	closedir(folder);
}

/* The first line of a file becomes a fact. */
static void fact_line(const char *name, const char *path)
{
	char line[4096] = "";
	FILE *file = fopen(path, "r");

	if (file && fgets(line, sizeof(line), file))
		line[strcspn(line, "\n")] = 0;
	fact("%s=%s", name, line);
	if (file)
		fclose(file);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOFBF, 65536);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sys", "/sys", "sysfs", 0, NULL);
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	mkdir("/tmp", 01777);
	need(mount("tmp", "/tmp", "tmpfs", 0, NULL), "tmpfs");
	loopback_up();
	fact_line("version", "/proc/version");
	fact_line("release", "/proc/sys/kernel/osrelease");
	fact_line("cmdline", "/proc/cmdline");
	fact("cpus=%ld", sysconf(_SC_NPROCESSORS_ONLN));
	process("holder", holder, sleep_for_ever);
	process("bystander", bystander, sleep_for_ever);
	shelve("kallsyms", "/proc/kallsyms");
	shelve("btf", "/sys/kernel/btf/vmlinux");
	load_modules();
	process("spinner", spinner, spin_for_ever);
	sleep(1); /* let the spinner have its CPU and RCU settle */
	printf("READY\n");
	fflush(stdout);
	sleep_for_ever();
}
