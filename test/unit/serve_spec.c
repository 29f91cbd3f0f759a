/* serve/spec.c: what --device says becomes a spec. What it refuses is in test/refuse. */
#include "serve/spec.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static struct device_spec parse(const char *text)
{
	struct device_spec spec;
	struct error f = {0};

	if (spec_parse(text, &spec, &f))
		fail_msg("'%s': %s", text, f.text);
	return spec;
}

static void defaults(void **state)
{
	struct device_spec spec = parse("blk,name=d,memory=64M");

	assert_string_equal(spec.type, "blk");
	assert_string_equal(spec.name, "d");
	assert_true(spec.memory == 64 << 20);
	assert_int_equal(spec.queues, 64);
	assert_int_equal(spec.queue_size, 1024); /* what QEMU asks for at most */
	assert_int_equal(spec.workers, 1);
	assert_int_equal(spec.asids, 1);
	assert_int_equal(spec.suspend_timeout, 10000);
	assert_int_equal(spec.block_size, 512);
	assert_true(spec.suspend && spec.resume && spec.write_cache);
	assert_true(spec.event_idx && spec.indirect);
	assert_false(spec.readonly || spec.direct || spec.has_faults);
	assert_string_equal(spec.uapi, "uvdpa");
	assert_null(spec.serial);
	spec_free(&spec);
}

static void everything(void **state)
{
	struct device_spec spec =
		parse("type=blk,file=/"
		      "a,,b=c,name=A-1_x.y,readonly=on,direct=on,write-cache=off,serial=s 1,"
		      "queues=4,queue-size=512,workers=2,asids=4,groups=2,suspend=off,resume=off,"
		      "suspend-timeout=250,event-idx=off,indirect=off,uapi=kernel");

	assert_string_equal(spec.file, "/a,b=c");
	assert_string_equal(spec.name, "A-1_x.y");
	assert_true(spec.readonly && spec.direct);
	assert_false(spec.write_cache || spec.suspend || spec.resume);
	assert_false(spec.event_idx || spec.indirect);
	assert_string_equal(spec.serial, "s 1");
	assert_int_equal(spec.queues, 4);
	assert_int_equal(spec.queue_size, 512);
	assert_int_equal(spec.workers, 2);
	assert_null(spec.worker);
	assert_int_equal(spec.asids, 4);
	assert_int_equal(spec.groups, 2);
	assert_int_equal(spec.suspend_timeout, 250);
	assert_string_equal(spec.uapi, "kernel");
	spec_free(&spec);
}

static void shared_worker(void **state)
{
	struct spec_list list = {0};
	struct error f;

	assert_int_equal(spec_list_add(&list, "blk,name=a,null=1M,worker=w", "a", &f), 0);
	assert_int_equal(spec_list_add(&list, "blk,name=b,null=1M,worker=w,cpu=2", "b", &f), 0);
	assert_int_equal(spec_list_add(&list, "blk,name=c,null=1M,worker=v,cpu=1", "c", &f), 0);
	assert_int_equal(spec_list_add(&list, "blk,name=d,null=1M,cpu=0", "d", &f), 0);
	assert_string_equal(list.items[1].worker, "w");
	assert_null(list.items[3].worker);
	assert_int_equal(spec_list_check(&list, &f), 0);
	assert_int_equal(spec_list_add(&list, "blk,name=e,null=1M,worker=w,cpu=2", "e", &f), 0);
	assert_int_equal(spec_list_check(&list, &f), 0);
	assert_int_equal(spec_list_add(&list, "blk,name=f,null=1M,worker=w,cpu=3", "f", &f), 0);
	assert_int_equal(spec_list_check(&list, &f), -EINVAL);
	spec_list_free(&list);
}

static void trouble(void **state)
{
	struct device_spec spec =
		parse("blk,name=d,null=1T,fault.hold-us=20,fault.delay-us=50,fault.delay-every=3,"
		      "fault.fail-every=7,fault.fail-error=ENOSPC,"
		      "fault.never-every=9,fault.tear-every=11,fault.stubborn=on");

	assert_true(spec.has_faults && spec.stubborn);
	assert_true(spec.null == UINT64_C(1) << 40);
	assert_int_equal(spec.hold_us, 20);
	assert_int_equal(spec.delay_us, 50);
	assert_int_equal(spec.delay_every, 3);
	assert_int_equal(spec.fail_every, 7);
	assert_string_equal(spec.fail_error, "ENOSPC");
	assert_int_equal(spec.never_every, 9);
	assert_int_equal(spec.tear_every, 11);
	spec_free(&spec);
}

static void sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} cases[] = {
		{"blk,name=d,memory=512", 512},
		{"blk,name=d,memory=4K", 4096},
		{"blk,name=d,memory=1.5G", UINT64_C(3) << 29},
		{"blk,name=d,memory=2t", UINT64_C(2) << 40},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct device_spec spec = parse(cases[i].text);

		assert_true(spec.memory == cases[i].bytes);
		spec_free(&spec);
	}
}

/* A file of devices: comments, blank lines, white space, no end of line at the end. */
static void files(void **state)
{
	static const char text[] = "# two\n\n  blk,name=a,memory=1M  # it\r\n\tblk,name=b,null=1G";
	char path[] = "/tmp/uvdpa-test-XXXXXX";
	struct spec_list list = {0};
	struct error f;
	int fd = mkstemp(path);

	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	assert_int_equal(spec_list_read(&list, path, &f), 0);
	assert_int_equal(list.count, 2);
	assert_string_equal(list.items[1].name, "b");
	/* names are unique over files and words */
	assert_int_equal(spec_list_add(&list, "blk,name=a,null=1M", "--device", &f), -EEXIST);
	assert_int_equal(spec_list_add(&list, "blk,name=c,null=1M", "--device", &f), 0);
	assert_int_equal(list.count, 3);
	spec_list_free(&list);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),	 cmocka_unit_test(everything),
		cmocka_unit_test(shared_worker), cmocka_unit_test(trouble),
		cmocka_unit_test(sizes),	 cmocka_unit_test(files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
