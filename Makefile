# Only a menu: what can be done here, by the name one would guess. The building is Meson's
# (meson.build), the work behind an entry is in tools/. `make check CHECK='--only gcc'` and
# the like pass words on.
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
CHECK ?=
BENCH ?=
SOAK ?=

FUZZ_SECONDS ?= 60

.PHONY: help deps build demo bench migrate-demo unit check asan tsan fuzz soak format install clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

deps: ## install what is missing (Debian; asks for root only if something is)
	@tools/deps

$(BUILD)/build.ninja:
	@tools/deps build
	meson setup $(BUILD) --prefix=$(PREFIX)

build: $(BUILD)/build.ninja ## compile
	ninja -C $(BUILD)

demo: ## a disk that moves under load, then a guest whose disk is suspended; two minutes
	@BUILD=$(BUILD) tools/demo

bench: build ## beside its peers, into docs/performance.md; six minutes, BENCH=--full for more
	@tools/deps bench
	@BUILD=$(BUILD) tools/bench $(BENCH)

migrate-demo: build ## a guest whose network card is migrated there and back, 20 times (root)
	test/guest/run_net --rounds 20 --uvdpa $(BUILD)/src/cmd/uvdpa \
		--datagrams $(BUILD)/test/guest/datagrams --keep $(BUILD)/migrations \
		--json $(BUILD)/migrations.json

unit: build ## the inner loop: unit tests and house rules, a few seconds
	meson test -C $(BUILD) --suite unit --suite tidy --no-rebuild --print-errorlogs

check: ## everything: gcc, clang, sanitizers, all suites; one line of figures at the end
	@tools/check $(CHECK)

asan: ## the suites under the address and undefined-behaviour sanitizers
	@tools/check --only asan $(CHECK)

tsan: ## the suites under the thread sanitizer
	@tools/check --only tsan $(CHECK)

fuzz: ## the fuzz targets under the sanitizers, FUZZ_SECONDS (60) each; needs clang
	@tools/fuzz $(FUZZ_SECONDS)

soak: ## what takes long or another machine: arm64, Debian 13, ...; SOAK='PART...' for some
	@tools/soak $(SOAK)

format: ## clang-format over all C sources
	git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format -i

install: build ## into PREFIX (/usr/local), below DESTDIR
	meson install -C $(BUILD) --no-rebuild $(if $(DESTDIR),--destdir $(DESTDIR))

clean: ## remove everything that was built
	rm -rf build build-check build-soak
