/*
 * Fuzz target: trace files, as 'uvdpa plot' reads them, and the picture of what was taken. An input
 * is one file or, divided by a NUL, two, which are drawn together if they may be.
 *
 * Checked, besides what sanitizers see: what is refused has a reason; a picture is whole, has only
 * characters that XML may have, no markup of the file's own, and no number that is none.
 */
#include "fuzz.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "plot/plot.h"
#include "plot/trace_file.h"

static int read_trace(const uint8_t *data, size_t size, struct trace_file *trace)
{
	int fd = memfd_create("trace", MFD_CLOEXEC), r;
	struct error f = {0};
	char path[32];
	ssize_t n;

	assert(fd >= 0);
	n = pwrite(fd, data, size, 0);
	assert(n == (ssize_t)size);
	(void)n;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = trace_file_read(path, trace, &f);
	assert(r == 0 || (r < 0 && f.text[0] && !trace->events && !trace->slots));
	close(fd);
	return r;
}

/* Whether a number that is none begins at `at`, within a tag. */
static bool is_no_number(const char *at)
{
	if (!strchr("\" ,ML", *at++))
		return false;
	at += *at == '-';
	return !strncmp(at, "nan", 3) || !strncmp(at, "inf", 3);
}

static void check_picture(const char *picture, size_t size)
{
	static const char end[] = "</svg>\n";
	int open = 0;

	assert(size > sizeof(end) && strlen(picture) == size);
	assert(!strncmp(picture, "<svg", 4) || !strncmp(picture, "<?xml", 5));
	assert(strstr(picture + size - sizeof(end), "</svg>"));
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)picture[i];

		assert(c >= ' ' || c == '\n' || c == '\t');
		assert(c != 0x7f);
		assert(!open || !is_no_number(picture + i));
		open += c == '<';
		open -= c == '>';
		assert(open == 0 || open == 1);
	}
	assert(open == 0);
}

static void draw(const struct trace_file *traces, unsigned count)
{
	struct plot plot;
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);

	assert(to);
	plot_prepare(&plot, traces, count);
	plot_draw(&plot, to);
	fclose(to);
	check_picture(text, size);
	free(text);
}

static bool has_any(const struct trace_file *trace)
{
	return trace->event_count || trace->slot_count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct trace_file traces[PLOT_FILES] = {{{0}}};
	const uint8_t *end = size ? memchr(data, 0, size) : NULL;
	size_t first = end ? (size_t)(end - data) : size;
	bool one, two;

	one = read_trace(data, first, &traces[0]) == 0 && has_any(&traces[0]);
	two = end && read_trace(end + 1, size - first - 1, &traces[1]) == 0 && has_any(&traces[1]);
	if (one)
		draw(traces, 1);
	/* as the verb allows it */
	if (one && two && traces[0].slot_ms == traces[1].slot_ms &&
	    !strcmp(traces[0].unit, traces[1].unit))
		draw(traces, 2);
	trace_file_free(&traces[0]);
	trace_file_free(&traces[1]);
	return 0;
}
