/* The log: how often it says the same, and that nobody waits for whoever reads it. */
#include "util/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "util/log_limit.h"
#include "util/log_writer.h"

static void kinds_are_limited(void **state)
{
	static const char connected[] = "%s connected", gone[] = "%s gone";
	static struct log_limit limit;
	struct log_kind before, over;

	for (unsigned i = 0; i < LOG_LIMIT_LINES; i++)
		assert_true(log_limit_allows(&limit, connected, "disk0", 100, &before));
	for (unsigned i = 0; i < 1000; i++)
		assert_false(log_limit_allows(&limit, connected, "disk0", 100, &before));
	/* others are others */
	assert_true(log_limit_allows(&limit, connected, "disk1", 100, &before));
	assert_true(log_limit_allows(&limit, gone, "disk0", 100, &before));
	assert_true(log_limit_allows(&limit, connected, NULL, 100, &before));
	assert_false(log_limit_over(&limit, 100 + LOG_LIMIT_SECONDS - 1, &over));
	/* the next region: what was missed is told once */
	assert_true(log_limit_allows(&limit, connected, "disk0", 100 + LOG_LIMIT_SECONDS, &before));
	assert_int_equal(before.missed, 1000);
	assert_string_equal(before.who, "disk0");
	assert_ptr_equal(before.format, connected);
	assert_true(log_limit_allows(&limit, connected, "disk0", 100 + LOG_LIMIT_SECONDS, &before));
	assert_int_equal(before.missed, 0);
	/* or by whoever asks */
	for (unsigned i = 0; i < LOG_LIMIT_LINES + 5; i++)
		log_limit_allows(&limit, gone, "net0", 200, &before);
	assert_true(log_limit_over(&limit, UINT64_MAX, &over));
	assert_int_equal(over.missed, 5);
	assert_string_equal(over.who, "net0");
	assert_false(log_limit_over(&limit, UINT64_MAX, &over));
}

/* More kinds than are kept: the oldest makes room, and what it had missed is told. */
static void many_kinds(void **state)
{
	static const char format[] = "x";
	static struct log_limit limit;
	struct log_kind before;
	unsigned missed = 0;
	char who[16];

	for (unsigned i = 0; i < 3 * LOG_LIMIT_KINDS; i++) {
		snprintf(who, sizeof(who), "disk%u", i);
		for (unsigned k = 0; k < LOG_LIMIT_LINES + 1; k++) {
			log_limit_allows(&limit, format, who, i, &before);
			missed += before.missed;
		}
	}
	while (log_limit_over(&limit, UINT64_MAX, &before))
		missed += before.missed;
	assert_int_equal(missed, 3 * LOG_LIMIT_KINDS);
}

static char text[8 * LOG_WRITER_BYTES];

static void *read_all(void *arg)
{
	size_t used = 0;
	ssize_t n;

	while ((n = read(*(int *)arg, text + used, sizeof(text) - used - 1)) > 0)
		used += (size_t)n;
	return NULL;
}

/* stderr is a pipe that nobody reads: nobody waits, and what was lost is counted. */
static void nobody_reads(void **state)
{
	int ends[2], real = dup(STDERR_FILENO);
	pthread_t reader;

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	log_set_level(LOG_LEVEL_TRACE);
	alarm(60); /* else it would never end */
	log_begin();
	for (unsigned i = 0; i < 10000; i++) /* more than buffer and pipe hold */
		log_trace("disk0", "step %0100u", i);
	alarm(0);
	/* somebody reads, after all */
	assert_int_equal(pthread_create(&reader, NULL, read_all, &ends[0]), 0);
	log_end();
	close(ends[1]);
	dup2(real, STDERR_FILENO);
	pthread_join(reader, NULL);
	assert_memory_equal(text, "uvdpa: disk0: step 000", 22);
	assert_non_null(strstr(text, "uvdpa: warning: "));
	assert_non_null(strstr(text, " lines were lost: nobody read them\n"));
	log_set_level(LOG_LEVEL_INFO);
	close(ends[0]);
	close(real);
}

/* What is not shown is told at the end; and the end does not wait for a reader either. */
static void the_end(void **state)
{
	int ends[2], real = dup(STDERR_FILENO);

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	memset(text, 0, sizeof(text));
	log_begin();
	for (unsigned i = 0; i < LOG_LIMIT_LINES + 7; i++)
		log_info("disk0", "here again");
	log_end();
	assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
	assert_non_null(strstr(text, "7 more lines like \"here again\" were not shown\n"));
	assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
	while (write(ends[1], text, 4096) > 0)
		;
	assert_int_equal(fcntl(ends[1], F_SETFL, 0), 0);
	alarm(60);
	log_begin();
	log_info("disk0", "nobody reads this");
	log_end();
	alarm(0);
	dup2(real, STDERR_FILENO);
	close(ends[0]);
	close(ends[1]);
	close(real);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds_are_limited),
		cmocka_unit_test(many_kinds),
		cmocka_unit_test(nobody_reads),
		cmocka_unit_test(the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
