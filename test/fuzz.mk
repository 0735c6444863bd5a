# fuzz.mk: fuzz targets for everything that reads foreign bytes; the top Makefile includes it.
#
#   make fuzz             runs each target for FUZZ_SECONDS from its corpus
#   make fuzz-coverage    the lines of each parser that the corpora alone reach
#   make build/fuzz/run/fuzz_json    one target, to be called with libFuzzer's own options
#
# Linux, with clang and its libFuzzer.  The source tree is only read: what a run finds is in
# build/fuzz/findings, what it adds to a corpus in build/fuzz/corpus.

FUZZ_TARGETS = $(patsubst test/fuzz/fuzz_%.c,%,$(wildcard test/fuzz/fuzz_*.c))
FUZZ_SECONDS = 5
FUZZ_JOBS = $(shell nproc)

# The linker takes what each target uses.
FUZZ_SOURCES = $(UNIT_SOURCES) src/cli/agent_channel.c
FUZZ_CFLAGS = -std=c11 -pthread -D_GNU_SOURCE -Isrc -Itest/fuzz -g -O1 -fno-omit-frame-pointer \
	-Wall -Wextra -Wno-unused-parameter
FUZZ_SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_LIBS = -Wl,--as-needed $(CLI_LIBS) -lcurl

# $(1) is a way to build, $(2) its flags.
define fuzz_rules
build/fuzz/$(1)/src/%.o: src/%.c
	@mkdir -p $$(@D)
	clang $$(FUZZ_CFLAGS) $(2) -fsanitize=fuzzer-no-link -MMD -MP -c -o $$@ $$<

build/fuzz/$(1)/libfuzz.a: $$(patsubst src/%.c,build/fuzz/$(1)/src/%.o,$$(FUZZ_SOURCES))
	rm -f $$@ && ar rcs $$@ $$^

build/fuzz/$(1)/fuzz_%: test/fuzz/fuzz_%.c build/fuzz/$(1)/libfuzz.a
	clang $$(FUZZ_CFLAGS) $(2) -fsanitize=fuzzer -MMD -MP -MT $$@ -MF $$@.d -o $$@ $$< build/fuzz/$(1)/libfuzz.a $$(FUZZ_LIBS)

-include $$(wildcard build/fuzz/$(1)/*.d build/fuzz/$(1)/src/*/*.d)
.SECONDARY: $$(patsubst src/%.c,build/fuzz/$(1)/src/%.o,$$(FUZZ_SOURCES))
endef

$(eval $(call fuzz_rules,run,$(FUZZ_SANITIZE)))
$(eval $(call fuzz_rules,coverage,-fprofile-instr-generate -fcoverage-mapping))

fuzz: $(FUZZ_TARGETS:%=build/fuzz/run/fuzz_%)
	test/fuzz/run $(FUZZ_SECONDS) $(FUZZ_JOBS) $(FUZZ_TARGETS)

fuzz-coverage: $(FUZZ_TARGETS:%=build/fuzz/coverage/fuzz_%)
	test/fuzz/coverage

.PHONY: fuzz fuzz-coverage
