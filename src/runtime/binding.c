/* The eventfds and poll fds of a running device: who watches them, who writes them. */
#include "runtime/runner_internal.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include "runtime/eventfd.h"
#include "util/log.h"

void binding_init(struct runner *runner)
{
	for (unsigned i = 0; i < DEVICE_MAX_QUEUES; i++) {
		runner->kick[i] = -1;
		runner->poll_fd[i] = -1;
		notifier_init(&runner->call[i]);
	}
	runner->config_call = -1;
}

static void unbind_kick(struct runner *runner, unsigned queue)
{
	int *kick = &runner->kick[queue];

	if (*kick < 0)
		return;
	/* the client has the file open, too: closing our descriptor would not end the watch */
	crew_unwatch(runner_lane(runner, queue), *kick);
	close(*kick);
	*kick = -1;
}

/*
 * Watching reports a counter above 0 at once: that is the kick that the kernel gives at binding
 * (vhost_poll_start looks at the file's state), and how a kick made while unbound is found.
 */
int runner_bind_kick(struct runner *runner, unsigned queue, int fd)
{
	int *kick = &runner->kick[queue];
	int ret;

	if (fd < 0) {
		unbind_kick(runner, queue);
		return 0;
	}
	ret = eventfd_check(fd);
	if (ret)
		goto refuse;
	if (*kick >= 0 && eventfd_same(*kick, fd)) {
		close(fd); /* the same file again changes nothing (vhost_vring_ioctl: eventfp) */
		return 0;
	}
	ret = crew_watch(runner_lane(runner, queue), fd, WORKER_EDGE, lane_token_kick(queue));
	if (ret)
		goto refuse;
	unbind_kick(runner, queue);
	*kick = fd;
	return 0;
refuse:
	if (fd >= 0)
		close(fd);
	return ret;
}

/* A driver that polls for itself would look more often; one that merely cannot kick, less. */
#define POLL_NS 250000

void runner_poll_kicks(struct runner *runner, unsigned queue, bool on)
{
	struct lane *lane = runner_lane(runner, queue);
	uint64_t bit = UINT64_C(1) << queue, before = atomic_load(&lane->polled);
	uint64_t after = on ? before | bit : before & ~bit;
	const struct itimerspec when = {.it_interval.tv_nsec = after ? POLL_NS : 0,
					.it_value.tv_nsec = after ? POLL_NS : 0};

	/* only control writes it, so nothing is lost in between */
	atomic_store(&lane->polled, after);
	if (!before != !after)
		timerfd_settime(lane->tick, 0, &when, NULL);
}

void runner_bind_call(struct runner *runner, unsigned queue, int fd)
{
	runner_exclude_begin(runner);
	notifier_bind(&runner->call[queue], fd);
	runner_exclude_end(runner);
}

void runner_bind_config_call(struct runner *runner, int fd)
{
	if (runner->config_call >= 0)
		close(runner->config_call);
	runner->config_call = fd;
}

void binding_forget(struct runner *runner, bool everything)
{
	unsigned queues = device_get_vqs_count(runner->device);

	runner_exclude_begin(runner);
	for (unsigned i = 0; i < queues; i++) {
		runner_bind_call(runner, i, -1);
		if (everything) {
			unbind_kick(runner, i);
			runner_poll_kicks(runner, i, false);
		}
	}
	if (everything)
		runner_bind_config_call(runner, -1);
	runner_exclude_end(runner);
}

void binding_watch_queue(struct runner *runner, unsigned queue, bool started)
{
	struct lane *lane = runner_lane(runner, queue);
	bool edge = false;
	int fd = started ? device_queue_poll_fd(runner->device, queue, &edge) : -1;
	int ret;

	if (runner->poll_fd[queue] >= 0)
		crew_unwatch(lane, runner->poll_fd[queue]);
	runner->poll_fd[queue] = -1;
	if (fd < 0)
		return;
	ret = crew_watch(lane, fd, edge ? WORKER_EDGE : WORKER_LEVEL, lane_token_poll(queue));
	if (ret)
		log_error(device_name(runner->device),
			  "queue %u: completions cannot be watched (error %d)", queue, -ret);
	else
		runner->poll_fd[queue] = fd;
}
