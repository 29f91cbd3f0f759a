/* What is refused, and what is left of it: see refusing.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>
#include <cmocka.h>

#include "vhost_user/refusing.h"

#include "vhost_user/logged.h"

#define PATIENCE 60000 /* milliseconds */

static struct disk disk;
static struct holdings before;

int refusing_set_up(void **state)
{
	logged_begin();
	disk_open(&disk, &(struct disk_options){.queues = 2});
	return 0;
}

int refusing_tear_down(void **state)
{
	disk_close(&disk);
	return 0;
}

const char *refusing_path(void)
{
	return disk.path;
}

struct disk *refusing_disk(void)
{
	return &disk;
}

void refusing_begin(void)
{
	logged_forget();
	before = holdings_now();
}

static bool is_claimed(void)
{
	char who[128];

	runtime_owner(disk.runtime, who, sizeof(who));
	return who[0];
}

static void wait_all_gone(void)
{
	for (unsigned i = 0; i < PATIENCE && is_claimed(); i++)
		usleep(1000);
	assert_false(is_claimed());
	assert_true(holdings_return_to(&before));
}

void refusing_settle(void)
{
	int fd;

	wait_all_gone();
	fd = front_connect(disk.path);
	assert_true(front_greet(fd, NULL) & (1ull << VIRTIO_F_VERSION_1));
	close(fd);
	wait_all_gone();
}

void refusing_says(const char *words)
{
	if (!logged_soon(words)) {
		print_message("not said: %s\n", words);
		logged_print();
	}
	assert_true(logged(words));
}

void refusing_hang_up(const struct front_message *message, const char *says)
{
	struct front_message answer;
	int fd;

	refusing_begin();
	fd = front_connect(disk.path);
	front_greet(fd, NULL);
	assert_int_equal(front_send(fd, message), 0);
	assert_int_equal(front_receive(fd, &answer), -1);
	close(fd);
	refusing_says(says);
	refusing_settle();
}

void refusing_error(uint32_t request, const void *payload, uint32_t size, const int *sent,
		    unsigned sent_count, int error, const char *says)
{
	struct front_message answer;
	int fd;

	refusing_begin();
	fd = front_connect(disk.path);
	front_greet(fd, NULL);
	assert_int_equal(front_ack(fd, request, payload, size, sent, sent_count), error);
	refusing_says(says);
	assert_int_equal(front_ask(fd, VHOST_USER_GET_FEATURES, NULL, 0, &answer), 0);
	close(fd);
	refusing_settle();
}
