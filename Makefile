# gatepost: GNU make.  `make run` shows it at work, `make check` proves it; INSTALL has the rest.
#
#   make [all]        build/release/gatepost        DEBUG=1: build/debug, SANITIZE=1: build/sanitize (ASAN, UBSAN)
#   make run          install what is missing, build, run the demo configuration with real filters
#   make check        install what is missing, build, run every test
#   make lint format fuzz valgrind bench conformance install deps clean

ifdef SANITIZE
BUILD ?= build/sanitize
else ifdef DEBUG
BUILD ?= build/debug
else
BUILD ?= build/release
endif

# V=1 shows the commands themselves.
ifdef V
Q   :=
say :=
else
Q   := @
say = @printf '  %-5s %s\n' '$1' '$2'
endif

CC      := $(if $(filter default,$(origin CC)),gcc,$(CC))
CLANG   ?= clang
PYTHON  ?= /usr/bin/python3
PREFIX  ?= /usr/local
VERSION := 0.1

PKGS     := libevent openssl libunbound libpcre2-8 jansson libidn2
WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wvla -Wmissing-prototypes -Wwrite-strings -Wpointer-arith
ifeq ($(filter deps clean distclean,$(MAKECMDGOALS)),)
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
endif
LIBS      = $(PKG_LIBS) -lunistring -lconfuse -lldns -ldb-5.3 -lboost_context -lpthread

CPPFLAGS += -D_GNU_SOURCE -DGATEPOST_VERSION='"$(VERSION)"' -I.
CFLAGS_ALL := -std=gnu11 -g -fno-strict-aliasing -fno-omit-frame-pointer -MMD -MP $(PKG_CFLAGS)
ifdef SANITIZE
MODE    := -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -DGATEPOST_TEST
LDMODE  := -fsanitize=address,undefined
else ifdef DEBUG
MODE    := -O0 -DGATEPOST_DEBUG -DGATEPOST_TEST
else
MODE    := -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fPIE -Wframe-larger-than=2048
LDMODE  := -pie -Wl,-z,relro,-z,now
endif

# ---- what there is, by folder ----
FOLDERS := lib/base lib/run lib/dns lib/smtp lib/mail lib/gate milter policyd proxy tcp_table delivery sieve queue smtpd mta compat
SRCS    := $(filter-out mta/main.c,$(wildcard $(addsuffix /*.c,$(FOLDERS))))
OBJS    := $(SRCS:%.c=$(BUILD)/%.o)
LIB     := $(BUILD)/libgatepost.a
UNIT    := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))

all: $(BUILD)/gatepost

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS_ALL) $(WARNINGS) $(MODE) $(CFLAGS) -c -o $@ $<

$(LIB): $(OBJS)
	@rm -f $@
	$(call say,AR,$@)
	$(Q)ar rcs $@ $^

$(BUILD)/gatepost: $(BUILD)/mta/main.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDMODE) $(LDFLAGS) -o $@ $^ $(LIBS)

# ---- kinds of table that need a large library: a shared object each, where the library's headers are ----
MODULE_PKG_sqlite := sqlite3
MODULE_PKG_pgsql  := libpq
MODULE_PKG_mysql  := libmariadb
MODULE_PKG_ldap   := ldap
MODULE_TYPES  := $(foreach m,$(patsubst tcp_table/modules/table_%.c,%,$(wildcard tcp_table/modules/table_*.c)),\
	$(shell pkg-config --exists $(MODULE_PKG_$m) 2>/dev/null && echo $m))
MODULES       := $(MODULE_TYPES:%=$(BUILD)/modules/table_%.so)
# What they take of the rest, as a copy: nothing of theirs is seen outside, nor anything outside by them.
MODULE_COMMON := $(filter-out tcp_table/modules/table_%,$(wildcard tcp_table/modules/*.c)) lib/base/buf.c lib/base/bytes.c lib/base/mem.c \
	tcp_table/table_config.c tcp_table/table_query.c tcp_table/table_lines.c
MODULE_OBJS   := $(MODULE_COMMON:%.c=$(BUILD)/pic/%.o)
$(BUILD)/pic/%.o: CFLAGS_ALL += -fPIC -fvisibility=hidden $(foreach m,$(MODULE_TYPES),$(shell pkg-config --cflags $(MODULE_PKG_$m)))
$(BUILD)/pic/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS_ALL) $(WARNINGS) $(filter-out -fPIE,$(MODE)) $(CFLAGS) -c -o $@ $<
$(BUILD)/modules/table_%.so: $(BUILD)/pic/tcp_table/modules/table_%.o $(MODULE_OBJS)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) -shared $(filter-out -pie,$(LDMODE)) $(LDFLAGS) -o $@ $^ $(shell pkg-config --libs $(MODULE_PKG_$*)) -lpthread
modules: $(MODULES)
all: modules
.PHONY: modules
# Where an installed gatepost looks for them.
MODULEDIR ?= $(PREFIX)/lib/gatepost
$(BUILD)/modules.dir: always
	@mkdir -p $(@D)
	@echo '$(MODULEDIR)' | cmp -s - $@ || echo '$(MODULEDIR)' >$@
$(BUILD)/tcp_table/table_module.o: CPPFLAGS += -DGATEPOST_MODULES='"$(MODULEDIR)"'
$(BUILD)/tcp_table/table_module.o: $(BUILD)/modules.dir
.PHONY: always

# ---- tests ----
# They may take more of a stack than the server's functions: most run on the process's own.
$(BUILD)/tests/%: MODE += -Wno-frame-larger-than
unit: $(UNIT)
$(BUILD)/unit/%: $(BUILD)/tests/unit/%.o $(LIB)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDMODE) $(LDFLAGS) -o $@ $^ $(LIBS) -lcmocka

$(BUILD)/unit/test_table_disk: LIBS += -llmdb -lcdb

# Programs that tests run: tests/tools/X.c.
TOOLS := $(patsubst tests/tools/%.c,$(BUILD)/tools/%,$(wildcard tests/tools/*.c))
tools: $(TOOLS)
$(BUILD)/tools/milter_all: LIBS += -lmilter
$(BUILD)/tools/%: $(BUILD)/tests/tools/%.o $(LIB)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDMODE) $(LDFLAGS) -o $@ $^ $(LIBS)

.PHONY: all unit tools
.SECONDARY:
-include $(OBJS:.o=.d) $(MODULE_OBJS:.o=.d) $(MODULE_TYPES:%=$(BUILD)/pic/tcp_table/modules/table_%.d) $(BUILD)/mta/main.d $(wildcard $(BUILD)/tests/unit/*.d $(BUILD)/tests/tools/*.d)

# ---- fuzzing: each tests/fuzz/fuzz_X.c is a libFuzzer target; corpus in tests/fuzz/corpus/X ----
FUZZ_BUILD := build/fuzz
FUZZ       := $(patsubst tests/fuzz/%.c,$(FUZZ_BUILD)/%,$(wildcard tests/fuzz/fuzz_*.c))
# An empty slice may be NULL, and NULL + 0 is NULL (C2y says so at last).
FUZZ_MODE  := -O1 -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined -fno-sanitize=pointer-overflow
FUZZ_OBJS  := $(SRCS:%.c=$(FUZZ_BUILD)/%.o)
$(FUZZ_BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CLANG,$@)
	$(Q)$(CLANG) $(CPPFLAGS) $(CFLAGS_ALL) $(FUZZ_MODE) -c -o $@ $<
$(FUZZ_BUILD)/libgatepost.a: $(FUZZ_OBJS)
	@rm -f $@
	$(call say,AR,$@)
	$(Q)ar rcs $@ $^
$(FUZZ_BUILD)/fuzz_%: $(FUZZ_BUILD)/tests/fuzz/fuzz_%.o $(FUZZ_BUILD)/libgatepost.a
	$(call say,LINK,$@)
	$(Q)$(CLANG) -fsanitize=address,undefined,fuzzer -o $@ $^ $(LIBS)
fuzz-build: $(FUZZ)
.PHONY: fuzz-build
-include $(FUZZ_OBJS:.o=.d) $(wildcard $(FUZZ_BUILD)/tests/fuzz/*.d)

# Each target for FUZZ_SECONDS; a finding is kept in build/fuzz/findings.
FUZZ_SECONDS ?= 60
fuzz: fuzz-build
	@tools/fuzz $(FUZZ_SECONDS) $(FUZZ)
.PHONY: fuzz

# ---- what proves it ----
deps:
	@tools/deps
# Everything, with the sanitizers on; the last line says how it went.
check:
	@tools/deps build test
	@tools/check
# The unit tests and a few dialogues once more: what ASAN cannot see is memory that was never set.
valgrind:
	@tools/deps build test
	@$(MAKE) --no-print-directory DEBUG=1 all unit
	@tools/valgrind
# Writes docs/milter-conformance.md from a run beside Debian's Postfix, and docs/policy-conformance.md.
conformance:
	@tools/deps build test
	@$(MAKE) --no-print-directory SANITIZE=1 all
	@GATEPOST_CONFORMANCE=write $(PYTHON) -m pytest -q -p no:cacheprovider tests/differential/milter tests/differential/policy/test_policy_table.py
lint:
	@tools/deps build lint
	@tools/lint
format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i
# Beside Debian's Postfix: SCENARIOS=a,b,e2000 ROUNDS=3; tests/bench/README.md says what they are.
bench:
	@tools/deps build bench
	@$(MAKE) --no-print-directory all
	@tests/bench/run
.PHONY: deps check conformance lint format valgrind bench

# ---- the demonstration ----
run:
	@tools/deps build demo
	@$(MAKE) --no-print-directory all
	@tests/demo/run
.PHONY: run

# ---- installation ----
SBINDIR    ?= $(PREFIX)/sbin
MANDIR     ?= $(PREFIX)/share/man
DOCDIR     ?= $(PREFIX)/share/doc/gatepost
SYSCONFDIR ?= /etc/gatepost
UNITDIR    ?= $(PREFIX)/lib/systemd/system
SPOOLDIR   ?= /var/spool/gatepost
install: all
	install -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(MANDIR)/man5 $(DESTDIR)$(MANDIR)/man7 $(DESTDIR)$(MANDIR)/man8
	install -d $(DESTDIR)$(DOCDIR)/examples $(DESTDIR)$(UNITDIR) $(DESTDIR)$(SYSCONFDIR)
	install -d -m 700 $(DESTDIR)$(SPOOLDIR)
	install $(BUILD)/gatepost $(DESTDIR)$(SBINDIR)/gatepost
	install -d $(DESTDIR)$(MODULEDIR)
	$(if $(MODULES),install -m 644 $(MODULES) $(DESTDIR)$(MODULEDIR)/)
	install -m 644 docs/gatepost.conf.5 $(DESTDIR)$(MANDIR)/man5/
	install -m 644 docs/gatepost-sieve.7 $(DESTDIR)$(MANDIR)/man7/
	install -m 644 docs/gatepost.8 $(DESTDIR)$(MANDIR)/man8/
	install -m 644 README.md INSTALL LICENSE $(DESTDIR)$(DOCDIR)/
	install -m 644 docs/examples/* $(DESTDIR)$(DOCDIR)/examples/
	sed 's|@SBINDIR@|$(SBINDIR)|; s|@SYSCONFDIR@|$(SYSCONFDIR)|' docs/gatepost.service >$(DESTDIR)$(UNITDIR)/gatepost.service
uninstall:
	rm -f $(DESTDIR)$(SBINDIR)/gatepost $(DESTDIR)$(MANDIR)/man5/gatepost.conf.5 $(DESTDIR)$(MANDIR)/man7/gatepost-sieve.7
	rm -f $(DESTDIR)$(MANDIR)/man8/gatepost.8 $(DESTDIR)$(UNITDIR)/gatepost.service
	rm -rf $(DESTDIR)$(DOCDIR) $(DESTDIR)$(MODULEDIR)
.PHONY: install uninstall

clean:
	rm -rf build
.PHONY: clean
