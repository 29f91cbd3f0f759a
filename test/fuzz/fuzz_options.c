/*
 * Fuzz target: what an operator writes: the text of a --device, or a file for --config.
 *
 * The first byte says which. Checked, besides what sanitizers see: what is refused has one line of
 * reason; what is taken has what the rest of the program relies on, and is taken once more after a
 * device of the same name was there (no state is left by the first).
 */
#include "fuzz.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "serve/spec.h"

static char *text_of(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	assert(text);
	memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

/* Names become names of files; sizes become parts of addresses. */
static void check_spec(const struct device_spec *spec)
{
	size_t size = strlen(spec->name);
	bool is_disk = !strcmp(spec->type, "blk");

	assert(size >= 1 && size <= 63 && spec->name[0] != '.' && !strchr(spec->name, '/'));
	assert(is_disk || !strcmp(spec->type, "net"));
	assert(spec->queues >= 1 && spec->queues <= 64);
	assert(spec->queue_size >= 2 && spec->queue_size <= 32768);
	assert(spec->memory <= INT64_MAX && spec->null <= INT64_MAX);
	if (is_disk)
		assert(!!spec->file + !!spec->memory + !!spec->null == 1);
	else
		assert(!!spec->tap + !!spec->pair + !!spec->stream + !!spec->dgram +
			       spec->loopback + !!spec->null ==
		       1);
	assert(!spec->socket || !spec->connect);
}

static void check_list(struct spec_list *list, int result, const struct error *f)
{
	assert(result == 0 || (result < 0 && f->code == result && f->text[0]));
	for (unsigned i = 0; i < list->count; i++)
		check_spec(&list->items[i]);
	if (!result && spec_list_check(list, NULL) == 0)
		for (unsigned i = 0; i < list->count; i++)
			assert(!list->items[i].pair || list->count > 1 ||
			       !strcmp(list->items[i].pair, list->items[i].name));
}

static void try_text(const char *text)
{
	struct spec_list list = {0};
	struct error f = {0};
	int r = spec_list_add(&list, text, "--device", &f);

	check_list(&list, r, &f);
	if (r == 0)
		assert(spec_list_add(&list, text, "--device", &f) == -EEXIST);
	spec_list_free(&list);
}

static void try_file(const uint8_t *data, size_t size)
{
	struct spec_list list = {0};
	int fd = memfd_create("config", MFD_CLOEXEC), r;
	struct error f = {0};
	char path[32];
	ssize_t n;

	assert(fd >= 0);
	n = pwrite(fd, data, size, 0);
	assert(n == (ssize_t)size);
	(void)n;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = spec_list_read(&list, path, &f);
	check_list(&list, r, &f);
	spec_list_free(&list);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (!size)
		return 0;
	if (data[0] & 1) {
		try_file(data + 1, size - 1);
		return 0;
	}
	text = text_of(data + 1, size - 1);
	try_text(text);
	free(text);
	return 0;
}
