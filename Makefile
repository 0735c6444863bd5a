# pg_depot: the server library (PGXS) and the program of the same name.
#
#   make            both
#   make install    both, into the server that PG_CONFIG names
#   make installcheck   SQL tests against a running server with pg_depot loaded
#   make check      unit tests (no server)
#   make lint       compilers' warnings, clang-tidy, cppcheck, include direction
#   make indent     pgindent style
#
# ./run-tests runs everything, servers included.

EXTENSION = pg_depot
DATA = sql/pg_depot--1.0.sql
MODULE_big = pg_depot

# What the server links: no libcurl, libsodium, libarchive (no threads, no
# parsers of foreign bytes in a backend).
SERVER_COMMON = $(patsubst %,src/common/%.c,error buffer name version json files fetch_url testpoint) \
	$(wildcard src/common/manifest*.c) $(wildcard src/common/store*.c)
SERVER_SOURCES = $(wildcard src/server/*.c) $(SERVER_COMMON)
OBJS = $(SERVER_SOURCES:.c=.o)

PG_CPPFLAGS = -Isrc -D_GNU_SOURCE
PG_CFLAGS = -std=gnu11 -fvisibility=hidden
SHLIB_LINK = -ljansson

REGRESS = $(patsubst test/sql/%.sql,%,$(wildcard test/sql/*.sql))
REGRESS_OPTS = --inputdir=test --outputdir=build/regress

# The program's own objects live apart from the library's.
PROGRAM = pg_depot
PROGRAM_SOURCES = $(wildcard src/cli/*.c) $(wildcard src/common/*.c)
PROGRAM_OBJS = $(patsubst src/%.c,build/program/%.o,$(PROGRAM_SOURCES))
PROGRAM_CFLAGS = -std=c11 -D_GNU_SOURCE -Isrc -O2 -g -fPIE -fstack-protector-strong -D_FORTIFY_SOURCE=2 \
	-Wall -Wextra -Wshadow -Wvla -Wmissing-prototypes -Wno-unused-parameter
PROGRAM_LIBS = -lcurl -lsodium -larchive -ljansson -lseccomp -lelf

EXTRA_CLEAN = build $(PROGRAM)

PG_CONFIG ?= pg_config
# Bitcode of our own library would only serve inlining by JIT, and needs clang.
override with_llvm = no
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

all: $(PROGRAM)

build/program/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(PROGRAM_CFLAGS) $(WERROR) -MMD -MP -c -o $@ $<

-include $(PROGRAM_OBJS:.o=.d)

$(PROGRAM): $(PROGRAM_OBJS)
	$(CC) -pie -Wl,-z,relro,-z,now -o $@ $^ $(PROGRAM_LIBS)

install: install-program
install-program: $(PROGRAM)
	$(MKDIR_P) '$(DESTDIR)$(bindir)'
	$(INSTALL_PROGRAM) $(PROGRAM) '$(DESTDIR)$(bindir)/$(PROGRAM)'

uninstall: uninstall-program
uninstall-program:
	rm -f '$(DESTDIR)$(bindir)/$(PROGRAM)'

.PHONY: all install-program uninstall-program
