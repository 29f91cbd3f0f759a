/* Who may have an image beside whom, and what is no image at all. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend_support.h"
#include "util/log.h"

static char dir[] = "/tmp/uvdpa-lock-XXXXXX";
static char image[64];

enum { WRITES, READS, SHARES, SHARES_READING, KINDS };

static const struct block_file_options kinds[KINDS] = {
	[WRITES] = {.path = image},
	[READS] = {.path = image, .read_only = true},
	[SHARES] = {.path = image, .share = true},
	[SHARES_READING] = {.path = image, .read_only = true, .share = true},
};

/*
 * Which may be opened (second) while which is open (first). Who only reads and shares, as
 * qemu-img -U does, is in nobody's way.
 */
static const bool together[KINDS][KINDS] = {
	[WRITES] = {[SHARES_READING] = true},
	[READS] = {[READS] = true, [SHARES_READING] = true},
	[SHARES] = {[SHARES] = true, [SHARES_READING] = true},
	[SHARES_READING] =
		{[WRITES] = true, [READS] = true, [SHARES] = true, [SHARES_READING] = true},
};

static void try_second(const struct block_file_options *options, bool may)
{
	struct error f = {0};
	struct block *block;
	int error = block_file_open(options, &block, &f);

	assert_int_equal(error, may ? 0 : -EBUSY);
	if (may)
		block_close(block);
	else if (!strstr(f.text, image) || !strstr(f.text, "share=on"))
		fail_msg("\"%s\" should name the file, and what to do", f.text);
}

static void every_two(void **state)
{
	for (unsigned i = 0; i < KINDS; i++)
		for (unsigned k = 0; k < KINDS; k++) {
			struct block *block;

			assert_int_equal(block_file_open(&kinds[i], &block, NULL), 0);
			try_second(&kinds[k], together[i][k]);
			block_close(block);
		}
}

/* What QEMU locks, by its numbers: reading 100, writing 101, not shared: 201 and 203. */
static int lock_as_qemu(const int *bytes)
{
	int fd = open(image, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	for (; *bytes; bytes++) {
		struct flock lock = {
			.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = *bytes, .l_len = 1};

		assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	}
	return fd;
}

static void beside_qemu(void **state)
{
	static const struct {
		int bytes[5];
		bool may[KINDS];
	} others[] = {
		{{100, 101, 201, 203}, {[SHARES_READING] = true}},	      /* a guest's disk */
		{{100, 101}, {[SHARES] = true, [SHARES_READING] = true}},     /* with share-rw=on */
		{{100, 201, 203}, {[READS] = true, [SHARES_READING] = true}}, /* read-only */
		{{100}, {true, true, true, true}},			      /* qemu-img info -U */
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		int fd = lock_as_qemu(others[i].bytes);

		for (unsigned k = 0; k < KINDS; k++)
			try_second(&kinds[k], others[i].may[k]);
		close(fd);
	}
}

static bool is_locked(int byte)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
	int fd = open(image, O_RDWR | O_CLOEXEC);

	assert_int_equal(fcntl(fd, F_OFD_GETLK, &lock), 0);
	close(fd);
	return lock.l_type != F_UNLCK;
}

/* The bytes that QEMU looks at when it opens the image. */
static void qemu_sees_ours(void **state)
{
	static const struct {
		unsigned kind;
		int bytes[6];
	} cases[] = {{WRITES, {100, 101, 201, 203}},
		     {READS, {100, 201, 203}},
		     {SHARES, {100, 101}},
		     {SHARES_READING, {100}}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const int *want = cases[i].bytes;
		struct block *block;

		assert_int_equal(block_file_open(&kinds[cases[i].kind], &block, NULL), 0);
		for (int byte = 100; byte < 210; byte++) {
			bool locked = is_locked(byte);

			assert_int_equal(locked, *want == byte);
			want += locked;
		}
		block_close(block);
	}
}

/* Of those who share, one works at a time, and the turn goes with whoever stands still. */
static void one_works(void **state)
{
	struct block *a, *b, *reader;
	struct error f = {0};

	assert_int_equal(block_file_open(&kinds[SHARES], &a, NULL), 0);
	assert_int_equal(block_file_open(&kinds[SHARES], &b, NULL), 0);
	assert_int_equal(block_file_open(&kinds[SHARES_READING], &reader, NULL), 0);
	assert_int_equal(block_activate(a, &f), 0);
	assert_int_equal(block_activate(a, &f), 0);
	assert_int_equal(block_activate(reader, &f), 0);
	assert_true(is_locked(201) && is_locked(203)); /* QEMU, if it shares, is too late */
	try_second(&kinds[SHARES], true);
	try_second(&kinds[WRITES], false);
	assert_int_equal(block_activate(b, &f), -EBUSY);
	assert_non_null(strstr(f.text, image));
	block_inactivate(b);
	block_inactivate(a);
	assert_false(is_locked(201) || is_locked(203));
	assert_int_equal(block_activate(b, &f), 0);
	assert_int_equal(block_activate(a, &f), -EBUSY);
	block_close(b);
	assert_int_equal(block_activate(a, &f), 0);
	block_close(a);
	block_close(reader);
}

/* --- Other formats ---------------------------------------------------------------------------- */

static void write_at(off_t offset, const char *bytes, size_t size)
{
	int fd = open(image, O_WRONLY | O_TRUNC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_int_equal(pwrite(fd, bytes, size, offset), size);
	close(fd);
}

static void expect_format(const char *format, bool direct)
{
	struct block_file_options options = {.path = image, .direct = direct};
	struct error f = {0};
	struct block *block;
	int error = block_file_open(&options, &block, &f);

	if (error && direct && strstr(f.text, "direct=on")) /* the file system cannot */
		return;
	if (!format) {
		assert_int_equal(error, 0);
		block_close(block);
		return;
	}
	assert_int_equal(error, -EINVAL);
	if (!strstr(f.text, format) || !strstr(f.text, "format=raw"))
		fail_msg("\"%s\" should say that this is %s, and format=raw", f.text, format);
	options.raw = true;
	assert_int_equal(block_file_open(&options, &block, &f), 0);
	block_close(block);
}

static void formats(void **state)
{
	static const struct {
		const char *format;
		off_t offset;
		const char *bytes;
		size_t size;
	} cases[] = {
		{"qcow2", 0, "QFI\xfb\0\0\0\3", 8},
		{"qed", 0, "QED\0", 4},
		{"vmdk", 0, "KDMV\1\0\0\0", 8},
		{"vmdk", 0, "COWD", 4},
		{"vmdk", 0, "# Disk DescriptorFile\nversion=1\n", 32},
		{"vdi", 64, "\x7f\x10\xda\xbe", 4},
		{"vhdx", 0, "vhdxfile", 8},
		{"luks", 0, "LUKS\xba\xbe\0\1", 8},
		{"luks", 0, "LUKS\xba\xbe\0\2", 8},
		{"parallels", 0, "WithoutFreeSpace", 16},
		{"parallels", 0, "WithouFreSpacExt", 16},
		{"vpc", 0, "conectix", 8},
		{"vpc", (1 << 20) - 512, "conectix", 8},
		/* raw all the same */
		{NULL, 0, "QFI\xfa", 4},
		{NULL, 512, "QFI\xfb", 4},
		{NULL, 0, "QEDX", 4},
		{NULL, 0, "\xeb\x3c\x90mkfs.fat", 11},
		{NULL, (1 << 20) - 513, "conectix", 8},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		write_at(cases[i].offset, cases[i].bytes, cases[i].size);
		expect_format(cases[i].format, false);
		expect_format(cases[i].format, true);
	}
}

/* A VHD of fixed size is a sector longer than its disk; a qcow2 file has any size. */
static void formats_of_odd_size(void **state)
{
	struct error f = {0};
	struct block *block;

	write_at(0, "QFI\xfb", 4);
	assert_int_equal(truncate(image, 196616), 0);
	assert_int_equal(block_file_open(&kinds[WRITES], &block, &f), -EINVAL);
	assert_non_null(strstr(f.text, "qcow2"));
}

static int set_up(void **state)
{
	assert_non_null(mkdtemp(dir));
	snprintf(image, sizeof(image), "%s/image", dir);
	close(open(image, O_CREAT | O_WRONLY, 0600));
	return truncate(image, 1 << 20);
}

static int tear_down(void **state)
{
	unlink(image);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_two),	  cmocka_unit_test(beside_qemu),
		cmocka_unit_test(qemu_sees_ours), cmocka_unit_test(one_works),
		cmocka_unit_test(formats),	  cmocka_unit_test(formats_of_odd_size),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
