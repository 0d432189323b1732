# SPDX-License-Identifier: GPL-2.0
# kvmtaint: see README.md. `make help` lists what can be made.

OUT      := .output
PREFIX   ?= /usr/local
GUEST    ?= 6.12
CLANG    ?= clang
BPFTOOL  ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
LIBS     := -lbpf -ljson-c -lseccomp -lelf -lz

CFLAGS   ?= -O2 -g
CFLAGS   += -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
	    -Wmissing-prototypes -Wpointer-arith -Wno-unused-parameter
CPPFLAGS += -I. -I$(OUT) -MMD -MP
# Blocks stay in their order, or clang lets some loops fall into their own head, which hosts
# of 6.1 refuse (tests/unit/test_back_edges.c).
BPF_CFLAGS := -O2 -g -std=gnu11 -target bpf -mcpu=v3 -D__TARGET_ARCH_x86 -Wall -Wextra -Werror \
	    -mllvm -disable-block-placement -Wno-unused-function -Wno-unused-parameter -I. \
	    -I/usr/include/$(shell uname -m)-linux-gnu

ifeq ($(V),1)
Q :=
else
Q := @
MAKEFLAGS += --no-print-directory
endif
say = @printf '  %-8s %s\n' '$(1)' '$(2)'

USER_SRC := $(wildcard user/*.c)
USER_OBJ := $(USER_SRC:%.c=$(OUT)/%.o)
LIB_OBJ  := $(filter-out $(OUT)/user/main.o,$(USER_OBJ))
BPF_SRC  := $(wildcard bpf/*.bpf.c)
SKELS    := $(BPF_SRC:bpf/%.bpf.c=$(OUT)/%.skel.h)
UNIT_SRC := $(wildcard tests/unit/*.c)
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=$(OUT)/tests/%)
BENCH_BIN := $(patsubst tests/bench/%.c,$(OUT)/bench/%,$(filter-out %.bpf.c,$(wildcard tests/bench/*.c)))

.PHONY: all bench demo check check-all check-intel check-shim check-verdicts unit races channels channels-mutation test-setup images built install clean help deps format
.DELETE_ON_ERROR:
.SECONDARY:

all: $(OUT)/.deps ## build kvmtaint (installs what is missing first)
	$(Q)$(MAKE) -j$$(nproc) $(OUT)/kvmtaint

$(OUT)/.deps: scripts/deps
	$(Q)mkdir -p $(OUT)
	$(Q)scripts/deps build
	$(Q)touch $@

$(OUT)/kvmtaint: $(USER_OBJ)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(OUT)/user/%.o: user/%.c | $(SKELS)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(OUT)/%.bpf.o: bpf/%.bpf.c
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -MF $(OUT)/$*.bpf.d -MT $@ -c -o $(OUT)/$*.tmp.o $<
	$(Q)$(BPFTOOL) gen object $@ $(OUT)/$*.tmp.o

$(OUT)/%.skel.h: $(OUT)/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $(subst -,_,$*) > $@

$(OUT)/tests/%: tests/unit/%.c $(LIB_OBJ)
	$(call say,TEST,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -o $@ $< $(LIB_OBJ) -lcmocka $(LIBS)

# The programs' own map and skeleton: not the product's.
$(OUT)/bench/bench.skel.h: tests/bench/bench.bpf.c tests/bench/bench.h bpf/kvmtaint.h
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -c -o $(@D)/bench.bpf.o $<
	$(Q)$(BPFTOOL) gen skeleton $(@D)/bench.bpf.o name bench_bpf > $@

$(OUT)/bench/tracer.bpf.o: tests/bench/tracer.bpf.c
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -c -o $@ $<

$(OUT)/bench/%: tests/bench/%.c $(OUT)/bench/bench.skel.h $(LIB_OBJ)
	$(call say,BENCH,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -I$(OUT)/bench $(CPPFLAGS) $(CFLAGS) -o $@ $< $(LIB_OBJ) -lcmocka $(LIBS)

deps: $(OUT)/.deps ## install what the build needs (Debian packages)

demo: all ## a real guest's secret leaves by a real scp, and is seen
	$(Q)scripts/demo

test-setup: all
	$(Q)scripts/deps check lab
	$(Q)$(MAKE) -j$$(nproc) images built

# The RAM images of real guests that the unit tests read.
images:
	$(Q)scripts/ram-image 5.10 6.1 6.12 6.18 7

# What tests/run needs: it asks whether this is up to date.
built: $(OUT)/kvmtaint $(UNIT_BIN) $(BENCH_BIN)

unit: test-setup ## unit tests alone
	$(Q)tests/run unit

check: test-setup ## every test; ends with "N passed, N failed, N skipped"
	$(Q)tests/run

check-all: test-setup ## the whole matrix, for hours: make check-all ONLY="channels@5.10 hosts"
	$(Q)scripts/deps intel
	$(Q)tests/matrix $(ONLY)

check-intel: test-setup ## the main job on an Intel host, in Bochs; at most 10 minutes
	$(Q)scripts/deps intel
	$(Q)tests/run intel

check-shim: test-setup ## the shim on its hosts, 6.1 and 6.12: exits, the guest's own debugging, attach and kill, what it sees
	$(Q)tests/run shim-hosts shim-calls-all

check-verdicts: test-setup ## leaks blocked and paused, in full, in the lab; about 20 minutes
	$(Q)tests/run all-verdicts

races: test-setup ## a million races natively on a pipe and on a UNIX socket
	$(Q)KT_RACE_ROUNDS=1000000 tests/suites/40-races native

bench: test-setup $(BENCH_BIN) $(OUT)/bench/tracer.bpf.o ## what it costs: tables, and bench.json; about 20 minutes
	$(Q)tests/bench/run

channels: all ## every channel in a guest: make channels GUEST=6.12 CHANNELS="pipe/ file/write"
	$(Q)tests/channels/run --kernel $(GUEST) $(CHANNELS)

channels-mutation: all ## each channel with its hooks off: it must be missed
	$(Q)tests/channels/run --kernel $(GUEST) --mutation $(CHANNELS)

install: all ## install to PREFIX (default /usr/local)
	install -D -m 755 $(OUT)/kvmtaint $(DESTDIR)$(PREFIX)/sbin/kvmtaint
	install -D -m 644 user/record.schema.json $(DESTDIR)$(PREFIX)/share/kvmtaint/record.schema.json

format: ## rewrite the C sources with clang-format
	$(Q)clang-format -i $$(git ls-files "*.[ch]")

clean: ## remove what was built (the lab's cache stays: .cache/)
	rm -rf $(OUT)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

-include $(USER_OBJ:.o=.d) $(wildcard $(OUT)/*.bpf.d) $(wildcard $(OUT)/tests/*.d) $(wildcard $(OUT)/bench/*.d)
