# pg_depot: the server library (PGXS) and the program of the same name.
#
#   make            both
#   make install    both, into the server that PG_CONFIG names
#   make installcheck   SQL tests against a running server with pg_depot loaded
#   make unit       unit tests (no server); unit-asan, unit-valgrind
#   make lint       compilers' warnings, clang-tidy, cppcheck, include direction
#   make indent     pgindent style
#
# ./run-tests runs everything, servers included.

EXTENSION = pg_depot pg_depot_client
DATA_built = build/sql/pg_depot--1.0.sql build/sql/pg_depot_client--1.0.sql
MODULE_big = pg_depot

# What the server links: no libcurl, libsodium, libarchive (no threads, no
# parsers of foreign bytes in a backend).
SERVER_COMMON = $(patsubst %,src/common/%.c,error buffer evidence name version declaration trusted_roots fetch_url lockfile testpoint flush wait_for) \
	$(wildcard src/common/files*.c) $(wildcard src/common/json*.c) $(wildcard src/common/manifest*.c) $(wildcard src/common/store*.c)
SERVER_SOURCES = $(wildcard src/server/*.c) $(SERVER_COMMON)
OBJS = $(SERVER_SOURCES:.c=.o)

# 15 gives PGDLLEXPORT no meaning, and everything else in the library stays hidden.
PG_CPPFLAGS = -Isrc -D_GNU_SOURCE '-DPGDLLEXPORT=__attribute__((visibility("default")))'
PG_CFLAGS = -std=gnu11 -fvisibility=hidden
SHLIB_LINK = -ljansson

REGRESS = $(patsubst test/sql/%.sql,%,$(wildcard test/sql/*.sql))
# pg_regress takes expected/ from where it is called.
REGRESS_OPTS = --inputdir=test

# The program's own objects live apart from the library's.
CLI = build/pg_depot
CLI_SOURCES = $(filter-out $(FETCH_ONLY),$(wildcard src/cli/*.c) $(wildcard src/common/*.c))
CLI_OBJS = $(patsubst src/%.c,build/program/%.o,$(CLI_SOURCES))
CLI_CFLAGS = -std=c11 -pthread -D_GNU_SOURCE -Isrc -O2 -g -fPIE -fstack-protector-strong -D_FORTIFY_SOURCE=2 \
	-Wall -Wextra -Wshadow -Wvla -Wmissing-prototypes -Wno-unused-parameter
CLI_LIBS = -pthread -lsodium -lnettle -larchive -ljansson -lseccomp -lelf

# The fetch agent is a program of its own: libcurl alone brings thirty libraries, and to load them takes
# longer than all that the check agent does to a small package.
FETCH = build/pg_depot_fetch
FETCH_ONLY = src/cli/fetch_main.c src/cli/agent_fetch.c $(filter-out src/common/fetch_url.c,$(wildcard src/common/fetch*.c))
FETCH_SOURCES = $(FETCH_ONLY) $(patsubst %,src/cli/%.c,agent agent_channel agent_start cli) \
	$(patsubst %,src/common/%.c,buffer bundle_find digest error fetch_url files files_tree name testpoint) \
	$(wildcard src/common/json*.c)
FETCH_OBJS = $(patsubst src/%.c,build/program/%.o,$(FETCH_SOURCES))
FETCH_LIBS = -lcurl -lsodium -lnettle -ljansson

# One source for what both control files create: the client has no tables, and its views ask the home database.
SQL_SHARED = sql/local_views.sql sql/view_comments.sql sql/privileges.sql
SQL_HOME = sql/tables.sql sql/triggers.sql sql/functions.sql sql/views.sql $(SQL_SHARED) sql/home_privileges.sql sql/api.sql
SQL_CLIENT = sql/client.sql sql/functions.sql sql/client_views.sql $(SQL_SHARED) sql/client_privileges.sql sql/api.sql

EXTRA_CLEAN = build

# What speaks libpq is a module of its own, which one process of a standby loads (src/server/link.h).
LINK = build/pg_depot_libpq.so
LINK_SOURCES = $(wildcard src/link/*.c)

PG_CONFIG ?= pg_config
# Bitcode of our own library would only serve inlining by JIT, and needs clang.
override with_llvm = no
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

all: $(CLI) $(FETCH) $(LINK)

# PGXS tracks no headers, and a struct that differs between two objects crashes the server.
$(OBJS): $(wildcard src/server/*.h src/common/*.h)

build/sql/pg_depot--1.0.sql: $(SQL_HOME)
build/sql/pg_depot_client--1.0.sql: $(SQL_CLIENT)
build/sql/%--1.0.sql:
	@mkdir -p $(@D)
	cat $^ >$@

build/program/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(CLI_CFLAGS) $(WERROR) -MMD -MP -c -o $@ $<

-include $(sort $(CLI_OBJS:.o=.d) $(FETCH_OBJS:.o=.d))

$(CLI): $(CLI_OBJS)
	$(CC) -pie -Wl,-z,relro,-z,now -o $@ $^ $(CLI_LIBS)

$(FETCH): $(FETCH_OBJS)
	$(CC) -pie -Wl,-z,relro,-z,now -o $@ $^ $(FETCH_LIBS)

$(LINK): $(LINK_SOURCES) src/server/link.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -fPIC -shared $(CPPFLAGS) -I$(includedir) $(LDFLAGS) -o $@ $(LINK_SOURCES) -lpq

# What the server tests make bad input with.
tools: build/tools/sign build/tools/resign build/tools/hostile

# Tools of the tests: each is one file, with the program's objects but its main.
build/tools/%: test/tools/%.c $(wildcard test/tools/*.h) $(filter-out %/main.o,$(CLI_OBJS))
	@mkdir -p $(@D)
	$(CC) $(CLI_CFLAGS) $(WERROR) -Itest/tools -o $@ $< $(filter %.o,$^) $(CLI_LIBS) -lcrypto

install: install-program
install-program: $(CLI) $(FETCH) $(LINK)
	$(MKDIR_P) '$(DESTDIR)$(bindir)'
	$(INSTALL_PROGRAM) $(CLI) $(FETCH) '$(DESTDIR)$(bindir)'
	$(MKDIR_P) '$(DESTDIR)$(pkglibdir)'
	$(INSTALL_SHLIB) $(LINK) '$(DESTDIR)$(pkglibdir)'
	$(MKDIR_P) '$(DESTDIR)$(mandir)/man1'
	$(INSTALL_DATA) docs/pg_depot.1 '$(DESTDIR)$(mandir)/man1/pg_depot.1'

uninstall: uninstall-program
uninstall-program:
	rm -f '$(DESTDIR)$(bindir)/pg_depot' '$(DESTDIR)$(bindir)/pg_depot_fetch' '$(DESTDIR)$(mandir)/man1/pg_depot.1' \
		'$(DESTDIR)$(pkglibdir)/pg_depot_libpq.so'

.PHONY: all tools install-program uninstall-program

include test/check.mk
include test/fuzz.mk
