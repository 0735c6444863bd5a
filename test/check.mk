# check.mk: unit tests, linters and style; the top Makefile includes it.
#
#   make unit             unit tests, as they are
#   make unit-asan        under AddressSanitizer and UndefinedBehaviorSanitizer
#   make unit-valgrind   under valgrind
#   make tools           programs that server tests use
#   make cluster         clusters of Patroni and pgBackRest, on servers with pg_depot installed; five minutes
#   make lint             warnings of gcc and clang, clang-tidy, cppcheck, shellcheck,
#                         who includes whom, what the libraries export, style, the manual page,
#                         whether documented errors are those of the code
#   make indent           PostgreSQL's C style by pg_bsd_indent
#
# Nothing else here needs a server or root.

UNIT_TESTS = $(patsubst test/unit/%.c,%,$(wildcard test/unit/test_*.c))
UNIT_LIBS = $(CLI_LIBS) -lcurl -lcrypto -lcmocka
UNIT_CFLAGS = -std=c11 -pthread -D_GNU_SOURCE -Isrc -Itest/unit -g -O1 -fno-omit-frame-pointer \
	-Wall -Wextra -Wno-unused-parameter
# Unit tests of the program run it; the sanitized ones a sanitized program.
SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=all
VALGRIND = valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect \
	--errors-for-leak-kinds=definite,indirect --child-silent-after-fork=yes
# cmocka prints what prove counts; a test that hangs is a failure.
UNIT_JOBS = 1
PROVE_UNIT = CMOCKA_MESSAGE_OUTPUT=TAP prove --timer -j $(UNIT_JOBS)
UNIT_SECONDS = 300

# What can be tested without a server: all of common, and the server's pure functions.
UNIT_SOURCES = $(wildcard src/common/*.c) $(addprefix src/server/,plan.c plan_lock.c plan_rows.c declared.c policy.c)

# $(1) is the name of a way to build, $(2) its flags.
define unit_rules
build/check/$(1)/src/%.o: src/%.c
	@mkdir -p $$(@D)
	$$(CC) $$(UNIT_CFLAGS) $(2) -MMD -MP -c -o $$@ $$<

build/check/$(1)/libunit.a: $$(patsubst src/%.c,build/check/$(1)/src/%.o,$$(UNIT_SOURCES))
	rm -f $$@ && ar rcs $$@ $$^

build/check/$(1)/test_%: test/unit/test_%.c build/check/$(1)/libunit.a
	$$(CC) $$(UNIT_CFLAGS) $(2) -MMD -MP -MT $$@ -MF $$@.d -o $$@ $$< build/check/$(1)/libunit.a $$(UNIT_LIBS)

build/check/$(1)/pg_depot: $$(patsubst src/%.c,build/check/$(1)/src/%.o,$$(CLI_SOURCES))
	$$(CC) $(2) -o $$@ $$^ $$(CLI_LIBS)

build/check/$(1)/pg_depot_fetch: $$(patsubst src/%.c,build/check/$(1)/src/%.o,$$(FETCH_SOURCES))
	$$(CC) $(2) -o $$@ $$^ $$(FETCH_LIBS)

-include $$(wildcard build/check/$(1)/*.d build/check/$(1)/src/*/*.d)
.SECONDARY: $$(patsubst src/%.c,build/check/$(1)/src/%.o,$$(CLI_SOURCES) $$(FETCH_SOURCES) $$(UNIT_SOURCES))
endef

$(eval $(call unit_rules,plain,))
$(eval $(call unit_rules,asan,$(SANITIZE)))

PLAIN_TESTS = $(UNIT_TESTS:%=build/check/plain/%)
ASAN_TESTS = $(UNIT_TESTS:%=build/check/asan/%)

unit: $(CLI) $(FETCH) $(PLAIN_TESTS)
	PG_DEPOT_PROGRAM=$(CURDIR)/$(CLI) $(PROVE_UNIT) --exec 'timeout $(UNIT_SECONDS)' $(PLAIN_TESTS)

unit-asan: build/check/asan/pg_depot build/check/asan/pg_depot_fetch $(ASAN_TESTS)
	PG_DEPOT_PROGRAM=$(CURDIR)/build/check/asan/pg_depot AGENT_SANITIZED=1 UBSAN_OPTIONS=print_stacktrace=1 \
		$(PROVE_UNIT) --exec 'timeout $(UNIT_SECONDS)' $(ASAN_TESTS)

# The sandbox denies valgrind system calls of its own.
VALGRIND_TESTS = $(filter-out %/test_agent_sandbox,$(PLAIN_TESTS))

unit-valgrind: $(CLI) $(FETCH) $(PLAIN_TESTS)
	PG_DEPOT_PROGRAM=$(CURDIR)/$(CLI) $(PROVE_UNIT) --exec 'timeout $(UNIT_SECONDS) $(VALGRIND)' $(VALGRIND_TESTS)

# What server tests attack with: programs of their own.
tools: $(patsubst test/tools/%.c,build/tools/%,$(wildcard test/tools/*.c))

# ---- clusters ----

# 0: the shorter form of what has one, and nothing else.
DEPOT_TEST_LONG ?= 1

cluster:
	DEPOT_TEST_LONG=$(DEPOT_TEST_LONG) prove --timer -I test/perl $(sort $(wildcard test/cluster/*.pl))

# ---- lint ----

# A file that passed is not looked at again until it changes, or a header does.
LINT_PROGRAM_FILES = $(wildcard src/common/*.c) $(wildcard src/cli/*.c)
LINT_SERVER_FILES = $(wildcard src/server/*.c) $(wildcard src/link/*.c)
LINT_TEST_FILES = $(wildcard test/unit/*.c) $(wildcard test/tools/*.c) $(wildcard test/fuzz/*.c)
LINT_HEADERS = $(wildcard src/*/*.h) $(wildcard test/unit/*.h) $(wildcard test/tools/*.h) $(wildcard test/fuzz/*.h)

LINT_FLAGS = -Wall -Wextra -Werror -Wno-unused-parameter -D_GNU_SOURCE -Isrc
LINT_PROGRAM_FLAGS = -std=c11 $(LINT_FLAGS)
LINT_TEST_FLAGS = -std=c11 $(LINT_FLAGS) -Itest/unit -Itest/tools -Itest/fuzz
LINT_SERVER_FLAGS = -std=gnu11 $(LINT_FLAGS) '-DPGDLLEXPORT=__attribute__((visibility("default")))' \
	-isystem $(shell $(PG_CONFIG) --includedir-server) -isystem $(shell $(PG_CONFIG) --includedir)

# $(1) is a kind of file, $(2) its flags: one rule for each tool.  The server's headers
# were configured for gcc and name its gnu_printf, an attribute clang does not know.
define lint_rules
build/lint/gcc/$(1)/%.ok: %.c $$(LINT_HEADERS)
	@mkdir -p $$(@D)
	gcc -O2 $(2) -c -o /dev/null $$<
	@touch $$@

build/lint/clang/$(1)/%.ok: %.c $$(LINT_HEADERS)
	@mkdir -p $$(@D)
	clang -O2 -Wno-ignored-attributes $(2) -c -o /dev/null $$<
	@touch $$@

build/lint/tidy/$(1)/%.ok: %.c $$(LINT_HEADERS) .clang-tidy
	@mkdir -p $$(@D)
	clang-tidy --quiet $$< -- -Wno-ignored-attributes $(2) 2>&1 | (! grep -v 'warnings generated\|warning generated')
	@touch $$@
endef

$(eval $(call lint_rules,program,$(LINT_PROGRAM_FLAGS)))
$(eval $(call lint_rules,server,$(LINT_SERVER_FLAGS)))
$(eval $(call lint_rules,test,$(LINT_TEST_FLAGS)))

lint_stamps = $(LINT_PROGRAM_FILES:%.c=build/lint/$(1)/program/%.ok) $(LINT_SERVER_FILES:%.c=build/lint/$(1)/server/%.ok)
lint_test_stamps = $(LINT_TEST_FILES:%.c=build/lint/$(1)/test/%.ok)

lint: lint-gcc lint-clang lint-tidy lint-cppcheck lint-scripts lint-tree

lint-gcc: $(call lint_stamps,gcc) $(call lint_test_stamps,gcc)
lint-clang: $(call lint_stamps,clang) $(call lint_test_stamps,clang)
lint-tidy: $(call lint_stamps,tidy)

# readdir is safe on a stream of one's own, and readdir_r is deprecated.
CPPCHECK = cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability --inline-suppr --std=c11 \
	--library=posix --suppress=readdirCalled -Isrc -D_GNU_SOURCE -D__x86_64__ -D__linux__

lint-cppcheck:
	$(CPPCHECK) src/common src/cli
	$(CPPCHECK) --library=test/tools/cppcheck-server.cfg src/server src/link

lint-scripts:
	shellcheck -x quickstart run-tests bench/run bench/set-up.sh bench/standby.sh bench/wal.sh .ci/run test/check-library test/tools/indent test/fuzz/run test/fuzz/coverage $(wildcard test/tools/*.sh)
	for file in test/check-includes test/check-man test/check-style test/check-errors bench/client bench/statistics bench/targets; do perl -wc $$file || exit 1; done

lint-tree: all
	test/check-includes
	test/check-style
	test/tools/indent --check typedefs.list $(C_FILES)
	test/check-errors $(shell $(PG_CONFIG) --includedir-server)/utils/errcodes.h
	test/check-man $(CLI) docs/pg_depot.1
	mandoc -T lint -W warning docs/pg_depot.1
	test/check-library pg_depot.so $(bindir)/postgres
	test/check-library $(LINK) $(bindir)/postgres

# ---- style ----

# typedefs.list names every type that the code uses, ours and others'; "make typedefs" brings it up
# to date from the debug information of what was built.  "text" is a variable more often than a type.
C_FILES = $(wildcard src/*/*.[ch]) $(wildcard test/unit/*.[ch]) $(wildcard test/tools/*.[ch]) $(wildcard test/fuzz/*.[ch])

indent:
	test/tools/indent typedefs.list $(C_FILES)

typedefs: all $(PLAIN_TESTS) tools
	objdump --dwarf=info pg_depot.so $(LINK) $(CLI) $(FETCH) $(PLAIN_TESTS) build/tools/* 2>/dev/null | \
		awk '/DW_TAG_/ { is_typedef = /DW_TAG_typedef/ } is_typedef && /DW_AT_name/ { print $$NF }' | LC_ALL=C sort -u >build/typedefs
	cat $(C_FILES) | \
		grep -ow '[A-Za-z_][A-Za-z0-9_]*' | LC_ALL=C sort -u | LC_ALL=C comm -12 - build/typedefs | grep -vx text >typedefs.list

.PHONY: unit unit-asan unit-valgrind tools cluster indent typedefs
# The library with the headers of another major version in HEADERS, such as usr/include/postgresql/18/server of Debian's
# postgresql-server-dev-18, unpacked anywhere.  Where they were configured the C library may have had strlcpy.
lint-major:
	@test -n "$(HEADERS)" || { echo "say where the headers are: make lint-major HEADERS=DIRECTORY" >&2; exit 1; }
	@mkdir -p build/lint
	@echo 'extern __SIZE_TYPE__ strlcpy(char *, const char *, __SIZE_TYPE__);' >build/lint/strlcpy.h
	set -e; for file in $(LINT_SERVER_FILES); do \
		gcc -O2 -std=gnu11 $(LINT_FLAGS) '-DPGDLLEXPORT=__attribute__((visibility("default")))' -include build/lint/strlcpy.h \
			-isystem $(HEADERS) -isystem "$$($(PG_CONFIG) --includedir)" -c -o /dev/null $$file; \
	done

.PHONY: lint lint-major lint-gcc lint-clang lint-tidy lint-cppcheck lint-scripts lint-tree
