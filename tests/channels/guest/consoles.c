// SPDX-License-Identifier: GPL-2.0
/* Ways out of the guest by a character device. */
#include "channel.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

#define SIZE	   64 /* each byte on a serial line is an exit of its own */
#define PORTS	   "/sys/class/virtio-ports"
#define SPARE_PORT "spare" /* scripts/lab.d/l1/bin/l2 */

static int open_device(struct run *r, const char *path)
{
	r->fd[1] = open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (r->fd[1] >= 0)
		return 0;
	return errno == ENOENT || errno == ENXIO || errno == ENODEV ? absent("no such device")
								    : -errno;
}

static int send_write(struct run *r, const void *data, size_t size)
{
	return write_all(r->fd[1], data, size);
}

#define CONSOLE(id, text, path, says)                                                              \
	static int setup_##id(struct run *r)                                                       \
	{                                                                                          \
		return open_device(r, path);                                                       \
	}                                                                                          \
	CHANNEL(id, .name = "leak/" text, .hook = "file_permission", .flags = LEAK, .size = SIZE,  \
		.leak = "kind=console destination.device=" says, .setup = setup_##id,              \
		.send = send_write)

CONSOLE(serial, "serial", "/dev/ttyS0", "ttyS0");
CONSOLE(console, "console", "/dev/console", "ttyS0");
CONSOLE(hvc, "virtio-console", "/dev/hvc0", "hvc0");
CONSOLE(screen, "screen", "/dev/tty1", "tty1");
CONSOLE(kmsg, "kmsg", "/dev/kmsg", "kmsg");

/* --- a virtio port: its number is known by its name ------------------------ */

static bool port_is_called(const char *port, const char *wanted)
{
	char path[300], name[64] = "";
	int fd;

	snprintf(path, sizeof(path), PORTS "/%s/name", port);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, name, sizeof(name) - 1) < 0)
		name[0] = 0;
	close(fd);
	name[strcspn(name, "\n")] = 0;
	return !strcmp(name, wanted);
}

/* Under a name of this channel's own, so that the record is known. */
static int setup_port(struct run *r)
{
	const char *node = in_dir(r, "port");
	struct dirent *each;
	unsigned int major, minor;
	char path[300], text[32] = "";
	DIR *dir = opendir(PORTS);
	int fd = -1;

	if (!dir)
		return absent("no virtio ports");
	while ((each = readdir(dir)))
		if (each->d_name[0] != '.' && port_is_called(each->d_name, SPARE_PORT)) {
			snprintf(path, sizeof(path), PORTS "/%s/dev", each->d_name);
			fd = open(path, O_RDONLY | O_CLOEXEC);
			break;
		}
	closedir(dir);
	if (fd < 0)
		return absent("no spare virtio port");
	if (read(fd, text, sizeof(text) - 1) <= 0 || sscanf(text, "%u:%u", &major, &minor) != 2)
		return -EIO;
	close(fd);
	if (mknod(node, S_IFCHR | 0600, makedev(major, minor)))
		return -errno;
	return open_device(r, node);
}
CHANNEL(port, .name = "leak/virtio-port", .hook = "file_permission", .flags = LEAK, .size = SIZE,
	.leak = "kind=console destination.device=port", .setup = setup_port, .send = send_write);

/* --- tun: a packet that this guest is to take for one from outside ---------- */

static int setup_tun(struct run *r)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	char *words[] = { "modprobe", "tun", NULL };
	int error;

	run_program(words);
	r->fd[1] = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (r->fd[1] < 0)
		return absent("no tun");
	if (ioctl(r->fd[1], TUNSETIFF, &request))
		return -errno;
	r->fd[2] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	request.ifr_flags = IFF_UP;
	error = result(ioctl(r->fd[2], SIOCSIFFLAGS, &request));
	return error;
}

static int send_packet(struct run *r, const void *data, size_t size)
{
	struct {
		struct iphdr ip;
		struct udphdr udp;
		char data[SIZE];
	} packet = { .ip = { .version = 4, .ihl = 5, .ttl = 9, .protocol = IPPROTO_UDP } };

	packet.ip.tot_len = htons(sizeof(packet));
	packet.ip.saddr = htonl(0xc0000201);
	packet.ip.daddr = htonl(0xc0000202);
	packet.udp.len = htons(sizeof(packet.udp) + SIZE);
	memcpy(packet.data, data, size);
	return write_all(r->fd[1], &packet, sizeof(packet));
}
CHANNEL(tun, .name = "leak/tun-write", .hook = "file_permission", .flags = LEAK, .size = SIZE,
	.leak = "kind=unresolved destination.device=tun", .setup = setup_tun, .send = send_packet);

NOT_COVERED(kmsg_readers, "the kernel's log, read back (`dmesg`, `/dev/kmsg`)",
	    "what is written to it is a leak already; each journal reads it");
NOT_COVERED(tun_readers, "packets that a process reads from a tun device",
	    "who sends them into it leaks them already, to the address that they have");
