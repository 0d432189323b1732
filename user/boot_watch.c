// SPDX-License-Identifier: GPL-2.0
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot.skel.h"
#include "boot_watch.h"

struct boot_watch {
	struct boot *skel;
	struct ring_buffer *wakeups;
};

static int ignore(void *ctx, void *data, size_t len)
{
	return 0;
}

int boot_watch_open(uint32_t tgid, struct boot_watch **out, char *err, size_t err_len)
{
	struct boot_watch *watch = calloc(1, sizeof(*watch));
	int rc = watch ? 0 : -ENOMEM;

	if (!rc && !(watch->skel = boot__open()))
		rc = -errno;
	if (!rc) {
		watch->skel->rodata->vmm_tgid = tgid;
		rc = boot__load(watch->skel);
	}
	if (!rc)
		rc = boot__attach(watch->skel);
	if (!rc) {
		watch->wakeups = ring_buffer__new(bpf_map__fd(watch->skel->maps.wakeups), ignore,
						  NULL, NULL);
		rc = watch->wakeups ? 0 : -errno;
	}
	if (rc) {
		snprintf(err, err_len, "cannot watch the guest boot: %s", strerror(-rc));
		boot_watch_close(watch);
		return rc;
	}
	*out = watch;
	return 0;
}

void boot_watch_close(struct boot_watch *watch)
{
	if (!watch)
		return;
	ring_buffer__free(watch->wakeups);
	boot__destroy(watch->skel);
	free(watch);
}

int boot_watch_fd(const struct boot_watch *watch)
{
	return ring_buffer__epoll_fd(watch->wakeups);
}

void boot_watch_take(struct boot_watch *watch)
{
	ring_buffer__consume(watch->wakeups);
}

void boot_watch_rearm(struct boot_watch *watch)
{
	boot_watch_take(watch);
	__atomic_store_n(&watch->skel->bss->told, 0, __ATOMIC_SEQ_CST);
}

bool boot_watch_fred(const struct boot_watch *watch)
{
	return __atomic_load_n(&watch->skel->bss->fred, __ATOMIC_SEQ_CST);
}

void boot_watch_forget(struct boot_watch *watch)
{
	__atomic_store_n(&watch->skel->bss->fred, 0, __ATOMIC_SEQ_CST);
}
