/*
 * runtime/: a runtime over a device that only counts what it is asked. The device's functions are
 * defined here, so the linker leaves the real ones out.
 */
#include "runtime/runtime_internal.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#include "model/model.h"

#define QUEUES 3

struct device {
	struct device_runtime *runtime;
	_Atomic uint64_t kicks[QUEUES], passes[QUEUES], settles, deadlines;
	_Atomic int work[QUEUES]; /* passes that queues still want */
	bool full;		  /* queue 0 needs them for itself */
	_Atomic bool settle_next; /* the next pass asks to settle */
	_Atomic unsigned in_pass, in_control;
	_Atomic unsigned broken; /* expectations that did not hold on another thread */
	uint64_t deadline;
	int poll_fd, new_result, reset_result;
	bool freed;
};

static struct device device;

int device_new(const struct device_options *options, struct model *model,
	       struct device_runtime *runtime, struct device **out, struct error *f)
{
	model->ops->destroy(model);
	if (device.new_result)
		return error_set(f, device.new_result, "as the test wants");
	device.runtime = runtime;
	*out = &device;
	return 0;
}

void device_free(struct device *d)
{
	d->freed = true;
}

unsigned device_get_vqs_count(const struct device *d)
{
	return QUEUES;
}

const char *device_name(const struct device *d)
{
	return "counter";
}

unsigned device_in_flight(struct device *d)
{
	return 7;
}

int device_queue_poll_fd(struct device *d, unsigned queue, bool *edge)
{
	*edge = false;
	return queue ? -1 : d->poll_fd;
}

void device_kick_vq(struct device *d, unsigned queue)
{
	d->kicks[queue]++;
}

bool device_queue_is_inflight(const struct device *d, unsigned queue)
{
	return false;
}

enum device_turn device_turn_queue(struct device *d, unsigned queue, unsigned budget, bool polling)
{
	uint64_t value;

	d->in_pass++;
	if (d->in_control)
		d->broken++;
	if (!queue && d->poll_fd >= 0 && read(d->poll_fd, &value, sizeof(value)) < 0)
		d->broken += errno != EAGAIN;
	if (atomic_exchange(&d->settle_next, false))
		d->runtime->ops->settle(d->runtime);
	d->in_pass--;
	d->passes[queue]++;
	if (--d->work[queue] <= 0)
		return TURN_IDLE;
	return d->full && !queue ? TURN_FULL : TURN_MORE;
}

struct device_flow device_get_vq_flow(const struct device *d, unsigned queue)
{
	return (struct device_flow){0, d->passes[queue]};
}

void device_get_vq_failure(const struct device *d, unsigned queue, struct model_failure *failure)
{
	failure->count = 0;
}

enum device_state device_state(const struct device *d)
{
	return d->settles ? STATE_SUSPENDED : STATE_RUNNING;
}

void device_settle(struct device *d)
{
	d->settles++;
}

void device_deadline(struct device *d, uint64_t now_ms)
{
	if (now_ms < d->deadline)
		d->broken++;
	d->deadlines++;
}

void device_reset(struct device *d, enum device_event event, uint64_t now_ms, device_done done,
		  void *arg)
{
	assert_int_equal(event, EV_DRIVER_GONE);
	done(arg, d->reset_result);
}

static unsigned destroyed;

static void destroy(struct model *model)
{
	destroyed++;
}

static const struct model_ops model_ops = {.name = "counter", .destroy = destroy};
static struct model model = {.ops = &model_ops};

static int setup(void **state)
{
	const struct runtime_options options = {.workers = 2};
	struct runtime *runtime;
	struct error f;

	memset(&device, 0, sizeof(device));
	device.poll_fd = -1;
	if (runtime_new(&options, &model, &runtime, &f))
		return -1;
	*state = runtime;
	return 0;
}

static int teardown(void **state)
{
	runtime_free(*state);
	return device.broken || !device.freed;
}

static void wait_for(_Atomic uint64_t *word, uint64_t value)
{
	while (atomic_load(word) < value)
		sched_yield();
}

static void lock_and_bind_kick(struct runtime *runtime, unsigned queue, int fd, int expected)
{
	runtime_lock(runtime);
	assert_int_equal(runtime_bind_kick(runtime, queue, fd), expected);
	runtime_unlock(runtime);
}

/* Waits until all that was written before has been seen by queue 0's worker. */
static void sync_with(unsigned queue)
{
	uint64_t before = atomic_load(&device.passes[queue]);

	device.runtime->ops->wake_queue(device.runtime, queue);
	wait_for(&device.passes[queue], before + 1);
}

static void each_write_is_a_kick(void **state)
{
	int fd = eventfd(0, 0);

	lock_and_bind_kick(*state, 1, dup(fd), 0);
	for (uint64_t i = 1; i <= 50; i++) {
		eventfd_write(fd, 1);
		wait_for(&device.kicks[1], i);
	}
	assert_int_equal(device.kicks[1], 50);
	assert_int_equal(device.kicks[0], 0);
	close(fd);
}

static void a_counter_above_zero_is_one_kick(void **state)
{
	int fd = eventfd(3, 0);

	lock_and_bind_kick(*state, 0, dup(fd), 0);
	wait_for(&device.kicks[0], 1);
	sync_with(0);
	assert_int_equal(device.kicks[0], 1);
	/* the same file again: nothing; unbound and bound again: one more */
	lock_and_bind_kick(*state, 0, dup(fd), 0);
	sync_with(0);
	assert_int_equal(device.kicks[0], 1);
	lock_and_bind_kick(*state, 0, -1, 0);
	eventfd_write(fd, 1);
	sync_with(0);
	assert_int_equal(device.kicks[0], 1);
	lock_and_bind_kick(*state, 0, dup(fd), 0);
	wait_for(&device.kicks[0], 2);
	close(fd);
}

static void refuses_what_is_no_eventfd(void **state)
{
	int ends[2], fd = eventfd(0, 0);

	assert_int_equal(pipe(ends), 0);
	lock_and_bind_kick(*state, 2, dup(fd), 0);
	lock_and_bind_kick(*state, 2, ends[0], -EINVAL);
	/* the refused one is closed, the old one still bound */
	assert_int_equal(close(ends[0]), -1);
	eventfd_write(fd, 1);
	wait_for(&device.kicks[2], 1);
	close(ends[1]);
	close(fd);
}

static void calls_reach_their_eventfd(void **state)
{
	struct runtime *runtime = *state;
	int call = eventfd(0, EFD_NONBLOCK), config = eventfd(0, EFD_NONBLOCK);
	eventfd_t value;

	runtime_lock(runtime);
	runtime_bind_call(runtime, 1, dup(call));
	runtime_bind_config_call(runtime, dup(config));
	device.runtime->ops->notify_queue(device.runtime, 1);
	device.runtime->ops->notify_queue(device.runtime, 0); /* unbound */
	device.runtime->ops->notify_config(device.runtime);
	assert_int_equal(eventfd_read(call, &value), 0);
	assert_int_equal(value, 1);
	assert_int_equal(eventfd_read(config, &value), 0);
	/* a driver's reset drops the queue's, its departure both */
	device.runtime->ops->forget(device.runtime, false);
	device.runtime->ops->notify_queue(device.runtime, 1);
	device.runtime->ops->notify_config(device.runtime);
	assert_int_equal(eventfd_read(call, &value), -1);
	assert_int_equal(eventfd_read(config, &value), 0);
	device.runtime->ops->exclude_begin(device.runtime);
	device.runtime->ops->forget(device.runtime, true);
	device.runtime->ops->exclude_end(device.runtime);
	device.runtime->ops->notify_config(device.runtime);
	assert_int_equal(eventfd_read(config, &value), -1);
	runtime_unlock(runtime);
	close(call);
	close(config);
}

static void settles_after_the_pass(void **state)
{
	struct runtime *runtime = *state;

	runtime_lock(runtime);
	runtime_unlock(runtime);
	assert_int_equal(runtime_published_state(runtime), STATE_RUNNING);
	device.settle_next = true;
	device.runtime->ops->wake_queue(device.runtime, 1);
	wait_for(&device.settles, 1);
	/* whoever changes the state publishes it, be it a worker */
	while (runtime_published_state(runtime) != STATE_SUSPENDED)
		sched_yield();
	device.runtime->ops->settle(device.runtime); /* from control, too */
	wait_for(&device.settles, 2);
}

static void deadline_comes_once(void **state)
{
	struct runtime *runtime = *state;

	runtime_lock(runtime);
	device.deadline = runtime_now_ms() + 5;
	device.runtime->ops->set_deadline(device.runtime, device.deadline);
	runtime_unlock(runtime);
	wait_for(&device.deadlines, 1);
	sync_with(0);
	assert_int_equal(device.deadlines, 1);
	/* one that is over comes at once; a disarmed one does not come */
	runtime_lock(runtime);
	device.deadline = 1;
	device.runtime->ops->set_deadline(device.runtime, device.deadline);
	runtime_unlock(runtime);
	wait_for(&device.deadlines, 2);
	device.runtime->ops->set_deadline(device.runtime, 0);
}

static void runs_until_idle(void **state)
{
	device.work[0] = 100;
	device.work[2] = 10;
	device.runtime->ops->wake_queue(device.runtime, 0);
	device.runtime->ops->wake_queue(device.runtime, 2);
	wait_for(&device.passes[0], 100);
	wait_for(&device.passes[2], 10);
	sync_with(0);
	assert_int_equal(device.passes[0], 101);
}

/* A pass ends with the queue that filled it (S16); the others' turn comes all the same. */
static void full_passes(void **state)
{
	struct runtime *runtime = *state;
	struct worker_context *context = &runtime->contexts[0]; /* of queues 0 and 2 */

	runtime_lock(runtime);
	runtime_exclude_begin(runtime);
	device.full = true;
	device.work[0] = device.work[2] = 3;
	context->active = 1 << 0 | 1 << 2;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(context_pass(context), WORKER_AGAIN);
		assert_int_equal(device.passes[0], i + 1);
		assert_int_equal(device.passes[2], i);
		assert_int_equal(context_pass(context), WORKER_AGAIN);
		assert_int_equal(device.passes[0], i + 1);
		assert_int_equal(device.passes[2], i + 1);
	}
	assert_int_equal(context_pass(context), WORKER_SLEEP); /* both had what they wanted */
	assert_int_equal(device.passes[0], 3);
	assert_int_equal(device.passes[2], 3);
	runtime_exclude_end(runtime);
	runtime_unlock(runtime);
}

static void model_fd_makes_passes(void **state)
{
	struct runtime *runtime = *state;

	device.poll_fd = eventfd(0, EFD_NONBLOCK);
	runtime_lock(runtime);
	device.runtime->ops->queue_changed(device.runtime, 0, true);
	device.runtime->ops->queue_changed(device.runtime, 1, true); /* has none */
	runtime_unlock(runtime);
	for (uint64_t i = 0; i < 20; i++) {
		uint64_t before = atomic_load(&device.passes[0]);

		eventfd_write(device.poll_fd, 1);
		wait_for(&device.passes[0], before + 1);
	}
	runtime_lock(runtime);
	device.runtime->ops->queue_changed(device.runtime, 0, false);
	runtime_unlock(runtime);
	close(device.poll_fd);
}

static void *control_loop(void *arg)
{
	for (unsigned i = 0; i < 1000; i++) {
		runtime_lock(arg);
		device.runtime->ops->exclude_begin(device.runtime);
		device.in_control++;
		if (device.in_pass)
			device.broken++;
		sched_yield();
		device.in_control--;
		device.runtime->ops->exclude_end(device.runtime);
		runtime_unlock(arg);
	}
	return NULL;
}

/* All workers stand still while control is inside, also when several control threads compete. */
static void excludes_all_workers(void **state)
{
	pthread_t threads[2];

	for (unsigned q = 0; q < QUEUES; q++) {
		device.work[q] = 1 << 30;
		device.runtime->ops->wake_queue(device.runtime, q);
	}
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, control_loop, *state);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (unsigned q = 0; q < QUEUES; q++)
		device.work[q] = 0;
	assert_true(device.passes[0] > 0 && device.passes[1] > 0);
}

static void one_client_at_a_time(void **state)
{
	struct runtime *runtime = *state;
	struct error f;
	char who[64];

	runtime_owner(runtime, who, sizeof(who));
	assert_string_equal(who, "");
	assert_int_equal(runtime_acquire(runtime, &(struct device_owner){.who = "the first"}, &f),
			 0);
	assert_int_equal(runtime_acquire(runtime, &(struct device_owner){.who = "the second"}, &f),
			 -EBUSY);
	assert_non_null(strstr(f.text, "the first"));
	runtime_owner(runtime, who, sizeof(who));
	assert_string_equal(who, "the first");
	runtime_release(runtime);
	assert_int_equal(runtime_acquire(runtime, &(struct device_owner){.who = "the second"}, &f),
			 0);
	runtime_release(runtime);
}

/* Somebody who waits for a client to leave, and what its export says of it. */
struct comer {
	struct owner_wait wait;
	unsigned over;
};

static void on_over(struct owner_wait *wait)
{
	struct comer *comer = (struct comer *)wait;

	comer->over++;
}

static enum owner_state say(void *arg)
{
	return *(enum owner_state *)arg;
}

static bool comes(struct runtime *runtime, struct comer *comer)
{
	*comer = (struct comer){.wait.over = on_over};
	return runtime_owner_settled(runtime, &comer->wait);
}

static void who_leaves_is_waited_for(void **state)
{
	enum owner_state news = OWNER_ALIVE;
	const struct device_owner first = {.who = "the first", .look = say, .arg = &news};
	struct runtime *runtime = *state;
	struct comer a, b;
	struct error f;

	assert_true(comes(runtime, &a)); /* nobody has it */
	assert_int_equal(runtime_owner_check(runtime, &f), 0);
	assert_int_equal(runtime_acquire(runtime, &first, &f), 0);
	assert_true(comes(runtime, &a)); /* somebody has it, and stays */
	news = OWNER_CLOSING;
	assert_false(comes(runtime, &a));
	news = OWNER_ALIVE; /* is not asked again: leaving is for good */
	assert_false(comes(runtime, &b));
	assert_true(runtime_owner_wait_cancel(runtime, &b.wait));
	assert_false(runtime_owner_wait_cancel(runtime, &b.wait));
	runtime_release(runtime);
	assert_int_equal(a.over, 1);
	assert_int_equal(b.over, 0);
	assert_false(runtime_owner_wait_cancel(runtime, &a.wait));
	assert_int_equal(runtime_acquire(runtime, &first, &f), 0);
	runtime_owner_closing(runtime);
	assert_false(comes(runtime, &a));
	runtime_owner_stuck(runtime);
	assert_int_equal(a.over, 1);
	assert_true(comes(runtime, &b));
	assert_int_equal(runtime_owner_check(runtime, &f), -EBUSY);
	assert_non_null(strstr(f.text, "was left by the first"));
	runtime_release(runtime);
}

/* An answer is for who asked before it was made, and not for who came later. */
static void each_question_has_its_answer(void **state)
{
	enum owner_state news = OWNER_ASKED;
	const struct device_owner first = {.who = "the first", .look = say, .arg = &news};
	struct runtime *runtime = *state;
	struct comer a, b, c;
	struct error f;

	assert_int_equal(runtime_acquire(runtime, &first, &f), 0);
	assert_false(comes(runtime, &a));
	assert_false(comes(runtime, &b));
	runtime_owner_answered(runtime, true);
	assert_int_equal(a.over, 1);
	assert_int_equal(b.over, 0);
	runtime_owner_answered(runtime, false); /* it left in between */
	assert_int_equal(b.over, 0);
	assert_false(comes(runtime, &c));
	runtime_release(runtime);
	assert_int_equal(b.over, 1);
	assert_int_equal(c.over, 1);
	assert_int_equal(runtime_acquire(runtime, &first, &f), 0);
	assert_false(comes(runtime, &a));
	runtime_owner_answered(runtime, true); /* c's, whom it does not concern any more */
	assert_int_equal(a.over, 0);
	runtime_owner_answered(runtime, true);
	assert_int_equal(a.over, 1);
	runtime_release(runtime);
}

struct late_answer {
	struct runtime_after after; /* the first member */
	struct runtime *runtime;
	unsigned at; /* the how-manieth it was; 0: not yet */
	bool locked; /* somebody had the lock then */
};

static unsigned answers;

static void answer_late(struct runtime_after *after)
{
	struct late_answer *answer = (struct late_answer *)after;

	answer->at = ++answers;
	answer->locked = !runtime_try_lock(answer->runtime);
	if (!answer->locked)
		runtime_unlock(answer->runtime);
}

/* What takes system calls is done without the lock, in order, once. */
static void answers_come_after_the_lock(void **state)
{
	struct runtime *runtime = *state;
	struct late_answer a[2] = {{{answer_late, NULL}, runtime, 0, false},
				   {{answer_late, NULL}, runtime, 0, false}};

	answers = 0;
	runtime_lock(runtime);
	runtime_after(runtime, &a[1].after);
	runtime_after(runtime, &a[0].after);
	assert_int_equal(answers, 0);
	runtime_unlock(runtime);
	assert_int_equal(a[1].at, 1);
	assert_int_equal(a[0].at, 2);
	assert_false(a[0].locked || a[1].locked);
	runtime_lock(runtime);
	runtime_unlock(runtime);
	assert_int_equal(answers, 2);
}

static void failures_are_passed_up(void **state)
{
	const struct runtime_options options = {.workers = 100};
	struct runtime *runtime;
	struct error f;

	memset(&device, 0, sizeof(device));
	device.new_result = -EINVAL;
	assert_int_equal(runtime_new(&options, &model, &runtime, &f), -EINVAL);
	assert_string_equal(f.text, "as the test wants");
	/* a backend that never gives back: freed in time, the device left alone */
	device.new_result = 0;
	device.reset_result = -ETIMEDOUT;
	assert_int_equal(runtime_new(&options, &model, &runtime, &f), 0);
	runtime_free(runtime);
	assert_false(device.freed);
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(each_write_is_a_kick),
		CASE(a_counter_above_zero_is_one_kick),
		CASE(refuses_what_is_no_eventfd),
		CASE(calls_reach_their_eventfd),
		CASE(settles_after_the_pass),
		CASE(deadline_comes_once),
		CASE(runs_until_idle),
		CASE(full_passes),
		CASE(model_fd_makes_passes),
		CASE(excludes_all_workers),
		CASE(one_client_at_a_time),
		CASE(who_leaves_is_waited_for),
		CASE(each_question_has_its_answer),
		CASE(answers_come_after_the_lock),
		cmocka_unit_test(failures_are_passed_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
