/*
 * runtime/group.c and registry.c: contexts that share a worker. What a context does is defined
 * here, so the linker leaves the real ones out.
 */
#include "runtime/group.h"

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

#include "runtime/registry.h"
#include "runtime/runtime_internal.h"

#define LANES 5

/* A context, and what the test wants of it and sees. */
struct member {
	struct worker_context context; /* the first member */
	_Atomic uint64_t passes, ready, refused, attended;
	_Atomic uint64_t token;
	_Atomic int work; /* passes that it still wants */
	_Atomic bool polls;
	_Atomic bool wants;  /* attention */
	_Atomic bool locked; /* nobody is to attend to it now */
	_Atomic bool left;   /* it may not be run */
};

static struct worker_group *group;
static struct member members[LANES];
static _Atomic unsigned broken;	 /* expectations that did not hold on the worker's thread */
static unsigned inside;		 /* guarded by the ticket lock */
static struct member *last;	 /* that was run; likewise */
static _Atomic unsigned repeats; /* passes of one context in a row while another had work */

static struct member *member_of(const struct worker_context *context)
{
	return (struct member *)(uintptr_t)context;
}

void context_ready(struct worker_context *context, uint64_t token)
{
	struct member *member = member_of(context);

	broken += !worker_in_pass(group->worker) || member->left;
	atomic_store(&member->token, token);
	atomic_fetch_add(&member->ready, 1);
}

static bool others_have_work(const struct member *member)
{
	for (unsigned i = 0; i < LANES; i++)
		if (&members[i] != member && members[i].work > 1)
			return true;
	return false;
}

enum worker_next context_pass(struct worker_context *context)
{
	struct member *member = member_of(context);
	const struct worker_context *whose = NULL;

	broken += inside++ || member->left;
	broken += !group_in_pass(context, &whose) || whose != context;
	if (last == member && member->work > 0 && others_have_work(member))
		repeats++;
	last = member;
	inside--;
	member->passes++;
	if (member->work > 0 && --member->work > 0)
		return WORKER_AGAIN;
	return member->polls ? WORKER_POLL : WORKER_SLEEP;
}

bool context_wants_attention(const struct worker_context *context)
{
	return member_of(context)->wants;
}

bool context_attend(struct worker_context *context, bool wait)
{
	struct member *member = member_of(context);

	broken += worker_in_pass(group->worker) || member->left;
	if (member->locked && !wait) {
		member->refused++;
		return false;
	}
	while (member->locked)
		sched_yield();
	member->wants = false;
	member->attended++;
	return true;
}

static void wait_for(_Atomic uint64_t *word, uint64_t value)
{
	while (atomic_load(word) < value)
		sched_yield();
}

static int setup(void **state)
{
	struct error f;

	memset(members, 0, sizeof(members));
	last = NULL;
	broken = repeats = 0;
	if (group_new("crew", &group, &f))
		return -1;
	for (unsigned i = 0; i < LANES; i++)
		if (group_join(group, &members[i].context))
			return -1;
	return 0;
}

static int teardown(void **state)
{
	for (unsigned i = 0; i < LANES; i++) {
		if (!members[i].left)
			group_leave(&members[i].context);
		members[i].left = true;
	}
	group_free(group);
	return broken ? -1 : 0;
}

/* A call makes a pass of that context, however often it is repeated, and of no other. */
static void every_call_makes_a_pass(void **state)
{
	for (unsigned i = 0; i < 2000; i++) {
		struct member *member = &members[i % LANES];
		uint64_t before = member->passes;

		group_call(&member->context);
		wait_for(&member->passes, before + 1);
	}
	for (unsigned i = 1; i < LANES; i++)
		assert_true(members[i].passes <= 2000 / LANES);
}

/* Who has much to do has it done between the passes of the others, one each. */
static void work_is_done_in_turn(void **state)
{
	worker_enter(group->worker);
	for (unsigned i = 0; i < LANES; i++) {
		members[i].work = 1000;
		group_call(&members[i].context);
	}
	worker_leave(group->worker);
	for (unsigned i = 0; i < LANES; i++)
		wait_for(&members[i].passes, 1000);
	assert_int_equal(repeats, 0);
}

/* A context that looks for work does not keep others from it, nor them from being called. */
static void polling_contexts_let_others_work(void **state)
{
	members[0].polls = members[1].polls = true;
	group_call(&members[0].context);
	group_call(&members[1].context);
	wait_for(&members[0].passes, 100);
	wait_for(&members[1].passes, 100);
	members[2].work = 100;
	group_call(&members[2].context);
	wait_for(&members[2].passes, 100);
	members[0].polls = members[1].polls = false;
}

/* Each source is reported to its context only, and not after the context has left. */
static void sources_have_their_context(void **state)
{
	int fds[LANES];

	for (unsigned i = 0; i < LANES; i++) {
		fds[i] = eventfd(0, 0);
		assert_int_equal(group_watch(&members[i].context, fds[i], WORKER_EDGE, 100 + i), 0);
	}
	for (unsigned n = 1; n <= 100; n++)
		for (unsigned i = 0; i < LANES; i++) {
			eventfd_write(fds[i], 1);
			wait_for(&members[i].ready, n);
			wait_for(&members[i].passes, n);
			assert_int_equal(members[i].token, 100 + i);
		}
	group_leave(&members[2].context);
	members[2].left = true;
	eventfd_write(fds[2], 1); /* still watched: it is nobody's now */
	eventfd_write(fds[3], 1);
	wait_for(&members[3].ready, 101);
	assert_int_equal(members[2].ready, 100);
	for (unsigned i = 0; i < LANES; i++) {
		group_unwatch(&members[i].context, fds[i]);
		close(fds[i]);
	}
}

/* Who cannot be attended to is so later, and does not hold up a context that has work. */
static void attention_does_not_hold_up_others(void **state)
{
	members[0].locked = true;
	members[1].work = 1 << 30;
	group_call(&members[1].context);
	wait_for(&members[1].passes, 1);
	members[0].wants = true;
	group_call(&members[0].context);
	wait_for(&members[0].refused, 3);
	wait_for(&members[1].passes, members[1].passes + 100);
	assert_int_equal(members[0].attended, 0);
	members[0].locked = false;
	wait_for(&members[0].attended, 1);
	members[1].work = 0;
	/* and, when it has nothing else to do, the worker waits for it */
	members[0].locked = members[0].wants = true;
	group_call(&members[0].context);
	for (unsigned i = 0; i < 100; i++)
		sched_yield();
	members[0].locked = false;
	wait_for(&members[0].attended, 2);
}

#define MANY 200
static struct member many[MANY];
static _Atomic bool stop;

/* Has contexts called, over and over, also those that leave. */
static void *keep_calling(void *arg)
{
	for (unsigned i = 0; !stop; i++) {
		many[i % MANY].wants = true;
		group_call(&many[i % MANY].context);
	}
	return NULL;
}

/* A context that has left is left alone, whatever is going on; the worker goes on for the others.
 */
static void contexts_come_and_go(void **state)
{
	pthread_t thread;

	memset(many, 0, sizeof(many));
	stop = false;
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(group_join(group, &many[i].context), 0);
	pthread_create(&thread, NULL, keep_calling, NULL);
	for (unsigned i = 0; i < MANY; i++) {
		wait_for(&many[i].attended, 1);
		group_leave(&many[i].context);
		many[i].left = true;
		group_call(&members[0].context);
		wait_for(&members[0].passes, i + 1);
	}
	stop = true;
	pthread_join(thread, NULL);
}

/* A name is one worker, until the last of its users has gone. */
static void names(void **state)
{
	struct worker_group *one, *two, *other;
	struct error f;

	assert_int_equal(registry_take("w", NULL, &one, &f), 0);
	assert_int_equal(registry_take("w", NULL, &two, &f), 0);
	assert_int_equal(registry_take("v", NULL, &other, &f), 0);
	assert_ptr_equal(one, two);
	assert_ptr_not_equal(one, other);
	registry_give_back(other);
	registry_give_back(one);
	assert_int_equal(registry_take("w", NULL, &one, &f), 0);
	assert_ptr_equal(one, two);
	registry_give_back(one);
	registry_give_back(two);
}

/* One says which processor it is, or all say the same. */
static void processors(void **state)
{
	struct worker_group *one, *two;
	cpu_set_t allowed;
	struct error f;
	unsigned cpu = 0, none = CPU_SETSIZE - 1;

	assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
	while (!CPU_ISSET(cpu, &allowed))
		cpu++;
	assert_int_equal(registry_take("w", &none, &one, &f), -EINVAL);
	assert_non_null(strstr(f.text, "worker 'w'"));
	assert_int_equal(registry_take("w", NULL, &one, &f), 0);
	assert_int_equal(registry_take("w", &cpu, &two, &f), 0);
	registry_give_back(two);
	assert_int_equal(registry_take("w", &cpu, &two, &f), 0);
	registry_give_back(two);
	assert_int_equal(registry_take("w", &none, &two, &f), -EINVAL);
	assert_non_null(strstr(f.text, "another device"));
	registry_give_back(one);
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(every_call_makes_a_pass),
		CASE(work_is_done_in_turn),
		CASE(polling_contexts_let_others_work),
		CASE(sources_have_their_context),
		CASE(attention_does_not_hold_up_others),
		CASE(contexts_come_and_go),
		cmocka_unit_test(names),
		cmocka_unit_test(processors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
