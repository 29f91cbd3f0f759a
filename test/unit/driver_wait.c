/*
 * uvdpa_queue_wait() beside a device in a thread, which calls exactly when it is asked to: whether
 * the driver looks or sleeps, it finds what is done, and while it looks it asks for no calls.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "uvdpa/driver.h"
#include "wire/vhost.h"

#define EVENT_IDX (1ull << VIRTIO_RING_F_EVENT_IDX)
#define SIZE	  8
/* Gaps up to twice this open the window: even those of a busy machine. */
#define LONG_US	   10000000
#define PATIENCE_S 60

struct rig {
	struct uvdpa_memory *memory;
	struct uvdpa_queue *q;
	struct vring_avail *avail;
	struct vring_used *used;
	bool event_idx;
	pthread_t device;
	unsigned todo;	      /* chains, for the device */
	bool when_looked_for; /* the first when calls are wanted, the others when they are not */
	bool in_vain;	      /* there was no such kind */
};

static void set_up(struct rig *rig, uint64_t features, uint32_t poll_us)
{
	const struct uvdpa_queue_options o = {
		.size = SIZE, .features = features, .poll_us = poll_us};
	struct uvdpa_queue_areas a;

	*rig = (struct rig){.event_idx = features & EVENT_IDX};
	assert_int_equal(
		uvdpa_memory_new(&(struct uvdpa_memory_options){.size = 65536}, &rig->memory, NULL),
		0);
	assert_int_equal(uvdpa_queue_new(rig->memory, &o, &rig->q, NULL), 0);
	uvdpa_queue_areas(rig->q, &a);
	rig->avail = a.avail;
	rig->used = a.used;
}

static void tear_down(struct rig *rig)
{
	uvdpa_queue_free(rig->q);
	uvdpa_memory_free(rig->memory);
}

/* Whether a call is wanted when the used index goes from `used` to the next. */
static bool call_wanted(const struct rig *rig, uint16_t used)
{
	if (rig->event_idx)
		return __atomic_load_n(&rig->avail->ring[SIZE], __ATOMIC_RELAXED) == used;
	return !(__atomic_load_n(&rig->avail->flags, __ATOMIC_RELAXED) &
		 VRING_AVAIL_F_NO_INTERRUPT);
}

static void wait_until_wanted(struct rig *rig, uint16_t used, bool wanted)
{
	time_t end = time(NULL) + PATIENCE_S;

	while (call_wanted(rig, used) != wanted && !rig->in_vain) {
		rig->in_vain = time(NULL) > end;
		sched_yield();
	}
}

static void *run_device(void *arg)
{
	const uint64_t one = 1;
	struct rig *rig = arg;

	for (uint16_t n = 0; n < rig->todo; n++) {
		while (__atomic_load_n(&rig->avail->idx, __ATOMIC_ACQUIRE) == n)
			sched_yield();
		if (rig->when_looked_for)
			wait_until_wanted(rig, n, n == 0);
		else if (n % 3 == 0) /* sometimes long enough for the driver to sleep */
			usleep(n % 7 * 100);
		rig->used->ring[n % SIZE] = (struct vring_used_elem){rig->avail->ring[n % SIZE], 0};
		__atomic_store_n(&rig->used->idx, (uint16_t)(n + 1), __ATOMIC_RELEASE);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (call_wanted(rig, n) &&
		    write(uvdpa_queue_call_fd(rig->q), &one, sizeof(one)) != sizeof(one))
			abort();
	}
	return NULL;
}

static void send_one(struct rig *rig)
{
	const struct uvdpa_segment s = {0x1000, 16, 0};

	assert_true(uvdpa_queue_add(rig->q, &s, 1, 0, 7) >= 0);
	assert_int_equal(uvdpa_queue_publish(rig->q), 1);
}

static void collect_one(struct rig *rig)
{
	struct uvdpa_completion c[SIZE];

	assert_int_equal(uvdpa_queue_poll(rig->q, c, SIZE), 1);
	assert_int_equal(c[0].cookie, 7);
}

/* One after the other: each is waited for, for ever. */
static void go_through(uint64_t features, uint32_t poll_us, int calls, unsigned count)
{
	struct rig rig;

	set_up(&rig, features, poll_us);
	rig.todo = count;
	uvdpa_queue_want_calls(rig.q, calls);
	assert_int_equal(pthread_create(&rig.device, NULL, run_device, &rig), 0);
	for (unsigned i = 0; i < count; i++) {
		send_one(&rig);
		assert_int_equal(uvdpa_queue_wait(rig.q, -1), 1);
		assert_int_equal(call_wanted(&rig, (uint16_t)i), calls);
		collect_one(&rig);
	}
	pthread_join(rig.device, NULL);
	tear_down(&rig);
}

static void nothing_is_overslept(void **state)
{
	const uint32_t poll_us[] = {0, 1, 1000, UVDPA_QUEUE_POLL_NEVER};

	for (unsigned i = 0; i < sizeof(poll_us) / sizeof(poll_us[0]); i++)
		for (int calls = 0; calls < 2; calls++) {
			go_through(0, poll_us[i], calls, 500);
			go_through(EVENT_IDX, poll_us[i], calls, 500);
		}
}

/* The device, which does only what is looked for, once the first was slept for. */
static void looking_asks_for_no_calls(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		struct rig rig;

		set_up(&rig, i ? EVENT_IDX : 0, LONG_US);
		rig.todo = 20;
		rig.when_looked_for = true;
		uvdpa_queue_want_calls(rig.q, 0);
		assert_int_equal(pthread_create(&rig.device, NULL, run_device, &rig), 0);
		for (unsigned n = 0; n < rig.todo; n++) {
			int r = 0;

			if (n == 1)
				uvdpa_queue_want_calls(rig.q, 1);
			send_one(&rig);
			while (r == 0)
				r = uvdpa_queue_wait(rig.q, 100);
			assert_int_equal(r, 1);
			collect_one(&rig);
		}
		pthread_join(rig.device, NULL);
		assert_false(rig.in_vain);
		tear_down(&rig);
	}
}

/* One that was slept for opens the window of a queue with LONG_US; then nothing comes. */
static void open_window(struct rig *rig, uint64_t features)
{
	set_up(rig, features, LONG_US);
	rig->todo = 1;
	rig->when_looked_for = true;
	uvdpa_queue_want_calls(rig->q, 0);
	assert_int_equal(pthread_create(&rig->device, NULL, run_device, rig), 0);
	send_one(rig);
	assert_int_equal(uvdpa_queue_wait(rig->q, -1), 1);
	pthread_join(rig->device, NULL);
	collect_one(rig);
	send_one(rig);
}

/* Looked for or not: when nothing has come calls are as the caller wants them. */
static void time_over(void **state)
{
	for (unsigned i = 0; i < 4; i++) {
		struct rig rig;

		open_window(&rig, i & 1 ? EVENT_IDX : 0);
		uvdpa_queue_want_calls(rig.q, i & 2);
		assert_int_equal(uvdpa_queue_wait(rig.q, 0), 0);
		assert_int_equal(call_wanted(&rig, 1), (i & 2) != 0);
		assert_int_equal(uvdpa_queue_wait(rig.q, 1), 0);
		assert_int_equal(call_wanted(&rig, 1), (i & 2) != 0);
		tear_down(&rig);
	}
}

static void ignore(int number)
{
}

/* Every millisecond, so that one comes while it sleeps. */
static void a_signal_ends_it(void **state)
{
	const struct itimerval often = {{0, 1000}, {0, 1000}}, off = {{0}};
	const uint32_t poll_us[] = {0, UVDPA_QUEUE_POLL_NEVER};
	const struct sigaction action = {.sa_handler = ignore};
	struct rig rig;

	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	for (unsigned i = 0; i < 2; i++) {
		set_up(&rig, EVENT_IDX, poll_us[i]);
		send_one(&rig);
		assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
		assert_int_equal(uvdpa_queue_wait(rig.q, -1), -EINTR);
		assert_int_equal(setitimer(ITIMER_REAL, &off, NULL), 0);
		tear_down(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_overslept),
		cmocka_unit_test(looking_asks_for_no_calls),
		cmocka_unit_test(time_over),
		cmocka_unit_test(a_signal_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
